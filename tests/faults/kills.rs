use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{KIB, MIB, Scene, each};
use crate::support::Fault;

const SIZE: u64 = 64 * MIB;

/// Waits until so many bytes of the layer were sent.
#[track_caller]
fn wait_for(scene: &Scene, bytes: u64) {
    let begun = Instant::now();
    while scene.registry.bytes_sent(&scene.layer()) < bytes {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", scene.story());
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn killed_download_is_never_fetched_again() {
    each(&["1", "8"], |jobs| {
        let kills = 6;
        let scene = Scene::of_size(SIZE);
        // Slower than the network, so that what is sent is also received.
        let slow = Fault::Throttle { bytes_per_second: 48 * MIB };
        scene.registry.fail_always(&scene.layer(), slow);
        let jobs = format!("--jobs={jobs}");
        for kill in 1..=kills {
            let running = scene.command(&[&jobs, "--progress=none"]).spawn();
            // Anywhere, but the same in every run.
            wait_for(&scene, kill * 9 * MIB + kill * kill * 54_321);
            running.kill();
            running.wait().exits(137);
            scene.is_whole();
            assert!(!scene.is_named());
        }
        let before = scene.kept();
        scene.registry.forget();
        scene.succeeds(&[&jobs]);
        let sent = scene.registry.bytes_sent(&scene.layer());
        assert_eq!(sent, SIZE - before, "only what was missing: {}", scene.story());
    });
}

#[test]
fn kill_costs_at_most_256_kib_of_what_was_received() {
    each(&[1, 5, 9], |&target| {
        let scene = Scene::of_size(SIZE);
        let at = target * 5 * MIB + 54_321;
        // What was sent by then has been received: nothing more comes.
        let stall = Fault::StallAfter(at, Duration::from_secs(3600));
        scene.registry.fail_always(&scene.layer(), stall);
        let running = scene.command(&["--jobs=1", "--progress=json"]).spawn();
        wait_for(&scene, at);
        thread::park_timeout(Duration::from_millis(300));
        running.kill();
        running.wait().exits(137);
        let kept = scene.kept();
        assert!(kept + 256 * KIB + 128 * KIB >= at, "{kept} of {at} bytes were kept");
        scene.recovers(SIZE - kept);
    });
}

#[test]
fn signal_ends_it_within_a_second_and_keeps_every_byte() {
    let cases = [(Signal::INT, 130, "8"), (Signal::TERM, 143, "8"), (Signal::INT, 130, "1")];
    each(&cases, |&(signal, status, jobs)| {
        let scene = Scene::of_size(SIZE);
        let slow = Fault::Throttle { bytes_per_second: 20 * MIB };
        scene.registry.fail_always(&scene.layer(), slow);
        let running = scene.command(&["--jobs", jobs]).spawn();
        wait_for(&scene, 20 * MIB);
        let sent = Instant::now();
        running.signal(signal);
        let output = running.wait().exits(status).prints("");
        let took = sent.elapsed();
        assert!(took < Duration::from_millis(1500), "it took {took:?}\n{output}");
        let output = output.says("windlass: interrupted; what has come is kept");
        let received = scene.registry.bytes_sent(&scene.layer());
        let kept = scene.kept();
        let streams = scene.registry.count(&scene.layer()) as u64;
        assert!(kept + streams * MIB >= received, "{kept} of {received} kept\n{output}");
        scene.is_whole();
        scene.recovers(SIZE - kept);
    });
}

#[test]
fn signal_ends_any_waiting() {
    let hour = Duration::from_secs(3600);
    let waits = [
        Fault::Silent,
        Fault::StallAfter(10, hour),
        Fault::Status(503),
        Fault::answer(429, &[("Retry-After", "100")], ""),
        Fault::Reset,
        Fault::Drip { bytes: 1, every: Duration::from_millis(50) },
    ];
    let mut cases = Vec::new();
    for wait in waits {
        cases.extend([(true, wait.clone()), (false, wait)]);
    }
    each(&cases, |(on_manifest, wait)| {
        let scene = Scene::of_size(2 * MIB);
        let pattern = if *on_manifest { scene.manifest() } else { scene.layer() };
        scene.registry.fail_always(&pattern, wait.clone());
        let running = scene.command(&[]).spawn();
        let begun = Instant::now();
        while scene.registry.count(&pattern) == 0 {
            assert!(begun.elapsed() < Duration::from_secs(10));
            thread::park_timeout(Duration::from_millis(1));
        }
        thread::park_timeout(Duration::from_millis(100));
        let sent = Instant::now();
        running.terminate();
        running.wait().exits(143).prints("").says("interrupted");
        assert!(sent.elapsed() < Duration::from_millis(1500), "{:?}", sent.elapsed());
        scene.recovers(2 * MIB);
    });
}
