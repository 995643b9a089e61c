use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::Durability;
use super::behind::{Shared, State};
use super::file::{self, Temporary};
use super::layout::Layout;
use super::ranges::{Ranges, Record};
use crate::endpoint::Draft;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest};

/// New bytes after which the record of what is there is written again: 256 KiB is what a
/// `kill -9` costs at the most for each connection.
const RECORD_STEP: u64 = 256 * 1024;

/// Blobs up to this size are hashed by the thread that writes them: 1 MiB takes half a
/// millisecond, less than handing over is worth.
const HASH_ASIDE_FROM: u64 = 1024 * 1024;

/// A record has at most some dozen ranges; more bytes than this are not one.
const RECORD_LIMIT: usize = 64 * 1024;

/// A blob being received into the store: a file, and which ranges of it are there.
///
/// Its file is locked. Dropped before it is committed, file and record stay, for any later
/// process to go on with.
pub(super) struct Partial {
    shared: Arc<Shared>,
    hashing: Option<JoinHandle<Result<Digest>>>,
    digest: Digest,
    target: PathBuf,
    durability: Durability,
    place: Place,
}

enum Place {
    /// Under the blob's own name, where any process finds it.
    Named { path: PathBuf, record: File, record_path: PathBuf, record_len: Mutex<usize> },
    /// Under a temporary name, because somebody else is stuck with the named one.
    Temporary(Option<Temporary>),
}

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
        let record_path = layout.partial_record(blob.digest);
        let file = loop {
            let file = open_partial(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Ok(Claimed::Theirs(progress(&record_path)));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).context(|| format!("locking `{}`", path.display()));
                }
            }
            // Whoever had it before may have committed it: then this is the blob, not a partial.
            if is_same_file(&file, &path)? {
                break file;
            }
        };
        let record = open_partial(&record_path)?;
        let (ranges, record_len) = read_record(&record, &record_path, &file, blob.size)?;
        // What is not known to be there must not be part of the blob.
        file.set_len(ranges.end()).context(|| format!("cutting `{}`", path.display()))?;
        let record_len = Mutex::new(record_len);
        let place = Place::Named { path: path.clone(), record, record_path, record_len };
        let partial = Partial::start(layout, blob, durability, (file, path), place, ranges)?;
        // What the old record said in error must not be believed by the next process.
        partial.record(&partial.shared.lock().ranges)?;
        Ok(Claimed::Ours(Box::new(partial)))
    }

    /// How many bytes of `blob` are there from an earlier attempt.
    pub(super) fn partial_len(layout: &Layout, blob: &Descriptor) -> Result<u64> {
        let (path, record_path) = (layout.partial(blob.digest), layout.partial_record(blob.digest));
        let (Some(file), Some(record)) = (file::open(&path)?, file::open(&record_path)?) else {
            return Ok(0);
        };
        let (ranges, _) = read_record(&record, &record_path, &file, blob.size)?;
        Ok(ranges.len())
    }

    /// Begins to receive `blob` under a temporary name.
    pub(super) fn temporary(
        layout: &Layout,
        blob: &Descriptor,
        durability: Durability,
    ) -> Result<Partial> {
        let temporary = Temporary::create(&layout.temporary())?;
        let path = temporary.path().to_owned();
        let file =
            temporary.file.try_clone().context(|| format!("opening `{}`", path.display()))?;
        let place = Place::Temporary(Some(temporary));
        Partial::start(layout, blob, durability, (file, path), place, Ranges::default())
    }

    fn start(
        layout: &Layout,
        blob: &Descriptor,
        durability: Durability,
        (file, path): (File, PathBuf),
        place: Place,
        ranges: Ranges,
    ) -> Result<Partial> {
        let shared = Arc::new(Shared::new(file, path, blob, ranges));
        let hashing = if blob.size > HASH_ASIDE_FROM {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("hash".into()).stack_size(64 * 1024);
            Some(thread.spawn(move || shared.hash_all()).context(|| "starting a thread")?)
        } else {
            None
        };
        let (digest, target) = (blob.digest, layout.blob(blob.digest));
        Ok(Partial { shared, hashing, digest, target, durability, place })
    }

    /// Writes, and notes that it is there.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<MutexGuard<'_, State>> {
        let shared = &self.shared;
        let end = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if end > shared.size {
            return Err(ErrorKind::Size { expected: shared.size, got: end }.into());
        }
        shared
            .file
            .write_all_at(bytes, offset)
            .context(|| format!("writing `{}`", shared.path.display()))?;
        let mut state = shared.note(offset..end);
        let there = state.ranges.len();
        if there - state.recorded >= RECORD_STEP {
            self.record(&state.ranges)?;
            state.recorded = there;
        }
        Ok(state)
    }

    /// Removes the files, because their content is wrong or the blob is there already.
    pub(super) fn remove(&self) -> Result<()> {
        if let Place::Named { path, record_path, .. } = &self.place {
            remove(record_path)?;
            remove(path)?;
        }
        Ok(())
    }

    /// The same, unless the name is no longer ours: after a commit another process may have it.
    fn remove_own(&self) -> Result<()> {
        match &self.place {
            Place::Named { path, .. } if is_same_file(&self.shared.file, path)? => self.remove(),
            _ => Ok(()),
        }
    }

    /// The digest of all that is there.
    fn finish_hash(&mut self) -> Result<Digest> {
        match self.hashing.take() {
            Some(thread) => thread
                .join()
                .map_err(|_| Error::new(ErrorKind::Other("the hashing thread panicked".into())))?,
            None => self.shared.hash_all(),
        }
    }

    /// Writes down what is there. The one `pwrite` is small enough to be there whole or not at
    /// all when the process dies; after a power cut the digest finds what is wrong.
    fn record(&self, ranges: &Ranges) -> Result<()> {
        let Place::Named { record, record_path, record_len, .. } = &self.place else {
            return Ok(());
        };
        let mut text = serde_json::to_vec(&ranges.to_record(self.shared.size))
            .map_err(|error| Error::new(ErrorKind::Other(error.to_string())))?;
        let mut record_len = record_len.lock().unwrap_or_else(PoisonError::into_inner);
        if *record_len > RECORD_LIMIT {
            record.set_len(0).context(|| format!("emptying `{}`", record_path.display()))?;
            *record_len = 0;
        }
        // White space covers what is left of a longer record.
        text.resize(text.len().max(*record_len), b' ');
        *record_len = text.len();
        record.write_all_at(&text, 0).context(|| format!("writing `{}`", record_path.display()))
    }
}

