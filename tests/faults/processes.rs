use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{MIB, SLACK, Scene};
use crate::support::{Fault, ImageBuilder, Rule, Running};

const SIZE: u64 = 8 * MIB;

#[track_caller]
fn wait_until(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

fn start(scene: &Scene, args: &[&str]) -> Running {
    scene.command(args).spawn()
}

#[test]
fn two_processes_download_each_blob_once() {
    let image = ImageBuilder::new().layer_random(1, SIZE).layer_random(2, MIB).build();
    let scene = Scene::of(image);
    let slow = Fault::Throttle { bytes_per_second: 8 * MIB };
    scene.registry.fail_always("GET /v2/box/blobs/*", slow);
    let running: Vec<_> = (0..3).map(|_| start(&scene, &[])).collect();
    for running in running {
        running.wait().success().prints(&format!("{}@{}\n", scene.name, scene.image.digest));
    }
    scene.holds();
    for layer in scene.image.layers() {
        let sent = scene.registry.bytes_sent(&format!("GET /v2/box/blobs/{}", layer.digest));
        assert!(sent <= layer.size() + SLACK, "{sent} bytes of {}", layer.size());
    }
}

/// One process is stopped by `signal` when it has half of the layer.
fn half_way(signal: Signal) -> (Scene, Running) {
    let scene = Scene::of_size(SIZE);
    let stall = Fault::StallAfter(SIZE / 2, Duration::from_secs(3600));
    scene.registry.rule(Rule::on(&scene.layer()).once().fault(stall));
    let first = start(&scene, &["--jobs=1", "--stall-timeout=3"]);
    wait_until("half of it is recorded", || scene.kept() + SLACK >= SIZE / 2);
    first.signal(signal);
    (scene, first)
}

#[test]
fn process_that_was_killed_is_taken_over_from_at_once() {
    let (scene, first) = half_way(Signal::KILL);
    first.wait().exits(137);
    let kept = scene.kept();
    scene.succeeds(&["--stall-timeout=20"]);
    scene.asked(2, SIZE - kept - SIZE / 2);
}

#[test]
fn process_that_dies_while_another_waits_is_taken_over_from() {
    let scene = Scene::of_size(SIZE);
    let stall = Fault::StallAfter(SIZE / 2, Duration::from_secs(3600));
    scene.registry.rule(Rule::on(&scene.layer()).once().fault(stall));
    let first = start(&scene, &["--jobs=1", "--stall-timeout=20"]);
    wait_until("half of it is recorded", || scene.kept() + SLACK >= SIZE / 2);
    let second = start(&scene, &["--stall-timeout=20"]);
    wait_until("the second has begun", || scene.registry.count(&scene.manifest()) == 2);
    thread::park_timeout(Duration::from_millis(300));
    assert_eq!(scene.registry.count(&scene.layer()), 1, "the second waits");
    let third = start(&scene, &["--stall-timeout=20"]);
    wait_until("the third has begun", || scene.registry.count(&scene.manifest()) == 3);
    let sent = Instant::now();
    third.interrupt();
    third.wait().exits(130);
    assert!(sent.elapsed() < Duration::from_millis(1500), "waiting is interrupted");
    first.kill();
    first.wait().exits(137);
    let output = second.wait().success();
    assert!(output.took < Duration::from_secs(10), "{output}");
    scene.holds();
    scene.asked(2, SLACK);
}

#[test]
fn process_that_is_stopped_does_not_hold_others_up_for_long() {
    let (scene, first) = half_way(Signal::STOP);
    let output = scene.pull(&["--stall-timeout=1"]).success();
    assert!(output.took > Duration::from_millis(900), "it waits for the other first\n{output}");
    assert!(output.took < Duration::from_secs(6), "{output}");
    scene.is_whole();
    first.signal(Signal::CONT);
    first.interrupt();
    first.wait();
    scene.is_whole();
    assert!(scene.is_named());
    scene.recovers(0);
}

#[test]
fn process_that_is_stopped_and_goes_on_finishes_too() {
    let (scene, first) = half_way(Signal::STOP);
    scene.pull(&["--stall-timeout=0.5"]).success();
    first.signal(Signal::CONT);
    first.terminate();
    first.wait().exits(143);
    let (scene, first) = half_way(Signal::STOP);
    scene.pull(&["--stall-timeout=0.5"]).success();
    scene.registry.recover();
    first.signal(Signal::CONT);
    let output = first.wait();
    assert_eq!(output.status(), 0, "{output}");
    scene.recovers(0);
}

#[test]
fn many_processes_on_one_store_lose_no_name() {
    let scene = Scene::of_size(MIB);
    let names: Vec<String> =
        (0..6).map(|tag| scene.registry.push(&scene.image, &format!("box:t{tag}"))).collect();
    let pull = |name: &String| scene.windlass.spawn(&["pull", name, "--no-sync"]);
    let running: Vec<_> = names.iter().map(pull).collect();
    for (running, name) in running.into_iter().zip(&names) {
        running.wait().success().prints(&format!("{name}@{}\n", scene.image.digest));
    }
    scene.is_whole();
    let index = scene.windlass.scratch.read("store/index.json");
    let index = String::from_utf8(index).unwrap();
    for name in &names {
        assert!(index.contains(name.as_str()), "{name} is in {index}");
    }
    assert!(scene.registry.bytes_sent(&scene.layer()) <= MIB + SLACK);
}
