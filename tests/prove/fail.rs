//! System calls that fail: a full disk, an error of the disk, a file system that is suddenly
//! read-only.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::kill::{after, completed, each, scope, shots};
use crate::scene::{Deed, Scene, blob};
use crate::trace::{self, Point, Scope};
use crate::{Extent, Row};

/// Errors, and the calls that they are usual for.
const ERRORS: [(&str, &[&str]); 3] = [
    ("ENOSPC", &["openat", "write", "pwrite64", "ftruncate", "fsync", "rename", "mkdir"]),
    (
        "EIO",
        &[
            "openat",
            "write",
            "pwrite64",
            "ftruncate",
            "fchmod",
            "fsync",
            "rename",
            "unlink",
            "close",
        ],
    ),
    ("EROFS", &["openat", "fchmod", "rename", "unlink", "mkdir"]),
];

pub(crate) fn prove(scene: &Scene, extent: Extent) -> Vec<Row> {
    let mut rows = errors(scene, extent);
    let of = |title: &str| scene.deeds.iter().find(|deed| deed.title == title).unwrap();
    rows.extend(["pull beside others", "pull --no-sync"].map(|title| closes(scene, of(title))));
    rows
}

/// The error of a close before a file gets its name: it must count, whatever is synced.
fn closes(scene: &Scene, deed: &Deed) -> Row {
    let began = Instant::now();
    let mut wrong = Vec::new();
    let mut tried = 0;
    let mut try_it = |scope: &Scope, point: &str, hidden: Option<&Path>, store: &Path| {
        tried += 1;
        let inject = format!("{point}, {}", deed.title);
        let mut command = trace::strace(store, scope);
        command.args(["-o", "/dev/null", "-e"]).arg(format!("inject=close:error=EIO:when={point}"));
        let output = command.arg(env!("CARGO_BIN_EXE_windlass")).args(&deed.args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(8) || !stderr.contains("closing `") {
            wrong.push(format!("{inject}: exit {:?}: {stderr}", output.status.code()));
        }
        if hidden.is_some_and(Path::exists) {
            wrong.push(format!("{inject}: the blob is visible"));
        }
        wrong.extend(after(store, deed).into_iter().map(|it| format!("{inject}: {it}")));
        wrong.extend(completed(store, deed).into_iter().map(|it| format!("{inject}: {it}")));
    };
    for piece in &scene.image.blobs {
        let (_folder, store) = Scene::fresh(&deed.template);
        let partial = store.join(".windlass/partial").join(piece.digest.replace(':', "-"));
        let blob = blob(&store, &piece.digest);
        let scope = Scope { all_threads: true, paths: vec![partial] };
        if !blob.exists() {
            try_it(&scope, "1+", Some(&blob), &store);
        }
    }
    // Manifests and the index are written by the first thread.
    let (_folder, store) = Scene::fresh(&deed.template);
    let calls = trace::record(&store, &Scope::default(), &deed.args);
    let (mut closed, mut last) = (0, BTreeMap::new());
    let mut points: Vec<usize> = Vec::new();
    for call in &calls {
        let path = |mark| call.rest.split(mark).nth(1).unwrap_or_default().to_owned();
        match call.name.as_str() {
            "close" => {
                closed += 1;
                last.insert(path(['<', '>']), closed);
            }
            "rename" => points.extend(last.get(&path(['"', '"']))),
            _ => {}
        }
    }
    for point in &points {
        let (_folder, store) = Scene::fresh(&deed.template);
        try_it(&Scope::default(), &point.to_string(), None, &store);
    }
    if points.len() < 2 {
        wrong.push(format!("only {} files of the first thread were seen", points.len()));
    }
    let what = format!("EIO at the last close: {}", deed.title);
    let seen = "all told and exit 8; all completed again".into();
    Row { what, tried, seen, wrong, took: began.elapsed() }
}

fn errors(scene: &Scene, extent: Extent) -> Vec<Row> {
    ERRORS
        .iter()
        .map(|(error, calls)| {
            let began = Instant::now();
            let mut cases = Vec::new();
            for deed in &scene.deeds {
                let mut points = shots(scene, deed, false);
                if deed.threads {
                    points.extend(shots(scene, deed, true));
                }
                let fitting = |point: &Point| {
                    calls.contains(&point.name.trim_end_matches("at"))
                        || calls.contains(&point.name.as_str())
                };
                points.retain(|(_, point)| fitting(point));
                cases.extend(points.into_iter().map(|(others, point)| (deed, others, point)));
            }
            let cases: Vec<_> = cases.into_iter().step_by(extent.step).collect();
            let (failed, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let wrong = each(&cases, |(deed, others, point)| {
                let (_folder, store) = Scene::fresh(&deed.template);
                let scope = scope(scene, &store, *others);
                let what = format!("error={error}");
                let output = trace::inject(&store, &scope, point, &what, &deed.args);
                let mut wrong = after(&store, deed);
                match output.status.code() {
                    Some(0) => passed.fetch_add(1, Ordering::Relaxed),
                    Some(8) => failed.fetch_add(1, Ordering::Relaxed),
                    // A repair that was not possible leaves what it was to repair.
                    Some(7) if deed.args[0] == "verify" => failed.fetch_add(1, Ordering::Relaxed),
                    code => {
                        let stderr = String::from_utf8_lossy(&output.stderr);
                        wrong.push(format!("exit {code:?}: {stderr}"));
                        0
                    }
                };
                wrong.extend(completed(&store, deed));
                wrong.into_iter().map(|it| format!("{}, {point:?}: {it}", deed.title)).collect()
            });
            let (failed, passed) = (failed.into_inner(), passed.into_inner());
            let what = format!("{error} at one call of each command");
            let seen =
                format!("{failed} told and exit 8, {passed} not needed; all completed again");
            Row { what, tried: cases.len(), seen, wrong, took: began.elapsed() }
        })
        .collect()
}
