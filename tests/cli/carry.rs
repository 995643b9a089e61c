//! Archives as places: what `copy`, `export` and `inspect` do with them.

use std::fs;
use std::io::Read;

use serde_json::{Value, json};

use super::places::{named, write_layout};
use crate::support::image::{IndexBuilder, gzip};
use crate::support::{Image, ImageBuilder, Registry, Windlass};

fn images() -> (Image, Image) {
    (Image::small(), ImageBuilder::new().layer_files(&[("a", "b")]).build())
}

/// The exact manifest that the place leads to.
#[track_caller]
fn raw(windlass: &Windlass, place: &str) -> Vec<u8> {
    windlass.run(&["inspect", "--raw", place]).success().stdout_bytes
}

#[test]
fn image_goes_through_every_kind_of_place_and_stays_what_it_is() {
    let registry = Registry::start();
    let image = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let copy = |from: &str, to: &str| {
        let output = windlass.run(&["copy", from, to]).success();
        output.prints(&format!("{name}@{}\n", image.digest));
    };
    copy(&name, "archive:a.tar");
    copy("archive:a.tar", "oci:dir");
    copy(&format!("oci:dir:{name}"), "oci-archive:b.tar");
    copy("docker-archive:b.tar", "store:");
    copy(&format!("store:{name}"), "archive:c.tar");
    assert_eq!(registry.count("GET */blobs/*"), image.blobs.len(), "once is enough");
    let archive = windlass.scratch.read("a.tar");
    assert!(archive == windlass.scratch.read("b.tar"), "the same images give the same bytes");
    assert!(archive == windlass.scratch.read("c.tar"));
    for place in ["archive:a.tar", "oci:dir", &name] {
        assert_eq!(raw(&windlass, place), image.root().content.to_vec(), "{place}");
    }
    windlass.run(&["verify"]).success();
    windlass.run(&["verify", "--archive", "c.tar"]).success();
}

#[test]
fn archive_is_inspected_where_it_lies() {
    let windlass = Windlass::new();
    let (one, two) = images();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &one), (named("b.io/b:2"), &two)]);
    windlass.run(&["copy", "oci:dir", "archive:a.tar"]).success();
    let text = windlass.run(&["inspect", "archive:a.tar:a.io/a:1", "--json"]).success().stdout();
    let object: Value = serde_json::from_str(&text).unwrap();
    let same = ["inspect", "oci:dir:a.io/a:1", "--json"];
    let same: Value = serde_json::from_str(&windlass.run(&same).success().stdout()).unwrap();
    assert_eq!(object, same);
    assert_eq!(object["created"], "2024-05-06T07:08:09Z");
    for name in ["2", "b.io/b:2", two.digest.as_str()] {
        let place = format!("archive:a.tar:{name}");
        assert_eq!(raw(&windlass, &place), two.root().content.to_vec());
        let config = windlass.run(&["inspect", "--config", &place]).success().stdout_bytes;
        assert_eq!(config, two.config().content.to_vec());
    }
    let inspect = |place: &str, code| windlass.run(&["inspect", place]).exits(code).prints("");
    inspect("archive:a.tar", 2).says("holds several images: a.io/a:1, b.io/b:2");
    inspect("archive:a.tar:c", 3).says("`c` is not in `archive:a.tar`");
    inspect("archive:none.tar", 8).says("`none.tar`");
    windlass.scratch.write("text", "no tar");
    inspect("archive:text", 7);
    assert!(!windlass.store().exists());
}

#[test]
fn archive_can_be_copied_onto_itself() {
    let windlass = Windlass::new();
    let (one, two) = images();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &one), (named("b.io/b:2"), &two)]);
    windlass.run(&["copy", "oci:dir", "archive:a.tar"]).success();
    let before = windlass.scratch.read("a.tar");
    windlass.run(&["copy", "archive:a.tar", "archive:a.tar"]).success();
    assert!(windlass.scratch.read("a.tar") == before);
    let args = ["copy", "archive:a.tar:b.io/b:2", "archive:a.tar:c.io/c:3"];
    windlass.run(&args).success().prints(&format!("c.io/c:3@{}\n", two.digest));
    assert_eq!(raw(&windlass, "archive:a.tar"), two.root().content.to_vec());
    assert_eq!(windlass.scratch.files("").iter().filter(|it| it.ends_with(".tar")).count(), 1);
}

