use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use windlass::endpoint::{Receipt, Sink, Source};
use windlass::error::ErrorKind;
use windlass::store::{Collected, Collection};

use super::{Filled, descriptor, digest, put, snapshot, two_images};
use crate::support::{Image, IndexBuilder};

const ALL: Collection = Collection { dry_run: false, partials: None };
const DRY: Collection = Collection { dry_run: true, partials: None };

#[test]
fn gc_removes_what_no_name_leads_to_and_nothing_else() {
    let (one, two) = two_images();
    let index = IndexBuilder::platforms(&["linux/amd64", "linux/arm64"]);
    let filled = Filled::with(&[("one:1", &one), ("two:1", &two), ("index:1", &index)]);
    let before = snapshot(&filled.path());
    assert_eq!(filled.open().collect(&ALL).unwrap(), Collected::default());
    assert_eq!(snapshot(&filled.path()), before, "all of it is needed");

    filled.open().remove(&["two:1"]).unwrap();
    let shared = one.layers()[0].size();
    let dry = filled.open().collect(&DRY).unwrap();
    assert_eq!((dry.blobs.count, dry.blobs.size), (3, two.size() - shared));
    assert!(filled.blob(two.root()).exists(), "a dry run removes nothing");
    assert_eq!(filled.open().usage().unwrap().collectable.unwrap(), dry);
    assert_eq!(filled.open().collect(&ALL).unwrap(), dry);
    assert!(!filled.blob(two.root()).exists());
    assert!(filled.check().findings.is_empty());
    filled.put("two:1", &two);
    assert!(filled.check().findings.is_empty());
}

#[test]
fn gc_of_a_store_that_is_not_there_makes_none() {
    let filled = Filled::empty();
    assert_eq!(filled.open().collect(&ALL).unwrap(), Collected::default());
    assert!(!filled.path().exists());
    fs::create_dir(filled.path()).unwrap();
    assert_eq!(filled.open().collect(&ALL).unwrap(), Collected::default());
    assert_eq!(fs::read_dir(filled.path()).unwrap().count(), 0);
}

#[test]
fn gc_spares_what_a_live_process_has_announced() {
    let (one, two) = two_images();
    let filled = Filled::with(&[("one:1", &one), ("two:1", &two)]);
    let store = filled.open();
    store.remove(&["two:1"]).unwrap();
    let pieces = two.blobs.iter().chain(&two.manifests);
    let guard = store.protect(&pieces.map(digest).collect::<Vec<_>>()).unwrap();
    assert_eq!(store.collect(&ALL).unwrap(), Collected::default());
    drop(guard);
    assert_eq!(store.collect(&ALL).unwrap().blobs.count, 3);
}

#[test]
fn gc_removes_nothing_if_it_cannot_read_what_a_name_leads_to() {
    let (one, two) = two_images();
    let index = IndexBuilder::new().child(&one).build();
    for damaged in [index.root(), one.root()] {
        let filled = Filled::with(&[("index:1", &index), ("two:1", &two)]);
        filled.open().remove(&["two:1"]).unwrap();
        filled.spoil(damaged, b"{}");
        let before = snapshot(&filled.path());
        let error = filled.open().collect(&ALL).unwrap_err();
        assert!(error.to_string().contains(&damaged.digest), "{error}");
        assert!(error.to_string().contains("index:1"), "{error}");
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::Size { .. } | ErrorKind::Digest { .. }), "{error}");
        assert_eq!(snapshot(&filled.path()), before);
    }
}

#[test]
fn gc_removes_nothing_without_an_index_or_with_a_broken_one() {
    let filled = Filled::with(&[("one:1", &Image::small())]);
    for text in [None, Some(""), Some("{\"manifests\":["), Some("null")] {
        match text {
            Some(text) => filled.write_index(text),
            None => fs::remove_file(filled.path().join("index.json")).unwrap(),
        }
        let before = snapshot(&filled.path());
        let error = filled.open().collect(&ALL).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error}");
        assert_eq!(snapshot(&filled.path()), before);
    }
}

