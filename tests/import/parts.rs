//! Archives that lack something.

use super::{Carrier, WAYS, Way, two_images};
use crate::support::archives::{self, Annotated};
use crate::support::{ImageBuilder, IndexBuilder, Tar};

const NAME: &str = "h.io/a:1";

#[test]
fn platforms_that_are_not_there_are_left_out_with_a_warning() {
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64", "linux/s390x"]);
    let child = |at: usize| -> &str { &index.manifests[at].digest };
    let all: Vec<&str> = index.manifests[..3].iter().map(|it| it.digest.as_str()).collect();
    for way in WAYS {
        let carrier = Carrier::new();
        let archive = archives::containerd(&[(&index, &[NAME])], &[child(1)]);
        let output = carrier.import(&archive, way, &[]).success();
        let output = output.says("linux/arm64").says("is left out");
        assert!(!output.stdout().contains(&index.digest), "it is another index");
        carrier.expect_whole();
        let inspected = carrier.windlass.run(&["inspect", NAME]).success().stdout();
        assert!(inspected.contains(child(0)) && inspected.contains(child(2)), "{inspected}");
        assert!(!inspected.contains(child(1)), "{inspected}");
        let only = archives::containerd(&[(&index, &[NAME])], &[child(1), child(2)]);
        let line = format!("{NAME}@{}\n", child(0));
        carrier.import(&only, way, &[]).success().prints(&line);
        let none = archives::containerd(&[(&index, &[NAME])], &all);
        carrier.import(&none, way, &[]).exits(7).says(&index.digest).says("none of the images");
        assert_eq!(carrier.stored(), [(NAME.to_owned(), child(0).to_owned())]);
    }
}

#[test]
fn image_of_which_a_part_is_missing_is_refused() {
    let (one, two) = two_images();
    let index = IndexBuilder::new().child(&one).child(&two).build();
    for missing in [&two.blobs[0], &two.blobs[1], &two.blobs[2]] {
        for image in [&two, &index] {
            let archive = archives::containerd(&[(image, &[NAME])], &[&missing.digest]);
            for way in WAYS {
                let carrier = Carrier::new();
                let output = carrier.import(&archive, way, &[]).exits(7);
                output.says(&missing.digest).says("is not in the archive");
                assert!(carrier.names().is_empty());
            }
        }
    }
    let archive = archives::containerd(&[(&one, &[NAME])], &[&one.digest]);
    Carrier::new().import(&archive, Way::File, &[]).exits(7).says(NAME).says(&one.digest);
}

#[test]
fn image_of_docker_of_which_a_part_is_missing_is_refused() {
    let (one, _) = two_images();
    let saved = |config: &str, layers: &[&str]| {
        serde_json::json!([{ "Config": config, "RepoTags": [NAME], "Layers": layers }]).to_string()
    };
    let layer = archives::unpacked(&one.layers()[0]);
    let base = |saved: String| {
        Tar::new()
            .file("c.json", one.config().content.to_vec())
            .file("0.tar", &layer)
            .file("1.tar", archives::unpacked(&one.layers()[1]))
            .file("manifest.json", saved)
            .end()
    };
    let refuse = |archive: &[u8], text: &str| {
        for way in WAYS {
            let carrier = Carrier::new();
            carrier.import(archive, way, &[]).exits(7).says(text);
            assert!(carrier.names().is_empty());
        }
    };
    refuse(&base(saved("none.json", &["0.tar", "1.tar"])), "`none.json` is not in the archive");
    refuse(&base(saved("c.json", &["0.tar", "2.tar"])), "`2.tar` is not in the archive");
    refuse(&base(saved("c.json", &["0.tar"])), "expected 2 layers");
    refuse(&base(saved("c.json", &["1.tar", "0.tar"])), "reading member `1.tar`");
    refuse(&base(saved("0.tar", &["0.tar", "1.tar"])), "malformed config");
    refuse(&base("null".into()), "reading member `manifest.json`");
    refuse(&base("[]".into()), "there is no image in it");
    let good = base(saved("c.json", &["0.tar", "1.tar"]));
    Carrier::new().import(&good, Way::File, &[]).success();
}

#[test]
fn compressed_layers_of_docker_must_be_what_their_config_says() {
    let (one, two) = two_images();
    let saved = serde_json::json!([{
        "Config": "c.json", "RepoTags": [NAME], "Layers": ["0.tar.gz", "1.tar.gz"],
    }]);
    let archive = Tar::new()
        .file("c.json", one.config().content.to_vec())
        .file("0.tar.gz", one.layers()[0].content.to_vec())
        .file("1.tar.gz", two.layers()[1].content.to_vec())
        .file("manifest.json", saved.to_string())
        .end();
    for way in WAYS {
        let carrier = Carrier::new();
        let output = carrier.import(&archive, way, &[]).exits(7).says("`1.tar.gz`");
        output.says(&one.diff_ids[1]).says(&two.diff_ids[1]);
        assert!(carrier.names().is_empty());
    }
}

#[test]
fn failed_import_of_several_names_none_of_them() {
    let (one, two) = two_images();
    let images: [archives::Named<'_>; 2] = [(&one, &[NAME]), (&two, &["h.io/b:1"])];
    let mut archive = archives::layout(&images, Annotated::Reference);
    let layer = two.layers()[2].content.to_vec();
    let at = archive.windows(layer.len()).position(|window| window == layer).unwrap();
    archive[at + layer.len() - 1] ^= 1;
    for way in WAYS {
        let carrier = Carrier::new();
        let output = carrier.import(&archive, way, &[]).exits(7).prints("");
        output.says("reading member `blobs/sha256/").says(&two.layers()[2].digest);
        assert!(carrier.names().is_empty(), "{way:?}");
    }
}

#[test]
fn list_of_docker_names_what_the_index_does_not() {
    // `index.json` has a tag, `manifest.json` the full name of the same image.
    let (one, _) = two_images();
    let layout = archives::containerd(&[(&one, &["h.io/team/one:7"])], &[]);
    let mut tar = Tar::new();
    for entry in tar::Archive::new(&layout[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if name == "index.json" {
            let text = String::from_utf8(bytes).unwrap();
            bytes = text.replace("io.containerd.image.name", "other").into_bytes();
        }
        tar = if name.ends_with('/') { tar.folder(&name) } else { tar.file(&name, bytes) };
    }
    let carrier = Carrier::new();
    carrier.import(&tar.end(), Way::File, &[]).success();
    assert_eq!(carrier.stored(), [("h.io/team/one:7".to_owned(), one.digest)]);
}

#[test]
fn signatures_without_a_name_are_left_out() {
    let (one, _) = two_images();
    let signature = ImageBuilder::new().layer_files(&[("s", "s")]).build();
    let mut about = signature.root().descriptor();
    about["annotations"] = serde_json::json!({ "io.containerd.manifest.subject": one.digest });
    let mut named = one.root().descriptor();
    named["annotations"] = serde_json::json!({ "io.containerd.image.name": NAME });
    let mut tar = Tar::new().file("index.json", archives::index_json(&[named, about]));
    for piece in one.blobs.iter().chain(&one.manifests).chain(&signature.manifests) {
        tar = tar.file(&archives::blob(&piece.digest), piece.content.to_vec());
    }
    let carrier = Carrier::new();
    carrier.import(&tar.end(), Way::File, &[]).success().says("is left out");
    assert_eq!(carrier.names(), [NAME]);
}
