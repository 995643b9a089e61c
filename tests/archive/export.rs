use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use super::{Tar, exported, files, stored, with};
use crate::store::two_images;
use crate::support::{Image, IndexBuilder, Registry, Windlass};

#[test]
fn export_answers_with_the_digest_that_is_written() {
    let (one, two) = two_images();
    let windlass = with(&[("one:1", &one), ("two:1", &two)]);
    let lines = |images: &[(&str, &Image)]| -> String {
        let line =
            |(name, image): &(&str, &Image)| format!("docker.io/library/{name}@{}\n", image.digest);
        images.iter().map(line).collect()
    };
    let both = lines(&[("two:1", &two), ("one:1", &one)]);
    let args = ["export", "-o", "a.tar", "--digestfile=d", "two:1", "store:one:1"];
    windlass.run(&args).success().prints(&both);
    let digests = String::from_utf8(windlass.scratch.read("d")).unwrap();
    assert_eq!(digests, format!("{}\n{}\n", two.digest, one.digest));
    let at = format!("one:1@{}", one.digest);
    let args = ["export", "-o", "a.tar", &at];
    windlass.run(&args).success().prints(&lines(&[("one:1", &one)]));
    let piped = windlass.run(&["export", "-o-", "two:1", "-q"]).success();
    assert_eq!(piped.stderr, lines(&[("two:1", &two)]), "stdout is for the archive");
    Tar::read(&piped.stdout_bytes).holds(&two);

    let args = ["export", "-o", "a.tar", "--json", "--progress=none", "one:1"];
    let object: Value = serde_json::from_str(&windlass.run(&args).success().stdout()).unwrap();
    let expected = json!({
        "name": "docker.io/library/one:1",
        "digest": one.digest,
        "stored": one.digest,
        "platform": "linux/amd64",
        "size": one.size(),
        "created": "2024-05-06T07:08:09Z",
        "media_type": one.root().media_type,
    });
    assert_eq!(object, expected);
    let args = ["export", "-o-", "--json", "--progress=none", "one:1"];
    let stderr = windlass.run(&args).success().stderr;
    assert_eq!(serde_json::from_str::<Value>(&stderr).unwrap(), expected);
}

#[test]
fn export_of_what_is_elsewhere_pulls_it_first() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let name = registry.push(&index, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["export", "-o", "a.tar", &name]).exits(3).says("is not in the store");
    let from = format!("docker://{name}");
    let args = ["--platform=linux/arm64", &from];
    let tar = exported(&windlass, &args);
    assert_eq!(tar.json("index.json")["manifests"][0]["digest"], index.manifests[1].digest);
    windlass.run(&["inspect", &name]).success();
    exported(&windlass, &["--all-platforms", &from]).holds(&index);
}

#[test]
fn dry_run_says_what_would_be_written_and_writes_nothing() {
    let image = Image::small();
    let windlass = with(&[("box:1", &image)]);
    let line = format!("docker.io/library/box:1@{}\n", image.digest);
    let size = exported(&windlass, &["box:1"]);
    drop(size);
    let bytes = windlass.scratch.read("a.tar").len();
    let args = ["export", "--dry-run", "-o", "b.tar", "--digestfile", "d", "box:1"];
    let said = format!("would write `b.tar`: 3 blobs, {bytes} bytes");
    windlass.run(&args).success().prints(&line).says(&said);
    let args = ["export", "--dry-run", "-o", "-", "box:1", "--progress=json"];
    let output = windlass.run(&args).success().prints("");
    let event: Value = serde_json::from_str(output.stderr.lines().next().unwrap()).unwrap();
    let expected = json!({"event": "plan", "archive": "stdout", "blobs": 3, "size": bytes});
    assert_eq!(event, expected);
    assert_eq!(files(&windlass), ["a.tar"]);
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let image = Image::small();
    let windlass = with(&[("box:1", &image)]);
    let refuse = |args: &[&str], message: &str| {
        let all: Vec<&str> = [&["export"], args].concat();
        windlass.run(&all).exits(2).prints("").says(message);
    };
    refuse(&["box:1"], "expected -o FILE, got none");
    refuse(&["box:1", "-o", ""], "-o: expected a file, got nothing");
    refuse(&["-o", "a.tar"], "expected an image, got none");
    refuse(&["-o", "a.tar", "--all", "box:1"], "--all and IMAGE exclude each other");
    refuse(&["-o", "a.tar", "--keep-going", "box:1"], "takes no --keep-going");
    refuse(&["-o", "..", "box:1"], "expected the name of a file, got `..`");
    let output = windlass.run(&["export", "-o", "a.tar", "boz:1"]).exits(3).prints("");
    output.says("`boz:1` is not in the store").says("did you mean docker.io/library/box:1?");
    assert!(files(&windlass).is_empty());
    let empty = Windlass::new();
    empty.run(&["export", "--all", "-o", "a.tar"]).exits(3).says("there is nothing in the store");
    assert!(files(&empty).is_empty() && !empty.store().exists());
}

