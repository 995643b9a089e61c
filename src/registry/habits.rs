use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::url::Origin;
use crate::image::Digest;

/// How often in a row ranged requests may get no answer before no more are sent.
const SILENCES: u32 = 2;

/// How often in a row the place that a redirect leads to may refuse a blob before it is believed.
/// Each time the registry was asked for a new redirect, but it may keep one for a while.
const EXPIRIES: u32 = 2;

/// Most blobs of which is known who served them.
const REMEMBERED: usize = 4096;

/// What was learned of the hosts that serve the blobs of a registry: itself, and those that it
/// redirects to. Shared by all requests to the registry.
#[derive(Default)]
pub(super) struct Habits(Mutex<Known>);

/// Sizes in which content is sent where all at once is too much: what gateways, Cloudflare, GHCR
/// and nginx by themselves let pass, and less.
const CHUNKS: [u64; 6] = [64 << 20, 16 << 20, 4 << 20, 1 << 20, 512 << 10, 128 << 10];

#[derive(Default)]
struct Known {
    /// Who does not take ranges.
    refuses: HashSet<Origin>,
    silent: HashMap<Origin, Strikes>,
    expired: HashMap<Digest, Strikes>,
    served: HashMap<Digest, Origin>,
    last: Option<Origin>,
    encoded: HashSet<Digest>,
    chunks: Chunks,
}

/// In which portions uploads are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// All at once.
    #[default]
    Whole,
    /// At most so many bytes in one request.
    Of(u64),
    /// Of several chunks only the first counts.
    Broken,
}

/// What happened so often in a row. Things that happened to requests beside each other count once.
struct Strikes {
    count: u32,
    last: Instant,
}

impl Habits {
    /// Whether whoever will probably serve the blob takes ranges.
    pub(super) fn takes_ranges(&self, blob: &Digest) -> bool {
        let known = self.known();
        let host = known.served.get(blob).or(known.last.as_ref());
        host.is_none_or(|host| !known.refuses.contains(host))
    }

    /// Whether the blob, or a part of it, came from here.
    pub(super) fn has_served(&self, blob: &Digest) -> bool {
        self.known().served.contains_key(blob)
    }

    /// The blob came from `host`.
    pub(super) fn served(&self, blob: Digest, host: &Origin) {
        let mut known = self.known();
        known.expired.remove(&blob);
        known.remember(blob, host);
    }

    /// The range of the blob came from `host`.
    pub(super) fn served_range(&self, blob: Digest, host: &Origin) {
        self.known().silent.remove(host);
        self.served(blob, host);
    }

    /// `host` did not give the range of the blob that it was asked for.
    pub(super) fn refused_range(&self, blob: Digest, host: &Origin) {
        let mut known = self.known();
        if known.refuses.insert(host.clone()) {
            log::debug!("{host} does not take ranges: asking it for whole blobs");
        }
        known.remember(blob, host);
    }

    /// `host` gave no answer to a request for a range of the blob, begun at `begun`.
    pub(super) fn silent(&self, blob: Digest, host: &Origin, begun: Instant) {
        let strikes = strike(&mut self.known().silent, host.clone(), begun);
        if strikes >= SILENCES {
            self.refused_range(blob, host);
        }
    }

    /// The place that a redirect led to refused the blob. Whether the redirect may have expired,
    /// so that a new one may help.
    pub(super) fn may_have_expired(&self, blob: Digest, begun: Instant) -> bool {
        strike(&mut self.known().expired, blob, begun) <= EXPIRIES
    }

    /// The blob is compressed on the way, and its label of gzip is right.
    pub(super) fn encodes(&self, blob: Digest) {
        self.known().encoded.insert(blob);
    }

    /// Whether that was found out.
    pub(super) fn is_encoded(&self, blob: &Digest) -> bool {
        self.known().encoded.contains(blob)
    }

    /// In which portions uploads are taken.
    pub(super) fn chunks(&self) -> Chunks {
        self.known().chunks
    }

