use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::places::{named, write_layout};
use crate::support::image::IndexBuilder;
use crate::support::{Fault, Image, ImageBuilder, Registry, Windlass};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

fn index(windlass: &Windlass, folder: &str) -> Value {
    serde_json::from_slice(&windlass.scratch.read(&format!("{folder}/index.json"))).unwrap()
}

/// Every blob of `image` is in the layout, byte for byte.
#[track_caller]
fn holds(windlass: &Windlass, folder: &str, image: &Image) {
    for piece in image.blobs.iter().chain(&image.manifests) {
        let path = format!("{folder}/blobs/{}", piece.digest.replace(':', "/"));
        assert!(windlass.scratch.read(&path) == piece.content.to_vec(), "{path}");
    }
}

#[test]
fn copy_brings_all_platforms_from_a_registry_into_a_layout() {
    let registry = Registry::start();
    let image = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let answer = |name: &str| format!("{name}@{}\n", image.digest);
    windlass.run(&["copy", &name, "oci:dir"]).success().prints(&answer(&name));
    holds(&windlass, "dir", &image);
    registry.forget();
    windlass
        .run(&["copy", &format!("docker://{name}"), "oci:dir:v1"])
        .success()
        .prints(&answer("v1"));
    assert_eq!(registry.count("GET */blobs/*"), 0, "what is there does not come again");
    let entries = index(&windlass, "dir")["manifests"].as_array().unwrap().clone();
    let names: Vec<&Value> = entries.iter().map(|it| &it["annotations"][REF_NAME]).collect();
    assert_eq!(names, [&json!(name), &json!("v1")]);
    assert!(!windlass.store().exists(), "there is no store in between");
}

#[test]
fn copy_keeps_what_else_is_in_the_layout() {
    let windlass = Windlass::new();
    let (one, two) = (Image::small(), ImageBuilder::new().layer_files(&[("a", "b")]).build());
    write_layout(&windlass.scratch, "from", &[(named("x"), &two)]);
    let mut other = named("other");
    other["their.key"] = json!("kept");
    write_layout(&windlass.scratch, "to", &[(other, &one), (named("x"), &one)]);
    let before = index(&windlass, "to");
    windlass.run(&["copy", "oci:from", "oci:to"]).success();
    let after = index(&windlass, "to");
    assert_eq!(after["odd"], before["odd"]);
    assert_eq!(after["manifests"][0], before["manifests"][0]);
    assert_eq!(after["manifests"].as_array().unwrap().len(), 2, "the name is replaced");
    assert_eq!(after["manifests"][1]["digest"], two.digest.as_str());
    holds(&windlass, "to", &two);
}

#[test]
fn copy_of_a_registry_into_the_store_remembers_where_it_came_from() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let answer = format!("docker.io/library/mine:2@{}\n", image.digest);
    windlass.run(&["copy", &name, "store:mine:2"]).success().prints(&answer);
    let origin =
        |text: &str| text.contains(&format!("\"io.windlass.origin\":\"{}/box\"", registry.host()));
    assert!(origin(&String::from_utf8(windlass.scratch.read("store/index.json")).unwrap()));
    windlass.run(&["copy", "store:mine:2", "oci:dir"]).success().prints(&answer);
    let index = String::from_utf8(windlass.scratch.read("dir/index.json")).unwrap();
    assert!(!index.contains("io.windlass.origin"), "a store is no repository: {index}");
    windlass.run(&["copy", "oci:dir", "store:again"]).success();
    let again = windlass.run(&["inspect", "--raw", "again"]).success().stdout_bytes;
    assert_eq!(again, image.root().content.to_vec());
}

