use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Durability;
use super::file;
use super::layout::Layout;
use super::locked::Locked;
use super::record::{self, RecordFile};
use super::temporary::Temporary;
use crate::endpoint::Draft;
use crate::error::{Context, ErrorKind, Result, lacking};
use crate::image::{Descriptor, Digest};
use crate::stream::Assembly;
use crate::stream::ranges::Ranges;

/// New bytes after which the record of what is there is written again: 256 KiB is what a
/// `kill -9` costs at the most for each connection.
const RECORD_STEP: u64 = 256 * 1024;

/// How many bytes are copied at a time from the partial file of somebody who is stuck.
const COPY_BUFFER: usize = 256 * 1024;

/// A blob being received into the store: a file, and which ranges of it are there.
///
/// Its file is locked. Dropped before it is committed, file and record stay, for any later
/// process to go on with.
pub(super) struct Partial {
    assembly: Assembly,
    /// Bytes that were there when the record was last written.
    recorded: AtomicU64,
    digest: Digest,
    target: PathBuf,
    /// Which file had the blob's name and size before: one that is wrong, which this replaces.
    before: Option<(u64, u64)>,
    durability: Durability,
    place: Place,
}

enum Place {
    /// Under the blob's own name, where any process finds it.
    Named { record: RecordFile, lock: Locked },
    /// Under a temporary name, because somebody else is stuck with the named one.
    Temporary { file: Option<Temporary>, distrusted: Distrusted },
}

/// Blobs of which somebody else had received something wrong, so that it is not taken over again.
pub(super) type Distrusted = Arc<Mutex<HashSet<Digest>>>;

/// What came of the attempt to own a blob's partial file.
pub(super) enum Claimed {
    Ours(Box<Partial>),
    /// Another process has it; the number changes while it makes progress.
    Theirs(u64),
}

impl Partial {
    /// Takes up the partial file of `blob`, or begins one.
    pub(super) fn claim(
        layout: &Layout,
        blob: &Descriptor,
        durability: Durability,
    ) -> Result<Claimed> {
        let path = layout.partial(blob.digest);
        let file = loop {
            let file = Locked::try_exclusive(open(&path, blob.size)?)
                .context(|| format!("locking `{}`", path.display()))?;
            let file = match file {
                Ok(file) => file,
                Err(theirs) => return Ok(Claimed::Theirs(progress(&theirs))),
            };
            // Whoever had it before may have committed it: then this is the blob, not a partial.
            if file::is_same(&file, &path)? {
                break file;
            }
        };
        let record_path = layout.partial_record(blob.digest);
        let (record, ranges) = RecordFile::open(record_path, &file, blob.size)?;
        // What is not known to be there must not be part of the blob.
        // A file that is cut is written out by ext4 when it is closed, so only if it must be.
        let cutting = || format!("cutting `{}`", path.display());
        if file.metadata().context(cutting)?.len() != ranges.end() {
            file.set_len(ranges.end()).context(cutting)?;
        }
        let lock = file;
        let file = clone(&lock, &path)?;
        let place = Place::Named { record, lock };
        let partial = Partial::start(layout, blob, durability, (file, path), place, ranges)?;
        // What the old record said in error must not be believed by the next process.
        partial.assembly.there(|ranges| partial.record(ranges))?;
        Ok(Claimed::Ours(Box::new(partial)))
    }

    /// How many bytes of `blob` are there from an earlier attempt.
    pub(super) fn partial_len(layout: &Layout, blob: &Descriptor) -> Result<u64> {
        Ok(Partial::left(layout, blob)?.map_or(0, |(_, ranges)| ranges.len()))
    }

    /// What is there of `blob`, whoever is at it.
    fn left(layout: &Layout, blob: &Descriptor) -> Result<Option<(File, Ranges)>> {
        let (path, record_path) = (layout.partial(blob.digest), layout.partial_record(blob.digest));
        // What is no file is nothing that has come.
        let opened = |path| match file::open(path) {
            Err(error) if matches!(error.kind(), ErrorKind::Content(_)) => Ok(None),
            opened => opened,
        };
        let (Some(file), Some(record)) = (opened(&path)?, opened(&record_path)?) else {
            return Ok(None);
        };
        let (ranges, _) = record::parse(&record, &file, blob.size)
            .context(|| format!("reading `{}`", record_path.display()))?;
        Ok(Some((file, ranges)))
    }

    /// Begins to receive `blob` under a temporary name, with what somebody who is stuck has got.
    ///
    /// They never write again where their record says that something is. If it is wrong all the
    /// same, the digest shows it, and the next time nothing is taken from them.
    pub(super) fn beside(
        layout: &Layout,
        blob: &Descriptor,
        durability: Durability,
        distrusted: &Distrusted,
    ) -> Result<Partial> {
        let temporary = Temporary::create(&layout.temporary(), blob.size)?;
        let path = temporary.path().to_owned();
        let file = clone(&temporary.file, &path)?;
        let mut ranges = Ranges::default();
        let trusted =
            !distrusted.lock().unwrap_or_else(PoisonError::into_inner).contains(&blob.digest);
        if trusted && let Ok(Some((theirs, there))) = Partial::left(layout, blob) {
            for range in there.iter() {
                copy(&theirs, &temporary.file, range.clone())
                    .map_err(|error| lacking(error, blob.size))
                    .context(|| format!("copying to `{}`", path.display()))?;
                ranges.insert(range.clone());
            }
        }
        let distrusted = Arc::clone(distrusted);
        let place = Place::Temporary { file: Some(temporary), distrusted };
        Partial::start(layout, blob, durability, (file, path), place, ranges)
    }

