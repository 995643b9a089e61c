use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::check::Need;
use super::finding::{Checked, Problem};
use super::{Store, file};
use crate::error::{Error, Result};
use crate::image::{Descriptor, Digest};
use crate::stream::Verify;

/// Most threads that hash: from there on the disk is what is waited for.
const THREADS_LIMIT: usize = 8;

/// Bytes that a thread reads at a time.
const BUFFER: usize = 256 * 1024;

impl Store {
    /// Computes the digest of everything in `needs` that was not read yet, on all processors, the
    /// large ones first so that none is left alone with one at the end.
    pub(super) fn read_all(
        &self,
        needs: &mut BTreeMap<Digest, Need>,
        observe: &(dyn Fn(&Checked) -> Result<()> + Sync),
    ) -> Result<()> {
        let unread = needs.values().filter(|need| need.unread && need.problem.is_none());
        let mut waiting: Vec<&Descriptor> = unread.map(|need| &need.descriptor).collect();
        waiting.sort_by_key(|descriptor| std::cmp::Reverse(descriptor.size));
        let scrub = Scrub {
            store: self,
            observe,
            total: waiting.iter().fold(0, |sum, it| sum.saturating_add(it.size)),
            waiting,
            next: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            wrong: Mutex::default(),
            ended: Mutex::default(),
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 1..threads.min(THREADS_LIMIT).min(scrub.waiting.len()) {
                let thread = std::thread::Builder::new().name("verify".into());
                // Without the others this one does all the work.
                if let Err(error) = thread.spawn_scoped(scope, || scrub.work()) {
                    log::debug!("starting a thread: {error}");
                }
            }
            scrub.work();
        });
        if let Some(error) = scrub.ended.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        for (digest, problem) in scrub.wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(need) = needs.get_mut(&digest) {
                need.problem = Some(problem);
            }
        }
        Ok(())
    }
}

/// Blobs that several threads hash.
struct Scrub<'a> {
    store: &'a Store,
    observe: &'a (dyn Fn(&Checked) -> Result<()> + Sync),
    waiting: Vec<&'a Descriptor>,
    next: AtomicUsize,
    done: AtomicU64,
    total: u64,
    wrong: Mutex<Vec<(Digest, Problem)>>,
    /// What the observer ended it with.
    ended: Mutex<Option<Error>>,
}

impl Scrub<'_> {
    fn work(&self) {
        let mut buffer = vec![0; BUFFER];
        while let Some(descriptor) = self.waiting.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            match self.read(descriptor, &mut buffer) {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => {
                    let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                    wrong.push((descriptor.digest, problem));
                }
                Err(error) => {
                    self.next.store(self.waiting.len(), Ordering::Relaxed);
                    let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
                    ended.get_or_insert(error);
                    return;
                }
            }
        }
    }

    /// What is wrong with one blob; the outer error is the observer's.
    fn read(&self, descriptor: &Descriptor, buffer: &mut [u8]) -> Result<Result<(), Problem>> {
        let digest = descriptor.digest;
        match self.store.is_there(digest) {
            Ok(got) if got != descriptor.size => {
                return Ok(Err(Problem::Size { expected: descriptor.size, got }));
            }
            Ok(_) => {}
            // What must not be passed on need not be here.
            Err(Problem::Missing)
                if descriptor.media_type.is_nondistributable() && descriptor.urls.is_some() =>
            {
                return Ok(Ok(()));
            }
            Err(problem) => return Ok(Err(problem)),
        }
        let file = match file::open(&self.store.layout.blob(digest)) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Err(Problem::Missing)),
            Err(error) => return Ok(Err(error.into())),
        };
        let mut content = Verify::new(file, descriptor);
        loop {
            match content.read(buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(len) => {
                    let len = u64::try_from(len).unwrap_or(u64::MAX);
                    let done = self.done.fetch_add(len, Ordering::Relaxed).saturating_add(len);
                    (self.observe)(&Checked { done, total: self.total })?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Err(Error::from(error).into())),
            }
        }
    }
}
