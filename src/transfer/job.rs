use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::pieces::{Order, Pieces};
use super::retry::Budget;
use crate::endpoint::Draft;
use crate::error::{ErrorKind, Result};
use crate::image::Descriptor;

/// A blob that is to be moved, and what was tried so far.
pub(super) struct Job<'a> {
    pub(super) blob: &'a Descriptor,
    pub(super) budget: Budget,
    pub(super) mode: Mode,
    /// Not to be begun before.
    pub(super) not_before: Option<Instant>,
    /// Somebody else is receiving it: their last sign of progress, and when that was.
    pub(super) busy: Option<(u64, Instant)>,
    /// How much of it the sink had when it was sent last.
    pub(super) reached: u64,
}

/// How a blob is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// In one stream, and in ranges beside it where that helps.
    Ranges,
    /// In one stream: the source has misbehaved on a range of it.
    Single,
    /// In one stream from the start, past caches: what came was wrong.
    Afresh,
}

/// A blob that is being received.
pub(super) struct Moving<'a> {
    pub(super) job: Job<'a>,
    /// Gone when it is committed or discarded.
    pub(super) draft: SharedDraft,
    pub(super) pieces: Pieces,
    /// Bytes that came since the last failure.
    pub(super) since_failure: u64,
    pub(super) failed_at: Option<Instant>,
}

/// One stream to be opened.
pub(super) struct Errand<'a> {
    pub(super) blob: &'a Descriptor,
    pub(super) draft: SharedDraft,
    pub(super) order: Order,
    pub(super) mode: Mode,
}

/// A draft that several streams write to, until one takes it away to commit or discard it.
#[derive(Clone)]
pub(super) struct SharedDraft(Arc<RwLock<Option<Box<dyn Draft>>>>);

impl SharedDraft {
    pub(super) fn new(draft: Box<dyn Draft>) -> SharedDraft {
        SharedDraft(Arc::new(RwLock::new(Some(draft))))
    }

    /// Takes it away from all streams.
    pub(super) fn take(&self) -> Option<Box<dyn Draft>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Does something with it, unless it was taken away: then this stream is over.
    pub(super) fn with<T>(&self, act: impl FnOnce(&dyn Draft) -> Result<T>) -> Result<T> {
        match self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(draft) => act(draft.as_ref()),
            None => Err(ErrorKind::Interrupted.into()),
        }
    }
}

impl<'a> Job<'a> {
    /// A blob that nothing was tried for yet.
    pub(super) fn new(blob: &'a Descriptor) -> Job<'a> {
        Job {
            blob,
            budget: Budget::default(),
            mode: Mode::Ranges,
            not_before: None,
            busy: None,
            reached: 0,
        }
    }
}

impl<'a> Moving<'a> {
    /// Whether it is that blob.
    pub(super) fn is(&self, blob: &Descriptor) -> bool {
        self.job.blob.digest == blob.digest
    }

    /// What a worker needs to carry out `order`.
    pub(super) fn errand(&self, order: Order) -> Errand<'a> {
        let draft = self.draft.clone();
        Errand { blob: self.job.blob, draft, order, mode: self.job.mode }
    }
}
