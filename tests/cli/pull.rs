use std::fs;

use serde_json::Value;

use crate::support::image::IndexBuilder;
use crate::support::{Image, ImageBuilder, Registry, Windlass};

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pull_answers_with_name_and_digest_and_pulling_again_moves_nothing() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let answer = format!("{name}@{}\n", image.digest);
    windlass.run(&["pull", &name]).success().prints(&answer);
    registry.forget();
    windlass.run(&["pull", &name]).success().prints(&answer);
    assert_eq!(registry.count("GET /v2/box/blobs/*"), 0);
    let pinned = answer.trim_end();
    windlass.run(&["pull", pinned]).success().prints(&answer);
    windlass.run(&["inspect", pinned]).success();
}

#[test]
fn pull_tells_in_json_what_is_stored() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let name = registry.push(&index, "box:1");
    let windlass = Windlass::new();
    let run = |args: &[&str]| {
        let output = windlass.run(args).success();
        objects(&output.stdout()).remove(0)
    };
    let one = run(&["pull", &name, "--json", "--platform", "linux/arm64"]);
    assert_eq!(one["name"], name.as_str());
    assert_eq!(one["digest"], index.digest.as_str());
    assert_eq!(one["stored"], index.manifests[1].digest.as_str());
    assert_eq!(one["platform"], "linux/arm64");
    assert_eq!(one["media_type"], index.manifests[1].media_type.as_str());
    let all = run(&["pull", &name, "--json", "--all-platforms"]);
    assert_eq!(all["stored"], index.digest.as_str());
    assert_eq!(all["size"], index.size());
    assert_eq!(all["platforms"].as_array().unwrap().len(), 2);
    let listed = run(&["list", "--json"]);
    assert_eq!(listed, all);
}

#[test]
fn lists_name_images_and_comments_do_not() {
    let registry = Registry::start();
    let image = Image::small();
    let names = ["box:1", "box:2", "box:3"].map(|name| registry.push(&image, name));
    let windlass = Windlass::new();
    let list = windlass.scratch.join("list");
    fs::File::create(&list).unwrap();
    let [one, two, three] = &names;
    let text = format!("# images\n\n{two}  # the second\r\n");
    let run = windlass.command(&["pull", one, "-f", "-", three]).stdin(text);
    let answer = |name: &String| format!("{name}@{}\n", image.digest);
    let expected = [answer(one), answer(three), answer(two)].concat();
    run.run().success().prints(&expected);
    registry.forget();
    let run = windlass.command(&["pull", "-f", "-"]).stdin(format!("{one}\nBAD name\n"));
    run.run().exits(2).prints("").says("windlass: stdin: line 2: invalid image name `BAD name`");
    assert_eq!(registry.requests().len(), 0, "nothing moves before the list is understood");
    windlass.run(&["pull", "-f", list.to_str().unwrap()]).exits(2).says("got none");
    windlass.run(&["pull", "-f", "/nonexistent"]).exits(8).says("`/nonexistent`");
}

#[test]
fn first_failure_stops_the_run_unless_told_to_go_on() {
    let registry = Registry::start();
    let image = Image::small();
    let (good, bad) = (registry.push(&image, "box:1"), registry.name("none:1"));
    let windlass = Windlass::new();
    let file = windlass.scratch.join("digests");
    let path = file.to_str().unwrap();
    let digests = format!("{}\n", image.digest);
    let answer = format!("{good}@{}\n", image.digest);
    let args = ["pull", &bad, &good, "--digestfile", path];
    windlass.run(&args).exits(3).prints("").says(&format!("windlass: pulling {bad}: "));
    assert_eq!(fs::read_to_string(&file).unwrap(), "");
    let args = ["pull", &bad, &good, "--keep-going", "--digestfile", path];
    let output = windlass.run(&args).exits(9).prints(&answer);
    let output = output.says(&format!("windlass: pulling {bad}: "));
    output.says("windlass: 1 of 2 images failed");
    assert_eq!(fs::read_to_string(&file).unwrap(), digests);
    windlass.run(&["pull", &bad, "--keep-going"]).exits(3);
    windlass.run(&["pull", &good, "--digestfile", "/nonexistent/x"]).exits(8).prints("");
}

#[test]
fn dry_run_answers_and_touches_nothing() {
    let registry = Registry::start();
    let image = Image::of_size(100_000);
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    let file = windlass.scratch.join("digests");
    let output = windlass
        .run(&["pull", "--dry-run", &name, "--digestfile", file.to_str().unwrap()])
        .success()
        .prints(&format!("{name}@{}\n", image.digest));
    output.says(&format!("would pull {name}: 3 blobs, {} bytes\n", image.size()));
    let json = windlass.run(&["pull", "--dry-run", &name, "--json"]).success().stdout();
    assert_eq!(objects(&json)[0]["size"], image.size());
    assert!(!windlass.store().exists() && !file.exists());
    let layer = &image.layers()[0].digest;
    assert_eq!(registry.count(&format!("GET /v2/box/blobs/{layer}")), 0);
    windlass.run(&["pull", &name]).success();
    windlass
        .run(&["pull", "--dry-run", &name])
        .success()
        .says(&format!("would pull {name}: 0 blobs, 0 bytes\n"));
}

#[test]
fn image_called_help_is_pulled() {
    let output = Windlass::new().run(&["pull", "help", "--dry-run", "--retries=1"]);
    assert!(!output.stdout().contains("Usage"), "{output}");
}

#[test]
fn platform_that_is_not_there_is_told_with_those_that_are() {
    let registry = Registry::start();
    let name = registry.push(&IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]), "box:1");
    let windlass = Windlass::new();
    let output = windlass.run(&["pull", &name, "--platform", "linux/s390x"]).exits(3).prints("");
    output.says("linux/s390x").says("linux/amd64, linux/arm64");
    let single = ImageBuilder::new().platform("linux/arm64").build();
    let name = registry.push(&single, "single:1");
    windlass.run(&["pull", &name, "--platform", "linux/s390x"]).exits(3).prints("");
}