#[test]
fn gc_removes_what_dead_processes_left_behind() {
    let filled = Filled::with(&[("one:1", &Image::small())]);
    filled.scratch.write("store/.windlass/tmp/1-0", "left");
    filled.scratch.write("store/.windlass/lock/lease/1-1", "sha256:not even a list");
    let live = filled.scratch.write("store/.windlass/tmp/2-0", "at work");
    let live = File::open(live).unwrap();
    live.lock().unwrap();
    let collected = filled.open().collect(&ALL).unwrap();
    assert_eq!((collected.temporary.count, collected.blobs.count), (1, 0));
    assert_eq!(filled.scratch.files("store/.windlass/tmp"), ["2-0"]);
    assert!(filled.scratch.files("store/.windlass/lock/lease").is_empty());
}

#[test]
fn gc_takes_unfinished_blobs_only_when_told_and_old_enough() {
    let image = Image::of_size(1000);
    let filled = Filled::empty();
    let store = filled.open();
    let blob = descriptor(&image.layers()[0]);
    let guard = store.protect(&[blob.digest]).unwrap();
    let Receipt::Draft(draft) = store.receive(&blob).unwrap() else { panic!("nobody is at it") };
    draft.write_at(0, &image.layers()[0].content.to_vec()[..500]).unwrap();
    let of = |partials: Option<u64>| Collection {
        dry_run: false,
        partials: partials.map(Duration::from_secs),
    };
    assert_eq!(store.collect(&of(Some(0))).unwrap(), Collected::default(), "somebody is at it");
    drop(draft);
    assert_eq!(store.collect(&of(Some(0))).unwrap(), Collected::default(), "it is announced");
    drop(guard);
    assert_eq!(store.collect(&of(None)).unwrap(), Collected::default());
    assert_eq!(store.collect(&of(Some(3600))).unwrap(), Collected::default(), "it is young");
    assert_eq!(store.partial_len(&blob).unwrap(), 500);
    assert_eq!(store.usage().unwrap().partials.count, 1);
    assert_eq!(store.collect(&of(Some(0))).unwrap().partials.count, 1);
    assert!(filled.scratch.files("store/.windlass/partial").is_empty());
}

#[test]
fn gc_takes_unfinished_blobs_that_are_complete_elsewhere_and_records_without_their_file() {
    let image = Image::small();
    let filled = Filled::with(&[("one:1", &image)]);
    let name = image.layers()[0].digest.replace(':', "-");
    let partial = filled.scratch.write(&format!("store/.windlass/partial/{name}"), "some");
    // A younger one would be there to replace a blob that is wrong.
    let partial = fs::File::options().write(true).open(partial).unwrap();
    partial.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    filled.scratch.write(&format!("store/.windlass/partial/{name}.json"), "{}");
    let other = "sha256-".to_owned() + &"ab".repeat(32);
    filled.scratch.write(&format!("store/.windlass/partial/{other}.json"), "{}");
    assert_eq!(filled.open().collect(&ALL).unwrap().partials.count, 1);
    assert!(filled.scratch.files("store/.windlass/partial").is_empty());
}

#[test]
fn gc_while_images_come_and_go_never_harms_a_name() {
    let images: Vec<(String, Image)> = (0..4)
        .map(|number| {
            let files = [("base", "shared".to_owned()), ("own", number.to_string())];
            let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            let base = crate::support::ImageBuilder::new().layer_files(&files[..1]);
            (format!("box:{number}"), base.layer_files(&files[1..]).build())
        })
        .collect();
    let filled = Filled::with(&[("keep:1", &images[0].1)]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collecting = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                filled.open().collect(&ALL).unwrap();
                let report = filled.check();
                assert!(report.findings.is_empty(), "{:?}", super::lines(&report.findings));
                rounds += 1;
            }
            rounds
        });
        std::thread::scope(|scope| {
            for (name, image) in &images {
                let filled = &filled;
                scope.spawn(move || {
                    for _ in 0..30 {
                        // Two may want one blob; then one waits, which a test need not.
                        while put(&filled.open(), name, image).is_err() {}
                        let report = filled.open().check(&[name], &|_| Ok(())).unwrap();
                        assert!(report.findings.is_empty());
                        filled.open().remove(&[name]).unwrap();
                    }
                });
            }
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(collecting.join().unwrap() > 0);
    });
    assert_eq!(filled.names(), ["docker.io/library/keep:1"]);
    filled.open().collect(&ALL).unwrap();
    assert_eq!(filled.scratch.files("store/blobs/sha256").len(), 4);
}

