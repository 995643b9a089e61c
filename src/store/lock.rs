use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::Durability;
use super::file;
use super::layout::Layout;
use super::locked::Locked;
use super::temporary::Temporary;
use crate::endpoint::Guard;
use crate::error::{Context, Result};
use crate::image::Digest;

/// The lock that is held while names are read, changed and replaced, so that none is lost.
/// Released when dropped, and by the kernel when the process dies.
pub(super) struct IndexLock(
    #[expect(dead_code, reason = "holding the file holds the lock")] Locked,
);

impl IndexLock {
    /// Waits for whoever holds it; they hold it only for one small write.
    pub(super) fn take(layout: &Layout) -> Result<IndexLock> {
        locked(&layout.index_lock(), Locked::exclusive).map(IndexLock)
    }
}

/// The lock between those who announce what they need and the one who removes what nobody needs.
///
/// Held shared while a lease is written, exclusive while garbage is collected: that sees either
/// all of a lease or none of it, and as long as it goes on there are no new ones.
pub(super) struct SweepLock(
    #[expect(dead_code, reason = "holding the file holds the lock")] Locked,
);

impl SweepLock {
    pub(super) fn shared(layout: &Layout) -> Result<SweepLock> {
        locked(&layout.sweep_lock(), Locked::shared).map(SweepLock)
    }

    pub(super) fn exclusive(layout: &Layout) -> Result<SweepLock> {
        locked(&layout.sweep_lock(), Locked::exclusive).map(SweepLock)
    }

    /// None if somebody has it.
    pub(super) fn try_exclusive(layout: &Layout) -> Result<Option<SweepLock>> {
        let lock = locked(&layout.sweep_lock(), Locked::try_exclusive)?;
        Ok(lock.ok().map(SweepLock))
    }
}

/// What `lock` makes of the lock file at `path`.
fn locked<T>(path: &Path, lock: fn(std::fs::File) -> std::io::Result<T>) -> Result<T> {
    lock(file::open_lock(path)?).context(|| format!("locking `{}`", path.display()))
}

/// What a lease begins with whose holder does not sync what it writes.
pub(super) const UNSYNCED: &str = "unsynced";

/// What a live process works on: a locked file that lists digests.
///
/// The lock is the process's own and the kernel releases it, so a lease whose lock can be taken
/// belongs to nobody. The list is written under the shared [`SweepLock`].
pub(super) struct Lease {
    file: Temporary,
    layout: Layout,
}

impl Lease {
    pub(super) fn take(
        layout: &Layout,
        content: &[Digest],
        durability: Durability,
    ) -> Result<Lease> {
        let _sweep = SweepLock::shared(layout)?;
        let mut list: String = content.iter().map(|digest| format!("{digest}\n")).collect();
        if durability == Durability::Unsynced {
            list.insert_str(0, &format!("{UNSYNCED}\n"));
        }
        let file = Temporary::with(&layout.leases(), list.as_bytes())?;
        Ok(Lease { file, layout: layout.clone() })
    }
}

impl Guard for Lease {
    fn extend(&self, content: &[Digest]) -> Result<()> {
        let _sweep = SweepLock::shared(&self.layout)?;
        let list: String = content.iter().map(|digest| format!("{digest}\n")).collect();
        let mut file: &File = &self.file.file;
        file.write_all(list.as_bytes())
            .context(|| format!("writing `{}`", self.file.path().display()))
    }
}
