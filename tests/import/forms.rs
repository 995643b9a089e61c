//! Every form, every way.

use super::{Carrier, WAYS, Way, two_images};
use crate::support::archives::{self, Annotated, Named, made, unpacked};
use crate::support::{Image, ImageBuilder, IndexBuilder, Tar};

const ONE: &str = "quay.io/team/one:1";
const TWO: &str = "docker.io/library/two:latest";

/// Imports `archive` in every way, and expects `expected` names with digests there; then again, and
/// expects that nothing is written.
#[track_caller]
fn check(archive: &[u8], args: &[&str], expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> =
        expected.iter().map(|(name, digest)| ((*name).into(), (*digest).into())).collect();
    for way in WAYS {
        let carrier = Carrier::new();
        let output = carrier.import(archive, way, args).success();
        let mut printed: Vec<String> = output.stdout().lines().map(str::to_owned).collect();
        printed.sort();
        let mut lines: Vec<String> =
            expected.iter().map(|(name, digest)| format!("{name}@{digest}")).collect();
        lines.sort();
        assert_eq!(printed, lines, "{way:?}");
        let mut stored = carrier.stored();
        stored.sort();
        let mut expected = expected.clone();
        expected.sort();
        assert_eq!(stored, expected, "{way:?}");
        carrier.expect_whole();
        let before = carrier.files();
        carrier.import(archive, way, args).success().prints(&output.stdout());
        assert_eq!(carrier.files(), before, "{way:?}: what is there is not written again");
    }
}

/// Imports it with the digests that the images have.
#[track_caller]
fn check_as_it_was(archive: &[u8], one: &Image, two: &Image) {
    check(archive, &[], &[(ONE, &one.digest), (TWO, &two.digest)]);
}

fn both<'a>(one: &'a Image, two: &'a Image) -> [Named<'a>; 2] {
    [(one, &[ONE]), (two, &["two:latest"])]
}

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// The manifest over unpacked layers.
fn made_unpacked(image: &Image) -> String {
    let layers: Vec<_> = image.layers().iter().map(|layer| (TAR, unpacked(layer))).collect();
    made(image, &layers).digest
}

#[test]
fn archives_of_docker_before_25_are_imported() {
    let (one, two) = two_images();
    let archive = archives::docker_24(&both(&one, &two));
    check(&archive, &[], &[(ONE, &made_unpacked(&one)), (TWO, &made_unpacked(&two))]);
}

#[test]
fn archives_of_docker_25_are_imported_with_what_their_index_lacks() {
    let (one, two) = two_images();
    let archive = archives::docker_25(&both(&one, &two));
    let of = |image: &Image| archives::docker_25_image(image).1.digest;
    check(&archive, &[], &[(ONE, &of(&one)), (TWO, &of(&two))]);
    let archive = archives::docker_25(&[(&one, &[ONE]), (&two, &[])]);
    let expected = [(ONE, &*of(&one)), ("h.io/two:2", &made_unpacked(&two))];
    check(&archive, &["--name", "h.io/two:2"], &expected);
    Carrier::new().import(&archive, Way::File, &[]).exits(2).says("without a name");
}

#[test]
fn archive_of_docker_25_whose_index_lists_null_is_imported() {
    let (one, _) = two_images();
    let archive = archives::docker_25_unnamed(&one);
    check(&archive, &["--name", "h.io/one:1"], &[("h.io/one:1", &made_unpacked(&one))]);
}

#[test]
fn archives_of_skopeo_and_podman_are_imported() {
    let (one, two) = two_images();
    let archive = archives::skopeo_docker(&both(&one, &two));
    check(&archive, &[], &[(ONE, &made_unpacked(&one)), (TWO, &made_unpacked(&two))]);
}

#[test]
fn archives_of_crane_are_imported_with_their_layers_as_they_are() {
    let (one, two) = two_images();
    let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
    let of = |image: &Image| {
        let layers = image.layers().iter().map(|layer| (kind, layer.content.to_vec()));
        made(image, &layers.collect::<Vec<_>>()).digest
    };
    let archive = archives::crane(&both(&one, &two));
    check(&archive, &[], &[(ONE, &of(&one)), (TWO, &of(&two))]);
    let archive = archives::crane_legacy(&both(&one, &two));
    check(&archive, &[], &[(ONE, &made_unpacked(&one)), (TWO, &made_unpacked(&two))]);
}

#[test]
fn layer_is_what_its_bytes_say_and_not_its_name() {
    let (one, _) = two_images();
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    let layers: Vec<_> =
        one.layers().iter().map(|layer| (zstd, archives::zstd(&unpacked(layer)))).collect();
    // crane calls every layer `.tar.gz`.
    let names: Vec<String> = (0..layers.len()).map(|index| format!("{index}.tar.gz")).collect();
    let mut tar = Tar::new().file("config.json", one.config().content.to_vec());
    for (name, (_, layer)) in names.iter().zip(&layers) {
        tar = tar.file(name, layer);
    }
    let saved = serde_json::json!([{"Config": "config.json", "RepoTags": [ONE], "Layers": names}]);
    let archive = tar.file("manifest.json", saved.to_string()).end();
    check(&archive, &[], &[(ONE, &made(&one, &layers).digest)]);
}

