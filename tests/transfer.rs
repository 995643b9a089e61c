//! The transfer from a registry with faults into a store, through the library.

use std::path::Path;
use std::time::{Duration, Instant};

use windlass::endpoint::Source;
use windlass::error::{ErrorKind, Result};
use windlass::reference::Reference;
use windlass::registry::{Options, Registry};
use windlass::store::{Durability, Store};
use windlass::transfer::{Event, Interrupt, Observer, Platforms, Retry, Transfer};

use crate::support::{self, Content, Fault, Image, ImageBuilder, IndexBuilder, Rule, Scratch};

const MIB: u64 = 1024 * 1024;

fn pull(store: &Path, name: &str) -> Result<()> {
    pull_with(store, name, 8, &Interrupt::new(), &())
}

fn pull_with(
    store: &Path,
    name: &str,
    jobs: usize,
    interrupt: &Interrupt,
    observer: &dyn Observer,
) -> Result<()> {
    let reference: Reference = name.parse().unwrap();
    let stall_timeout = Duration::from_millis(500);
    let options = Options { jobs, stall_timeout, ..Options::default() };
    let registry = Registry::new(reference.repository().host(), options)?;
    let remote = registry.repository(reference.repository());
    let store = Store::open(store, Durability::Unsynced)?;
    let transfer = Transfer {
        source: &remote,
        sink: &store,
        jobs,
        retry: Retry { base: Duration::from_millis(10), ..Retry::default() },
        stall_timeout,
        observer,
        interrupt,
    };
    let plan = transfer.plan(&reference, &Platforms::All)?;
    transfer.run(&reference, &plan)
}

/// Interrupts when so many bytes of a blob have come.
struct InterruptAt<'a>(u64, &'a Interrupt);

impl Observer for InterruptAt<'_> {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Progress { offset, .. } if *offset >= self.0) {
            self.1.interrupt();
        }
    }
}

/// Every blob of `image` is in the store, byte for byte, and the name leads there.
#[track_caller]
fn holds(store: &Path, name: &str, image: &Image) {
    for piece in image.blobs.iter().chain(&image.manifests) {
        let hex = piece.digest.strip_prefix("sha256:").unwrap();
        let bytes = std::fs::read(store.join("blobs/sha256").join(hex)).unwrap();
        assert!(bytes == piece.content.to_vec(), "{} is as it was", piece.digest);
    }
    let reference: Reference = name.parse().unwrap();
    let store = Store::open(store, Durability::Unsynced).unwrap();
    assert_eq!(store.resolve(&reference).unwrap().digest().to_string(), image.digest);
}

#[test]
fn transfer_brings_every_blob_and_then_the_name() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = ImageBuilder::new().layer_random(1, 3 * MIB).layer_random(2, 10).build();
    let name = registry.push(&image, "box:1");
    pull(scratch.path(), &name).unwrap();
    holds(scratch.path(), &name, &image);
    let before = registry.count("GET */blobs/*");
    pull(scratch.path(), &name).unwrap();
    assert_eq!(registry.count("GET */blobs/*"), before, "nothing is fetched twice");
}

#[test]
fn slow_blob_is_fetched_in_ranges_beside_each_other() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = Image::of_size(24 * MIB);
    let name = registry.push(&image, "box:1");
    registry.fail_always("GET */blobs/*", Fault::Throttle { bytes_per_second: 4 * MIB });
    let began = Instant::now();
    pull(scratch.path(), &name).unwrap();
    let took = began.elapsed();
    holds(scratch.path(), &name, &image);
    assert!(took < Duration::from_secs(3), "one connection takes 6 s, these took {took:?}");
    assert!(registry.most_at_once() <= 8);
    let layer = &image.layers()[0].digest;
    let requests = registry.requests_for(&format!("GET */blobs/{layer}"));
    assert!(requests[0].range().is_none(), "the first stream asks for all");
    let ranges: Vec<_> = requests[1..].iter().map(|request| request.range().unwrap()).collect();
    assert!(ranges.iter().all(|(_, last)| last.is_some()), "ranges are closed: {ranges:?}");
}

