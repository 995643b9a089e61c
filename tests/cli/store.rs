use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::image::IndexBuilder;
use crate::support::{Image, ImageBuilder, Registry, Windlass};

#[test]
fn empty_store_lists_nothing_and_is_not_made() {
    let windlass = Windlass::new();
    windlass.run(&["list"]).success().prints("NAME  DIGEST  PLATFORM  SIZE  CREATED\n");
    windlass.run(&["list", "--json"]).success().prints("");
    assert!(!windlass.store().exists());
}

#[test]
fn list_shows_what_was_pulled() {
    let registry = Registry::start();
    let image = ImageBuilder::new()
        .config("created", json!("2024-01-26T23:44:54.5Z"))
        .layer_files(&[("a", "b")])
        .build();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name, "--platform=linux/amd64"]).success();
    let listed = windlass.run(&["list"]).success().stdout();
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    let digest = &image.digest["sha256:".len()..][..12];
    assert_eq!(row[..3], [&name, digest, "linux/amd64"]);
    assert_eq!(row[4], "2024-01-26T23:44:54Z");
    let object: Value =
        serde_json::from_str(&windlass.run(&["list", "--json"]).success().stdout()).unwrap();
    let expected = json!({
        "name": name,
        "digest": image.digest,
        "stored": image.digest,
        "platform": "linux/amd64",
        "size": image.size(),
        "created": "2024-01-26T23:44:54.5Z",
        "media_type": image.root().media_type,
    });
    assert_eq!(object, expected);
}

#[test]
fn inspect_gives_text_json_and_exact_bytes() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["inspect", &name]).exits(3).prints("").says("is not in the store");
    windlass.run(&["pull", &name]).success();
    let raw = windlass.run(&["inspect", "--raw", &name]).success();
    assert_eq!(raw.stdout_bytes, image.root().content.to_vec());
    let config = windlass.run(&["inspect", "--config", &format!("store:{name}")]).success();
    assert_eq!(config.stdout_bytes, image.config().content.to_vec());
    let text = windlass.run(&["inspect", &image.digest]).success().stdout();
    for expected in [&name, &image.digest, &image.config().digest, &image.layers()[0].digest] {
        assert!(text.contains(expected.as_str()), "{text}");
    }
    let json = windlass.run(&["inspect", "--json", &name]).success().stdout();
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.lines().count(), 1);
    assert_eq!(object["layers"][0]["digest"], image.layers()[0].digest.as_str());
    assert_eq!(object["manifest"]["schemaVersion"], 2);
    assert_eq!(object["config"]["architecture"], "amd64");
    assert_eq!(object["size"], image.size());
}

#[test]
fn inspect_of_an_index_is_of_it_or_of_one_platform() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let name = registry.push(&index, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["inspect", &format!("docker://{name}"), "--all-platforms"]).success();
    let raw = |args: &[&str]| windlass.run(args).success().stdout_bytes;
    assert_eq!(raw(&["inspect", "--raw", &name]), index.root().content.to_vec());
    let arm = raw(&["inspect", "--raw", &name, "--platform", "linux/arm64"]);
    assert_eq!(arm, index.manifests[1].content.to_vec());
    let config = raw(&["inspect", "--config", &name, "--platform", "linux/arm64"]);
    assert!(String::from_utf8(config).unwrap().contains("arm64"));
    let output = windlass.run(&["inspect", &name, "--platform", "linux/s390x"]).exits(3);
    output.says("there are linux/amd64, linux/arm64");
    windlass.run(&["inspect", &name]).success().stdout().contains("linux/arm64");
}

#[test]
fn what_comes_from_outside_moves_no_terminal() {
    let registry = Registry::start();
    let hostile = "\u{1b}]0;x\u{7}\r\n\u{202e}\u{9b}31m";
    let image = ImageBuilder::new()
        .config("created", json!(hostile))
        .config("config", json!({"Labels": {hostile: hostile}, "Env": [hostile], "User": hostile}))
        .build();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    let calm = |text: &str| {
        text.chars().all(|it| it == '\n' || !it.is_control() && !"\u{202e}\u{9b}".contains(it))
    };
    for args in [&["inspect", &name][..], &["list"], &["list", "--json"]] {
        let output = windlass.run(args).success();
        assert!(calm(&output.stdout()), "{output}");
        assert!(!output.stdout().contains("\nlabel"), "{output}");
    }
}

#[test]
fn answer_that_cannot_be_written_is_exit_8_unless_nobody_reads() {
    let windlass = Windlass::new();
    let program = env!("CARGO_BIN_EXE_windlass");
    let list = || {
        let mut command = std::process::Command::new(program);
        command.args(["list", "--store"]).arg(windlass.store()).stderr(Stdio::piped());
        command
    };
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = list().stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{stderr}");
    assert!(stderr.starts_with("windlass: writing the answer to stdout: "), "{stderr}");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = list().stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
