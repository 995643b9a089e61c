//! What is odd in a store: folders where files should be, names of several lines, sizes that are
//! wrong, links that lead nowhere.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Image, ImageBuilder, Registry, Windlass};

const NAME: &str = "org.opencontainers.image.ref.name";

/// A store with one image, called that way.
fn filled(registry: &Registry, image: &Image) -> (Windlass, String) {
    let windlass = Windlass::new();
    let name = registry.push(image, "box:1");
    windlass.run(&["pull", &name]).success();
    (windlass, name)
}

fn write(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}

/// Changes the only entry of the index.
fn change(windlass: &Windlass, change: impl Fn(&mut Value)) {
    let path = windlass.store().join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut index["manifests"][0]);
    write(&path, index.to_string().as_bytes());
}

#[test]
fn folder_that_no_name_leads_to_goes_if_it_is_empty_and_aside_if_not() {
    let registry = Registry::start();
    for command in [&["verify", "--repair"][..], &["gc"]] {
        let (windlass, _) = filled(&registry, &Image::small());
        let blobs = windlass.store().join("blobs/sha256");
        let [empty, full] = ["a", "b"].map(|it| blobs.join(it.repeat(64)));
        fs::create_dir(&empty).unwrap();
        fs::create_dir(&full).unwrap();
        fs::create_dir(full.with_extension("old")).unwrap();
        write(&full.join("theirs"), b"kept");
        windlass.run(&["verify"]).exits(7).says("help: `windlass verify --repair` removes");
        windlass.run(&["gc", "--dry-run"]).success();
        assert!(empty.exists() && full.exists(), "nothing is done in a dry run");
        windlass.run(command).success().says(".old2` now").never_says("help: \n");
        assert!(!empty.exists() && !full.exists());
        assert_eq!(fs::read(full.with_extension("old2").join("theirs")).unwrap(), b"kept");
        windlass.run(&["verify"]).success();
    }
}

#[test]
fn gc_clears_a_folder_in_place_of_the_record_of_something_unfinished() {
    let registry = Registry::start();
    let (windlass, _) = filled(&registry, &Image::small());
    let record = format!(".windlass/partial/sha256-{}.json", "a".repeat(64));
    fs::create_dir_all(windlass.store().join(record).join("a")).unwrap();
    windlass.run(&["gc"]).success();
    assert!(windlass.scratch.files("store/.windlass/partial").is_empty());
    assert_eq!(fs::read_dir(windlass.store().join(".windlass/partial")).unwrap().count(), 0);
}

#[test]
fn name_with_a_line_break_is_one_line_of_every_answer() {
    let registry = Registry::start();
    let (windlass, _) = filled(&registry, &Image::small());
    let name = "evil:1\nsha256:forged\r\nmore";
    change(&windlass, |entry| entry["annotations"][NAME] = name.into());
    let shown = r"evil:1\nsha256:forged\r\nmore@sha256:";
    windlass.run(&["tag", name, "good:1"]).success();
    windlass.run(&["inspect", name]).success();
    let list = windlass.run(&["list"]).success();
    assert_eq!(list.stdout().lines().count(), 3, "{list}");
    let removed = windlass.run(&["remove", name]).success();
    assert_eq!(removed.stdout().lines().count(), 1, "{removed}");
    assert!(removed.stdout().starts_with(shown), "{removed}");
}

#[test]
fn content_of_another_size_than_is_said_is_told_with_its_true_size() {
    let registry = Registry::start();
    let image = Image::small();
    let (windlass, name) = filled(&registry, &image);
    change(&windlass, |entry| entry["size"] = json!(1));
    let said = format!("expected 1 bytes, got {}", image.root().size());
    for args in [&["inspect", &name][..], &["gc"]] {
        windlass.run(args).exits(7).says(&said);
    }
}

#[test]
fn store_that_is_a_link_to_nothing_is_exit_8_in_every_command() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    let store = windlass.store();
    symlink("elsewhere", &store).unwrap();
    for args in [&["list"][..], &["pull", &name], &["gc"], &["df"], &["verify"], &["import", "x"]] {
        let output = windlass.run(args).exits(8).says("it is a link that leads nowhere");
        output.says("help: make the folder that it leads to");
    }
    assert_eq!(registry.requests().len(), 0, "nothing was asked");
    fs::create_dir(store.parent().unwrap().join("elsewhere")).unwrap();
    windlass.run(&["pull", &name]).success();
    windlass.run(&["verify"]).success();
}

/// Gives all that is in `path` to the user nobody.
fn give(path: &std::path::Path) {
    chown(path, Some(65534), Some(65534)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

#[test]
fn gc_that_may_not_read_a_manifest_is_exit_7_and_removes_nothing() {
    let registry = Registry::start();
    let image = Image::small();
    let (windlass, name) = filled(&registry, &image);
    let other = registry.push(&ImageBuilder::new().layer_files(&[("a", "b")]).build(), "other:1");
    windlass.run(&["pull", &other]).success();
    windlass.run(&["remove", &other]).success();
    let before = windlass.scratch.files("store/blobs");
    let root = windlass.store().join("blobs/sha256").join(&image.root().digest[7..]);
    fs::set_permissions(root, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(windlass.scratch.path(), everybody).unwrap();
        give(&windlass.store());
    }
    for args in [&["gc"][..], &["gc", "--dry-run"]] {
        let mut run = windlass.command(args);
        if is_root {
            run.command.uid(65534).gid(65534);
        }
        let output = run.run().exits(7).says("permission denied").says(&name);
        output.says(&image.root().digest[7..]).says("help: `windlass verify`");
        assert_eq!(windlass.scratch.files("store/blobs"), before);
    }
}
