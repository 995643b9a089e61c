//! Many processes on one store at once, some of them killed.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::scene::{Scene, damage, litter, names, windlass};
use crate::support::{Image, ImageBuilder};
use crate::{Extent, Row};

const PROCESSES: usize = 16;

/// A layer that all images share, and one of their own.
fn image(number: usize) -> Image {
    let seed = u64::try_from(number).unwrap();
    ImageBuilder::new().layer_random(1, 300_000).layer_random(1000 + seed % 8, 20_000).build()
}

pub(crate) fn prove(scene: &Scene, extent: Extent) -> Vec<Row> {
    vec![crowd(scene, extent), killed(scene, extent)]
}

/// 16 processes that pull, with gc and verify beside.
fn crowd(scene: &Scene, extent: Extent) -> Row {
    let began = Instant::now();
    let (_folder, store) = Scene::fresh("/nonexistent".as_ref());
    let wrong: Mutex<Vec<String>> = Mutex::default();
    let (done, beside) = (AtomicBool::new(false), AtomicUsize::new(0));
    let run = |args: &[String]| {
        let output = windlass(&store).args(args).output().unwrap();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            wrong.lock().unwrap().push(format!("{args:?}: {stdout} {stderr}"));
        }
    };
    std::thread::scope(|scope| {
        for command in ["gc", "verify"] {
            let (run, done, beside) = (&run, &done, &beside);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    run(&[command.into()]);
                    beside.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::scope(|scope| {
            for process in 0..PROCESSES {
                let run = &run;
                scope.spawn(move || {
                    for round in 0..extent.rounds {
                        let name = format!("crowd{process}:{round}");
                        let name = scene.registry.push(&image(process + round), &name);
                        run(&scene.pull(&name, "-j2"));
                    }
                });
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let mut wrong = wrong.into_inner().unwrap();
    let tried = PROCESSES * extent.rounds;
    let there = names(&store).len();
    if there != tried {
        wrong.push(format!("of {tried} names {there} are there"));
    }
    wrong.extend(damage(&store));
    wrong.extend(litter(&store));
    let seen = format!("{there} names, {} gc and verify beside", beside.into_inner());
    let what = format!("{PROCESSES} processes x {} rounds", extent.rounds);
    Row { what, tried, seen, wrong, took: began.elapsed() }
}

/// Two writers that are killed at random moments, until each has made it.
fn killed(scene: &Scene, extent: Extent) -> Row {
    let began = Instant::now();
    let (_folder, store) = Scene::fresh("/nonexistent".as_ref());
    let kept = scene.registry.push(&image(0), "kept:1");
    let pull = |name: &str| {
        windlass(&store)
            .args(scene.pull(name, "-j2"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut wrong = Vec::new();
    assert!(pull(&kept).wait().unwrap().success());
    let targets =
        [scene.registry.push(&image(1), "killed:1"), scene.registry.push(&image(2), "killed:2")];
    let rounds = extent.rounds * 10;
    let mut random: u64 = 0x9e37_79b9;
    for _ in 0..rounds {
        let mut both = targets.each_ref().map(|name| pull(name));
        for process in &mut both {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let moment = Instant::now() + Duration::from_micros((random >> 33) % 8_000);
            while Instant::now() < moment {
                std::thread::yield_now();
            }
            process.kill().unwrap();
            process.wait().unwrap();
        }
        wrong.extend(damage(&store));
        if !names(&store).contains(&kept) {
            wrong.push(format!("{kept} is lost"));
        }
        let remove = windlass(&store).arg("remove").args(&targets).output().unwrap();
        if ![Some(0), Some(3)].contains(&remove.status.code()) {
            wrong.push(String::from_utf8_lossy(&remove.stderr).into_owned());
        }
        if !windlass(&store).args(["gc", "--partials=0"]).output().unwrap().status.success() {
            wrong.push("gc fails".into());
        }
    }
    for name in &targets {
        if !pull(name).wait().unwrap().success() {
            wrong.push(format!("{name} cannot be pulled any more"));
        }
    }
    wrong.extend(damage(&store));
    wrong.extend(litter(&store));
    let seen = "killed at random moments, two writers at once".into();
    Row {
        what: "kill -9 of two writers".into(),
        tried: 2 * rounds,
        seen,
        wrong,
        took: began.elapsed(),
    }
}
