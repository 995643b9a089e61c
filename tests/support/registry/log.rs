//! What was asked of a server, so that tests can claim something about requests.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::http::Head;
use super::rule::Pattern;

/// A request and what came of it so far. Dereferences to its [`Head`].
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    pub(crate) peer: SocketAddr,
    /// When its head was complete, counted from the start of the server.
    pub(crate) at: Duration,
    /// Whether the connection had carried a request before.
    pub(crate) reused: bool,
    /// Bytes of its body that arrived.
    pub(crate) received: u64,
    /// 0 if no answer was begun.
    pub(crate) status: u16,
    /// Bytes of the answer's body that were sent.
    pub(crate) sent: u64,
}

impl Deref for Request {
    type Target = Head;

    fn deref(&self) -> &Head {
        &self.head
    }
}

pub(super) struct Log {
    start: Instant,
    entries: Mutex<Vec<Arc<Entry>>>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    pub(super) connections: AtomicUsize,
}

/// One request in the log, filled in while it is served.
pub(super) struct Entry {
    first: Request,
    received: AtomicU64,
    status: AtomicU16,
    sent: AtomicU64,
}

impl Log {
    pub(super) fn new() -> Log {
        Log {
            start: Instant::now(),
            entries: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        }
    }

    pub(super) fn begin(
        &self,
        head: &Head,
        peer: SocketAddr,
        reused: bool,
    ) -> (Arc<Entry>, UnderWay<'_>) {
        let at = self.start.elapsed();
        let first =
            Request { head: head.clone(), peer, at, reused, received: 0, status: 0, sent: 0 };
        let entry = Arc::new(Entry {
            first,
            received: AtomicU64::new(0),
            status: AtomicU16::new(0),
            sent: AtomicU64::new(0),
        });
        self.entries.lock().unwrap().push(entry.clone());
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        (entry, UnderWay(Some(self)))
    }

    pub(super) fn requests(&self, pattern: &str) -> Vec<Request> {
        let pattern = Pattern::new(pattern);
        let entries = self.entries.lock().unwrap();
        let matching = entries.iter().filter(|entry| pattern.matches(&entry.first.head));
        matching.map(|entry| entry.request()).collect()
    }

    pub(super) fn clear(&self) {
        self.entries.lock().unwrap().clear();
        self.most_at_once.store(self.at_once.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }
}

impl Entry {
    pub(super) fn request(&self) -> Request {
        let mut request = self.first.clone();
        request.received = self.received.load(Ordering::SeqCst);
        request.status = self.status.load(Ordering::SeqCst);
        request.sent = self.sent.load(Ordering::SeqCst);
        request
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    pub(super) fn answered(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// To be called before the bytes are written: what a client has seen is then always counted.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

/// Counts a request as under way until dropped.
///
/// Drop it before the last byte is written: a client may send the next request, on another
/// connection, as soon as it has that byte.
pub(super) struct UnderWay<'a>(Option<&'a Log>);

impl UnderWay<'_> {
    pub(super) fn end(&mut self) {
        if let Some(log) = self.0.take() {
            log.at_once.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
