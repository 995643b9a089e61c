//! `verify --archive`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Carrier, two_images};
use crate::support::archives::{self, Annotated};
use crate::support::image::gzip;
use crate::support::{Image, IndexBuilder, Tar};

const NAME: &str = "h.io/a:1";

fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[test]
fn good_archive_is_good_and_its_own_digest_is_said() {
    let (one, two) = two_images();
    let index = IndexBuilder::new().child(&one).attestation(&one).child(&two).build();
    let images: [archives::Named<'_>; 2] = [(&index, &[NAME]), (&two, &["h.io/b:1"])];
    let single: [archives::Named<'_>; 2] = [(&one, &[NAME]), (&two, &["h.io/b:1"])];
    let forms = [
        archives::containerd(&images, &[]),
        archives::hauler(&images),
        archives::regctl(&images),
        gzip(&archives::layout(&images, Annotated::Reference)),
        archives::docker_24(&single),
        archives::skopeo_docker(&single),
        archives::crane(&single),
        archives::crane_legacy(&single),
    ];
    for archive in forms {
        let carrier = Carrier::new();
        let output = carrier.verify(&archive, &[]).success();
        let text = output.stdout();
        assert_eq!(text.lines().last(), Some(&*sha256(&archive)), "{text}");
        assert!(text.contains("2 images") && text.contains("nothing is wrong"), "{text}");
        let pipe = carrier.windlass.command(&["verify", "--archive", "-"]).stdin(archive);
        pipe.run().success().prints(&text);
        assert!(!carrier.windlass.store().exists(), "nothing is stored");
    }
}

#[test]
fn everything_that_is_wrong_is_found_at_once() {
    let (one, two) = two_images();
    let index = IndexBuilder::new().child(&one).child(&two).build();
    let absent = [&*one.layers()[1].digest, &*two.digest];
    let mut archive = archives::containerd(&[(&index, &[NAME])], &absent);
    let config = one.config().content.to_vec();
    let at = archive.windows(config.len()).position(|window| window == config).unwrap();
    archive[at] = b'[';
    let end = archive.len() - 1024;
    let archive = Tar::new()
        .raw(&archive[..end])
        .file("junk", "x")
        .file("junk", "y")
        .symbolic_link("out", "/etc/passwd")
        .end();
    let output = Carrier::new().verify(&archive, &["--json"]).exits(7).says("5 findings");
    let report: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(report["digest"], sha256(&archive));
    assert_eq!(report["size"], archive.len());
    assert_eq!(report["images"][0]["name"], NAME);
    assert_eq!(report["images"][0]["digest"], index.digest);
    let mut found: Vec<(&str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["problem"].as_str().unwrap(), it["member"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    let mut missing = absent.map(archives::blob);
    missing.sort();
    let config = archives::blob(&one.config().digest);
    let expected = [
        ("digest", config.as_str()),
        ("malformed", "out"),
        ("missing", &missing[0]),
        ("missing", &missing[1]),
        ("twice", "junk"),
    ];
    assert_eq!(found, expected);
    let unreferenced: Vec<&str> =
        report["unreferenced"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(unreferenced.contains(&"junk"), "{unreferenced:?}");
    assert!(unreferenced.contains(&&*archives::blob(&two.config().digest)), "{unreferenced:?}");
}

#[test]
fn layers_of_docker_are_held_against_their_diff_ids() {
    let (one, _) = two_images();
    for build in [archives::skopeo_docker, archives::crane, archives::docker_24] {
        let mut archive = build(&[(&one, &[NAME])]);
        let text = b"\"rootfs\"";
        let at = archive.windows(text.len()).position(|window| window == text).unwrap();
        // The first digit of the first diff id.
        let start = archive[at..].windows(7).position(|window| window == b"sha256:").unwrap();
        let digit = &mut archive[at + start + 7];
        *digit = if *digit == b'0' { b'1' } else { b'0' };
        let output = Carrier::new().verify(&archive, &[]).exits(7);
        assert!(output.stdout().contains("expected sha256:"), "{output}");
    }
}

#[test]
fn what_no_image_needs_is_told_and_nothing_wrong() {
    let image = Image::small();
    let archive = archives::layout(&[(&image, &[NAME])], Annotated::Reference);
    let tar = Tar::new().raw(&archive[..archive.len() - 1024]).file("README", "hello");
    let output = Carrier::new().verify(&tar.clone().end(), &[]).success();
    assert!(output.stdout().contains("README: no image needs it"), "{output}");
    let output = Carrier::new().verify(&tar.cut(), &[]).success();
    assert!(output.stdout().contains("end a tar are missing"), "{output}");
}

#[test]
fn sizes_that_are_said_wrongly_are_found() {
    let image = Image::small();
    let mut descriptor = image.root().descriptor();
    descriptor["size"] = serde_json::json!(image.root().size() + 1);
    let mut tar = Tar::new().file("index.json", archives::index_json(&[descriptor]));
    for piece in image.blobs.iter().chain(&image.manifests) {
        tar = tar.file(&archives::blob(&piece.digest), piece.content.to_vec());
    }
    let output = Carrier::new().verify(&tar.end(), &["--json"]).exits(7);
    let report: Value = serde_json::from_str(&output.stdout()).unwrap();
    assert_eq!(report["findings"][0]["problem"], "size");
}

#[test]
fn archive_that_is_cut_off_is_never_good() {
    let image = Image::small();
    // Of both the last member is needed.
    for archive in [archives::crane(&[(&image, &[NAME])]), archives::regctl(&[(&image, &[NAME])])] {
        let carrier = Carrier::new();
        for len in (0..archive.len() - 1024).step_by(512) {
            carrier.verify(&archive[..len], &[]).exits(7);
        }
    }
    for archive in [&b""[..], b"text", &[0; 4096]] {
        Carrier::new().verify(archive, &[]).exits(7).prints("");
    }
}