#[test]
fn copy_of_several_images_takes_all_that_have_a_name() {
    let windlass = Windlass::new();
    let (one, two) = (Image::small(), ImageBuilder::new().layer_files(&[("a", "b")]).build());
    let three = ImageBuilder::new().layer_files(&[("c", "d")]).build();
    let images = [(named("a.io/a:1"), &one), (named("b.io/b:2"), &two), (json!({}), &three)];
    write_layout(&windlass.scratch, "from", &images);
    let lines = format!("a.io/a:1@{}\nb.io/b:2@{}\n", one.digest, two.digest);
    let output = windlass.run(&["copy", "oci:from", "oci:to"]).success().prints(&lines);
    output.says("oci:from: an image without a name is left out");
    windlass.run(&["copy", "oci:from", "store:"]).success().prints(&lines);
    windlass.run(&["copy", "store:", "oci:again"]).success().prints(&lines);
    let refused = windlass.run(&["copy", "oci:from", "oci:to:name"]).exits(2).prints("");
    refused.says("2 images cannot all be called `name`").says("take all to oci:to");
    let one_of_them = ["copy", "oci:from:b.io/b:2", "oci:to:name"];
    windlass.run(&one_of_them).success().prints(&format!("name@{}\n", two.digest));
    let nameless = ["copy", &format!("oci:from:{}", three.digest), "oci:to"];
    windlass.run(&nameless).exits(2).says("the image has no name").says("oci:to:NAME");
}

#[test]
fn name_that_is_only_a_tag_needs_a_full_one_in_the_store() {
    let windlass = Windlass::new();
    write_layout(&windlass.scratch, "dir", &[(named("latest"), &Image::small())]);
    let refused = windlass.run(&["copy", "oci:dir", "store:"]).exits(2).prints("");
    refused.says("`latest` is only a tag").says("help: say how to name it: store:NAME");
    windlass.run(&["copy", "oci:dir", "store:mine"]).success();
    windlass.run(&["inspect", "mine"]).success();
}

#[test]
fn copy_onto_itself_changes_nothing() {
    let windlass = Windlass::new();
    let image = Image::small();
    let mut annotations = named("x");
    annotations["their.key"] = json!("kept");
    write_layout(&windlass.scratch, "dir", &[(annotations, &image)]);
    let before = windlass.scratch.read("dir/index.json");
    windlass.run(&["copy", "oci:dir:x", "oci:dir:x"]).success();
    assert_eq!(windlass.scratch.read("dir/index.json"), before);
    windlass.run(&["copy", "oci:dir:x", "store:box"]).success();
    windlass.run(&["copy", "store:box", "store:box"]).success();
    windlass.run(&["copy", "store:", "store:"]).success();
    windlass.run(&["verify"]).success();
}

#[test]
fn copy_goes_on_where_it_was_cut() {
    let registry = Registry::start();
    let image = Image::of_size(3 << 20);
    let name = registry.push(&image, "box:1");
    let layer = image.layers()[0].digest.clone();
    registry.fail_always(&format!("/v2/box/blobs/{layer}"), Fault::CutFin(1 << 20));
    let windlass = Windlass::new();
    let args = ["copy", &name, "oci:dir:x", "--retries=1", "--jobs=1"];
    windlass.run(&args).exits(5).prints("");
    assert!(!String::from_utf8(windlass.scratch.read("dir/index.json")).unwrap().contains("\"x\""));
    registry.recover();
    registry.forget();
    windlass.run(&args).success();
    holds(&windlass, "dir", &image);
    let sent = registry.bytes_sent(&format!("/v2/box/blobs/{layer}"));
    assert!(sent < (2 << 20) + (256 << 10), "{sent} bytes are sent again");
}

#[test]
fn dry_run_says_what_would_move_and_makes_nothing() {
    let windlass = Windlass::new();
    let image = Image::small();
    write_layout(&windlass.scratch, "dir", &[(named("x"), &image)]);
    let args = ["copy", "--dry-run", "oci:dir", "oci:new/folder"];
    let output = windlass.run(&args).success().prints(&format!("x@{}\n", image.digest));
    output.says(&format!("would copy x: 3 blobs, {} bytes", image.size()));
    assert!(!windlass.scratch.join("new").exists());
    windlass.run(&["copy", "oci:dir", "oci:new/folder"]).success();
    windlass.run(&args).success().says("would copy x: 0 blobs, 0 bytes");
}