#[test]
fn image_without_a_full_name_must_get_one_first() {
    let image = Image::small();
    let windlass = with(&[("box:1", &image)]);
    let index = windlass.store().join("index.json");
    let theirs = fs::read_to_string(&index).unwrap().replace("docker.io/library/box:1", "theirs");
    windlass.scratch.write("store/index.json", theirs);
    for args in [&["export", "-o", "a.tar", "theirs"][..], &["export", "-o", "a.tar", "--all"]] {
        let output = windlass.run(args).exits(2);
        output.says("has no full name").says("say how to name it: archive:a.tar:NAME");
    }
    windlass.run(&["tag", "theirs", "ours:1"]).success();
    exported(&windlass, &["ours:1"]).holds(&image);
}

#[test]
fn file_that_is_there_is_replaced_and_a_link_is_not_followed() {
    let image = Image::small();
    let windlass = with(&[("box:1", &image)]);
    windlass.scratch.write("kept", "precious");
    windlass.scratch.write("a.tar", "old");
    exported(&windlass, &["box:1"]);
    fs::remove_file(windlass.scratch.join("a.tar")).unwrap();
    symlink("kept", windlass.scratch.join("a.tar")).unwrap();
    exported(&windlass, &["box:1"]);
    assert!(fs::symlink_metadata(windlass.scratch.join("a.tar")).unwrap().is_file());
    assert_eq!(windlass.scratch.read("kept"), b"precious");
    assert_eq!(files(&windlass), ["a.tar", "kept"]);
    fs::create_dir(windlass.scratch.join("folder")).unwrap();
    let output = windlass.run(&["export", "-o", "folder", "box:1"]).exits(8).prints("");
    output.says("creating `folder`: there is something else");
    windlass.run(&["export", "-o", "none/a.tar", "box:1"]).exits(8).says("`none/a.tar`");
    assert_eq!(files(&windlass), ["a.tar", "folder", "kept"]);
}

#[test]
fn store_that_cannot_be_written_can_be_exported() {
    let image = Image::small();
    let windlass = with(&[("box:1", &image)]);
    let mut folders = vec![windlass.store()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        folders.extend(entries.filter(|path| path.is_dir()));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    }
    let mut run = windlass.command(&["export", "-o", "-", "box:1", "-q"]);
    fs::set_permissions(windlass.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
    }
    let output = run.run().success();
    Tar::read(&output.stdout_bytes).holds(&image);
    let before = fs::read(stored(&windlass, image.root())).unwrap();
    assert_eq!(before, image.root().content.to_vec());
}

#[test]
fn progress_tells_of_each_image_in_turn() {
    let (one, two) = two_images();
    let windlass = with(&[("one:1", &one), ("two:1", &two)]);
    let told = |target: &str| -> Vec<String> {
        let args = ["export", "-o", target, "--all", "--progress=json"];
        let stderr = windlass.run(&args).success().stderr;
        let events = stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let word = |event: &Value| {
            let what = event["digest"].as_str().unwrap_or_default().to_owned();
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {what} {}", text("event"), text("image"), event["present"])
        };
        let told = |event: &Value| {
            let kind = event["event"].as_str().unwrap_or_default();
            ["start", "blob", "done"].contains(&kind)
        };
        let events = events.filter(told);
        events.map(|event| word(&event)).collect()
    };
    for target in ["a.tar", "-"] {
        let told = told(target);
        let words = |word: &str| told.iter().filter(|it| it.starts_with(word)).count();
        assert_eq!((words("start"), words("done"), words("blob")), (2, 2, 4 + 4), "{told:?}");
        let at = |word: &str| told.iter().position(|it| it.starts_with(word)).unwrap();
        let (first, second) = ("docker.io/library/one:1", "docker.io/library/two:1");
        assert_eq!(at(&format!("start {first}")), 0, "{told:?}");
        let done = at(&format!("done {first}"));
        assert_eq!(at(&format!("start {second}")), done + 1, "{told:?}");
        assert_eq!(at(&format!("done {second}")), told.len() - 1, "{told:?}");
        let shared = &one.layers()[0].digest;
        let told_twice = told.iter().filter(|it| it.contains(shared.as_str()));
        let present: Vec<bool> = told_twice.map(|it| it.ends_with("true")).collect();
        assert_eq!(present, [false, true], "{told:?}");
    }
}
