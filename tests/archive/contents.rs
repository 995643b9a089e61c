use serde_json::{Value, json};

use super::{Tar, bytes, exported, path, with};
use crate::store::two_images;
use crate::support::image::Piece;
use crate::support::{Image, ImageBuilder, IndexBuilder, Windlass};

const HOST: &str = "linux/amd64";
const OTHER: &str = "linux/arm64/v8";

#[test]
fn archive_says_what_is_inside_before_the_first_layer() {
    let image = Image::small();
    let tar = exported(&with(&[("box:1", &image)]), &["box:1"]);
    let [config, layer] = [image.config(), &image.layers()[0]].map(path);
    let expected =
        ["oci-layout", "index.json", "manifest.json", "blobs/", "blobs/sha256/"].map(String::from);
    let expected: Vec<String> =
        expected.into_iter().chain([path(image.root()), config.clone(), layer.clone()]).collect();
    assert_eq!(tar.paths, expected);
    assert_eq!(tar.json("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}));
    let name = "docker.io/library/box:1";
    let index = tar.json("index.json");
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let entry = json!({
        "mediaType": image.root().media_type,
        "digest": image.digest,
        "size": image.root().size(),
        "annotations": {
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name,
        },
        "platform": {"os": "linux", "architecture": "amd64"},
    });
    assert_eq!(index["manifests"], json!([entry]));
    let docker = json!([{"Config": config, "RepoTags": [name], "Layers": [layer]}]);
    assert_eq!(tar.json("manifest.json"), docker);
    tar.holds(&image);
}

#[test]
fn what_images_share_is_written_once() {
    let (one, two) = two_images();
    let windlass = with(&[("one:1", &one), ("two:1", &two), ("again:1", &one)]);
    let tar = exported(&windlass, &["--all"]);
    tar.holds(&one);
    tar.holds(&two);
    let blobs = tar.paths.iter().filter(|path| path.starts_with("blobs/sha256/")).count() - 1;
    assert_eq!(blobs, 2 + 2 + 3, "manifests, configs, layers: {:?}", tar.paths);
    let names: Vec<Value> = tar.json("index.json")["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["annotations"]["io.containerd.image.name"].clone())
        .collect();
    let expected = ["again", "one", "two"].map(|it| format!("docker.io/library/{it}:1"));
    assert_eq!(names, expected);
    let docker = tar.json("manifest.json");
    assert_eq!(docker[0]["RepoTags"], json!(expected[..2]), "one image with two names");
    assert_eq!(docker[1]["RepoTags"], json!(expected[2..]));
    assert_eq!(docker[2], Value::Null);
}

#[test]
fn same_images_give_the_same_bytes_whatever_the_way() {
    let (one, two) = two_images();
    let windlass = with(&[("one:1", &one), ("two:1", &two)]);
    let first = bytes(&windlass, &["one:1", "two:1"]);
    assert!(first == bytes(&windlass, &["two:1", "one:1", "two:1"]), "in any order, any number");
    assert!(first == bytes(&windlass, &["--all"]));
    let other = with(&[("two:1", &two), ("one:1", &one)]);
    assert!(first == bytes(&other, &["--all", "--no-sync", "-j1"]), "of any store");
    let piped = windlass.run(&["export", "-o", "-", "--all"]).success();
    assert!(first == piped.stdout_bytes, "through a pipe");
}

#[test]
fn every_kind_of_image_is_written_as_it_is() {
    let docker = ImageBuilder::new().docker().layer_files(&[("a", "b")]).build();
    let many = IndexBuilder::platforms(&[OTHER, HOST]);
    let empty = Piece::new("application/vnd.oci.image.layer.v1.tar", "");
    let digest = empty.digest.clone();
    let odd = ImageBuilder::new().layer(empty.clone(), &digest).layer(empty, &digest).build();
    let deep = ImageBuilder::new().layer_files(&[("deep", "down")]).build();
    let inner = IndexBuilder::new().child(&deep).build();
    let nested = IndexBuilder::new().child(&inner).index("annotations", json!({"a": "b"})).build();
    let images = [("docker:1", &docker), ("many:1", &many), ("odd:1", &odd), ("nested:1", &nested)];
    let tar = exported(&with(&images), &["--all"]);
    images.iter().for_each(|(_, image)| tar.holds(image));
    let docker_form = tar.json("manifest.json");
    assert_eq!(docker_form.as_array().unwrap().len(), 4);
    let of = |name: &str| {
        let mut entries = docker_form.as_array().unwrap().iter();
        let tag = json!([format!("docker.io/library/{name}:1")]);
        entries.find(|entry| entry["RepoTags"] == tag).unwrap().clone()
    };
    assert_eq!(of("odd")["Layers"], json!([path(&odd.blobs[1]), path(&odd.blobs[1])]));
    assert_eq!(of("nested")["Config"], path(deep.config()));
}

/// Which config `manifest.json` names for an archive of `image`.
#[track_caller]
fn offered(windlass: &Windlass, args: &[&str]) -> (Tar, Value) {
    let tar = exported(windlass, &[&["box:1"], args].concat());
    let config = tar.json("manifest.json")[0]["Config"].clone();
    (tar, config)
}

#[test]
fn of_an_index_the_image_for_this_machine_is_offered_or_the_first() {
    let host = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        other => panic!("no image for {other}"),
    };
    let index = IndexBuilder::platforms(&["linux/s390x", host, "windows/amd64"]);
    let (tar, config) = offered(&with(&[("box:1", &index)]), &[]);
    assert_eq!(config, path(&index.blobs[2]));
    tar.holds(&index);
    let index = IndexBuilder::platforms(&["linux/s390x", "linux/ppc64le"]);
    let (_, config) = offered(&with(&[("box:1", &index)]), &[]);
    assert_eq!(config, path(&index.blobs[0]));
    let image = Image::small();
    let index = IndexBuilder::new().attestation(&image).child(&image).build();
    let (tar, config) = offered(&with(&[("box:1", &index)]), &[]);
    assert_eq!(config, path(image.config()), "an attestation is no image");
    tar.holds(&index);
}

#[test]
fn platform_narrows_what_is_written() {
    let index = IndexBuilder::platforms(&["linux/s390x", HOST, OTHER]);
    let windlass = with(&[("box:1", &index)]);
    let (tar, config) = offered(&windlass, &["--platform", "linux/arm64"]);
    assert_eq!(config, path(&index.blobs[4]));
    let entry = &tar.json("index.json")["manifests"][0];
    assert_eq!(entry["digest"], index.manifests[2].digest);
    assert_eq!(entry["platform"]["architecture"], "arm64");
    assert_eq!(tar.paths.len(), 8, "nothing else: {:?}", tar.paths);

    let (tar, config) = offered(&windlass, &["--platform=linux/s390x", "--platform", HOST]);
    assert_eq!(config, path(&index.blobs[0]), "the first that was asked for");
    let root = tar.json("index.json")["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let narrowed = tar.json(&format!("blobs/{}", root.replace(':', "/")));
    let children: Vec<&str> = narrowed["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|child| child["digest"].as_str().unwrap())
        .collect();
    assert_eq!(children, [&index.manifests[0].digest, &index.manifests[1].digest]);
    let answer = windlass
        .run(&["export", "-o", "b.tar", "box:1", "--platform=linux/s390x", "--platform", HOST])
        .success();
    answer.prints(&format!("docker.io/library/box:1@{root}\n"));

    let output = windlass.run(&["export", "-o", "c.tar", "box:1", "--platform", "linux/riscv64"]);
    output
        .exits(3)
        .prints("")
        .says("exporting docker.io/library/box:1: no image for linux/riscv64");
    assert!(!windlass.scratch.join("c.tar").exists());
}

#[test]
fn what_has_no_tag_and_what_is_no_image_is_no_image_of_docker() {
    let image = Image::small();
    let by_digest = format!("team/tool@{}", image.digest);
    let tar = exported(&with(&[(&by_digest, &image)]), &["--all"]);
    let name = format!("docker.io/{by_digest}");
    let entry = &tar.json("index.json")["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], name.as_str());
    assert_eq!(tar.json("manifest.json")[0]["RepoTags"], Value::Null);
    let index = IndexBuilder::platforms(&["linux/s390x", HOST]);
    let windlass = with(&[(&format!("team/tool@{}", index.digest), &index)]);
    let tar = exported(&windlass, &["--all", "--platform=linux/s390x"]);
    let name = format!("docker.io/team/tool@{}", index.manifests[0].digest);
    let entry = &tar.json("index.json")["manifests"][0];
    assert_eq!(entry["annotations"]["io.containerd.image.name"], name.as_str(), "what is there");
    let artifact = ImageBuilder::new()
        .manifest("artifactType", json!("application/x"))
        .manifest("config", Piece::new("application/vnd.oci.empty.v1+json", "{}").descriptor())
        .layer_files(&[("a", "b")])
        .build();
    let mut artifact = artifact;
    artifact.blobs[0] = Piece::new("application/vnd.oci.empty.v1+json", "{}");
    let tar = exported(&with(&[("thing:1", &artifact)]), &["--all"]);
    assert_eq!(tar.json("manifest.json"), json!([]));
    tar.holds(&artifact);
}
