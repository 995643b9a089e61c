//! The commands that keep the store: tag, remove, gc, df, verify.

use std::fs;

use serde_json::{Value, json};

use crate::support::image::IndexBuilder;
use crate::support::{Image, ImageBuilder, Registry, Windlass};

fn object(text: &str) -> Value {
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(text).unwrap()
}

fn blob(windlass: &Windlass, digest: &str) -> std::path::PathBuf {
    windlass.store().join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

/// Replaces a blob with other bytes of the same length.
fn rot(windlass: &Windlass, digest: &str) {
    let path = blob(windlass, digest);
    let bytes: Vec<u8> = fs::read(&path).unwrap().iter().map(|byte| byte ^ 1).collect();
    fs::remove_file(&path).unwrap();
    windlass.scratch.write(path.to_str().unwrap(), bytes);
}

#[test]
fn tag_and_remove_say_what_they_did() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let digest = &image.digest;
    let windlass = Windlass::new();
    windlass.run(&["tag", &name, "mine"]).exits(3).prints("").says("is not in the store");
    assert!(!windlass.store().exists(), "what changes nothing makes nothing");
    windlass.run(&["pull", &name]).success();
    let mine = format!("docker.io/library/mine:latest@{digest}\n");
    windlass.run(&["tag", &name, "mine"]).success().prints(&mine);
    windlass.run(&["tag", &format!("store:{name}"), "mine"]).success().prints(&mine);
    let tagged = windlass.run(&["tag", "mine", "other:2", "--json"]).success();
    let tagged = object(&tagged.stdout());
    assert_eq!(tagged["name"], "docker.io/library/other:2");
    assert_eq!(tagged["digest"], digest.as_str());
    windlass.run(&["tag", "mine", &format!("x@{digest}")]).exits(2);
    windlass.run(&["tag", "mine"]).exits(2);
    windlass
        .run(&["tag", "mime", "x"])
        .exits(3)
        .says("did you mean docker.io/library/mine:latest?");

    windlass.run(&["remove"]).exits(2);
    let output = windlass.run(&["remove", "mine", "absent", "gone", "other:2"]).exits(3);
    let both = format!("{mine}docker.io/library/other:2@{digest}\n");
    output.prints(&both).says("`absent`").says("`gone`");
    windlass.run(&["remove", &format!("{name}@sha256:{}", "0".repeat(64))]).exits(3);
    let pulled = format!("{name}@{digest}");
    windlass.run(&["remove", &pulled]).success().prints(&format!("{pulled}\n"));
    windlass.run(&["list", "--json"]).success().prints("");
}

#[test]
fn gc_and_df_say_what_there_is_to_free() {
    let registry = Registry::start();
    let base = ImageBuilder::new().layer_random(1, 10_000);
    let one = base.clone().layer_random(2, 2_000).build();
    let two = base.layer_random(3, 3_000).build();
    let names = [registry.push(&one, "box:1"), registry.push(&two, "box:2")];
    let windlass = Windlass::new();
    windlass.run(&["gc"]).success();
    windlass.run(&["df"]).success();
    assert!(!windlass.store().exists());
    windlass.run(&["pull", &names[0], &names[1]]).success();
    let nothing = json!({"count": 0, "size": 0});
    let none = json!({"blobs": nothing, "partials": nothing, "temporary": nothing, "size": 0});
    let df = object(&windlass.run(&["df", "--json"]).success().stdout());
    let expected = json!({
        "names": 2,
        "nameless": 0,
        "images": 2,
        "blobs": {"count": 7, "size": one.size() + two.size() - 10_000},
        "shared": {"count": 1, "size": 10_000},
        "partials": nothing,
        "collectable": none,
    });
    assert_eq!(df, expected);
    windlass.run(&["remove", &names[1]]).success();
    let size = two.size() - 10_000;
    let freed = |dry_run: bool| {
        json!({"blobs": {"count": 3, "size": size}, "partials": nothing,
        "temporary": nothing, "size": size, "dry_run": dry_run})
    };
    let dry = windlass.run(&["gc", "--dry-run", "--json"]).success();
    assert_eq!(object(&dry.stdout()), freed(true));
    let text = windlass.run(&["df"]).success().stdout();
    assert!(text.lines().any(|line| line.starts_with("gc would free")), "{text}");
    assert_eq!(object(&windlass.run(&["gc", "--json"]).success().stdout()), freed(false));
    windlass
        .run(&["gc"])
        .success()
        .prints("freed 0B: 0 blobs, 0 unfinished downloads, 0 temporary files\n");
    windlass.run(&["gc", "--partials", "soon"]).exits(2);
    windlass.run(&["gc", "--partials=0"]).success();
    windlass.run(&["verify"]).success();
}

#[test]
fn gc_and_df_name_what_keeps_them_from_knowing() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    rot(&windlass, &image.digest);
    windlass.run(&["gc"]).exits(7).prints("").says(&image.digest).says(&name);
    let df = windlass.run(&["df", "--json"]).exits(7);
    assert_eq!(object(&df.stdout())["collectable"], Value::Null);
    assert!(blob(&windlass, &image.layers()[0].digest).exists());
}