#[test]
fn archives_of_containerd_and_regctl_keep_their_digests() {
    let (one, two) = two_images();
    check_as_it_was(&archives::containerd(&both(&one, &two), &[]), &one, &two);
    check_as_it_was(&archives::regctl(&both(&one, &two)), &one, &two);
    check(&archives::regctl(&[(&one, &[ONE])]), &[], &[(ONE, &one.digest)]);
}

#[test]
fn archives_of_hauler_are_imported() {
    let (one, two) = two_images();
    let archive = archives::hauler(&both(&one, &two));
    for way in [Way::File, Way::Pipe] {
        let carrier = Carrier::new();
        carrier.import(&archive, way, &[]).success();
        let mut stored = carrier.stored();
        stored.sort();
        let expected = [(TWO.to_owned(), two.digest.clone()), (ONE.to_owned(), one.digest.clone())];
        assert_eq!(stored, expected);
    }
}

#[test]
fn layouts_in_a_tar_keep_their_digests() {
    let (one, two) = two_images();
    let images = both(&one, &two);
    check_as_it_was(
        &archives::layout(&[(&one, &[ONE]), (&two, &[TWO])], Annotated::Reference),
        &one,
        &two,
    );
    check_as_it_was(&archives::dotted_layout(&images, Annotated::FullAndTag), &one, &two);
    let tagged = archives::layout(&[(&one, &[ONE])], Annotated::Tag);
    check(&tagged, &["--name=quay.io/other"], &[("quay.io/other:1", &one.digest)]);
    let nameless = archives::layout(&[(&one, &[])], Annotated::Nothing);
    check(&nameless, &["--name=quay.io/other"], &[("quay.io/other:latest", &one.digest)]);
}

#[test]
fn all_platforms_and_attestations_are_taken() {
    let (one, two) = two_images();
    let arm = ImageBuilder::new().platform("linux/arm64").layer_files(&[("arm", "64")]).build();
    let index = IndexBuilder::new().child(&one).attestation(&one).child(&arm).build();
    let docker = IndexBuilder::new()
        .docker()
        .child(&ImageBuilder::new().docker().layer_files(&[("d", "d")]).build())
        .build();
    let images: [Named<'_>; 3] = [(&index, &[ONE]), (&docker, &["h.io/d:1"]), (&two, &[TWO])];
    let expected = [(ONE, &*index.digest), ("h.io/d:1", &docker.digest), (TWO, &two.digest)];
    check(&archives::containerd(&images, &[]), &[], &expected);
    check(&archives::dotted_layout(&images, Annotated::FullAndTag), &[], &expected);
}

#[test]
fn several_names_of_one_image_are_all_taken() {
    let (one, _) = two_images();
    let names = ["h.io/a:1", "h.io/a:2", "h.io/b:1"];
    let expected = |digest: &str| names.map(|name| (name, digest.to_owned()));
    for (archive, digest) in [
        (archives::containerd(&[(&one, &names)], &[]), one.digest.clone()),
        (archives::skopeo_docker(&[(&one, &names)]), made_unpacked(&one)),
        (archives::docker_25(&[(&one, &names)]), archives::docker_25_image(&one).1.digest),
    ] {
        let expected = expected(&digest);
        let expected: Vec<(&str, &str)> = expected.iter().map(|(n, d)| (*n, d.as_str())).collect();
        check(&archive, &[], &expected);
    }
}

#[test]
fn folders_are_imported_as_the_tar_of_them_would_be() {
    let (one, two) = two_images();
    let carrier = Carrier::new();
    let archives = [
        archives::layout(&[(&one, &[ONE]), (&two, &[TWO])], Annotated::Reference),
        archives::skopeo_docker(&both(&one, &two)),
    ];
    for (index, archive) in archives.iter().enumerate() {
        let folder = carrier.windlass.scratch.join(&format!("folder-{index}"));
        tar::Archive::new(&archive[..]).unpack(&folder).unwrap();
        let output = carrier.windlass.run(&["import", folder.to_str().unwrap()]).success();
        let from_file = carrier.import(archive, Way::File, &[]).success();
        assert_eq!(output.stdout(), from_file.stdout());
        carrier.expect_whole();
    }
}

#[test]
fn what_windlass_exports_comes_back_byte_for_byte() {
    let (one, two) = two_images();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]);
    let from = Carrier::new();
    for (name, image) in [(ONE, &one), (TWO, &two), ("h.io/index:1", &index)] {
        crate::store::put(&from.store(), name, image).unwrap();
    }
    let archive = from.windlass.run(&["export", "--all", "-o", "-"]).success().stdout_bytes;
    let expected = [(ONE, &*one.digest), (TWO, &two.digest), ("h.io/index:1", &index.digest)];
    check(&archive, &[], &expected);
    let to = Carrier::new();
    to.import(&archive, Way::Pipe, &[]).success();
    let again = to.windlass.run(&["export", "--all", "-o", "-"]).success().stdout_bytes;
    assert!(again == archive, "the same bytes");
    let blobs = |carrier: &Carrier| -> Vec<String> {
        carrier.files().into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(blobs(&to), blobs(&from));
}
