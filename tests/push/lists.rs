use std::fs;

use super::{POST, Scene};
use crate::support::{Image, Registry, Windlass};

#[test]
fn dry_run_only_asks_what_is_there() {
    let scene = Scene::of_size(100_000);
    let file = scene.windlass.scratch.text("digests");
    let output = scene.push(&["--dry-run", "--digestfile", &file]).success();
    let answer = format!("{}@{}\n", scene.to, scene.image.digest);
    let size = scene.image.size();
    output.prints(&answer).says(&format!("would push {}: 3 blobs, {size} bytes\n", scene.to));
    assert!(scene.registry.requests_for("/v2/*").iter().all(|it| it.method == "HEAD"));
    assert!(!fs::exists(&file).unwrap());
    scene.succeeds(&["--digestfile", &file]);
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n", scene.image.digest));
    scene.push(&["--dry-run"]).success().says("0 blobs, 0 bytes\n");
}

#[test]
fn lists_have_an_image_and_its_new_name_a_line() {
    let scene = Scene::of_size(1000);
    let windlass = &scene.windlass;
    let other = scene.registry.name("other:2");
    let list = format!(
        "# two\n{} {}\nnone {other} # not there\nstore:{} {other}\n",
        scene.name, scene.to, scene.name
    );
    let answers = |names: &[&str]| -> String {
        names.iter().map(|name| format!("{name}@{}\n", scene.image.digest)).collect()
    };
    let run = windlass.command(&["push", "-f", "-"]).stdin(list.clone());
    run.run().exits(3).prints(&answers(&[&scene.to]));
    let run = windlass.command(&["push", "-f", "-", "--keep-going"]).stdin(list);
    let output = run.run().exits(9).prints(&answers(&[&scene.to, &other]));
    output.says("windlass: pushing none: ").says("1 of 3 images failed");
    let run = windlass.command(&["push", "-f", "-"]).stdin("a b c\n");
    run.run().exits(2).prints("").says("line 1");
    windlass.run(&["push"]).exits(2).prints("").says("expected an image");
    windlass.run(&["push", "a", "b", "c"]).exits(2).prints("").says("-f");
}

#[test]
fn whole_store_is_relocated() {
    let (source, target) = (Registry::start(), Registry::start());
    let windlass = Windlass::new();
    let image = Image::small();
    let names = ["team/one:1", "team/two:2"].map(|name| source.push(&image, name));
    for name in &names {
        windlass.run(&["pull", name, "-q"]).success();
    }
    windlass.run(&["tag", &names[0], "alpine:3"]).success();
    let to = target.name("mirror");
    windlass.run(&["push", "--all", "--to", &to]).success();
    for (repository, tag) in [("team/one", "1"), ("team/two", "2"), ("library/alpine", "3")] {
        let repository = format!("mirror/{repository}");
        assert_eq!(target.tags(&repository)[tag], image.digest, "{repository}");
        assert!(target.holds(&repository, &image));
    }
    let sent: u64 = target.requests_for("*/blobs/uploads/*").iter().map(|it| it.received).sum();
    let once: u64 = image.blobs.iter().map(|it| it.size()).sum();
    assert_eq!(sent, once, "the others are mounted");
    windlass.run(&["push", &names[0], "--keep-host", "--to", &target.host()]).success();
    let folder = source.host().replace(':', "_");
    assert!(target.tags(&format!("{folder}/team/one")).contains_key("1"));
}

#[test]
fn different_images_that_would_get_one_name_are_told_before_anything_is_sent() {
    let target = Registry::start();
    let (one, two) = (Registry::start(), Registry::start());
    let windlass = Windlass::new();
    windlass.run(&["pull", &one.push(&Image::of_size(10), "a:1"), "-q"]).success();
    windlass.run(&["pull", &two.push(&Image::of_size(20), "a:1"), "-q"]).success();
    let output = windlass.run(&["push", "--all", "--to", &target.host()]).exits(2).prints("");
    output.says("would both become").says("--keep-host");
    assert_eq!(target.requests().len(), 0);
    windlass.run(&["push", "--all", "--keep-host", "--to", &target.host()]).success();
}

#[test]
fn options_of_push_that_make_no_sense_are_refused() {
    let windlass = Windlass::new();
    let refused = |args: &[&str], why: &str| {
        windlass.run(&[&["push"], args].concat()).exits(2).prints("").says(why);
    };
    refused(&["--all"], "--all needs --to");
    refused(&["--all", "a", "--to=r.io"], "--all and images exclude each other");
    refused(&["a", "r.io/b", "--to=r.io"], "--to and a new name exclude each other");
    refused(&["a", "--keep-host"], "--keep-host needs --to");
    refused(&["a", "--to=mirror"], "HOST/PREFIX");
}

#[test]
fn small_blobs_are_sent_first() {
    let image = crate::support::ImageBuilder::new()
        .layer_random(1, 300_000)
        .layer_random(2, 10)
        .layer_random(3, 50_000)
        .build();
    let scene = Scene::of(image);
    scene.succeeds(&["--jobs=1"]);
    let puts = scene.registry.requests_for("PUT /v2/box/blobs/uploads/*");
    let sizes: Vec<u64> = puts.iter().map(|it| it.received).collect();
    assert!(sizes.is_sorted(), "{sizes:?}");
    assert_eq!(scene.registry.most_at_once(), 1);
    assert_eq!(scene.registry.count(POST), 4);
}
