use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::ranges::Ranges;
use crate::error::{Context, ErrorKind, Result};
use crate::image::{Digest, Hasher};

/// How many bytes the hashing thread reads at a time. They were written a moment ago, and this
/// much of them is still in the processor's cache.
const HASH_BUFFER: usize = 256 * 1024;

/// What the threads that write and the one that hashes look at together.
pub(super) struct Shared {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
}

pub(super) struct State {
    pub(super) ranges: Ranges,
    /// Bytes that were there when the record was last written.
    pub(super) recorded: u64,
    /// Has seen the first `hashed` bytes; the hashing thread, if there is one, has it instead.
    pub(super) hasher: Option<Hasher>,
    pub(super) hashed: u64,
    /// Nothing more will be written, and the digest does not matter.
    pub(super) abandoned: bool,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hashes what is there without a gap, and waits for more until all has come.
    pub(super) fn hash_behind(&self) -> Result<Digest> {
        let mut state = self.lock();
        let Some(mut hasher) = state.hasher.take() else {
            return Err(ErrorKind::Other("the digest was computed already".into()).into());
        };
        let mut buffer = vec![0; HASH_BUFFER];
        let mut hashed = state.hashed;
        loop {
            let prefix = state.ranges.prefix();
            if state.abandoned {
                return Err(ErrorKind::Interrupted.into());
            }
            if hashed == self.size {
                return Ok(hasher.finish());
            }
            if prefix == hashed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(state);
            while hashed < prefix {
                let left = usize::try_from(prefix - hashed).unwrap_or(usize::MAX);
                let part = &mut buffer[..left.min(HASH_BUFFER)];
                self.file
                    .read_exact_at(part, hashed)
                    .context(|| format!("reading `{}`", self.path.display()))?;
                hasher.update(part);
                hashed += u64::try_from(part.len()).unwrap_or(0);
            }
            state = self.lock();
        }
    }
}
