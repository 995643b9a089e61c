use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crate::archive::read::catalogue::Watch;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Digest};

/// How many bytes are read and hashed at a time.
const BLOCK: usize = 128 * 1024;

/// How many blocks wait to be hashed at the most.
const AHEAD: usize = 4;

/// Lets `act` read `content`, and gives the sha256 digest and the size of all of it, which is read
/// to its end. It is hashed on another thread than that of `act`, which has its own to hash.
pub(super) fn hash_beside<T>(
    content: impl Read,
    watch: Watch<'_>,
    act: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<(T, Digest, u64)> {
    let (sender, blocks) = sync_channel::<Arc<Vec<u8>>>(AHEAD);
    thread::scope(|scope| {
        let hash = move || {
            let mut hasher = Algorithm::Sha256.hasher();
            let mut size: u64 = 0;
            for block in blocks {
                hasher.update(&block);
                size = size.saturating_add(u64::try_from(block.len()).unwrap_or(u64::MAX));
            }
            (hasher.finish(), size)
        };
        let hashing = thread::Builder::new().name("hash".into()).stack_size(64 * 1024);
        let hashing = hashing.spawn_scoped(scope, hash).context(|| "starting a thread")?;
        let mut whole = Whole { inner: content, watch, sender, blocks: Vec::new(), last: 0, at: 0 };
        let acted = act(&mut whole)?;
        io::copy(&mut whole, &mut io::sink()).context(|| "reading the archive")?;
        drop(whole);
        let hashed = hashing.join();
        let (digest, size) = hashed
            .map_err(|_| Error::new(ErrorKind::Other("the hashing thread panicked".into())))?;
        Ok((acted, digest, size))
    })
}

/// What is read, with each block handed on to be hashed.
struct Whole<'a, R> {
    inner: R,
    watch: Watch<'a>,
    sender: SyncSender<Arc<Vec<u8>>>,
    /// In use by this, by the other thread, or by nobody.
    blocks: Vec<Arc<Vec<u8>>>,
    /// Which of them is being read, and how far.
    last: usize,
    at: usize,
}

impl<R: Read> Whole<'_, R> {
    /// Reads the next block; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let free = self.blocks.iter_mut().position(|block| Arc::get_mut(block).is_some());
        let free = free.unwrap_or_else(|| {
            self.blocks.push(Arc::default());
            self.blocks.len() - 1
        });
        let block = Arc::get_mut(&mut self.blocks[free])
            .ok_or_else(|| io::Error::other("a block is in use that was free"))?;
        block.resize(BLOCK, 0);
        let len = self.inner.read(block)?;
        block.truncate(len);
        (self.watch)(u64::try_from(len).unwrap_or(u64::MAX))?;
        if len > 0 {
            let sent = self.sender.send(Arc::clone(&self.blocks[free]));
            sent.map_err(|_| io::Error::other("the hashing thread has ended"))?;
        }
        (self.last, self.at) = (free, 0);
        Ok(len > 0)
    }
}

impl<R: Read> Read for Whole<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let is_read = self.blocks.get(self.last).is_none_or(|block| self.at == block.len());
        if is_read && !self.next()? {
            return Ok(0);
        }
        let left = &self.blocks[self.last][self.at..];
        let len = left.len().min(buf.len());
        buf[..len].copy_from_slice(&left[..len]);
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_is_hashed_whatever_of_it_is_read() {
        let content: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
        for len in [0, 1, 512, 700_000, 2_000_000] {
            let read = |whole: &mut dyn Read| Ok(io::copy(&mut whole.take(len), &mut io::sink())?);
            let (read, digest, size) = hash_beside(&content[..], &|_| Ok(()), read).unwrap();
            assert_eq!((digest, size), (Digest::of(&content), 1_000_000));
            assert_eq!(read, len.min(1_000_000));
        }
    }
}
