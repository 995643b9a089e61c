use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::ranges::Ranges;
use crate::error::{Context, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Hasher};

/// The hashing thread is woken each time the bytes that it can hash reach a multiple of this:
/// often enough to keep up, rarely enough to cost nothing.
const NOTIFY_STEP: u64 = 1024 * 1024;

/// How many buffers wait for the hashing thread at the most. Times the blobs that are received at
/// once, this is memory.
const HANDED_LIMIT: usize = 4;

/// The hashing thread is woken for so many buffers, and wakes who waits for it when so few are
/// left: each thread then has something to do for a while.
const HANDED_HALF: usize = HANDED_LIMIT / 2;

/// How many bytes the hashing thread reads back at a time.
const HASH_BUFFER: usize = 64 * 1024;

/// After so many bytes that it has read back it looks whether anybody still wants to know.
const READ_BACK_STEP: u64 = 8 * 1024 * 1024;

/// What the threads that write and the one that hashes look at together.
pub(super) struct Shared {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Where in the file the blob begins.
    pub(super) start: u64,
    pub(super) size: u64,
    state: Mutex<State>,
    /// More can be hashed, or nothing more needs to be.
    pub(super) changed: Condvar,
    /// A buffer was hashed.
    taken: Condvar,
}

pub(super) struct State {
    pub(super) ranges: Ranges,
    /// Has seen the first `hashed` bytes; the hashing thread, if there is one, has it instead.
    pub(super) hasher: Option<Hasher>,
    pub(super) hashed: u64,
    /// For the hashing thread: what follows on `hashed` without a gap, in buffers that were
    /// written a moment ago, so that it need not read them back.
    handed: VecDeque<(Vec<u8>, usize)>,
    /// Where the next buffer must begin to follow on those.
    handed_end: u64,
    /// Buffers that were hashed.
    spare: Vec<Vec<u8>>,
    /// Nobody hashes any more.
    stopped: bool,
    /// Nothing more will be written, and the digest does not matter.
    pub(super) abandoned: bool,
}

impl Shared {
    pub(super) fn new(
        (file, path, start): (File, PathBuf, u64),
        blob: &Descriptor,
        ranges: Ranges,
    ) -> Shared {
        let state = State {
            ranges,
            hasher: Some(blob.digest.algorithm().hasher()),
            hashed: 0,
            handed: VecDeque::new(),
            handed_end: 0,
            spare: Vec::new(),
            stopped: false,
            abandoned: false,
        };
        let (state, changed, taken) = (Mutex::new(state), Condvar::new(), Condvar::new());
        Shared { file, path, start, size: blob.size, state, changed, taken }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a range has been written.
    pub(super) fn note(&self, range: Range<u64>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let before = state.ranges.prefix();
        state.ranges.insert(range);
        let prefix = state.ranges.prefix();
        if prefix == self.size || prefix / NOTIFY_STEP != before / NOTIFY_STEP {
            self.changed.notify_one();
        }
        state
    }

    /// Hands a buffer to the hashing thread, if it is what that needs next, and gives one to go
    /// on with. Waits when the thread falls behind: the blob is not complete before it is hashed.
    pub(super) fn hand(
        &self,
        mut state: MutexGuard<'_, State>,
        offset: u64,
        buffer: Vec<u8>,
        len: usize,
    ) -> Vec<u8> {
        let follows = |state: &State| state.handed_end == offset && !state.stopped;
        while follows(&state) && state.handed.len() >= HANDED_LIMIT {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !follows(&state) {
            return buffer;
        }
        state.handed_end += u64::try_from(len).unwrap_or(0);
        let next = state.spare.pop().unwrap_or_else(|| vec![0; buffer.len()]);
        state.handed.push_back((buffer, len));
        let is_worth_it = state.handed.len() >= HANDED_HALF || state.handed_end == self.size;
        drop(state);
        if is_worth_it {
            self.changed.notify_one();
        }
        next
    }

    /// The digest of the whole, computed while it comes.
    pub(super) fn hash_all(&self) -> Result<Digest> {
        let digest = self.hash_behind();
        self.lock().stopped = true;
        self.taken.notify_all();
        digest
    }

    /// Hashes what is there without a gap, and waits for more until all has come.
    fn hash_behind(&self) -> Result<Digest> {
        let mut state = self.lock();
        let Some(mut hasher) = state.hasher.take() else {
            return Err(ErrorKind::Other("the digest was computed already".into()).into());
        };
        let mut buffer = Vec::new();
        loop {
            let (prefix, hashed) = (state.ranges.prefix(), state.hashed);
            if state.abandoned {
                return Err(ErrorKind::Interrupted.into());
            }
            if hashed == self.size {
                return Ok(hasher.finish());
            }
            if let Some((bytes, len)) = state.handed.pop_front() {
                drop(state);
                hasher.update(&bytes[..len]);
                state = self.lock();
                state.hashed += u64::try_from(len).unwrap_or(0);
                state.spare.push(bytes);
                if state.handed.len() <= HANDED_HALF {
                    self.taken.notify_one();
                }
            } else if prefix > hashed {
                // Nothing that comes now follows on what is being read back.
                state.handed_end = u64::MAX;
                drop(state);
                let step = hashed..prefix.min(hashed.saturating_add(READ_BACK_STEP));
                let end = self.read_back(&mut hasher, &mut buffer, step)?;
                state = self.lock();
                state.hashed = end;
                state.handed_end = end;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Hashes what is in the file already, or the first part of it.
    fn read_back(
        &self,
        hasher: &mut Hasher,
        buffer: &mut Vec<u8>,
        range: Range<u64>,
    ) -> Result<u64> {
        buffer.resize(HASH_BUFFER, 0);
        let mut at = range.start;
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let part = &mut buffer[..left.min(HASH_BUFFER)];
            self.file
                .read_exact_at(part, self.start + at)
                .context(|| format!("reading `{}`", self.path.display()))?;
            hasher.update(part);
            at += u64::try_from(part.len()).unwrap_or(0);
        }
        Ok(at)
    }
}