#[test]
fn pairs_are_read_from_a_list_and_failures_counted() {
    let windlass = Windlass::new();
    let image = Image::small();
    write_layout(&windlass.scratch, "dir", &[(named("x"), &image)]);
    let list =
        "# pairs\noci:dir:x oci:to:1\noci:dir:none oci:to:2 # not there\noci:dir:x store:y\n";
    let digests = windlass.scratch.text("digests");
    let args = ["copy", "-f", "-", "--keep-going", "--digestfile", &digests];
    let output = windlass.command(&args).stdin(list).run().exits(9);
    let output = output.prints(&format!("1@{0}\ndocker.io/library/y:latest@{0}\n", image.digest));
    output.says("copying oci:dir:none: `none` is not in").says("1 of 3 images failed");
    assert_eq!(fs::read_to_string(&digests).unwrap(), format!("{0}\n{0}\n", image.digest));
    windlass.command(&["copy", "-f", "-"]).stdin(list).run().exits(3);
    let refuse = |list: &str, says: &str| {
        windlass.command(&["copy", "-f", "-"]).stdin(list).run().exits(2).prints("").says(says);
    };
    refuse("oci:dir:x oci:to:3\noci:dir:x\n", "stdin: line 2: expected FROM and TO, got 1 words");
    refuse("a b\n", "stdin: line 1: invalid place `b`");
    refuse("", "expected something to copy, got none");
    assert_eq!(index(&windlass, "to")["manifests"].as_array().unwrap().len(), 1);
    windlass.run(&["copy", "a"]).exits(2).says("TO is missing");
    windlass.run(&["copy"]).exits(2).says("FROM is missing");
    windlass.run(&["copy", "a", "oci:b", "c"]).exits(2).says("unexpected argument `c`");
}

#[test]
fn copy_tells_in_json_what_is_there_now() {
    let windlass = Windlass::new();
    let image = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    write_layout(&windlass.scratch, "dir", &[(named("x"), &image)]);
    let args = ["copy", "oci:dir", "oci:to:y", "--json", "--platform=linux/arm64"];
    let object: Value = serde_json::from_str(&windlass.run(&args).success().stdout()).unwrap();
    assert_eq!(object["name"], "y");
    assert_eq!(object["digest"], image.manifests[1].digest.as_str());
    assert_eq!(object["stored"], object["digest"]);
    assert_eq!(object["platform"], "linux/arm64");
}

#[test]
fn copies_into_one_layout_lose_no_name_of_each_other() {
    let windlass = Windlass::new();
    let base = ImageBuilder::new().layer_random(7, 300_000);
    let images: Vec<Image> = (0..8).map(|it| base.clone().layer_random(it, 1000).build()).collect();
    let names: Vec<String> = (0..8).map(|it| format!("a.io/a:{it}")).collect();
    let annotated: Vec<_> = names.iter().map(|name| named(name)).zip(&images).collect();
    write_layout(&windlass.scratch, "from", &annotated);
    let from: Vec<String> = names.iter().map(|name| format!("oci:from:{name}")).collect();
    let running: Vec<_> =
        from.iter().map(|from| windlass.spawn(&["copy", from.as_str(), "oci:to"])).collect();
    for one in running {
        one.wait().success();
    }
    assert_eq!(index(&windlass, "to")["manifests"].as_array().unwrap().len(), 8);
    let store = windlass.scratch.text("to");
    windlass.run(&["verify", "--store", &store]).success();
}

#[test]
fn login_on_stdin_is_for_a_registry() {
    let windlass = Windlass::new();
    let args = ["copy", "--creds-stdin", "oci:a", "oci:b"];
    windlass.run(&args).exits(2).says("--creds-stdin: there is no registry to log in to");
}

#[test]
fn folder_of_somebody_else_is_not_written_into() {
    let windlass = Windlass::new();
    write_layout(&windlass.scratch, "dir", &[(named("x"), &Image::small())]);
    windlass.scratch.write("mine/notes", "text");
    let refused = windlass.run(&["copy", "oci:dir", "oci:mine"]).exits(8).prints("");
    refused.says("`mine`: it is neither empty nor an image layout");
    assert_eq!(windlass.scratch.files("mine"), ["notes"]);
    fs::create_dir(windlass.scratch.join("empty")).unwrap();
    std::os::unix::fs::symlink("empty", windlass.scratch.join("link")).unwrap();
    windlass.run(&["copy", "oci:dir", "oci:link"]).success();
    let blobs = fs::metadata(windlass.scratch.join("empty/blobs")).unwrap();
    assert_eq!(blobs.mode() & 0o077, 0o055, "others may read it");
}
