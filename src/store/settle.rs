use std::fs::{self, File};
use std::path::Path;

use super::lock::SweepLock;
use super::sweep::Leases;
use super::{Durability, Store, file};
use crate::error::{Context, Result};

impl Store {
    /// Notes that there is, or will soon be, content that nobody has synced. Whoever writes it
    /// holds a lease that says so.
    pub(super) fn note_unsynced(&self) -> Result<()> {
        let mark = self.layout.unsynced();
        if is_there(&mark) { Ok(()) } else { file::open_own(&mark, 0).map(drop) }
    }

    /// Makes content survive a power cut that others, who do not care, have written: a name that
    /// is to survive may lead to it.
    pub(super) fn settle(&self) -> Result<()> {
        let mark = self.layout.unsynced();
        if self.durability == Durability::Unsynced || !is_there(&mark) {
            return Ok(());
        }
        let root = self.layout.root();
        let syncing = || format!("syncing `{}`", root.display());
        // As long as this is held nobody begins, so that what is synced now is all there is.
        let lock = SweepLock::try_exclusive(&self.layout)?;
        let is_all = lock.is_some() && !Leases::read(&self.layout)?.unsynced;
        let folder = File::open(root).context(syncing)?;
        rustix::fs::syncfs(&folder).map_err(std::io::Error::from).context(syncing)?;
        if is_all { file::clear(&mark) } else { Ok(()) }
    }
}

/// Whether there is a mark, whatever it is.
fn is_there(mark: &Path) -> bool {
    fs::symlink_metadata(mark).is_ok()
}