impl Draft for Partial {
    fn missing(&self) -> Vec<Range<u64>> {
        self.shared.lock().ranges.missing(self.shared.size)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.write(offset, bytes)?;
        if state.hashed == offset
            && let Some(hasher) = &mut state.hasher
        {
            hasher.update(bytes);
            state.hashed += u64::try_from(bytes.len()).unwrap_or(0);
        }
        Ok(())
    }

    fn take_at(&self, offset: u64, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>> {
        if self.hashing.is_none() {
            self.write_at(offset, &buffer[..len])?;
            return Ok(buffer);
        }
        let state = self.write(offset, &buffer[..len])?;
        Ok(self.shared.hand(state, offset, buffer, len))
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let there = self.shared.lock().ranges.len();
        if there != self.shared.size {
            return Err(ErrorKind::Size { expected: self.shared.size, got: there }.into());
        }
        let got = self.finish_hash()?;
        if got != self.digest {
            self.remove()?;
            return Err(ErrorKind::Digest { expected: self.digest, got }.into());
        }
        let (file, path) = (&self.shared.file, &self.shared.path);
        file::protect(file, path)?;
        match &mut self.place {
            Place::Named { record_path, .. } => {
                file::finish(file, path, &self.target, self.durability)?;
                remove(record_path)
            }
            Place::Temporary(temporary) => match temporary.take() {
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
        let mut state = self.shared.lock();
        state.abandoned = true;
        // After a commit or a removal the files are no longer ours by name; the record then
        // goes to a file that is gone.
        if let Err(error) = self.record(&state.ranges) {
            log::debug!("keeping what has come of {}: {error}", self.digest);
        }
        // Somebody who took us for stuck may have completed the blob: nobody goes on with this.
        let is_there = fs::metadata(&self.target).is_ok_and(|it| it.len() == self.shared.size);
        if is_there && let Err(error) = self.remove_own() {
            log::debug!("removing what has come of {}: {error}", self.digest);
        }
        drop(state);
        self.shared.changed.notify_one();
        if let Some(thread) = self.hashing.take()
            && thread.join().is_err()
        {
            log::error!("the hashing thread of {} panicked", self.digest);
        }
    }
}

fn open_partial(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .context(|| format!("opening `{}`", path.display()))
}

fn is_same_file(file: &File, path: &Path) -> Result<bool> {
    let reading = || format!("reading `{}`", path.display());
    let ours = file.metadata().context(reading)?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(reading),
    }
}

/// What the record says that is there, as far as it can be true, and how long the record is.
fn read_record(record: &File, path: &Path, file: &File, size: u64) -> Result<(Ranges, usize)> {
    let reading = || format!("reading `{}`", path.display());
    let len = usize::try_from(record.metadata().context(reading)?.len()).unwrap_or(usize::MAX);
    let there = file.metadata().context(reading)?.len();
    if len > RECORD_LIMIT {
        return Ok((Ranges::default(), len));
    }
    let mut text = vec![0; len];
    record.read_exact_at(&mut text, 0).context(reading)?;
    let ranges = match serde_json::from_slice::<Record>(&text) {
        Ok(record) => Ranges::from_record(&record, size),
        Err(_) => Ranges::default(),
    };
    // A file that is shorter than its record is not the one that was recorded.
    let plausible = ranges.end() <= there;
    Ok((if plausible { ranges } else { Ranges::default() }, len))
}

/// A number that changes when another process has received more.
fn progress(record_path: &Path) -> u64 {
    fs::metadata(record_path).map_or(0, |metadata| {
        metadata.mtime_nsec().unsigned_abs().wrapping_add(metadata.mtime().unsigned_abs() << 30)
    })
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| format!("removing `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
