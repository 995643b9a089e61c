use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::finding::{Checked, Problem};
use super::need::{Content, Need};
use super::{Store, file};
use crate::error::{Error, Result};
use crate::image::{Descriptor, Digest, MediaType};
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
        let mut waiting: Vec<(Digest, u64)> = Vec::new();
        for (digest, need) in needs.iter_mut().filter(|(_, need)| need.content.is_none()) {
            match self.is_there(*digest) {
                Ok(size) => waiting.push((*digest, size)),
                Err(problem) => need.content = Some(Content::bad(0, problem)),
            }
        }
        waiting.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let scrub = Scrub {
            store: self,
            observe,
            total: waiting.iter().fold(0, |sum, (_, size)| sum.saturating_add(*size)),
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
        for (digest, size) in &scrub.waiting {
            if let Some(need) = needs.get_mut(digest) {
                need.content = Some(Content::good(*size));
            }
        }
        for (digest, bad) in scrub.wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some(need) = needs.get_mut(&digest) {
                need.content = Some(bad);
            }
        }
        Ok(())
    }
}

/// Blobs that several threads hash.
struct Scrub<'a> {
    store: &'a Store,
    observe: &'a (dyn Fn(&Checked) -> Result<()> + Sync),
    waiting: Vec<(Digest, u64)>,
    next: AtomicUsize,
    done: AtomicU64,
    total: u64,
    wrong: Mutex<Vec<(Digest, Content)>>,
    /// What the observer ended it with.
    ended: Mutex<Option<Error>>,
}

impl Scrub<'_> {
    fn work(&self) {
        let mut buffer = vec![0; BUFFER];
        while let Some(blob) = self.waiting.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let (digest, size) = *blob;
            match self.read(digest, size, &mut buffer) {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => {
                    let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
                    wrong.push((digest, Content::bad(size, problem)));
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
    fn read(&self, digest: Digest, size: u64, buffer: &mut [u8]) -> Result<Result<(), Problem>> {
        let file = match file::open(&self.store.layout.blob(digest)) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Err(Problem::Missing)),
            Err(error) => return Ok(Err(error.into())),
        };
        let mut content = Verify::new(file, &Descriptor::new(MediaType::default(), digest, size));
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
