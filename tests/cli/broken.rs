//! Stores that are broken by hand: every command says what is wrong, and what helps is true.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Image, ImageBuilder, Output, Registry, Windlass};

/// A store with one image, and the registry that it came from.
struct Broken {
    registry: Registry,
    windlass: Windlass,
    image: Image,
    name: String,
}

const NAME: &str = "org.opencontainers.image.ref.name";

impl Broken {
    fn new() -> Broken {
        let (registry, windlass, image) = (Registry::start(), Windlass::new(), Image::small());
        let name = registry.push(&image, "box:1");
        windlass.run(&["pull", &name]).success();
        Broken { registry, windlass, image, name }
    }

    /// The same, after `harm` was done to its folder.
    fn by(harm: impl Fn(&Path)) -> Broken {
        let broken = Broken::new();
        harm(&broken.windlass.store());
        broken
    }

    fn blob(&self, digest: &str) -> std::path::PathBuf {
        self.windlass.store().join("blobs/sha256").join(&digest[7..])
    }

    /// Adds entries to the index, made of the one that is there.
    fn add(&self, entry: impl Fn(Value) -> Value) {
        let path = self.windlass.store().join("index.json");
        let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let new = entry(index["manifests"][0].clone());
        index["manifests"].as_array_mut().unwrap().push(new);
        write(path, index.to_string());
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Output {
        self.windlass.run(args)
    }
}

/// Types what the last `help:` line quotes: the part between `start` and `end`.
fn follow(output: &Output, start: &str, end: &str) {
    let help = output.stderr.lines().rev().find(|line| line.starts_with("help: ")).unwrap();
    let command = help.split_once(start).unwrap_or_else(|| panic!("{help}")).1;
    let command = command.split_once(end).map_or(command, |(command, _)| command);
    let status = Command::new("/bin/sh").args(["-ec", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

type Harm = fn(&Path);

/// Makes an entry of one that is there.
type Making = Box<dyn Fn(Value) -> Value>;

fn fifo(path: &Path) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
}

fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    fs::File::create(path).unwrap().write_all(content.as_ref()).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

#[test]
fn index_that_is_lost_is_begun_anew_as_the_help_says() {
    let harms: [Harm; 8] = [
        |store| remove(&store.join("index.json")),
        |store| {
            remove(&store.join("index.json"));
            remove(&store.join("oci-layout"));
        },
        |store| write(store.join("index.json"), ""),
        |store| write(store.join("index.json"), "{\"manifests\": ["),
        |store| {
            remove(&store.join("index.json"));
            fs::create_dir(store.join("index.json")).unwrap();
        },
        |store| {
            remove(&store.join("index.json"));
            fifo(&store.join("index.json"));
        },
        |store| {
            fs::rename(store.join("index.json"), store.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink("elsewhere", store.join("index.json")).unwrap();
        },
        |store| write(store.join("index.json"), [0; 300]),
    ];
    for harm in harms {
        let broken = Broken::by(harm);
        let name = &broken.name;
        let blobs = broken.windlass.scratch.files("store/blobs");
        for args in [
            &["list"][..],
            &["gc"],
            &["gc", "--dry-run"],
            &["df"],
            &["verify"],
            &["verify", "--repair"],
            &["inspect", name],
            &["tag", name, "x"],
            &["remove", name],
            &["pull", name],
        ] {
            let output = broken.run(args).exits(7);
            output
                .says("index.json")
                .says("help: the blobs are still there")
                .says("no `windlass gc`");
        }
        assert_eq!(broken.windlass.scratch.files("store/blobs"), blobs, "nothing is lost");
        follow(&broken.run(&["verify"]), "begin a new one: ", "; then");
        broken.registry.forget();
        broken.run(&["pull", name]).success();
        assert_eq!(broken.registry.count("GET */blobs/*"), 0, "the blobs were still there");
        broken.run(&["verify"]).success();
        broken
            .run(&["gc"])
            .success()
            .prints("freed 0B: 0 blobs, 0 unfinished downloads, 0 temporary files\n");
    }
}

#[test]
fn marker_that_says_nothing_is_written_again_as_the_help_says() {
    let harms: [Harm; 5] = [
        |store| write(store.join("oci-layout"), ""),
        |store| write(store.join("oci-layout"), "{"),
        |store| write(store.join("oci-layout"), "[]"),
        |store| {
            remove(&store.join("oci-layout"));
            fs::create_dir(store.join("oci-layout")).unwrap();
        },
        |store| {
            remove(&store.join("oci-layout"));
            fifo(&store.join("oci-layout"));
        },
    ];
    for harm in harms {
        let broken = Broken::by(harm);
        for args in
            [&["list"][..], &["gc"], &["df"], &["verify", "--repair"], &["pull", &broken.name]]
        {
            broken.run(args).exits(7).says("oci-layout").says("write it again");
        }
        follow(&broken.run(&["verify"]), "write it again: ", "\n");
        broken.run(&["verify"]).success();
        broken.run(&["pull", &broken.name]).success();
    }
    let newer = Broken::by(|store| {
        write(store.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#);
    });
    newer.run(&["verify"]).exits(7).says("`2.0.0`").says("a newer windlass reads it");
}

#[test]
fn marker_that_is_missing_is_a_finding_that_repair_mends() {
    let broken = Broken::by(|store| remove(&store.join("oci-layout")));
    broken.run(&["list"]).success();
    let output = broken.run(&["verify"]).exits(7).says("`windlass verify --repair` writes");
    assert!(output.stdout().starts_with("oci-layout: it is missing\n"), "{output}");
    let found: Value =
        serde_json::from_str(&broken.run(&["verify", "--json"]).exits(7).stdout()).unwrap();
    assert_eq!(found["findings"][0]["problem"], "layout");
    let output = broken.run(&["verify", "--repair"]).success();
    assert!(output.stdout().starts_with("oci-layout: repaired\n"), "{output}");
    broken.run(&["verify"]).success();
}

#[test]
fn something_else_where_a_folder_should_be_is_moved_away_as_the_help_says() {
    let broken = Broken::by(|store| {
        fs::remove_dir_all(store.join(".windlass")).unwrap();
        write(store.join(".windlass"), "a file");
    });
    let output = broken.run(&["list"]).exits(7).says("is not a folder");
    follow(&output, "move it away: ", ";");
    broken.run(&["tag", &broken.name, "x"]).success();
    broken.run(&["verify"]).success();

    let broken = Broken::by(|store| {
        remove(&store.join(".windlass/lock/sweep"));
        std::os::unix::fs::symlink("/etc/passwd", store.join(".windlass/lock/sweep")).unwrap();
    });
    let output = broken.run(&["gc"]).exits(7).says("is not a regular file");
    follow(&output, "move it away: ", ";");
    broken.run(&["gc"]).success();
}

#[test]
fn folder_in_place_of_a_blob_is_moved_aside_with_what_is_in_it() {
    for place in [0, 1, 2] {
        let broken = Broken::new();
        let image = &broken.image;
        let digest = [image.root(), image.config(), &image.layers()[0]][place].digest.clone();
        let blob = broken.blob(&digest);
        remove(&blob);
        fs::create_dir(&blob).unwrap();
        write(blob.join("theirs"), "kept");
        broken.run(&["verify"]).exits(7).says("--repair");
        let output = broken.run(&["verify", "--repair"]).success();
        assert!(output.stdout().starts_with(&format!("{digest}: repaired\n")), "{output}");
        assert_eq!(fs::read(blob.with_extension("old").join("theirs")).unwrap(), b"kept");
        broken.run(&["gc"]).success();
        broken.run(&["verify"]).success();
    }
}

#[test]
fn entry_that_cannot_be_understood_can_be_named_and_removed() {
    let odd = |digest: Value, name: &'static str| {
        move |mut entry: Value| {
            entry["digest"] = digest.clone();
            entry["annotations"] = json!({ NAME: name });
            entry
        }
    };
    let sha384 = format!("sha384:{}", "0".repeat(96));
    let cases: [(&str, Making, &[&str]); 4] = [
        ("invalid digest `sha384:", Box::new(odd(json!(sha384), "odd:1")), &["odd:1", &sha384]),
        ("invalid type", Box::new(odd(json!(7), "docker.io/library/odd:1")), &["odd:1"]),
        ("missing field `digest`", Box::new(|_| json!({"odd": true})), &[]),
        ("invalid type: integer `7`", Box::new(|_| json!(7)), &[]),
    ];
    for (reason, entry, handles) in cases {
        for handle in handles.iter().copied().chain(["#2"]) {
            let broken = Broken::new();
            broken.add(&entry);
            broken.run(&["list"]).success().says("warning: not listed: entry 2");
            let output = broken.run(&["verify"]).exits(7);
            output.says("`windlass remove '#2'`");
            let stdout = broken.run(&["verify", "--repair"]).exits(7).stdout();
            assert!(stdout.starts_with("index.json: entry 2"), "{stdout}");
            assert!(stdout.contains(reason) && !stdout.contains('\\'), "{stdout}");
            let found = broken.run(&["verify", "--json"]).exits(7).stdout();
            let found: Value = serde_json::from_str(&found).unwrap();
            assert_eq!(found["findings"][0]["position"], 2);
            if handle != "#2" {
                broken.run(&["inspect", handle]).exits(7).says("cannot be understood");
                broken.run(&["verify", handle]).exits(7);
            }
            broken.run(&["remove", "#1", "#3"]).exits(3).prints("");
            assert!(broken.run(&["remove", handle]).success().stdout().starts_with("#2"));
            broken.run(&["verify"]).success();
            assert!(broken.run(&["list"]).success().stdout().contains(&broken.name));
        }
    }
}

#[test]
fn name_of_an_odd_entry_can_be_given_to_an_image() {
    let broken = Broken::new();
    broken.add(|_| json!({"digest": "blake3:00", "annotations": {NAME: "docker.io/library/x:1"}}));
    broken.run(&["gc"]).exits(7).says("docker.io/library/x:1").says("blake3:00");
    broken.run(&["tag", &broken.name, "x:1"]).success();
    broken.run(&["verify"]).success();
    broken.run(&["gc"]).success();
}

#[test]
fn entry_that_says_something_wrong_is_blamed_alone() {
    let broken = Broken::new();
    broken.add(|mut entry| {
        entry["size"] = 7.into();
        entry["annotations"] = json!({NAME: "wrong:1"});
        entry
    });
    let root = broken.image.root();
    let line = format!(
        "{}: it has {} bytes, and is said to have 7; of wrong:1@",
        root.digest,
        root.size()
    );
    let output = broken.run(&["verify"]).exits(7).says("1 finding:").says("remove its names");
    assert!(output.stdout().starts_with(&line), "{output}");
    broken.run(&["verify", &broken.name]).success();
    broken.registry.forget();
    broken.run(&["verify", "--repair"]).exits(7).never_says("repairing");
    assert_eq!(broken.registry.requests().len(), 0, "there is nothing to fetch");
    broken.run(&["remove", "wrong:1"]).success();
    broken.run(&["verify"]).success();

    // Without a name, and of the wrong type.
    broken.add(|mut entry| {
        entry["mediaType"] = "application/vnd.oci.image.index.v1+json".into();
        entry.as_object_mut().unwrap().remove("annotations");
        entry
    });
    let output = broken.run(&["verify"]).exits(7).says("help: `windlass remove '#2'`");
    assert!(output.stdout().contains("malformed manifest"), "{output}");
    assert!(output.stdout().contains("1 name, 1 without a name, 3 blobs"), "{output}");
    broken.run(&["remove", "#2"]).success();
    broken.run(&["verify"]).success();
}

#[test]
fn second_name_without_origin_is_no_error_once_the_content_is_good() {
    let broken = Broken::new();
    broken.add(|mut entry| {
        entry["annotations"] = json!({NAME: "foreign:1"});
        entry
    });
    let layer = broken.image.layers()[0].digest.clone();
    remove(&broken.blob(&layer));
    let output = broken.run(&["verify", "--repair"]).success().never_says("not known");
    assert!(output.stdout().starts_with(&format!("{layer}: repaired\n")), "{output}");
    // The registry that one of them came from is gone, and the other never had one.
    remove(&broken.blob(&layer));
    let Broken { registry, windlass, .. } = broken;
    drop(registry);
    let output = windlass.run(&["verify", "--repair", "--retries=1"]).exits(7);
    output.says("where it came from is not known").says("connection refused");
}

#[test]
fn what_this_machine_does_not_let_us_read_is_exit_8_and_7_where_gc_needs_it() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let broken = Broken::new();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(broken.windlass.scratch.path(), everybody).unwrap();
    let nobody = |args: &[&str]| {
        let mut run = broken.windlass.command(args);
        std::os::unix::process::CommandExt::uid(&mut run.command, 65534);
        run.run()
    };
    let hide = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    };
    hide(&broken.blob(&broken.image.root().digest));
    nobody(&["inspect", &broken.name]).exits(8).says("permission denied");
    // What gc would remove is not known then, which is wrong with the store.
    for args in [&["gc", "--dry-run"][..], &["df"]] {
        nobody(args).exits(7).says("permission denied").says(&broken.name);
    }
    let verify = nobody(&["verify"]).exits(8).says("help: run it as the owner of the store");
    assert!(verify.stdout().contains(": permission denied; of "), "{verify}");
    hide(&broken.windlass.store().join("index.json"));
    for args in [&["list"][..], &["verify"], &["df"], &["remove", "x"], &["tag", "x", "y"]] {
        nobody(args).exits(8).says("permission denied");
    }
}

#[test]
fn whatever_is_in_place_of_a_lock_or_a_lease_the_work_goes_on() {
    let places = ["index", "sweep", "unsynced", "lease/1-1"];
    let obstacles: [Harm; 2] = [|path| fs::create_dir_all(path.join("full")).unwrap(), fifo];
    for place in places {
        for obstacle in obstacles {
            let broken = Broken::new();
            let path = broken.windlass.store().join(".windlass/lock").join(place);
            let _ = fs::remove_file(&path);
            obstacle(&path);
            let name = &broken.name;
            for args in [
                &["tag", name, "x"][..],
                &["gc", "--dry-run"],
                &["gc"],
                &["df"],
                &["pull", name],
                &["pull", "--no-sync", name],
                &["remove", "x"],
                &["verify"],
            ] {
                broken.run(args).success();
            }
            let gc = broken.run(&["gc"]).success();
            assert!(
                place == "unsynced" || place == "index" || gc.stderr.contains("warning: "),
                "{gc}"
            );
        }
    }
}

#[test]
fn folder_in_a_locks_place_keeps_two_apart_as_a_file_does() {
    let broken = Broken::new();
    let lock = broken.windlass.store().join(".windlass/lock/index");
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    let held = fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    let waiting = broken.windlass.spawn(&["tag", &broken.name, "other"]);
    std::thread::park_timeout(std::time::Duration::from_millis(2500));
    held.unlock().unwrap();
    waiting.wait().success().says("waiting for another process");
}

#[test]
fn names_of_any_length_are_listed_and_compared() {
    let broken = Broken::new();
    let long = "n".repeat(300_000);
    broken.add(|mut entry| {
        entry["annotations"] = json!({NAME: long});
        entry
    });
    let output = broken.run(&["list"]).success();
    assert!(output.stdout().lines().all(|line| line.chars().count() < 400), "{output}");
    assert!(output.stdout().contains(&format!("{}…  ", "n".repeat(250))), "{output}");
    let output = broken.run(&["remove", &"n".repeat(100_000)]).exits(3);
    assert!(output.took.as_secs() < 5, "{output}");
}

#[test]
fn names_that_are_near_are_suggested_by_every_command() {
    let broken = Broken::new();
    broken.run(&["tag", &broken.name, "mine"]).success();
    for args in [
        &["inspect", "mime"][..],
        &["tag", "mime", "x"],
        &["remove", "mime"],
        &["verify", "mime"],
        &["verify", "mine", "store:mime"],
    ] {
        broken.run(args).exits(3).says("did you mean docker.io/library/mine:latest?");
    }
    let inspect = broken.run(&["inspect", "mime"]).exits(3);
    inspect.never_says("there are");
}

#[test]
fn many_absent_names_are_told_without_reading_the_index_for_each() {
    let broken = Broken::new();
    let absent: Vec<String> = (0..3000).map(|number| format!("absent-{number}:1")).collect();
    let args: Vec<&str> = ["remove"].into_iter().chain(absent.iter().map(String::as_str)).collect();
    // So large that reading it 3,000 times would take minutes.
    broken.add(|mut entry| {
        entry["annotations"] = json!({NAME: "big:1", "padding": "x".repeat(4_000_000)});
        entry
    });
    let output = broken.run(&args).exits(3);
    assert!(output.took.as_secs() < 10, "took {:?}", output.took);
    assert_eq!(output.stderr.matches("is not in the store").count(), 3000);
}

#[test]
fn tag_of_a_name_to_itself_changes_nothing_and_others_keep_what_is_not_ours() {
    let broken = Broken::new();
    broken.add(|mut entry| {
        entry["unknown"] = json!({"a": [1, 2]});
        entry["annotations"] = json!({NAME: "docker.io/library/theirs:1", "z": "1", "a": "2"});
        entry
    });
    let index = || fs::read_to_string(broken.windlass.store().join("index.json")).unwrap();
    let before = index();
    broken.run(&["tag", "theirs:1", "theirs:1"]).success();
    assert_eq!(index(), before);
    broken.run(&["tag", "theirs:1", "ours:1"]).success();
    let parsed: Value = serde_json::from_str(&index()).unwrap();
    let ours = &parsed["manifests"][2];
    assert_eq!(ours["annotations"][NAME], "docker.io/library/ours:1");
    assert_eq!((&ours["unknown"], &ours["annotations"]["z"]), (&json!({"a": [1, 2]}), &json!("1")));
    // The same by a pull that finds what was meant already.
    let other = ImageBuilder::new().layer_files(&[("a", "b")]).build();
    let name = broken.registry.push(&broken.image, "again:1");
    broken.add(|mut entry| {
        entry["unknown"] = json!(7);
        entry["annotations"] = json!({NAME: name, "z": "1"});
        entry
    });
    broken.run(&["pull", &name]).success();
    let entry = |text: &str| {
        let index: Value = serde_json::from_str(text).unwrap();
        let mut all = index["manifests"].as_array().unwrap().clone();
        all.retain(|it| it["annotations"][NAME] == name.as_str());
        assert_eq!(all.len(), 1);
        all.remove(0)
    };
    let kept = entry(&index());
    assert_eq!((&kept["unknown"], &kept["annotations"]["z"]), (&json!(7), &json!("1")));
    assert!(kept["annotations"]["io.windlass.origin"].is_string());
    // What a name meant before says nothing of what it means now.
    broken.registry.push(&other, "again:1");
    broken.run(&["pull", &name]).success();
    let new = entry(&index());
    assert!(new.get("unknown").is_none() && new["annotations"].get("z").is_none(), "{new}");
}
