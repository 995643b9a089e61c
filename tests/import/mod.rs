//! Importing archives of every form, right and wrong, and verifying them.

mod beside;
mod check;
mod forms;
mod hostile;
mod names;
mod parts;

use std::fs;
use std::os::unix::fs::MetadataExt;

use windlass::store::{Durability, Store};

use crate::support::image::gzip;
use crate::support::{Image, ImageBuilder, Output, Windlass, archives};

/// A user with an archive.
pub(crate) struct Carrier {
    pub(crate) windlass: Windlass,
}

/// How an archive reaches windlass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    File,
    Pipe,
    Gzip,
    ZstdPipe,
}

pub(crate) const WAYS: [Way; 4] = [Way::File, Way::Pipe, Way::Gzip, Way::ZstdPipe];

impl Carrier {
    pub(crate) fn new() -> Carrier {
        Carrier { windlass: Windlass::new() }
    }

    /// Imports an archive that comes that way.
    #[track_caller]
    pub(crate) fn import(&self, archive: &[u8], way: Way, args: &[&str]) -> Output {
        let (bytes, file) = match way {
            Way::File => (archive.to_vec(), true),
            Way::Pipe => (archive.to_vec(), false),
            Way::Gzip => (gzip(archive), true),
            Way::ZstdPipe => (archives::zstd(archive), false),
        };
        let name = if file { "archive" } else { "-" };
        let mut all = vec!["import", "--no-sync", name];
        all.extend(args);
        let run = self.windlass.command(&all);
        if file {
            self.windlass.scratch.write("archive", bytes);
            run.run()
        } else {
            run.stdin(bytes).run()
        }
    }

    #[track_caller]
    pub(crate) fn verify(&self, archive: &[u8], args: &[&str]) -> Output {
        self.windlass.scratch.write("archive", archive);
        let mut all = vec!["verify", "--archive", "archive"];
        all.extend(args);
        self.windlass.run(&all)
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.windlass.store(), Durability::Unsynced).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.store().entries().unwrap().into_iter().map(|entry| entry.name).collect()
    }

    /// What each name leads to.
    pub(crate) fn stored(&self) -> Vec<(String, String)> {
        let entries = self.store().entries().unwrap();
        entries.into_iter().map(|it| (it.name, it.descriptor.digest.to_string())).collect()
    }

    /// Every name complete, every digest right.
    #[track_caller]
    pub(crate) fn expect_whole(&self) {
        self.windlass.run(&["verify"]).success();
    }

    /// Which files the blobs are: another one that is written in place of one is another.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let folder = self.windlass.store().join("blobs/sha256");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<(String, u64)> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, entry.metadata().unwrap().ino())
            })
            .collect();
        files.sort();
        files
    }
}

/// The images of most tests: they share their first layer, and one has a layer twice.
pub(crate) fn two_images() -> (Image, Image) {
    let base = ImageBuilder::new().layer_files(&[("base", "shared")]);
    let one = base.clone().layer_files(&[("one", "1")]).build();
    let two = base.layer_files(&[("two", "2")]).layer_files(&[("two", "2")]).build();
    (one, two)
}
