use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::job::{Errand, Job, Mode, Moving, SharedDraft};
use super::pieces::{GivenUp, Pieces};
use super::progress::Event;
use super::retry::Decision;
use super::{Transfer, parallel};
use crate::endpoint::{Draft, Receipt};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::image::Descriptor;

/// How often a worker without work looks whether there is some.
const LOOK: Duration = Duration::from_millis(50);

/// New bytes that count as progress, so that failures before are forgiven.
pub(super) const PROGRESS: u64 = 64 * 1024;

/// Blobs on their way, and the workers that move them.
pub(super) struct Moves<'a> {
    pub(super) transfer: &'a Transfer<'a>,
    pub(super) image: &'a str,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State<'a> {
    /// Nobody is at these.
    waiting: VecDeque<Job<'a>>,
    pub(super) moving: Vec<Moving<'a>>,
    /// Being begun or committed.
    between: usize,
    /// What the registry asked all connections to wait for.
    pause: Option<Instant>,
    pub(super) failed: Option<Error>,
}

/// What a worker does next.
enum Task<'a> {
    Begin(Job<'a>),
    Fetch(Errand<'a>),
    Wait(Duration),
    End,
}

impl<'a> Moves<'a> {
    pub(super) fn new(
        transfer: &'a Transfer<'a>,
        image: &'a str,
        blobs: impl Iterator<Item = &'a Descriptor>,
    ) -> Moves<'a> {
        let state = State { waiting: blobs.map(Job::new).collect(), ..State::default() };
        Moves { transfer, image, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Moves all of them, over as many connections as the transfer has jobs.
    pub(super) fn run(self) -> Result<()> {
        parallel::on_threads(self.transfer.jobs, || self.work())?;
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), Err)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one worker does until all is there or something has failed for good.
    fn work(&self) {
        loop {
            if self.transfer.interrupt.is_interrupted() {
                self.fail(ErrorKind::Interrupted.into());
            }
            let mut state = self.lock();
            match self.next(&mut state) {
                Task::End => {
                    drop(state);
                    self.changed.notify_all();
                    return;
                }
                Task::Wait(longest) => {
                    let waited = self.changed.wait_timeout(state, longest);
                    drop(waited.unwrap_or_else(PoisonError::into_inner));
                }
                Task::Begin(job) => {
                    state.between += 1;
                    drop(state);
                    self.begin(job);
                }
                Task::Fetch(errand) => {
                    drop(state);
                    let fetched = self.fetch(&errand);
                    self.fetched(&errand, fetched);
                }
            }
        }
    }

    /// Decides what is to be done next: to go on with a blob that nobody is at, to begin one, to
    /// help with one; in this order, so that what has begun is soon complete.
    fn next(&self, state: &mut State<'a>) -> Task<'a> {
        if state.failed.is_some()
            || (state.waiting.is_empty() && state.moving.is_empty() && state.between == 0)
        {
            return Task::End;
        }
        let now = Instant::now();
        if let Some(pause) = state.pause.filter(|pause| *pause > now) {
            return Task::Wait(LOOK.min(pause - now));
        }
        let ready = |not_before: Option<Instant>| not_before.is_none_or(|time| time <= now);
        let source = self.transfer.source;
        for moving in &mut state.moving {
            if ready(moving.job.not_before) && moving.pieces.is_waiting() {
                let mode = moving.job.mode;
                let ranges = mode == Mode::Ranges && source.takes_ranges(moving.job.blob);
                if let Some(order) = moving.pieces.first(ranges, now) {
                    return Task::Fetch(moving.errand(order));
                }
            }
        }
        if let Some(index) = state.waiting.iter().position(|job| ready(job.not_before))
            && let Some(job) = state.waiting.remove(index)
        {
            return Task::Begin(job);
        }
        let jobs = u64::try_from(self.transfer.jobs).unwrap_or(u64::MAX);
        for moving in &mut state.moving {
            let may = ready(moving.job.not_before)
                && moving.job.mode == Mode::Ranges
                && !moving.pieces.is_idle()
                && source.takes_ranges(moving.job.blob);
            if may && let Some(order) = moving.pieces.beside(jobs, now) {
                return Task::Fetch(moving.errand(order));
            }
        }
        Task::Wait(LOOK)
    }

    /// Begins to receive a blob, unless it is there by now or somebody else is at it.
    fn begin(&self, mut job: Job<'a>) {
        let sink = self.transfer.sink;
        let now = Instant::now();
        let stuck = job
            .busy
            .is_some_and(|(_, since)| now.duration_since(since) > self.transfer.stall_timeout);
        let receipt = if stuck { sink.receive_alone(job.blob) } else { sink.receive(job.blob) };
        let draft = match receipt {
            Ok(Receipt::Draft(draft)) => draft,
            Ok(Receipt::Present) => {
                self.ended(job.blob, Ok(()));
                return;
            }
            Ok(Receipt::Busy(sign)) => {
                let since = match job.busy {
                    Some((before, since)) if before == sign => since,
                    _ => now,
                };
                job.busy = Some((sign, since));
                job.not_before = Some(now + 2 * LOOK);
                let mut state = self.lock();
                state.between -= 1;
                state.waiting.push_back(job);
                return;
            }
            Err(error) => {
                self.ended(job.blob, Err(error));
                return;
            }
        };
        let pieces = Pieces::new(job.blob.size, draft.missing());
        if pieces.is_complete() {
            self.commit(job, draft);
            return;
        }
        let draft = SharedDraft::new(draft);
        let moving = Moving { job, draft, pieces, since_failure: 0, failed_at: None };
        let mut state = self.lock();
        state.between -= 1;
        state.moving.push(moving);
    }

    /// A stream has ended: well, then the blob may be complete; or not, then what it did not
    /// bring is free again.
    fn fetched(&self, errand: &Errand<'a>, fetched: Result<()>) {
        let blob = errand.blob;
        let mut state = self.lock();
        let failed = state.failed.is_some();
        let Some(index) = state.moving.iter().position(|moving| moving.is(blob)) else {
            return;
        };
        let moving = &mut state.moving[index];
        let given_up = moving.pieces.give_up(errand.order.id);
        let (error, GivenUp { began, brought }) = match (fetched, given_up) {
            (Err(error), Some(given_up)) if !failed => (error, given_up),
            _ => {
                if moving.pieces.is_complete() {
                    let moving = state.moving.swap_remove(index);
                    state.between += 1;
                    drop(state);
                    if let Some(draft) = moving.draft.take() {
                        self.commit(moving.job, draft);
                    }
                }
                self.changed.notify_all();
                return;
            }
        };
        // Others that asked beside it hear the same, some of them later.
        if matches!(error.kind(), ErrorKind::Range(_)) && errand.mode == Mode::Ranges {
            log::debug!("{}: one stream from now on: {error}", blob.digest);
            if moving.job.mode == Mode::Ranges {
                moving.job.mode = Mode::Single;
            }
            drop(state);
            self.changed.notify_all();
            return;
        }
        // What failed beside another failure is the same trouble.
        if let Some(failed_at) = moving.failed_at
            && began < failed_at
            && error.remedy() == Remedy::Resume
        {
            return;
        }
        moving.failed_at = Some(Instant::now());
        moving.since_failure = 0;
        match moving.job.budget.decide(&self.transfer.retry, &error) {
            Decision::Again(wait) => {
                let until = Instant::now() + wait;
                moving.job.not_before = Some(until);
                if moving.job.mode == Mode::Afresh {
                    moving.job.mode = Mode::Ranges;
                }
                let attempt = moving.job.budget.failures();
                if let ErrorKind::Registry { retry_after: Some(_), .. } = error.kind() {
                    state.pause = Some(state.pause.map_or(until, |pause| pause.max(until)));
                }
                drop(state);
                self.retrying(blob, &error, attempt, wait);
            }
            // What was refused before a byte of it was taken spoils nothing that is there.
            Decision::Restart if !brought => {
                moving.job.mode = Mode::Afresh;
                let attempt = moving.job.budget.failures();
                drop(state);
                self.retrying(blob, &error, attempt, Duration::ZERO);
                self.changed.notify_all();
            }
            Decision::Restart => {
                let moving = state.moving.swap_remove(index);
                state.between += 1;
                drop(state);
                let draft = moving.draft.take();
                self.restart(moving.job, &error, draft);
            }
            Decision::Fail => {
                // The next run shall not go on with what is known to be wrong.
                let spoilt = brought && error.remedy() == Remedy::Restart;
                let draft = if spoilt { moving.draft.take() } else { None };
                let error = moving.job.budget.last(&self.transfer.retry, error);
                // Before anybody else may look at this blob.
                state.failed.get_or_insert(error.context(format!("moving blob {}", blob.digest)));
                drop(state);
                if let Some(Err(error)) = draft.map(Draft::discard) {
                    log::debug!("discarding {}: {error}", blob.digest);
                }
                self.changed.notify_all();
            }
        }
    }

    fn retrying(&self, blob: &'a Descriptor, error: &Error, attempt: u32, wait: Duration) {
        let (image, blob) = (self.image, Some(blob));
        self.transfer.observer.event(&Event::Retry { image, blob, error, attempt, wait });
    }

    /// Forgets what came of a blob, and lets it come again.
    fn restart(&self, mut job: Job<'a>, error: &Error, draft: Option<Box<dyn Draft>>) {
        self.retrying(job.blob, error, job.budget.failures(), Duration::ZERO);
        if let Some(draft) = draft
            && let Err(error) = draft.discard()
        {
            self.ended(job.blob, Err(error));
            return;
        }
        job.mode = Mode::Afresh;
        let mut state = self.lock();
        state.between -= 1;
        state.waiting.push_front(job);
        drop(state);
        self.changed.notify_all();
    }

    /// Makes a blob visible that has come whole; once more from the start if it is wrong.
    fn commit(&self, mut job: Job<'a>, draft: Box<dyn Draft>) {
        match draft.commit() {
            Ok(()) => self.ended(job.blob, Ok(())),
            Err(error) => match job.budget.decide(&self.transfer.retry, &error) {
                Decision::Restart => self.restart(job, &error, None),
                _ => {
                    let error = job.budget.last(&self.transfer.retry, error);
                    self.ended(job.blob, Err(error));
                }
            },
        }
    }

    /// A blob that was between is there, or never will be.
    fn ended(&self, blob: &'a Descriptor, ended: Result<()>) {
        match ended {
            Ok(()) => {
                let image = self.image;
                self.transfer.observer.event(&Event::Blob { image, blob, present: false });
            }
            Err(error) => self.fail(error.context(format!("moving blob {}", blob.digest))),
        }
        self.lock().between -= 1;
        self.changed.notify_all();
    }

    /// Ends all workers; of several errors the first is told.
    fn fail(&self, error: Error) {
        let mut state = self.lock();
        if state.failed.is_none() {
            state.failed = Some(error);
        }
        drop(state);
        self.changed.notify_all();
    }
}