#[test]
fn gc_spares_a_blob_between_its_announcement_and_its_name() {
    let image = Image::small();
    let filled = Filled::with(&[("one:1", &image)]);
    filled.open().remove(&["one:1"]).unwrap();
    let store = filled.open();
    let layer = descriptor(&image.layers()[0]);
    let _guard = store.protect(&[layer.digest]).unwrap();
    assert!(store.contains(&layer).unwrap());
    filled.open().collect(&ALL).unwrap();
    assert!(store.contains(&layer).unwrap(), "what was found to be there stays");
    let Receipt::Present = store.receive(&layer).unwrap() else { panic!("it is there") };
}

#[test]
fn lease_that_cannot_be_understood_stops_gc() {
    let filled = Filled::with(&[("one:1", &Image::small())]);
    let mut lease = File::create(filled.path().join(".windlass/lock/lease/9-9")).unwrap();
    lease.write_all(b"something of a later version\n").unwrap();
    lease.lock().unwrap();
    filled.open().remove(&["one:1"]).unwrap();
    assert!(filled.open().collect(&ALL).is_err());
    assert!(filled.blob(Image::small().root()).exists());
}

#[test]
fn usage_counts_each_blob_once() {
    let (one, two) = two_images();
    let filled = Filled::with(&[("one:1", &one), ("one:2", &one), ("two:1", &two)]);
    let usage = filled.open().usage().unwrap();
    assert_eq!((usage.names, usage.images, usage.blobs.count), (3, 2, 7));
    assert_eq!(usage.blobs.size, one.size() + two.size() - one.layers()[0].size());
    assert_eq!((usage.shared.count, usage.shared.size), (1, one.layers()[0].size()));
    assert_eq!(usage.collectable.unwrap(), Collected::default());
}

#[test]
fn reader_that_holds_content_survives_its_removal_and_gc_of_another_process() {
    let image = Image::small();
    let filled = Filled::with(&[("one:1", &image)]);
    let store = filled.open();
    let content: Vec<_> = image.blobs.iter().chain(&image.manifests).map(digest).collect();
    let held = store.hold(&content).unwrap();
    let other = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_windlass"));
        command.env_clear().arg("--store").arg(filled.path()).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    other(&["remove", "one:1"]);
    other(&["gc"]);
    let layer = &image.layers()[0];
    let mut bytes = Vec::new();
    let mut stream = store.open(&descriptor(layer), 0).unwrap();
    std::io::Read::read_to_end(&mut stream, &mut bytes).unwrap();
    assert_eq!(bytes, layer.content.to_vec());
    store.manifest(&descriptor(image.root())).unwrap();
    drop(held);
    other(&["gc"]);
    assert!(!filled.blob(layer).exists());
}

#[test]
fn holding_what_cannot_be_written_makes_nothing_and_fails_nothing() {
    let image = Image::small();
    let filled = Filled::with(&[("one:1", &image)]);
    let content = [digest(image.root())];
    // A layout of another tool.
    fs::remove_dir_all(filled.path().join(".windlass")).unwrap();
    let before = snapshot(&filled.path());
    drop(filled.open().hold(&content).unwrap());
    assert_eq!(snapshot(&filled.path()), before);
    // None at all.
    drop(Filled::empty().open().hold(&content).unwrap());
}