#[test]
fn transfer_with_one_job_makes_one_request_at_a_time() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = ImageBuilder::new().layer_random(1, 4 * MIB).layer_random(2, MIB).build();
    let name = registry.push(&image, "box:1");
    registry.fail_always("GET */blobs/*", Fault::Throttle { bytes_per_second: 3 * MIB });
    pull_with(scratch.path(), &name, 1, &Interrupt::new(), &()).unwrap();
    holds(scratch.path(), &name, &image);
    assert_eq!(registry.most_at_once(), 1);
}

#[test]
fn cut_stream_goes_on_where_it_was_cut() {
    for at in [0, 1, 511, 512, 64 * 1024 - 1, MIB, 2 * MIB - 1] {
        for cut in [Fault::CutFin(at), Fault::CutRst(at)] {
            let (registry, scratch) = (support::Registry::start(), Scratch::new());
            let image = Image::of_size(2 * MIB);
            let name = registry.push(&image, "box:1");
            let layer = format!("GET */blobs/{}", image.layers()[0].digest);
            registry.fail_once(&layer, cut);
            // On a machine with much to do the rest may come over several connections.
            pull_with(scratch.path(), &name, 1, &Interrupt::new(), &()).unwrap();
            holds(scratch.path(), &name, &image);
            assert_eq!(registry.count(&layer), 2);
            let sent = registry.bytes_sent(&layer);
            assert!(sent <= 2 * MIB + 256 * 1024, "cut at {at}: {sent} bytes were sent");
        }
    }
}

#[test]
fn misbehaviour_on_ranges_falls_back_to_one_stream_without_losing_what_is_there() {
    let last = 2 * MIB - 1;
    let faults = [
        Fault::IgnoreRange,
        Fault::RangeStatus(400),
        Fault::RangeStatus(416),
        Fault::RangeStatus(501),
        Fault::content_range(&format!("bytes 0-{last}/{}", 2 * MIB)),
        Fault::content_range("bytes */5"),
        Fault::content_range("bits 1-2/3"),
        Fault::no_header("Content-Range"),
    ];
    for fault in faults {
        let (registry, scratch) = (support::Registry::start(), Scratch::new());
        let image = Image::of_size(2 * MIB);
        let name = registry.push(&image, "box:1");
        let layer = format!("GET */blobs/{}", image.layers()[0].digest);
        let described = format!("{fault:?}");
        registry.fail_once(&layer, Fault::CutFin(MIB));
        registry.rule(Rule::on(&layer).only(|request| request.range().is_some()).fault(fault));
        pull(scratch.path(), &name).unwrap_or_else(|error| panic!("{described}: {error}"));
        holds(scratch.path(), &name, &image);
        assert!(registry.count(&layer) <= 3, "{described}");
    }
}

#[test]
fn wrong_content_is_fetched_once_more_and_never_stored() {
    for (times, right) in [(1, true), (2, false)] {
        let (registry, scratch) = (support::Registry::start(), Scratch::new());
        let image = Image::of_size(2 * MIB);
        let name = registry.push(&image, "box:1");
        let layer = &image.layers()[0].digest;
        registry.fail_times(times, &format!("GET */blobs/{layer}"), Fault::Flip(MIB));
        let pulled = pull(scratch.path(), &name);
        assert_eq!(pulled.is_ok(), right, "{pulled:?}");
        if let Err(error) = pulled {
            assert!(matches!(error.kind(), ErrorKind::Digest { .. }), "{error}");
            let hex = layer.strip_prefix("sha256:").unwrap();
            assert!(!scratch.path().join("blobs/sha256").join(hex).exists());
            assert!(
                Store::open(scratch.path(), Durability::Unsynced)
                    .unwrap()
                    .entries()
                    .unwrap()
                    .is_empty()
            );
        }
    }
}

#[test]
fn interrupted_transfer_keeps_what_has_come() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = Image::of_size(4 * MIB);
    let name = registry.push(&image, "box:1");
    let layer = format!("GET */blobs/{}", image.layers()[0].digest);
    registry.fail_once(&layer, Fault::StallAfter(3 * MIB, Duration::from_secs(20)));
    let interrupt = Interrupt::new();
    let observer = InterruptAt(3 * MIB, &interrupt);
    let error = pull_with(scratch.path(), &name, 2, &interrupt, &observer).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Interrupted), "{error}");
    registry.recover();
    registry.forget();
    pull(scratch.path(), &name).unwrap();
    holds(scratch.path(), &name, &image);
    let sent = registry.bytes_sent(&layer);
    assert!(sent <= MIB + 512 * 1024, "{sent} bytes were sent again");
}

