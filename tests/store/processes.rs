//! Many processes on one store.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Fault, Image, ImageBuilder, Registry, Running, Windlass};

const MIB: u64 = 1024 * 1024;

/// Waits until `path` has so many bytes.
fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} takes too long");
        thread::yield_now();
    }
}

/// How many bytes of unfinished blobs there are.
fn partial(windlass: &Windlass) -> u64 {
    let Ok(entries) = fs::read_dir(windlass.store().join(".windlass/partial")) else { return 0 };
    entries.flatten().filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum()
}

#[test]
fn processes_that_want_the_same_blobs_download_them_once_and_lose_no_name() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let base = ImageBuilder::new().layer_random(1, 3 * MIB).layer_random(2, 10_000);
    let images: Vec<Image> =
        (0..16).map(|seed| base.clone().layer_random(100 + seed, 500).build()).collect();
    let names: Vec<String> = images
        .iter()
        .enumerate()
        .map(|(number, image)| registry.push(image, &format!("box{number}:1")))
        .collect();
    registry.fail_always("GET */blobs/*", Fault::Throttle { bytes_per_second: 4 * MIB });
    let gc = windlass.spawn(&["gc"]);
    let pulls: Vec<Running> =
        names.iter().map(|name| windlass.command(&["pull", name, "-j2"]).spawn()).collect();
    let others = [windlass.spawn(&["gc"]), windlass.spawn(&["verify"]), windlass.spawn(&["df"])];
    for (pull, name) in pulls.into_iter().zip(&names) {
        let output = pull.wait().success();
        assert!(output.stdout().starts_with(name.as_str()), "{output}");
    }
    gc.wait().success();
    others.into_iter().for_each(|running| drop(running.wait().success()));
    let listed = windlass.run(&["list"]).success().stdout();
    names.iter().for_each(|name| assert!(listed.contains(name.as_str()), "{listed}"));
    windlass.run(&["verify"]).success();
    let size = |digest: &str| registry.count(&format!("GET */blobs/{digest}"));
    let streams = size(&images[0].layers()[1].digest);
    assert_eq!(streams, 1, "a small layer that all share came once");
    assert!(
        registry.bytes_sent(&format!("GET */blobs/{}", images[0].layers()[0].digest)) < 4 * MIB
    );
}

#[test]
fn pull_takes_over_from_one_that_was_killed() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let image = Image::of_size(6 * MIB);
    let name = registry.push(&image, "box:1");
    registry.fail_always("GET */blobs/*", Fault::Throttle { bytes_per_second: 4 * MIB });
    let first = windlass.spawn(&["pull", &name, "-j1"]);
    wait_for("the first pull", || partial(&windlass) > 2 * MIB);
    let second = windlass.spawn(&["pull", &name, "-j1"]);
    first.kill();
    second.wait().success();
    windlass.run(&["verify"]).success();
    let sent = registry.bytes_sent("GET */blobs/*");
    assert!(sent < 6 * MIB + 1024 * 1024, "sent {sent} bytes");
}

#[test]
fn pull_overtakes_one_that_is_stopped_and_both_succeed() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let image = Image::of_size(6 * MIB);
    let name = registry.push(&image, "box:1");
    registry.fail_always("GET */blobs/*", Fault::Throttle { bytes_per_second: 2 * MIB });
    let first = windlass.spawn(&["pull", &name, "-j1"]);
    wait_for("the first pull", || partial(&windlass) > 2 * MIB);
    first.signal(rustix::process::Signal::STOP);
    registry.recover();
    windlass.run(&["gc", "--partials", "0"]).success();
    let second = windlass.run(&["pull", &name, "--stall-timeout", "0.3"]).success();
    assert!(second.took < Duration::from_secs(10), "{second}");
    windlass.run(&["verify"]).success();
    first.signal(rustix::process::Signal::CONT);
    first.wait().success();
    windlass.run(&["verify"]).success();
    windlass.run(&["gc"]).success();
    assert!(windlass.scratch.files("store/.windlass/partial").is_empty());
    assert!(windlass.scratch.files("store/.windlass/tmp").is_empty());
}

#[test]
fn pull_that_is_killed_anywhere_leaves_a_store_that_the_same_command_completes() {
    let (registry, windlass) = (Registry::start(), Windlass::new());
    let image = ImageBuilder::new().layer_random(1, 2 * MIB).layer_random(2, 300_000).build();
    let name = registry.push(&image, "box:1");
    let other = registry.push(&Image::small(), "keep:1");
    windlass.run(&["pull", &other]).success();
    let start = Instant::now();
    windlass.run(&["pull", &name]).success();
    let whole = start.elapsed();
    for round in 0..20 {
        windlass.run(&["remove", &name]).success();
        windlass.run(&["gc", "--partials=0"]).success();
        let pull = windlass.spawn(&["pull", &name]);
        let end = Instant::now() + whole * round / 18;
        wait_for("the moment", || Instant::now() >= end);
        pull.kill();
        drop(pull);
        let output = windlass.run(&["verify"]).success();
        assert!(windlass.run(&["list"]).success().stdout().contains(&other), "{output}");
        windlass.run(&["pull", &name]).success();
        windlass.run(&["verify"]).success();
    }
}
