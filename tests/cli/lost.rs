//! What must never be lost, whatever else was lost before.

use std::fs;

use crate::support::{Fault, Image, IndexBuilder, Registry, Windlass};

const MIB: u64 = 1024 * 1024;

#[test]
fn gc_and_pull_refuse_a_folder_of_blobs_without_an_index() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    let store = windlass.store();
    let blobs = || fs::read_dir(store.join("blobs/sha256")).unwrap().count();
    let before = blobs();
    fs::remove_file(store.join("index.json")).unwrap();
    windlass.run(&["gc"]).exits(7).says("is missing");
    fs::remove_file(store.join("oci-layout")).unwrap();
    windlass.run(&["gc"]).exits(7).says("is missing");
    windlass.run(&["pull", &name]).exits(7).says("is missing");
    fs::remove_dir_all(store.join(".windlass")).unwrap();
    windlass.run(&["gc"]).exits(7).says("is missing");
    assert_eq!(blobs(), before);
}

#[test]
fn whatever_is_in_place_of_a_partial_file_a_pull_gets_past_it() {
    type Obstacle = fn(&std::path::Path);
    let obstacles: [Obstacle; 3] = [
        |path| rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap(),
        |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap(),
        |path| fs::create_dir_all(path.join("full")).unwrap(),
    ];
    let registry = Registry::start();
    let image = Image::of_size(10);
    let name = registry.push(&image, "box:1");
    for obstacle in obstacles {
        for end in ["", ".json"] {
            let windlass = Windlass::new();
            let folder = windlass.store().join(".windlass/partial");
            fs::create_dir_all(&folder).unwrap();
            let layer = image.layers()[0].digest.replace(':', "-");
            obstacle(&folder.join(format!("{layer}{end}")));
            windlass.run(&["gc", "--dry-run"]).success();
            windlass.run(&["pull", &name]).success();
            windlass.run(&["verify"]).success();
        }
    }
}

#[test]
fn interrupted_repair_of_a_rotten_blob_keeps_what_has_come() {
    let registry = Registry::start();
    let image = Image::of_size(8 * MIB);
    let name = registry.push(&image, "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    let layer = &image.layers()[0].digest;
    let blob = windlass.store().join("blobs/sha256").join(&layer[7..]);
    let mut bytes = fs::read(&blob).unwrap();
    bytes[5] ^= 1;
    fs::remove_file(&blob).unwrap();
    windlass.scratch.write(blob.to_str().unwrap(), bytes);

    let cut = Fault::CutFin(4 * MIB);
    registry.fail_always(&format!("GET */blobs/{layer}"), cut);
    windlass.run(&["verify", "--repair", "--retries=1", "--jobs=1"]).exits(7);
    windlass.run(&["gc"]).success();
    registry.recover();
    registry.forget();
    windlass.run(&["verify", "--repair"]).success();
    let sent = registry.bytes_sent(&format!("GET */blobs/{layer}"));
    assert!(sent <= 5 * MIB, "{sent} bytes were sent for the rest");
}

#[test]
fn repair_makes_an_index_of_several_platforms_again_by_what_was_chosen() {
    let registry = Registry::start();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64", "linux/riscv64"]);
    let name = registry.push(&index, "multi:1");
    let windlass = Windlass::new();
    windlass
        .run(&["pull", &name, "--platform", "linux/amd64", "--platform", "linux/arm64"])
        .success();
    let store = windlass.store();
    let kept = fs::read(store.join("index.json")).unwrap();
    let blobs = store.join("blobs/sha256");
    let blob = |digest: &str| blobs.join(digest.strip_prefix("sha256:").unwrap());
    let entries: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    let root = blob(entries["manifests"][0]["digest"].as_str().unwrap());
    let narrowed = fs::read(&root).unwrap();
    let made: serde_json::Value = serde_json::from_slice(&narrowed).unwrap();
    let children = made["manifests"].as_array().unwrap();
    assert_eq!(children.len(), 2);
    let files = || fs::read_dir(&blobs).unwrap().map(|it| it.unwrap().path());
    let count = files().count();

    let mut damages: Vec<Vec<_>> = vec![files().collect()];
    for child in children {
        damages.push(vec![root.clone(), blob(child["digest"].as_str().unwrap())]);
    }
    for damage in damages {
        damage.iter().for_each(|file| fs::remove_file(file).unwrap());
        windlass.run(&["verify", "--repair"]).success();
        windlass.run(&["verify"]).success();
        assert_eq!(fs::read(&root).unwrap(), narrowed);
        assert_eq!(files().count(), count, "nothing of other platforms");
        assert_eq!(fs::read(store.join("index.json")).unwrap(), kept);
    }
}

#[test]
fn index_keeps_its_mode_and_a_new_one_is_for_all_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    let index = windlass.store().join("index.json");
    let mode = || fs::metadata(&index).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode() & 0o022, 0, "nobody else may write");
    fs::set_permissions(&index, fs::Permissions::from_mode(0o640)).unwrap();
    windlass.run(&["tag", &name, "other"]).success();
    assert_eq!(mode(), 0o640);
}

#[test]
fn who_waits_for_a_lock_says_so() {
    let registry = Registry::start();
    let name = registry.push(&Image::small(), "box:1");
    let windlass = Windlass::new();
    windlass.run(&["pull", &name]).success();
    let lock = fs::File::open(windlass.store().join(".windlass/lock/index")).unwrap();
    lock.lock().unwrap();
    let waiting = windlass.spawn(&["tag", &name, "other"]);
    std::thread::park_timeout(std::time::Duration::from_millis(2500));
    lock.unlock().unwrap();
    waiting.wait().success().says("waiting for another process");
}
