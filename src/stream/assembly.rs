use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::thread::JoinHandle;

use super::hashing::{Shared, State};
use super::ranges::Ranges;
use crate::error::{Context, Error, ErrorKind, Result, lacking};
use crate::image::{Descriptor, Digest};

/// Blobs up to this size are hashed by the thread that writes them: 1 MiB takes half a
/// millisecond, less than handing over is worth.
const HASH_ASIDE_FROM: u64 = 1024 * 1024;

/// A blob that is put together in a part of a file: several threads write at any offsets, and one
/// hashes behind the lowest gap.
pub(crate) struct Assembly {
    shared: Arc<Shared>,
    hashing: Option<JoinHandle<Result<Digest>>>,
}

impl Assembly {
    /// Puts `blob` together in `file` from `start` on, where `there` has come before. Errors name
    /// `path`.
    pub(crate) fn start(
        (file, path, start): (File, PathBuf, u64),
        blob: &Descriptor,
        there: Ranges,
    ) -> Result<Assembly> {
        let shared = Arc::new(Shared::new((file, path, start), blob, there));
        let hashing = if blob.size > HASH_ASIDE_FROM {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("hash".into()).stack_size(64 * 1024);
            Some(thread.spawn(move || shared.hash_all()).context(|| "starting a thread")?)
        } else {
            None
        };
        Ok(Assembly { shared, hashing })
    }

    pub(crate) fn file(&self) -> &File {
        &self.shared.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Bytes of the whole blob.
    pub(crate) fn size(&self) -> u64 {
        self.shared.size
    }

    /// Looks at what is there.
    pub(crate) fn there<T>(&self, look: impl FnOnce(&Ranges) -> T) -> T {
        look(&self.shared.lock().ranges)
    }

    /// What is not there yet, in order.
    pub(crate) fn missing(&self) -> Vec<Range<u64>> {
        self.there(|ranges| ranges.missing(self.size()))
    }

    /// Writes `bytes` at `offset` of the blob. Refuses what would go beyond its size. `noted`
    /// looks at what is there then, before anybody else does.
    pub(crate) fn write(
        &self,
        offset: u64,
        bytes: &[u8],
        noted: impl FnOnce(&Ranges) -> Result<()>,
    ) -> Result<()> {
        let mut state = self.place(offset, bytes, noted)?;
        if state.hashed == offset
            && let Some(hasher) = &mut state.hasher
        {
            hasher.update(bytes);
            state.hashed += as_u64(bytes.len());
        }
        Ok(())
    }

    /// The same of the first `len` bytes of `buffer`, which the hashing thread may go on to look
    /// at; gives a buffer to go on with.
    pub(crate) fn take(
        &self,
        offset: u64,
        buffer: Vec<u8>,
        len: usize,
        noted: impl FnOnce(&Ranges) -> Result<()>,
    ) -> Result<Vec<u8>> {
        if self.hashing.is_none() {
            self.write(offset, &buffer[..len], noted)?;
            return Ok(buffer);
        }
        let state = self.place(offset, &buffer[..len], noted)?;
        Ok(self.shared.hand(state, offset, buffer, len))
    }

    /// The digest of the whole, all of which must be there.
    pub(crate) fn finish(&mut self) -> Result<Digest> {
        let there = self.there(Ranges::len);
        if there != self.size() {
            return Err(ErrorKind::Size { expected: self.size(), got: there }.into());
        }
        match self.hashing.take() {
            Some(thread) => thread
                .join()
                .map_err(|_| Error::new(ErrorKind::Other("the hashing thread panicked".into())))?,
            None => self.shared.hash_all(),
        }
    }

    fn place(
        &self,
        offset: u64,
        bytes: &[u8],
        noted: impl FnOnce(&Ranges) -> Result<()>,
    ) -> Result<MutexGuard<'_, State>> {
        let range = self.range(offset, as_u64(bytes.len()))?;
        let shared = &self.shared;
        let written = shared.file.write_all_at(bytes, shared.start + offset);
        written.map_err(|error| self.not_written(error))?;
        let state = shared.note(range);
        noted(&state.ranges)?;
        Ok(state)
    }

    fn range(&self, offset: u64, len: u64) -> Result<Range<u64>> {
        let end = offset.saturating_add(len);
        match end <= self.size() {
            true => Ok(offset..end),
            false => Err(ErrorKind::Size { expected: self.size(), got: end }.into()),
        }
    }

    /// Says of a write that failed for want of space how much space is wanted.
    fn not_written(&self, error: io::Error) -> Error {
        let needed = self.size().saturating_sub(self.there(Ranges::len));
        Error::from(lacking(error, needed)).context(format!("writing `{}`", self.path().display()))
    }
}

impl Drop for Assembly {
    fn drop(&mut self) {
        self.shared.lock().abandoned = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.hashing.take()
            && thread.join().is_err()
        {
            log::error!("the thread that hashes `{}` panicked", self.path().display());
        }
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
