use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Fault, Image, Registry, Windlass};

const MESSAGE: &str = "windlass: interrupted; what has come is kept, the same command goes on\n";

/// A pull that waits for the registry gets the signal, ends within a second and goes on later.
#[track_caller]
fn check(signal: Signal, status: i32, fault: Fault) {
    let registry = Registry::start();
    let image = Image::of_size(3_000_000);
    let name = registry.push(&image, "box:1");
    registry.fail_always(&format!("/v2/box/blobs/{}", image.layers()[0].digest), fault);
    let windlass = Windlass::new();
    let running = windlass.spawn(&["pull", &name, "--progress=none"]);
    let begun = Instant::now();
    while registry.count(&format!("GET /v2/box/blobs/{}", image.layers()[0].digest)) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it asks for the layer");
        std::thread::yield_now();
    }
    let sent = Instant::now();
    running.signal(signal);
    let output = running.wait().exits(status).prints("");
    assert!(sent.elapsed() < Duration::from_secs(1), "{output}");
    assert_eq!(output.stderr, MESSAGE);
    registry.recover();
    windlass.run(&["pull", &name]).success();
}

#[test]
fn signal_ends_a_pull_within_a_second_and_keeps_what_has_come() {
    check(Signal::INT, 130, Fault::StallAfter(1_000_000, Duration::from_secs(60)));
    check(Signal::TERM, 143, Fault::StallAfter(1_000_000, Duration::from_secs(60)));
    check(Signal::INT, 130, Fault::Silent);
}

#[test]
fn signal_ends_what_waits_for_its_input() {
    let windlass = Windlass::new();
    let fifo = windlass.scratch.join("names");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let running = windlass.spawn(&["pull", "-f", fifo.to_str().unwrap()]);
    // It has its handlers when it has opened the file, which waits for us to do so too.
    let writer = std::fs::File::options().write(true).open(&fifo).unwrap();
    let sent = Instant::now();
    running.interrupt();
    running.wait().exits(130);
    drop(writer);
    assert!(sent.elapsed() < Duration::from_secs(2));
}
