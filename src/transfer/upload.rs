use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::job::{Job, Mode};
use super::moves::{Moves, PROGRESS};
use super::progress::Event;
use super::retry::Decision;
use crate::endpoint::Upload;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::Descriptor;
use crate::stream::Verify;

impl<'a> Moves<'a> {
    /// Sends a blob from where the sink has got to, in one stream.
    pub(super) fn send(&self, mut job: Job<'a>, upload: Box<dyn Upload + '_>) {
        let (blob, offset) = (job.blob, upload.offset());
        // What was sent and is not there is no progress.
        if offset >= job.reached.saturating_add(PROGRESS) {
            job.budget.progressed();
        }
        job.reached = offset;
        let sent = self.content(&job, offset).and_then(|content| {
            let mut sending = Sending { moves: self, blob, offset, content };
            upload.send(&mut sending)
        });
        match sent {
            Ok(()) => self.ended(blob, Ok(())),
            Err(error) => self.unsent(job, error),
        }
    }

    /// The blob from `offset` on, which fails at its end unless all of it is right; of a source
    /// that does not look at it, only where it is read from its start.
    fn content(&self, job: &Job<'a>, offset: u64) -> Result<Box<dyn Read + Send>> {
        let (blob, source) = (job.blob, self.transfer.source);
        let verified = |content: Box<dyn Read + Send>| -> Box<dyn Read + Send> {
            if source.verifies() { content } else { Box::new(Verify::new(content, blob)) }
        };
        let content = match job.mode {
            _ if blob.size == 0 => Ok(Box::new(Verify::new(io::empty(), blob)) as Box<_>),
            _ if offset == blob.size => Ok(Box::new(io::empty()) as Box<_>),
            Mode::Afresh => source.open_afresh(blob).and_then(|content| {
                let mut content = verified(content);
                io::copy(&mut content.by_ref().take(offset), &mut io::sink())?;
                Ok(content)
            }),
            _ if offset == 0 => source.open(blob, 0).map(verified),
            _ => source.open(blob, offset),
        };
        content.context(|| format!("reading blob {}", blob.digest))
    }

    /// What was not sent is sent again, where that may help.
    pub(super) fn unsent(&self, mut job: Job<'a>, error: Error) {
        let blob = job.blob;
        let is_wrong = matches!(error.kind(), ErrorKind::Digest { .. } | ErrorKind::Size { .. });
        let is_over = self.lock().failed.is_some() || self.transfer.interrupt.is_interrupted();
        if is_over || (is_wrong && self.transfer.source.verifies()) {
            self.ended(blob, Err(error));
            return;
        }
        let wait = match job.budget.decide(&self.transfer.retry, &error) {
            Decision::Again(wait) => wait,
            Decision::Restart => {
                job.mode = Mode::Afresh;
                Duration::ZERO
            }
            Decision::Fail => {
                let error = job.budget.last(&self.transfer.retry, error);
                self.ended(blob, Err(error));
                return;
            }
        };
        self.retrying(blob, &error, job.budget.failures(), wait);
        let until = Instant::now() + wait;
        job.not_before = Some(until);
        let mut state = self.lock();
        if let ErrorKind::Registry { retry_after: Some(_), .. } = error.kind() {
            state.pause = Some(state.pause.map_or(until, |pause| pause.max(until)));
        }
        state.again(job);
    }
}

/// Content on its way, until something ends it.
struct Sending<'m, 'a> {
    moves: &'m Moves<'a>,
    blob: &'a Descriptor,
    offset: u64,
    content: Box<dyn Read + Send>,
}

impl Read for Sending<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let transfer = self.moves.transfer;
        transfer.interrupt.check()?;
        if self.moves.lock().failed.is_some() {
            return Err(Error::new(ErrorKind::Interrupted).into());
        }
        let len = self.content.read(buf)?;
        if len > 0 {
            self.offset += u64::try_from(len).unwrap_or(0);
            let (image, blob, offset) = (self.moves.image, self.blob, self.offset);
            transfer.observer.event(&Event::Progress { image, blob, offset });
        }
        Ok(len)
    }
}
