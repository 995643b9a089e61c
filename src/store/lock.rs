use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::file::Temporary;
use super::layout::Layout;
use crate::endpoint::Guard;
use crate::error::{Context, Result};
use crate::image::Digest;

/// The lock that is held while names are read, changed and replaced, so that none is lost.
/// Released when dropped, and by the kernel when the process dies.
pub(super) struct IndexLock(#[expect(dead_code, reason = "holding the file holds the lock")] File);

impl IndexLock {
    /// Waits for whoever holds it; they hold it only for one small write.
    pub(super) fn take(layout: &Layout) -> Result<IndexLock> {
        let path = layout.index_lock();
        let file = open_lock(&path)?;
        file.lock().context(|| format!("locking `{}`", path.display()))?;
        Ok(IndexLock(file))
    }
}

/// What a live process works on: a locked file that lists digests.
///
/// The lock is the process's own and the kernel releases it, so a lease whose lock can be taken
/// belongs to nobody. The list is written under the shared sweep lock: garbage collection, which
/// holds that lock exclusive, sees either all of a lease or none of it.
pub(super) struct Lease(#[expect(dead_code, reason = "dropping it ends the lease")] Temporary);

impl Lease {
    pub(super) fn take(layout: &Layout, content: &[Digest]) -> Result<Lease> {
        let sweep = layout.sweep_lock();
        let lock = open_lock(&sweep)?;
        lock.lock_shared().context(|| format!("locking `{}`", sweep.display()))?;
        let mut lease = Temporary::create(&layout.leases())?;
        let list: String = content.iter().map(|digest| format!("{digest}\n")).collect();
        lease
            .file
            .write_all(list.as_bytes())
            .context(|| format!("writing `{}`", lease.path().display()))?;
        Ok(Lease(lease))
    }
}

impl Guard for Lease {}

fn open_lock(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .context(|| format!("opening `{}`", path.display()))
}
