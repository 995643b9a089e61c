//! Image layouts as places: read as they are, written so that others can read them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::support::image::IndexBuilder;
use crate::support::{Image, ImageBuilder, Scratch, Windlass};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A layout as other tools write it; each entry with the annotations given.
pub(super) fn write_layout(scratch: &Scratch, folder: &str, images: &[(Value, &Image)]) {
    scratch.write(&format!("{folder}/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut entries = Vec::new();
    for (annotations, image) in images {
        for piece in image.blobs.iter().chain(&image.manifests) {
            let path = format!("{folder}/blobs/{}", piece.digest.replace(':', "/"));
            scratch.write(&path, piece.content.to_vec());
        }
        let mut entry = image.root().descriptor();
        entry["annotations"] = annotations.clone();
        entries.push(entry);
    }
    let index = json!({"schemaVersion": 2, "manifests": entries, "odd": [1, "two"]});
    scratch.write(&format!("{folder}/index.json"), index.to_string());
}

pub(super) fn named(name: &str) -> Value {
    json!({ REF_NAME: name })
}

fn one_and_two() -> (Image, Image) {
    let image = |text| ImageBuilder::new().layer_files(&[("file", text)]).build();
    (image("one"), image("two"))
}

#[test]
fn layout_is_read_by_every_kind_of_name_and_not_touched() {
    let windlass = Windlass::new();
    let (one, two) = one_and_two();
    let containerd = json!({ REF_NAME: "3", CONTAINERD_NAME: "docker.io/library/alpine:3" });
    let images = [(containerd, &one), (named("quay.io/team/tool:1"), &two)];
    write_layout(&windlass.scratch, "dir", &images);
    let before = windlass.scratch.files("dir");
    let raw = |name: &str| {
        let place = format!("oci:dir:{name}");
        windlass.run(&["inspect", "--raw", &place]).success().stdout_bytes
    };
    for name in ["3", "alpine:3", "docker.io/library/alpine:3", one.digest.as_str()] {
        assert_eq!(raw(name), one.root().content.to_vec(), "{name}");
    }
    let pinned = format!("1@{}", two.digest);
    for name in ["1", "quay.io/team/tool:1", two.digest.as_str(), &pinned] {
        assert_eq!(raw(name), two.root().content.to_vec(), "{name}");
    }
    assert_eq!(windlass.scratch.files("dir"), before);
    assert!(!windlass.store().exists(), "the store has nothing to do with it");
}

#[test]
fn layout_that_is_not_as_asked_is_told_by_its_exit_code() {
    let windlass = Windlass::new();
    let (one, two) = one_and_two();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &one), (named("b"), &two)]);
    write_layout(&windlass.scratch, "empty", &[]);
    windlass.scratch.write("other/file", "");
    let inspect = |place: &str, code| windlass.run(&["inspect", place]).exits(code).prints("");
    inspect("oci:none:a", 8).says("windlass: opening the image layout `none`: no such file");
    inspect("oci:other", 7).says("there is no `index.json`");
    inspect("oci:other/file", 8).says("it is not a folder");
    inspect("oci:dir", 2).says("`oci:dir` holds several images: a.io/a:1, b").says("oci:dir:NAME");
    inspect("oci:dir:a.io/a:2", 3).says("`a.io/a:2` is not in `oci:dir`").says("mean a.io/a:1?");
    inspect("oci:dir:", 2).says("the name is empty");
    inspect("oci:", 2).says("the path is empty");
    inspect("oci:empty", 3).says("there is no image in `oci:empty`");
    windlass.scratch.write("dir/index.json", "{");
    inspect("oci:dir:b", 7).says("`dir/index.json`");
    windlass.scratch.write("dir/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    inspect("oci:dir:b", 7).says("expected image layout version 1");
}

#[test]
fn layout_with_hostile_files_neither_hangs_nor_leads_out() {
    let windlass = Windlass::new();
    let (one, _) = one_and_two();
    let refused = |code| windlass.run(&["copy", "oci:dir", "oci:copy:x"]).exits(code).prints("");
    let layer = format!("dir/blobs/{}", one.layers()[0].digest.replace(':', "/"));
    let write = || write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &one)]);
    let path = windlass.scratch.join(&layer);
    write();
    fs::remove_file(&path).unwrap();
    refused(7).says("is missing");
    let secret = windlass.scratch.write("secret", one.layers()[0].content.to_vec());
    symlink(&secret, &path).unwrap();
    refused(7).says("is not a regular file");
    fs::remove_file(&path).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    refused(7).says("is not a regular file");
    fs::remove_file(&path).unwrap();
    write();
    windlass.scratch.write(&layer, "x".repeat(one.layers()[0].content.to_vec().len()));
    refused(7).says(&one.layers()[0].digest);
    let index = windlass.scratch.read("copy/index.json");
    assert!(!String::from_utf8(index).unwrap().contains("ref.name"), "nothing is named");
    write();
    windlass.run(&["copy", "oci:dir", "oci:copy:x"]).success();
}

#[test]
fn names_of_a_layout_move_no_terminal() {
    let windlass = Windlass::new();
    let (one, two) = one_and_two();
    let hostile = "\u{1b}]0;x\u{7}\r\n\u{202e}";
    write_layout(&windlass.scratch, "dir", &[(named(hostile), &one), (named("b"), &two)]);
    let calm =
        |text: &str| text.chars().all(|it| it == '\n' || !it.is_control() && it != '\u{202e}');
    for args in
        [&["inspect", "oci:dir"][..], &["copy", "oci:dir", "oci:to"], &["inspect", "oci:dir:x"]]
    {
        let output = windlass.run(args);
        assert!(calm(&output.stdout()) && calm(&output.stderr), "{output}");
    }
}

#[test]
fn layout_that_may_only_be_read_is_read() {
    let windlass = Windlass::new();
    let (one, _) = one_and_two();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &one)]);
    let chmod = |mode| {
        for folder in ["dir", "dir/blobs", "dir/blobs/sha256"] {
            let path = windlass.scratch.join(folder);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    chmod(0o555);
    let copied = windlass.run(&["copy", "oci:dir", "store:"]);
    chmod(0o755);
    assert_eq!(windlass.scratch.files("dir").len(), 2 + one.blobs.len() + one.manifests.len());
    copied.success().prints(&format!("a.io/a:1@{}\n", one.digest));
    windlass.run(&["verify"]).success();
}

#[test]
fn place_that_a_command_does_not_take_is_refused_with_those_that_it_takes() {
    let windlass = Windlass::new();
    let output = windlass.run(&["copy", "a", "b"]).exits(2).prints("");
    output.says("invalid place `b`: expected store:NAME").says("oci:DIR[:NAME]");
    windlass.run(&["copy", "a", "docker://b"]).exits(2).says("expected store:NAME");
    windlass.run(&["copy", "oci:", "store:"]).exits(2).says("the path is empty");
    assert!(!windlass.store().exists());
}

#[test]
fn index_of_platforms_in_a_layout_is_narrowed_as_in_a_registry() {
    let windlass = Windlass::new();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &index)]);
    let arm = &index.manifests[1].digest;
    let args = ["copy", "oci:dir", "oci:to", "--platform", "linux/arm64"];
    windlass.run(&args).success().prints(&format!("a.io/a:1@{arm}\n"));
    let json = windlass.run(&["inspect", "--json", "oci:to"]).success().stdout();
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["stored"], arm.as_str());
    assert_eq!(object["platform"], "linux/arm64");
    let args = ["copy", "oci:dir", "oci:to", "--platform", "linux/s390x"];
    windlass.run(&args).exits(3).says("there are linux/amd64, linux/arm64");
}