    /// So many bytes were too many for one request, of which there may be no fewer than `least`.
    /// Says whether there is something else to try.
    pub(super) fn too_large(&self, len: u64, least: u64) -> bool {
        let mut known = self.known();
        let smaller = match known.chunks {
            Chunks::Broken => None,
            Chunks::Of(chunk) if chunk < len => return true,
            _ => CHUNKS.into_iter().map(|chunk| chunk.max(least)).find(|chunk| *chunk < len),
        };
        if let Some(chunk) = smaller {
            log::debug!("{len} bytes at once are too many: sending {chunk}");
            known.chunks = Chunks::Of(chunk);
        }
        smaller.is_some()
    }

    /// A chunk after the first one was accepted and dropped.
    pub(super) fn drops_chunks(&self) {
        self.known().chunks = Chunks::Broken;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remember(&mut self, blob: Digest, host: &Origin) {
        if self.served.len() >= REMEMBERED {
            self.served.clear();
        }
        self.served.insert(blob, host.clone());
        self.last = Some(host.clone());
    }
}

fn strike<K: Eq + std::hash::Hash>(
    strikes: &mut HashMap<K, Strikes>,
    of: K,
    begun: Instant,
) -> u32 {
    let now = Instant::now();
    let strikes = strikes.entry(of).or_insert(Strikes { count: 0, last: begun });
    if begun >= strikes.last {
        *strikes = Strikes { count: strikes.count + 1, last: now };
    }
    strikes.count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::url::Url;

    fn host(name: &str) -> Origin {
        Url::parse(&format!("https://{name}/")).unwrap().origin().clone()
    }

    #[test]
    fn ranges_are_asked_for_until_the_host_that_serves_refuses() {
        let (small, large) = (Digest::of(b"small"), Digest::of(b"large"));
        let habits = Habits::default();
        assert!(habits.takes_ranges(&large), "nothing is known");
        habits.served(small, &host("registry.io"));
        habits.refused_range(large, &host("cdn.io"));
        assert!(!habits.takes_ranges(&large));
        assert!(habits.takes_ranges(&small), "another host serves it");
        assert!(!habits.takes_ranges(&Digest::of(b"new")), "as the last");
    }

    #[test]
    fn silence_in_a_row_is_a_refusal_and_beside_each_other_counts_once() {
        let blob = Digest::of(b"");
        let habits = Habits::default();
        let begun = Instant::now();
        habits.silent(blob, &host("a"), begun);
        habits.silent(blob, &host("a"), begun);
        assert!(habits.takes_ranges(&blob));
        habits.served_range(blob, &host("a"));
        habits.silent(blob, &host("a"), Instant::now());
        assert!(habits.takes_ranges(&blob), "not in a row");
        habits.silent(blob, &host("a"), Instant::now());
        assert!(!habits.takes_ranges(&blob));
    }

    #[test]
    fn chunks_get_smaller_until_nothing_smaller_is_allowed() {
        let habits = Habits::default();
        assert!(habits.too_large(1 << 30, 0));
        assert_eq!(habits.chunks(), Chunks::Of(64 << 20));
        assert!(habits.too_large(1 << 30, 0), "another thread has found out the same");
        assert_eq!(habits.chunks(), Chunks::Of(64 << 20));
        assert!(habits.too_large(64 << 20, 5 << 20));
        assert_eq!(habits.chunks(), Chunks::Of(16 << 20));
        assert!(habits.too_large(16 << 20, 5 << 20));
        assert_eq!(habits.chunks(), Chunks::Of(5 << 20));
        assert!(!habits.too_large(5 << 20, 5 << 20));
        assert!(!habits.too_large(128 << 10, 0));
        habits.drops_chunks();
        assert!(!habits.too_large(1 << 30, 0));
    }

    #[test]
    fn redirect_that_is_refused_again_and_again_has_not_expired() {
        let blob = Digest::of(b"");
        let habits = Habits::default();
        let outcomes: Vec<bool> =
            (0..4).map(|_| habits.may_have_expired(blob, Instant::now())).collect();
        assert_eq!(outcomes, [true, true, false, false]);
        habits.served(blob, &host("a"));
        assert!(habits.may_have_expired(blob, Instant::now()));
    }
}
