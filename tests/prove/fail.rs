//! System calls that fail: a full disk, an error of the disk, a file system that is suddenly
//! read-only.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::kill::{after, completed, each, scope, shots};
use crate::scene::Scene;
use crate::trace::{self, Point};
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
