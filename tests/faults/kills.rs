use std::fs;
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
        // Where several streams share it, more is sent than is received.
        scene.succeeds(&["--jobs=1"]);
        let sent = scene.registry.bytes_sent(&scene.layer());
        assert_eq!(sent, SIZE - before, "only what was missing: {}", scene.story());
    });
}

/// How many bytes of the layer are in its partial file and not in the record of what is there.
fn unrecorded(scene: &Scene) -> u64 {
    let layer = &scene.image.layers()[0];
    let name = layer.digest.replace(':', "-");
    let folder = scene.windlass.store().join(".windlass/partial");
    let file = fs::read(folder.join(&name)).unwrap();
    let record = fs::read(folder.join(format!("{name}.json"))).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let ranges: Vec<(u64, u64)> = serde_json::from_value(record["ranges"].clone()).unwrap();
    let content = layer.content.to_vec();
    let blocks = file.chunks_exact(4096).zip(content.chunks_exact(4096)).enumerate();
    let there = blocks.filter(|(_, (file, content))| file == content);
    let starts = there.map(|(index, _)| index as u64 * 4096);
    let recorded = |at: &u64| ranges.iter().any(|(start, end)| *start < at + 4096 && at < end);
    starts.filter(|at| !recorded(at)).count() as u64 * 4096
}

#[test]
fn kill_costs_at_most_256_kib_of_what_was_received() {
    each(&[("1", 5), ("8", 20), ("8", 50)], |&(jobs, target)| {
        let scene = Scene::of_size(SIZE);
        let slow = Fault::Throttle { bytes_per_second: 30 * MIB };
        scene.registry.fail_always(&scene.layer(), slow);
        let running = scene.command(&["--jobs", jobs]).spawn();
        wait_for(&scene, target * MIB + 54_321);
        running.kill();
        running.wait().exits(137);
        let lost = unrecorded(&scene);
        // What is being written at that very moment may be there too.
        assert!(lost <= 256 * KIB + 8 * 128 * KIB, "{lost} bytes are lost");
        let kept = scene.kept();
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
        assert_eq!(unrecorded(&scene), 0, "{output}");
        let kept = scene.kept();
        assert!(kept > 0, "{output}");
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