#[test]
fn archive_that_is_compressed_is_taken_in_once_where_that_is_possible() {
    let windlass = Windlass::new();
    let image = Image::small();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &image)]);
    windlass.run(&["copy", "oci:dir", "archive:a.tar"]).success();
    windlass.scratch.write("a.tar.gz", gzip(&windlass.scratch.read("a.tar")));
    let answer = format!("a.io/a:1@{}\n", image.digest);
    windlass.run(&["copy", "archive:a.tar.gz", "oci:to"]).success().prints(&answer);
    assert_eq!(raw(&windlass, "oci:to"), image.root().content.to_vec());
    let stdin = windlass.command(&["copy", "archive:-", "store:"]);
    stdin.stdin(windlass.scratch.read("a.tar")).run().success().prints(&answer);
    let refuse = |args: &[&str]| {
        let output = windlass.run(args).exits(2).prints("");
        output.says("expected a file that is not compressed").says("windlass import");
    };
    refuse(&["copy", "archive:a.tar.gz", "archive:b.tar"]);
    refuse(&["copy", "--dry-run", "archive:a.tar.gz", "oci:to"]);
    refuse(&["inspect", "archive:a.tar.gz"]);
}

#[test]
fn archive_on_stdout_leaves_the_answer_to_stderr() {
    let windlass = Windlass::new();
    let image = Image::small();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &image)]);
    windlass.run(&["copy", "oci:dir", "archive:a.tar"]).success();
    let output = windlass.run(&["copy", "oci:dir", "archive:-"]).success();
    assert!(output.stdout_bytes == windlass.scratch.read("a.tar"));
    output.says(&format!("a.io/a:1@{}\n", image.digest));
}

#[test]
fn what_is_copied_out_of_the_store_is_not_collected_meanwhile() {
    let windlass = Windlass::new();
    let image = ImageBuilder::new().layer_random(1, 2 << 20).layer_random(2, 2 << 20).build();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &image)]);
    windlass.run(&["copy", "oci:dir", "store:"]).success();
    let path = windlass.scratch.join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let copying = windlass.spawn(&["copy", "store:", "archive:pipe"]);
    let mut pipe = fs::File::open(&path).unwrap();
    let mut read = vec![0; 512];
    pipe.read_exact(&mut read).unwrap();
    windlass.run(&["remove", "a.io/a:1"]).success();
    let json = windlass.run(&["gc", "--json"]).success().stdout();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["blobs"]["count"], 0, "{json}");
    pipe.read_to_end(&mut read).unwrap();
    copying.wait().success();
    windlass.scratch.write("b.tar", &read);
    windlass.run(&["verify", "--archive", "b.tar"]).success();
    assert_eq!(raw(&windlass, "archive:b.tar"), image.root().content.to_vec());
    let json = windlass.run(&["gc", "--json"]).success().stdout();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["blobs"]["count"], 4, "{json}");
}

#[test]
fn broken_archive_changes_no_name() {
    let windlass = Windlass::new();
    let image = Image::small();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &image)]);
    windlass.run(&["copy", "oci:dir", "archive:a.tar"]).success();
    let mut bytes = windlass.scratch.read("a.tar");
    let layer = image.layers()[0].content.to_vec();
    let at = bytes.windows(layer.len()).position(|it| it == layer).unwrap();
    bytes[at + 30] ^= 1;
    windlass.scratch.write("b.tar", &bytes);
    let hex = &image.layers()[0].digest["sha256:".len()..];
    let output = windlass.run(&["copy", "archive:b.tar", "oci:to"]).exits(7).prints("");
    output.says("copying archive:b.tar").says(&format!("reading member `blobs/sha256/{hex}`"));
    windlass.run(&["copy", "archive:b.tar", "archive:a.tar"]).exits(7).prints("");
    windlass.run(&["verify", "--archive", "a.tar"]).success();
    windlass.scratch.write("c.tar", &bytes[..bytes.len() / 2]);
    windlass.run(&["copy", "archive:c.tar", "oci:to"]).exits(7).prints("");
    let index = String::from_utf8(windlass.scratch.read("to/index.json")).unwrap();
    assert!(!index.contains("a.io/a"), "{index}");
}