#[test]
fn verify_names_each_finding_and_repair_fetches_no_more_than_that() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let name = registry.push(&index, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", "--all-platforms", &name]).success();
    let blobs = index.blobs.len() + index.manifests.len();
    let whole = windlass.run(&["verify", "--json"]).success().stdout();
    assert_eq!(
        object(&whole),
        json!({"names": 1, "nameless": 0, "blobs": blobs, "size": index.size(), "findings": [],
            "repaired": [], "removed": []})
    );
    let (rotten, missing) = (&index.blobs[1].digest, &index.manifests[0].digest);
    rot(&windlass, rotten);
    fs::remove_file(blob(&windlass, missing)).unwrap();
    let text = windlass.run(&["verify", &name]).exits(7).says("--repair").stdout();
    assert!(text.contains(&format!("{missing}: it is missing; of {name}@")), "{text}");
    let found = object(&windlass.run(&["verify", "--json"]).exits(7).stdout());
    let mut problems: Vec<_> = found["findings"].as_array().unwrap().iter().collect();
    problems.sort_by_key(|finding| finding["problem"].to_string());
    assert_eq!(problems[0]["digest"], rotten.as_str(), "{found}");
    assert_eq!(
        (&problems[0]["problem"], &problems[1]["problem"]),
        (&json!("digest"), &json!("missing"))
    );
    assert_eq!(problems[1]["names"], json!([name]));

    registry.forget();
    let repaired = object(&windlass.run(&["verify", "--repair", "--json"]).success().stdout());
    assert_eq!(repaired["findings"], json!([]));
    assert_eq!(repaired["repaired"].as_array().unwrap().len(), 2);
    assert_eq!(registry.count(&format!("GET */blobs/{rotten}")), 1);
    assert_eq!(registry.count(&format!("GET */manifests/{missing}")), 1);
    let fetched = registry.count("GET */blobs/*") + registry.count("GET */manifests/*");
    assert_eq!(fetched, 2, "nothing else");
    windlass.run(&["verify"]).success();
    windlass.run(&["verify", "absent"]).exits(3);
    windlass.run(&["verify", "--platform", "linux/amd64"]).exits(2);
}

#[test]
fn verify_that_cannot_repair_says_why_and_keeps_all_there_is() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    let layer = &image.layers()[0].digest;
    rot(&windlass, layer);
    drop(registry);
    let output = windlass.run(&["verify", "--repair", "--retries", "1"]).exits(7);
    output.says(&format!("repairing {name}")).says("1 finding:");
    assert!(blob(&windlass, layer).exists());
    let index = windlass.store().join("index.json");
    let text = fs::read_to_string(&index).unwrap().replace("io.windlass.origin", "odd");
    windlass.scratch.write(index.to_str().unwrap(), text);
    windlass.run(&["verify", "--repair"]).exits(7).says("where it came from is not known");
}

#[test]
fn repair_removes_what_is_rotten_and_unnamed() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    windlass.run(&["remove", &name]).success();
    let layer = &image.layers()[0].digest;
    rot(&windlass, layer);
    windlass.run(&["verify"]).exits(7).says("1 finding:");
    let output = windlass.run(&["verify", "--repair"]).success().stdout();
    assert!(output.starts_with(&format!("{layer}: removed\n")), "{output}");
    assert!(!blob(&windlass, layer).exists());
    assert!(blob(&windlass, &image.digest).exists());
}

#[test]
fn store_that_is_something_else_has_its_exit_code() {
    let windlass = Windlass::new();
    windlass.scratch.write("store", "a file");
    for command in ["list", "gc", "df", "verify"] {
        windlass.run(&[command]).exits(8).says("not a folder");
    }
    fs::remove_file(windlass.store()).unwrap();
    windlass.scratch.write("store/oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#);
    for command in ["list", "gc", "df", "verify"] {
        windlass.run(&[command]).exits(7).says("`2.0.0`");
    }
}

#[test]
fn store_that_cannot_be_written_is_read_and_is_exit_8_before_the_network() {
    let registry = Registry::start();
    let image = Image::small();
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    registry.forget();
    // A user who owns nothing here; the file system need not be read-only for that.
    let run = |args: &[&str]| {
        let mut run = windlass.command(args);
        std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
        run.run()
    };
    if rustix::process::geteuid().is_root() {
        let everybody = |path: &std::path::Path| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(path, mode).unwrap();
        };
        everybody(windlass.scratch.path());
        assert!(run(&["list"]).success().stdout().contains(&name));
        run(&["inspect", &name]).success();
        run(&["verify"]).success();
        run(&["df"]).success();
        for args in [&["pull", &name][..], &["tag", &name, "x"], &["remove", &name], &["gc"]] {
            run(args).exits(8).prints("").says("permission denied");
        }
        assert!(registry.requests().is_empty(), "nobody was asked");
    }
}
