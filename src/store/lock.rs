use std::fs::File;
use std::io::Write;

use super::Durability;
use super::file::{self, Locked, Temporary};
use super::layout::Layout;
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
        let path = layout.index_lock();
        let file = file::open_own(&path)?;
        let locked = Locked::exclusive(file).context(|| format!("locking `{}`", path.display()))?;
        Ok(IndexLock(locked))
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
        let path = layout.sweep_lock();
        let file = file::open_own(&path)?;
        let locked = Locked::shared(file).context(|| format!("locking `{}`", path.display()))?;
        Ok(SweepLock(locked))
    }

    pub(super) fn exclusive(layout: &Layout) -> Result<SweepLock> {
        let path = layout.sweep_lock();
        let file = file::open_own(&path)?;
        let locked = Locked::exclusive(file).context(|| format!("locking `{}`", path.display()))?;
        Ok(SweepLock(locked))
    }

    /// None if somebody has it.
    pub(super) fn try_exclusive(layout: &Layout) -> Result<Option<SweepLock>> {
        let path = layout.sweep_lock();
        let locked = Locked::try_exclusive(file::open_own(&path)?)
            .context(|| format!("locking `{}`", path.display()))?;
        Ok(locked.ok().map(SweepLock))
    }
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
        let mut lease = Temporary::create(&layout.leases())?;
        let mut list: String = content.iter().map(|digest| format!("{digest}\n")).collect();
        if durability == Durability::Unsynced {
            list.insert_str(0, &format!("{UNSYNCED}\n"));
        }
        lease
            .file
            .write_all(list.as_bytes())
            .context(|| format!("writing `{}`", lease.path().display()))?;
        Ok(Lease { file: lease, layout: layout.clone() })
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