    fn start(
        layout: &Layout,
        blob: &Descriptor,
        durability: Durability,
        (file, path): (File, PathBuf),
        place: Place,
        ranges: Ranges,
    ) -> Result<Partial> {
        let recorded = AtomicU64::new(ranges.len());
        let assembly = Assembly::start((file, path, 0), blob, ranges)?;
        let (digest, target) = (blob.digest, layout.blob(blob.digest));
        let before = identity(&target, blob.size);
        Ok(Partial { assembly, recorded, digest, target, before, durability, place })
    }

    /// Records what is there, once so much has come that it is worth it.
    fn noted(&self, ranges: &Ranges) -> Result<()> {
        let there = ranges.len();
        if there - self.recorded.load(Ordering::Relaxed) >= RECORD_STEP {
            self.record(ranges)?;
            self.recorded.store(there, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the files, because their content is wrong or the blob is there already.
    pub(super) fn remove(&self) -> Result<()> {
        match &self.place {
            // The record goes first: one without its file would be taken for that of the next.
            Place::Named { record, .. } => {
                file::remove(record.path())?;
                file::remove(self.assembly.path())
            }
            Place::Temporary { distrusted, .. } => {
                distrusted.lock().unwrap_or_else(PoisonError::into_inner).insert(self.digest);
                Ok(())
            }
        }
    }

    /// The same, unless the name is no longer ours: after a commit another process may have it.
    fn remove_own(&self) -> Result<()> {
        match &self.place {
            Place::Named { lock, .. } if file::is_same(lock, self.assembly.path())? => {
                self.remove()
            }
            _ => Ok(()),
        }
    }

    fn record(&self, ranges: &Ranges) -> Result<()> {
        match &self.place {
            Place::Named { record, .. } => record.write(ranges, self.assembly.size()),
            Place::Temporary { .. } => Ok(()),
        }
    }
}

impl Draft for Partial {
    fn missing(&self) -> Vec<Range<u64>> {
        self.assembly.missing()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.assembly.write(offset, bytes, |ranges| self.noted(ranges))
    }

    fn take_at(&self, offset: u64, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>> {
        self.assembly.take(offset, buffer, len, |ranges| self.noted(ranges))
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let got = self.assembly.finish()?;
        if got != self.digest {
            self.remove()?;
            return Err(ErrorKind::Digest { expected: self.digest, got }.into());
        }
        let (file, path) = (self.assembly.file(), self.assembly.path());
        if let Err(error) = file::finish(file, path, self.durability) {
            // The kernel may now take what it could not write for written.
            self.remove()?;
            return Err(error);
        }
        file::protect(file, path)?;
        match &mut self.place {
            Place::Named { record, .. } => {
                file::publish(path, &self.target)?;
                // The blob is there; a record that is left over misleads nobody.
                if let Err(error) = file::remove(record.path()) {
                    log::debug!("{error}");
                }
                Ok(())
            }
            Place::Temporary { file, .. } => match file.take() {
                Some(temporary) => temporary.commit(&self.target, self.durability),
                None => Ok(()),
            },
        }
    }

    fn discard(self: Box<Self>) -> Result<()> {
        self.remove()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a commit or a removal the files are no longer ours by name; the record then
        // goes to a file that is gone.
        if let Err(error) = self.assembly.there(|ranges| self.record(ranges)) {
            log::debug!("keeping what has come of {}: {error}", self.digest);
        }
        // Somebody who took us for stuck may have completed the blob: nobody goes on with this.
        let now = identity(&self.target, self.assembly.size());
        if now.is_some()
            && now != self.before
            && let Err(error) = self.remove_own()
        {
            log::debug!("removing what has come of {}: {error}", self.digest);
        }
    }
}

/// Opens a partial file. One that was about to become a blob may be without permission to write;
/// what is no file at all is in the way.
pub(super) fn open(path: &Path, needed: u64) -> Result<File> {
    let error = match file::open_own(path, needed) {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::Io(it) if it.kind() == io::ErrorKind::PermissionDenied => {
            let Some(file) = file::open(path)? else { return Err(error) };
            if file.set_permissions(fs::Permissions::from_mode(0o600)).is_err() {
                return Err(error);
            }
        }
        ErrorKind::Content(_) => file::clear(path)?,
        ErrorKind::Io(it) if it.kind() == io::ErrorKind::IsADirectory => file::clear(path)?,
        _ => return Err(error),
    }
    file::open_own(path, needed)
}

/// Which file has that name, if it has that size.
fn identity(path: &Path, size: u64) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok().filter(|it| it.len() == size)?;
    Some((metadata.dev(), metadata.ino()))
}

pub(super) fn clone(file: &Locked, path: &Path) -> Result<File> {
    file.try_clone().context(|| format!("opening `{}`", path.display()))
}

fn copy(from: &File, to: &File, range: Range<u64>) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BUFFER];
    let mut at = range.start;
    while at < range.end {
        let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
        let part = &mut buffer[..left.min(COPY_BUFFER)];
        from.read_exact_at(part, at)?;
        to.write_all_at(part, at)?;
        at += u64::try_from(part.len()).unwrap_or(0);
    }
    Ok(())
}

/// A number that changes when whoever has this file has received more.
fn progress(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| {
        metadata.mtime_nsec().unsigned_abs().wrapping_add(metadata.mtime().unsigned_abs() << 30)
    })
}
