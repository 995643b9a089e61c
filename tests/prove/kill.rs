//! `kill -9` at every system call that changes something.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::scene::{Deed, Scene, blob, damage, litter, names, windlass};
use crate::trace::{self, Point, Scope};
use crate::{Extent, Row};

pub(crate) fn prove(scene: &Scene, extent: Extent) -> Vec<Row> {
    scene.deeds.iter().map(|deed| sweep(scene, deed, extent)).collect()
}

fn sweep(scene: &Scene, deed: &Deed, extent: Extent) -> Row {
    let began = Instant::now();
    let mut shots = shots(scene, deed, false);
    if deed.threads {
        shots.extend(self::shots(scene, deed, true));
    }
    let shots: Vec<_> = shots.into_iter().step_by(extent.step).collect();
    let killed = AtomicUsize::new(0);
    let wrong = each(&shots, |(others, point)| {
        let (folder, store) = Scene::fresh(&deed.template);
        let scope = scope(scene, &store, *others);
        let output = trace::inject(&store, &scope, point, "signal=KILL", &deed.args);
        if output.status.success() {
            // Another order of threads: the point was not reached this time.
        } else {
            killed.fetch_add(1, Ordering::Relaxed);
        }
        let mut wrong = after(&store, deed);
        wrong.extend(completed(&store, deed));
        drop(folder);
        wrong.into_iter().map(|it| format!("{point:?}: {it}")).collect()
    });
    let tried = shots.len();
    let seen = format!("{} killed, all completed by the same command", killed.into_inner());
    let what = format!("kill -9: {}", deed.title);
    Row { what, tried, seen, wrong, took: began.elapsed() }
}

/// The points of the first thread, or of the others.
pub(crate) fn shots(scene: &Scene, deed: &Deed, others: bool) -> Vec<(bool, Point)> {
    let (_folder, store) = Scene::fresh(&deed.template);
    let scope = scope(scene, &store, others);
    let calls = trace::record(&store, &scope, &deed.args);
    // Of the other threads only what has to do with blobs is seen, and the first only reads there.
    let points = match others {
        false => trace::points(&calls, &store, true),
        true => [true, false]
            .iter()
            .flat_map(|first| trace::points(&calls, &store, *first))
            .filter(|point| !["openat", "close"].contains(&point.name.as_str()))
            .collect(),
    };
    let mut points: Vec<_> = points.into_iter().map(|point| (others, point)).collect();
    points.dedup();
    points
}

/// strace counts the calls of each thread for itself, so that the first one's would hide those of
/// the others. What the others do has to do with these files.
pub(crate) fn scope(scene: &Scene, store: &Path, others: bool) -> Scope {
    if !others {
        return Scope::default();
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for piece in &scene.image.blobs {
        let partial = store.join(".windlass/partial").join(piece.digest.replace(':', "-"));
        paths.push(partial.with_extension("json"));
        paths.push(partial);
        paths.push(blob(store, &piece.digest));
    }
    Scope { all_threads: true, paths }
}

/// What must hold whenever it was killed.
pub(crate) fn after(store: &Path, deed: &Deed) -> Vec<String> {
    let mut wrong = damage(store);
    if deed.title.starts_with("verify") {
        wrong.retain(|it| !it.contains("is corrupt"));
    }
    let before = names(&deed.template);
    let now = names(store);
    for lost in before.difference(&now).filter(|name| **name != deed.changed) {
        wrong.push(format!("{lost} is lost"));
    }
    for new in now.difference(&before).filter(|name| **name != deed.changed) {
        wrong.push(format!("{new} was not asked for"));
    }
    wrong
}

/// What must hold once the same command has run again.
pub(crate) fn completed(store: &Path, deed: &Deed) -> Vec<String> {
    let mut wrong = Vec::new();
    let again = windlass(store).args(&deed.args).output().unwrap();
    // What was removed before it was killed is not there to be removed.
    let removed = deed.args[0] == "remove" && again.status.code() == Some(3);
    if !again.status.success() && !removed {
        let stderr = String::from_utf8_lossy(&again.stderr).into_owned();
        wrong.push(format!("the same command ends with {:?}: {stderr}", again.status.code()));
    }
    let now = names(store);
    if now != deed.names.iter().cloned().collect() {
        wrong.push(format!("then there are {now:?}"));
    }
    for command in [&["gc"][..], &["verify"]] {
        let output = windlass(store).args(command).output().unwrap();
        if !output.status.success() {
            let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            wrong.push(format!("{command:?}: {stdout} {stderr}"));
        }
    }
    wrong.extend(damage(store));
    wrong.extend(litter(store));
    wrong
}

/// Does `work` with each, on all processors.
pub(crate) fn each<T: Sync>(all: &[T], work: impl Fn(&T) -> Vec<String> + Sync) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = work(one);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}
