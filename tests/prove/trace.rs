//! strace: what a run calls, and runs in which one call ends otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::scene::clean;

/// Calls that change something; those that a processor does not have are marked as such.
const CHANGING: &str = "openat,?open,?creat,write,pwrite64,?pwritev,ftruncate,?fallocate,fchmod,?chmod,\
fchmodat,fsync,fdatasync,?rename,renameat,?renameat2,?unlink,unlinkat,?rmdir,?link,linkat,?mkdir,mkdirat,\
flock,close";

/// One call that a thread has made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) thread: u32,
    pub(crate) name: String,
    /// From the first argument on.
    pub(crate) rest: String,
}

/// A call to hit: the so-many-th of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) count: usize,
}

/// Which calls are seen.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// Those of all threads, not of the first alone.
    pub(crate) all_threads: bool,
    /// Those that have to do with one of these, if there are any.
    pub(crate) paths: Vec<PathBuf>,
}

/// Fails at once, with what helps, if there is no strace.
pub(crate) fn needed() {
    let version = Command::new("strace").arg("-V").output();
    assert!(
        version.is_ok(),
        "strace is missing: `tests/interop/install strace:strace` installs it"
    );
}

pub(crate) fn strace(store: &Path, scope: &Scope) -> Command {
    let mut command = Command::new("strace");
    clean(&mut command, store);
    command
        .args(["-qq", "-y", "-s", "0", "-e", "signal=none"])
        .arg("-e")
        .arg(format!("trace={CHANGING}"));
    if scope.all_threads {
        command.arg("-f");
    }
    for path in &scope.paths {
        command.arg("-P").arg(path);
    }
    command
}

/// Runs windlass and returns what it called.
pub(crate) fn record(store: &Path, scope: &Scope, args: &[String]) -> Vec<Call> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = strace(store, scope);
    command.arg("-o").arg(log.path()).arg(env!("CARGO_BIN_EXE_windlass")).args(args);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    calls(&fs::read_to_string(log.path()).unwrap())
}

/// The calls of a log, those that were interrupted by others put together, where they ended.
fn calls(log: &str) -> Vec<Call> {
    let mut begun: BTreeMap<u32, String> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let (thread, text) = match line.split_once(' ') {
            Some((thread, text)) if thread.parse::<u32>().is_ok() => {
                (thread.parse().unwrap(), text.trim_start())
            }
            _ => (0, line),
        };
        if let Some(start) = text.strip_suffix("<unfinished ...>") {
            begun.insert(thread, start.trim_end().to_owned());
            continue;
        }
        let whole = match text.strip_prefix("<... ").and_then(|it| it.split_once("resumed>")) {
            Some((_, end)) => begun.remove(&thread).unwrap_or_default() + end,
            None => text.to_owned(),
        };
        if let Some((name, rest)) = whole.split_once('(') {
            calls.push(Call { thread, name: name.to_owned(), rest: rest.to_owned() });
        }
    }
    calls
}

/// The points at which something in `store` changes: of the first thread, or of all others.
pub(crate) fn points(calls: &[Call], store: &Path, first_thread: bool) -> Vec<Point> {
    let store = store.to_str().unwrap();
    let first = calls.first().map(|call| call.thread);
    let mut counts: BTreeMap<(u32, &str), usize> = BTreeMap::new();
    let mut points = Vec::new();
    for call in calls {
        if (Some(call.thread) == first) != first_thread {
            continue;
        }
        let count = counts.entry((call.thread, &call.name)).or_default();
        *count += 1;
        let reads = call.name == "openat" && !call.rest.contains("O_CREAT");
        if call.rest.contains(store) && !reads {
            points.push(Point { name: call.name.clone(), count: *count });
        }
    }
    points.sort();
    points.dedup();
    points
}

/// Runs windlass, and lets `what` happen at `point`: `signal=KILL`, `error=EIO`.
pub(crate) fn inject(
    store: &Path,
    scope: &Scope,
    point: &Point,
    what: &str,
    args: &[String],
) -> Output {
    let Point { name, count } = point;
    let mut command = strace(store, scope);
    command.args(["-o", "/dev/null", "-e"]).arg(format!("inject={name}:{what}:when={count}"));
    command.arg(env!("CARGO_BIN_EXE_windlass")).args(args).output().unwrap()
}
