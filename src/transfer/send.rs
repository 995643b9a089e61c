use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::Transfer;
use super::moves::PROGRESS;
use super::progress::Event;
use super::retry::{Budget, Decision};
use crate::error::{Context, Error, ErrorKind, Fault, Result};
use crate::image::{Descriptor, Hasher};

/// Bytes that are read at a time.
const BUFFER: usize = 64 * 1024;

/// How many buffers wait to be written at the most.
const AHEAD: usize = 4;

impl Transfer<'_> {
    /// Writes the content of `blob`, a part of `image`, to `out` in one go. Reading, which is
    /// another thread's work, goes on where it stopped if that may help; the sink has no part.
    ///
    /// The last bytes are written when all has proved to be as described: what is wrong is never
    /// there as a whole.
    pub fn send(&self, image: &str, blob: &Descriptor, out: &mut dyn Write) -> Result<()> {
        let (filled, buffers) = mpsc::sync_channel(AHEAD);
        let (spare, spares) = mpsc::channel();
        thread::scope(|scope| {
            let reading = thread::Builder::new().name("read".into());
            let reader = reading
                .spawn_scoped(scope, || Reading::new(self, image, blob, filled, spares).run())
                .context(|| "starting a thread")?;
            let mut held: Option<Vec<u8>> = None;
            for buffer in buffers {
                if let Some(before) = held.replace(buffer) {
                    out.write_all(&before)?;
                    // Who has read all needs no more.
                    let _ = spare.send(before);
                }
            }
            let read = reader
                .join()
                .map_err(|_| Error::new(ErrorKind::Other("the reading thread panicked".into())))?;
            read.context(|| format!("moving blob {}", blob.digest))?;
            Ok(out.write_all(&held.unwrap_or_default())?)
        })
    }
}

/// A blob on its way into the hands of who writes it.
struct Reading<'a> {
    transfer: &'a Transfer<'a>,
    image: &'a str,
    blob: &'a Descriptor,
    filled: SyncSender<Vec<u8>>,
    spares: Receiver<Vec<u8>>,
    at: u64,
    hasher: Hasher,
    budget: Budget,
}

impl<'a> Reading<'a> {
    fn new(
        transfer: &'a Transfer<'a>,
        image: &'a str,
        blob: &'a Descriptor,
        filled: SyncSender<Vec<u8>>,
        spares: Receiver<Vec<u8>>,
    ) -> Reading<'a> {
        let hasher = blob.digest.algorithm().hasher();
        let budget = Budget::default();
        Reading { transfer, image, blob, filled, spares, at: 0, hasher, budget }
    }

    /// Reads all of it, and fails unless it is as described.
    fn run(mut self) -> Result<()> {
        while self.at < self.blob.size {
            let before = self.at;
            let Err(error) = self.read() else { continue };
            if self.at - before >= PROGRESS {
                self.budget.progressed();
            }
            let Transfer { retry, interrupt, observer, .. } = self.transfer;
            // What has been written cannot be taken back.
            let wait = match self.budget.decide(retry, &error) {
                Decision::Again(wait) => wait,
                Decision::Restart | Decision::Fail => return Err(self.budget.last(retry, error)),
            };
            let (image, blob, attempt) = (self.image, Some(self.blob), self.budget.failures());
            observer.event(&Event::Retry { image, blob, error: &error, attempt, wait });
            interrupt.wait(wait)?;
        }
        let (expected, got) = (self.blob.digest, self.hasher.finish());
        match got == expected {
            true => Ok(()),
            false => Err(ErrorKind::Digest { expected, got }.into()),
        }
    }

    /// Reads on, as far as it comes.
    fn read(&mut self) -> Result<()> {
        let (source, blob) = (self.transfer.source, self.blob);
        let mut content: Box<dyn Read> = match source.extent(blob)? {
            Some(extent) => Box::new(extent.content(blob, self.at)),
            None => source.open(blob, self.at)?,
        };
        while self.at < blob.size {
            self.transfer.interrupt.check()?;
            let mut buffer = self.spares.try_recv().unwrap_or_default();
            let left = usize::try_from(blob.size - self.at).unwrap_or(usize::MAX);
            buffer.resize(BUFFER.min(left), 0);
            let len = content.read(&mut buffer)?;
            if len == 0 {
                let message = format!("the content ended after {} of {} bytes", self.at, blob.size);
                return Err(Error::network(Fault::Cut, message));
            }
            buffer.truncate(len);
            self.hasher.update(&buffer);
            self.at += u64::try_from(len).unwrap_or(0);
            // Who writes has failed, and says why.
            if self.filled.send(buffer).is_err() {
                return Err(ErrorKind::Interrupted.into());
            }
            let (image, offset) = (self.image, self.at);
            self.transfer.observer.event(&Event::Progress { image, blob, offset });
        }
        Ok(())
    }
}