#[test]
fn partial_file_of_another_size_or_a_lying_record_does_no_harm() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let content = Content::random(7, 2 * MIB);
    let image = ImageBuilder::new().layer_random(7, 2 * MIB).build();
    let name = registry.push(&image, "box:1");
    let digest = image.layers()[0].digest.replace(':', "-");
    assert_eq!(content.digest().replace(':', "-"), digest);
    for (partial, record) in [
        (vec![0; 5], r#"{"size":2097152,"ranges":[[0,2097152]]}"#),
        (vec![0; 2 << 20], r#"{"size":2097152,"ranges":[[0,2097152]]}"#),
        (vec![0; 3 << 20], r#"{"size":3145728,"ranges":[[0,3145728]]}"#),
        (vec![0; 2 << 20], r#"{"size":2097152,"ranges":[[5,1],[0,99999999999999]]}"#),
        (vec![0; 1 << 20], "{"),
    ] {
        std::fs::remove_dir_all(scratch.path().join("blobs")).ok();
        let folder = scratch.path().join(".windlass/partial");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(scratch.write("p", &partial), folder.join(&digest)).unwrap();
        let record_path = folder.join(format!("{digest}.json"));
        std::fs::copy(scratch.write("r", record.as_bytes()), record_path).unwrap();
        pull(scratch.path(), &name).unwrap_or_else(|error| panic!("{record}: {error}"));
        holds(scratch.path(), &name, &image);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{record}: nothing is left");
    }
}

#[test]
fn unchanged_image_costs_one_head_and_a_moved_tag_is_noticed() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = IndexBuilder::platforms(&["linux/amd64", "linux/arm64/v8"]);
    let name = registry.push(&image, "box:1");
    pull(scratch.path(), &name).unwrap();
    registry.forget();
    pull(scratch.path(), &name).unwrap();
    assert_eq!((registry.count("HEAD */manifests/1"), registry.count("GET */manifests/*")), (1, 0));
    assert_eq!(registry.count("*/blobs/*"), 0);

    let moved = Image::small();
    registry.push(&moved, "box:1");
    pull(scratch.path(), &name).unwrap();
    holds(scratch.path(), &name, &moved);
}

#[test]
fn unchanged_image_that_was_damaged_is_made_whole() {
    let (registry, scratch) = (support::Registry::start(), Scratch::new());
    let image = Image::of_size(10);
    let name = registry.push(&image, "box:1");
    pull(scratch.path(), &name).unwrap();
    let blob = |digest: &str| scratch.path().join("blobs/sha256").join(&digest[7..]);
    for piece in image.blobs.iter().chain(&image.manifests) {
        std::fs::remove_file(blob(&piece.digest)).unwrap();
        pull(scratch.path(), &name).unwrap();
        holds(scratch.path(), &name, &image);
    }
}

#[test]
fn config_of_an_image_without_index_is_fetched_once() {
    let registry = support::Registry::start();
    let image = ImageBuilder::new().platform("linux/s390x").layer_random(1, 10).build();
    let name = registry.push(&image, "box:1");
    let windlass = support::Windlass::new();
    windlass.run(&["pull", &name]).success().says("linux/s390x");
    assert_eq!(registry.count("GET */blobs/*"), 2);
    assert_eq!(registry.count("*/manifests/*"), 1);
}

#[test]
fn one_slow_connection_does_not_hold_up_the_others() {
    for slow in [0, 2] {
        let (registry, scratch) = (support::Registry::start(), Scratch::new());
        let image = Image::of_size(16 * MIB);
        let name = registry.push(&image, "box:1");
        let layer = format!("GET */blobs/{}", image.layers()[0].digest);
        let at = |bytes_per_second| Fault::Throttle { bytes_per_second };
        registry.rule(Rule::on(&layer).nth(0..slow).fault(at(4 * MIB)));
        registry.rule(Rule::on(&layer).nth(slow..slow + 1).fault(at(20_000)));
        registry.rule(Rule::on(&layer).nth(slow + 1..u32::MAX).fault(at(4 * MIB)));
        let began = Instant::now();
        pull(scratch.path(), &name).unwrap();
        let took = began.elapsed();
        holds(scratch.path(), &name, &image);
        assert!(took < Duration::from_secs(8), "stream {slow} is slow, and it took {took:?}");
    }
}