#[test]
fn export_takes_images_from_any_place_to_an_archive_or_a_layout() {
    let registry = Registry::start();
    let (one, two) = images();
    let three = ImageBuilder::new().layer_files(&[("c", "d")]).build();
    let name = registry.push(&three, "box:1");
    let windlass = Windlass::new();
    write_layout(&windlass.scratch, "dir", &[(named("a.io/a:1"), &one)]);
    write_layout(&windlass.scratch, "other", &[(named("b.io/b:2"), &two)]);
    windlass.run(&["copy", "oci:other", "archive:b.tar"]).success();
    windlass.run(&["copy", "oci:other", "store:kept"]).success();
    let docker = format!("docker://{name}");
    let images = ["oci:dir:1", "archive:b.tar", "kept", &docker];
    let answer = format!(
        "a.io/a:1@{}\nb.io/b:2@{}\ndocker.io/library/kept:latest@{}\n{name}@{}\n",
        one.digest, two.digest, two.digest, three.digest
    );
    let export = |to: &str| {
        let args = [&["export", "-o", to][..], &images].concat();
        windlass.run(&args).success().prints(&answer);
    };
    export("all.tar");
    export("archive:also.tar");
    export("oci:layout");
    assert!(windlass.scratch.read("all.tar") == windlass.scratch.read("also.tar"));
    for place in ["archive:all.tar", "oci:layout"] {
        assert_eq!(raw(&windlass, &format!("{place}:a.io/a:1")), one.root().content.to_vec());
        assert_eq!(raw(&windlass, &format!("{place}:kept")), two.root().content.to_vec());
    }
    windlass.run(&["export", "-o", "oci:layout:mine", "kept"]).success();
    assert_eq!(raw(&windlass, "oci:layout:mine"), two.root().content.to_vec());
    let refuse = |args: &[&str], says: &str| windlass.run(args).exits(2).prints("").says(says);
    refuse(&["export", "-o", "store:x", "kept"], "expected archive:FILE[:NAME] or oci:DIR[:NAME]");
    refuse(&["export", "-o", "oci:z", "--compress=gzip", "kept"], "a layout is not compressed");
    refuse(&["export", "-o", "oci:z:x", "--all"], "2 images cannot all be called `x`");
    assert!(!windlass.scratch.join("z").exists());
}

#[test]
fn images_of_one_name_are_not_mixed_up() {
    let windlass = Windlass::new();
    let (one, two) = images();
    let name = "docker.io/library/a:1";
    write_layout(&windlass.scratch, "dir", &[(named(name), &one), (named("a:1"), &two)]);
    let refused = windlass.run(&["copy", "oci:dir", "archive:a.tar"]).exits(2).prints("");
    refused.says(&format!("several images would be called `{name}`"));
    assert!(!windlass.scratch.join("a.tar").exists());
    let tag = json!({"org.opencontainers.image.ref.name": "3"});
    write_layout(&windlass.scratch, "tag", &[(tag, &one)]);
    let refused = windlass.run(&["copy", "oci:tag", "archive:a.tar"]).exits(2).prints("");
    refused.says("`3` is only a tag").says("say how to name it: archive:a.tar:NAME");
    windlass.run(&["copy", "oci:tag", "archive:a.tar:b"]).success();
    assert_eq!(fs::read_dir(windlass.scratch.path()).unwrap().count(), 3);
}
