//! The order of writes, syncs and renames that survives a power cut, read off one log.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use crate::scene::{Deed, Scene};
use crate::trace::{self, Call, Scope};
use crate::{Extent, Row};

pub(crate) fn prove(scene: &Scene, _: Extent) -> Vec<Row> {
    scene.deeds.iter().map(read).collect()
}

fn read(deed: &Deed) -> Row {
    let began = Instant::now();
    let (_folder, store) = Scene::fresh(&deed.template);
    let scope = Scope { all_threads: true, paths: Vec::new() };
    let calls = trace::record(&store, &scope, &deed.args);
    let mut log = Log::new(&store);
    log.syncs = !deed.args.iter().any(|arg| arg == "--no-sync");
    if deed.template.exists() && !deed.template.join("oci-layout").exists() {
        // Whoever made these was killed before they were synced.
        let folder = parent(&log.store);
        log.unsettled = [folder, log.store.clone(), format!("{}/blobs", log.store)].into();
    }
    calls.iter().for_each(|call| log.read(call));
    log.end();
    let what = if log.syncs { "sync" } else { "close" };
    let seen = format!("{} renames after their {what}", log.renames);
    let what = format!("order for a power cut: {}", deed.title);
    Row { what, tried: log.renames + log.removals, seen, wrong: log.wrong, took: began.elapsed() }
}

/// What the disk may not have yet.
struct Log {
    store: String,
    /// Whether syncs are promised.
    syncs: bool,
    /// Files that were written and of which no handle was closed since.
    open: BTreeSet<String>,
    /// Files whose content is not synced.
    dirty: BTreeSet<String>,
    /// Folders with new names that are not synced.
    unsettled: BTreeSet<String>,
    renames: usize,
    removals: usize,
    wrong: Vec<String>,
}

impl Log {
    fn new(store: &Path) -> Log {
        Log {
            store: store.to_str().unwrap().to_owned(),
            syncs: true,
            open: BTreeSet::new(),
            dirty: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            renames: 0,
            removals: 0,
            wrong: Vec::new(),
        }
    }

    fn read(&mut self, call: &Call) {
        if call.rest.contains(") = -1") {
            return;
        }
        let file = descriptor(&call.rest);
        match (call.name.as_str(), file) {
            ("write" | "pwrite64" | "ftruncate", Some(file)) if file.starts_with(&self.store) => {
                self.open.insert(file.clone());
                self.dirty.insert(file);
            }
            ("close", Some(path)) => {
                self.open.remove(&path);
            }
            ("fsync" | "fdatasync", Some(path)) => {
                self.dirty.remove(&path);
                self.unsettled.remove(&path);
            }
            ("rename" | "renameat" | "renameat2", _) => self.renamed(&call.rest),
            ("unlink" | "unlinkat", _) => self.removed(&call.rest),
            ("mkdir" | "mkdirat", _) => {
                if let Some(path) = quoted(&call.rest).first()
                    && !path.contains(".windlass")
                {
                    self.unsettled.insert(parent(path));
                }
            }
            _ => {}
        }
    }

    fn renamed(&mut self, rest: &str) {
        let paths = quoted(rest);
        let [from, to] = paths.as_slice() else { return };
        self.renames += 1;
        if self.open.contains(from) {
            self.wrong.push(format!("{to} was renamed before any handle of it was closed"));
        }
        if !self.syncs {
            return;
        }
        if self.dirty.contains(from) {
            self.wrong.push(format!("{to} was renamed before it was synced"));
        }
        if to.ends_with("index.json") && !self.unsettled.is_empty() {
            self.wrong
                .push(format!("the index was renamed before {:?} were synced", self.unsettled));
        }
        self.unsettled.insert(parent(to));
    }

    fn removed(&mut self, rest: &str) {
        let paths = quoted(rest);
        let blobs = format!("{}/blobs", self.store);
        if paths.first().is_some_and(|path| path.starts_with(&blobs)) {
            self.removals += 1;
            if self.unsettled.contains(&self.store) {
                self.wrong.push("a blob was removed before the index was synced".into());
            }
        }
    }

    /// When the command says that it is done, all of it is.
    fn end(&mut self) {
        if !self.syncs {
            return;
        }
        for folder in &self.unsettled {
            self.wrong.push(format!("{folder} was not synced"));
        }
    }
}

/// The path of the first argument, a descriptor: `3</path>`.
fn descriptor(rest: &str) -> Option<String> {
    let (number, path) = rest.split_once('<')?;
    number.parse::<u32>().ok()?;
    // What was unlinked or renamed is shown as it was called when it was opened.
    path.split_once('>').map(|(path, _)| path.trim_end_matches(" (deleted)").to_owned())
}

/// The strings among the arguments.
fn quoted(rest: &str) -> Vec<String> {
    rest.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or(path, |(parent, _)| parent).to_owned()
}
