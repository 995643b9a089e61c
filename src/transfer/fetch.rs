use std::io::Read;

use super::job::{Errand, Mode};
use super::moves::{Moves, PROGRESS};
use super::pieces::Next;
use super::progress::Event;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::image::Descriptor;

/// Bytes that one connection reads at a time: as much as the connection's own buffer holds. Bigger
/// ones fall out of the processor's cache before they are written and hashed.
const BUFFER: usize = 64 * 1024;

impl<'a> Moves<'a> {
    /// Brings what the errand says, as far as it comes.
    pub(super) fn fetch(&self, errand: &Errand<'a>) -> Result<()> {
        let Errand { blob, draft, order, mode } = errand;
        let (blob, source) = (*blob, self.transfer.source);
        let mut at = order.range.start;
        let extent = if *mode == Mode::Afresh { None } else { source.extent(blob)? };
        let mut body: Box<dyn Read> = match (mode, extent) {
            // The draft verifies; that once is enough.
            (_, Some(extent)) => Box::new(extent.content(blob, at)),
            (Mode::Afresh, None) => {
                at = 0;
                source.open_afresh(blob)?
            }
            (Mode::Single, None) if at > 0 => {
                at = 0;
                source.open(blob, 0)?
            }
            _ if order.open_ended => source.open(blob, at)?,
            _ => source.open_range(blob, order.range.clone())?,
        };
        let stream_end = if order.open_ended { blob.size } else { order.range.end };
        let mut goal = order.range.start;
        let mut buffer = vec![0; BUFFER];
        loop {
            self.transfer.interrupt.check()?;
            let len = body.read(&mut buffer)?;
            if len == 0 {
                let message = format!("the connection ended after {at} of {} bytes", blob.size);
                return Err(Error::network(Fault::Cut, message));
            }
            let mut done = 0;
            while done < len {
                if at < goal {
                    let skip = as_usize(goal - at).min(len - done);
                    done += skip;
                    at += as_u64(skip);
                    continue;
                }
                let part = as_usize(self.allowed(blob, order.id)?).min(len - done);
                if part == len {
                    buffer = draft.with(|draft| draft.take_at(at, buffer, len))?;
                } else {
                    draft.with(|draft| draft.write_at(at, &buffer[done..done + part]))?;
                }
                done += part;
                at += as_u64(part);
                match self.wrote(blob, order.id, as_u64(part), *mode)? {
                    Next::From(offset) => goal = offset,
                    Next::End => {
                        // A body that was read to its end leaves the connection for the next.
                        // What an odd server sends after the end is no concern of this blob.
                        if at == stream_end && done == len {
                            let end = body.read(&mut [0]);
                            log::trace!("{}: after the end: {end:?}", blob.digest);
                        }
                        return Ok(());
                    }
                }
            }
        }
    }

    /// How many bytes the stream may write before it must look again.
    fn allowed(&self, blob: &Descriptor, id: u64) -> Result<u64> {
        let state = self.lock();
        if state.failed.is_some() {
            return Err(ErrorKind::Interrupted.into());
        }
        let moving = state.moving.iter().find(|moving| moving.is(blob));
        match moving.map_or(0, |moving| moving.pieces.allowed(id)) {
            0 => Err(ErrorKind::Interrupted.into()),
            allowed => Ok(allowed),
        }
    }

    /// The stream has written `len` bytes. Says where it goes on.
    fn wrote(&self, blob: &'a Descriptor, id: u64, len: u64, mode: Mode) -> Result<Next> {
        let mut state = self.lock();
        let Some(moving) = state.moving.iter_mut().find(|moving| moving.is(blob)) else {
            return Err(ErrorKind::Interrupted.into());
        };
        moving.pieces.advance(id, len);
        moving.since_failure += len;
        if moving.since_failure >= PROGRESS {
            moving.job.budget.progressed();
        }
        let next = if moving.pieces.allowed(id) == 0 {
            moving.pieces.extend(id, mode != Mode::Ranges)
        } else {
            Next::From(0)
        };
        let offset = moving.pieces.there();
        drop(state);
        self.transfer.observer.event(&Event::Progress { image: self.image, blob, offset });
        Ok(next)
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn as_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}
