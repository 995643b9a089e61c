use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The least that is worth a request of its own, however slow the connections are.
const LEAST: u64 = 64 * 1024;

/// The least that is worth a request of its own on connections that bring it in no time.
const CHUNK_MIN: u64 = 1024 * 1024;

/// A stream that brings so many times less than the best of this blob is not waited for.
const MUCH_SLOWER: u64 = 4;

/// The most that one request asks for beside others, so that hashing, which follows the lowest
/// unfinished offset, has something to do.
const CHUNK_MAX: u64 = 64 * 1024 * 1024;

/// How long a stream must have run before its rate says something.
const RATE_AFTER: Duration = Duration::from_millis(250);

/// A stream that brings so many bytes a second is not held up by the network but by this
/// machine's disk and processor, for which others beside it would only compete: 128 MiB, what a
/// gigabit link brings.
const FAST: u64 = 128 * 1024 * 1024;

/// A stream that would end by itself within this time is left alone: to cut it and ask again
/// costs what is on the way. One that asks for a range, which was measured out for
/// [`CHUNK_TIME`], is left alone for twice that.
const WORTH_SPLITTING: Duration = Duration::from_secs(1);

/// How much time's worth of bytes one request beside others asks for.
const CHUNK_TIME: Duration = Duration::from_secs(2);

/// Numbers orders, so that a late word about one is never taken for a word about another.
static ORDERS: AtomicU64 = AtomicU64::new(0);

/// Who fetches which bytes of one blob. Decides, and does no I/O.
#[derive(Debug)]
pub(super) struct Pieces {
    size: u64,
    /// Missing, and nobody is at it; in order.
    free: Vec<Range<u64>>,
    taken: Vec<Piece>,
    /// Bytes a second of the fastest stream so far.
    best_rate: u64,
}

/// Bytes that one stream is to bring.
#[derive(Clone, Debug)]
struct Piece {
    id: u64,
    start: u64,
    next: u64,
    limit: u64,
    began: Instant,
    /// The stream goes on to the end of the blob, if it is let.
    open_ended: bool,
}

/// What a stream is to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) id: u64,
    pub(super) range: Range<u64>,
    /// Ask for all from the start of the range to the end of the blob, and stop where the range
    /// ends unless more is free by then.
    pub(super) open_ended: bool,
}

/// What is known of a stream that has ended before it brought all.
#[derive(Clone, Copy, Debug)]
pub(super) struct GivenUp {
    pub(super) began: Instant,
    /// Whether it brought anything.
    pub(super) brought: bool,
}

/// What a stream that has reached the end of its piece does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Goes on, from this offset: what lies between is there already.
    From(u64),
    /// Ends.
    End,
}

impl Pieces {
    /// Nobody is at any of `missing`, the gaps of a blob of `size` bytes.
    pub(super) fn new(size: u64, missing: Vec<Range<u64>>) -> Pieces {
        Pieces { size, free: missing, taken: Vec::new(), best_rate: 0 }
    }

    /// Whether nothing is missing and nobody is at it.
    pub(super) fn is_complete(&self) -> bool {
        self.free.is_empty() && self.taken.is_empty()
    }

    /// Whether nobody is at it, and something is missing.
    pub(super) fn is_waiting(&self) -> bool {
        !self.free.is_empty() && self.taken.is_empty()
    }

    /// Whether any stream is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.taken.is_empty()
    }

    /// How many bytes are there.
    pub(super) fn there(&self) -> u64 {
        let free: u64 = self.free.iter().map(|range| range.end - range.start).sum();
        let taken: u64 = self.taken.iter().map(|piece| piece.limit - piece.next).sum();
        self.size.saturating_sub(free).saturating_sub(taken)
    }

    /// What the only stream of a blob is to ask for: from the lowest missing byte to the end, so
    /// that it can take one gap after the other; or, if the source answers ranges, just the
    /// first gap, when there are more.
    pub(super) fn first(&mut self, ranges: bool, now: Instant) -> Option<Order> {
        if self.free.is_empty() {
            return None;
        }
        let range = self.free.remove(0);
        let open_ended = !ranges || range.end == self.size;
        Some(self.take(range, open_ended, now))
    }

    /// What one more stream beside those under way is to ask for, if that is worth it.
    pub(super) fn beside(&mut self, jobs: u64, now: Instant) -> Option<Order> {
        let rates = self.taken.iter().filter_map(|piece| piece.rate(now));
        let rate = rates.max().filter(|rate| *rate < FAST)?;
        self.best_rate = self.best_rate.max(rate);
        if self.free.is_empty() {
            self.split(now);
        }
        let free: u64 = self.free.iter().map(|range| range.end - range.start).sum();
        let first = self.free.first_mut()?;
        // Smaller towards the end, so that all streams end at about the same time.
        let least = least_worth(self.best_rate);
        let share = (free / jobs.saturating_mul(2).max(1)).max(least);
        let len = bytes_in(self.best_rate, CHUNK_TIME).clamp(least, CHUNK_MAX).min(share);
        let end = first.start.saturating_add(len).min(first.end);
        // What would be left is not worth a request.
        let end = if first.end - end < least / 2 { first.end } else { end };
        let range = first.start..end;
        first.start = end;
        if first.is_empty() {
            self.free.remove(0);
        }
        Some(self.take(range, false, now))
    }

    /// Frees the tail of the piece whose stream would take longest, if that is long; all of it,
    /// if others were much faster.
    fn split(&mut self, now: Instant) {
        let time_left = |piece: &Piece| {
            let rate = piece.rate(now)?.max(1);
            let millis = (piece.limit - piece.next).saturating_mul(1000) / rate;
            let worth = if piece.open_ended { WORTH_SPLITTING } else { 2 * CHUNK_TIME };
            (u128::from(millis) > worth.as_millis()).then_some((millis, rate))
        };
        let slow = self.taken.iter().enumerate().filter_map(|(at, it)| Some((time_left(it)?, at)));
        let Some(((_, rate), at)) = slow.max_by_key(|((millis, _), _)| *millis) else { return };
        if rate < self.best_rate / MUCH_SLOWER {
            // Whoever reads it hears that its piece is gone when the next bytes come.
            let piece = self.taken.remove(at);
            self.release(piece.next..piece.limit);
            return;
        }
        let piece = &mut self.taken[at];
        let least = least_worth(rate);
        let keep = bytes_in(rate, WORTH_SPLITTING / 2).max(least);
        if piece.limit - piece.next < keep + least {
            return;
        }
        let tail = piece.next + keep..piece.limit;
        piece.limit = tail.start;
        self.release(tail);
    }

    fn take(&mut self, range: Range<u64>, open_ended: bool, began: Instant) -> Order {
        let id = ORDERS.fetch_add(1, Ordering::Relaxed);
        let Range { start, end: limit } = range;
        self.taken.push(Piece { id, start, next: start, limit, began, open_ended });
        Order { id, range: start..limit, open_ended }
    }

    /// How many bytes the stream may write at its place before it must ask again.
    pub(super) fn allowed(&self, id: u64) -> u64 {
        self.piece(id).map_or(0, |piece| piece.limit - piece.next)
    }

    /// The stream has written so many bytes.
    pub(super) fn advance(&mut self, id: u64, len: u64) {
        if let Some(piece) = self.taken.iter_mut().find(|piece| piece.id == id) {
            piece.next = piece.next.saturating_add(len).min(piece.limit);
        }
    }

    /// The stream has written all that it was allowed to. With `over_gaps` it may read past what
    /// is there already to what is not.
    pub(super) fn extend(&mut self, id: u64, over_gaps: bool) -> Next {
        let Some(index) = self.taken.iter().position(|piece| piece.id == id) else {
            return Next::End;
        };
        let piece = &self.taken[index];
        self.best_rate = self.best_rate.max(piece.rate(Instant::now()).unwrap_or(0));
        let at = piece.next;
        let fits = |range: &Range<u64>| range.start == at || (over_gaps && range.start > at);
        match self.free.iter().position(fits) {
            Some(free) if piece.open_ended => {
                let range = self.free.remove(free);
                let piece = &mut self.taken[index];
                (piece.next, piece.limit) = (range.start, range.end);
                Next::From(range.start)
            }
            _ => {
                self.taken.remove(index);
                Next::End
            }
        }
    }

    /// The stream has ended before it brought all; what it did not bring is free again.
    pub(super) fn give_up(&mut self, id: u64) -> Option<GivenUp> {
        let index = self.taken.iter().position(|piece| piece.id == id)?;
        let piece = self.taken.remove(index);
        self.release(piece.next..piece.limit);
        Some(GivenUp { began: piece.began, brought: piece.next > piece.start })
    }

    fn release(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let index = self.free.partition_point(|free| free.start < range.start);
        self.free.insert(index, range);
        self.free.dedup_by(|later, earlier| {
            let touches = earlier.end == later.start;
            if touches {
                earlier.end = later.end;
            }
            touches
        });
    }

    fn piece(&self, id: u64) -> Option<&Piece> {
        self.taken.iter().find(|piece| piece.id == id)
    }
}

impl Piece {
    /// Bytes a second, once it has run long enough to tell.
    fn rate(&self, now: Instant) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed < RATE_AFTER || self.next == self.start {
            return None;
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        Some((self.next - self.start).saturating_mul(1000) / millis)
    }
}

/// The least that is worth a request at that rate: what comes in a moment.
fn least_worth(rate: u64) -> u64 {
    bytes_in(rate, RATE_AFTER).clamp(LEAST, CHUNK_MIN)
}

fn bytes_in(rate: u64, duration: Duration) -> u64 {
    rate.saturating_mul(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)) / 1000
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn after(began: Instant, millis: u64) -> Instant {
        began + Duration::from_millis(millis)
    }

    #[test]
    fn one_stream_takes_all_of_a_new_blob() {
        let mut pieces = Pieces::new(10, vec![0..10]);
        let order = pieces.first(true, Instant::now()).unwrap();
        assert_eq!((order.range.clone(), order.open_ended), (0..10, true));
        pieces.advance(order.id, 10);
        assert_eq!(pieces.extend(order.id, false), Next::End);
        assert!(pieces.is_complete());
    }

    #[test]
    fn slow_stream_gets_others_beside_it_and_a_fast_one_does_not() {
        let now = Instant::now();
        for (size, received, expected) in
            [(100, MIB, true), (20, 15 * MIB, false), (10_000, 100 * MIB, false)]
        {
            let mut pieces = Pieces::new(size * MIB, vec![0..size * MIB]);
            let first = pieces.first(true, now).unwrap();
            pieces.advance(first.id, received);
            assert_eq!(pieces.beside(8, after(now, 100)), None, "too early to tell");
            let beside = pieces.beside(8, after(now, 500));
            assert_eq!(beside.is_some(), expected, "{beside:?}");
        }
    }

    #[test]
    fn pieces_cover_every_byte_once_whoever_takes_them() {
        let now = Instant::now();
        let size = 100 * MIB;
        let mut pieces = Pieces::new(size, vec![0..size]);
        let first = pieces.first(true, now).unwrap();
        pieces.advance(first.id, 2 * MIB);
        let mut orders = Vec::new();
        while let Some(order) = pieces.beside(4, after(now, 1000)) {
            orders.push(order);
        }
        let mut covered = Vec::from([0..2 * MIB + pieces.allowed(first.id)]);
        covered.extend(orders.iter().map(|order| order.range.clone()));
        covered.sort_by_key(|range| range.start);
        let joined = covered.windows(2).all(|pair| pair[0].end == pair[1].start);
        assert!(joined && covered.last().unwrap().end == size, "{covered:?}");
        assert!(orders.iter().all(|order| order.range.end - order.range.start >= MIB / 4));
        assert_eq!(pieces.there(), 2 * MIB);
        for order in &orders {
            pieces.give_up(order.id);
        }
        pieces.advance(first.id, pieces.allowed(first.id));
        assert_eq!(pieces.extend(first.id, false), Next::From(covered[0].end), "takes it back");
        assert_eq!(pieces.allowed(first.id), size - covered[0].end);
    }

    #[test]
    fn slow_stream_is_not_waited_for_when_others_are_fast() {
        let now = Instant::now();
        let size = 16 * MIB;
        let mut pieces = Pieces::new(size, vec![0..size]);
        let slow = pieces.first(true, now).unwrap();
        pieces.advance(slow.id, 8 * 1024);
        let fast = pieces.beside(8, after(now, 500)).unwrap();
        assert!(fast.range.start < 128 * 1024, "it keeps little: {fast:?}");
        pieces.advance(fast.id, fast.range.end - fast.range.start);
        pieces.best_rate = 8 * MIB;
        let mut covered = pieces.allowed(slow.id) + fast.range.end - fast.range.start + 8 * 1024;
        pieces.extend(fast.id, false);
        while let Some(order) = pieces.beside(8, after(now, 1000)) {
            covered += order.range.end - order.range.start;
            if order.range.start == 8 * 1024 {
                assert_eq!(pieces.allowed(slow.id), 0, "the slow one has nothing left to do");
                covered -= order.range.end - order.range.start;
            }
        }
        assert_eq!(pieces.allowed(slow.id), 0);
        assert_eq!(covered, size);
    }

    #[test]
    fn one_stream_reads_over_what_is_there() {
        let mut pieces = Pieces::new(10, vec![2..4, 6..8]);
        let order = pieces.first(false, Instant::now()).unwrap();
        assert_eq!((order.range.clone(), order.open_ended), (2..4, true));
        pieces.advance(order.id, 2);
        assert_eq!(pieces.extend(order.id, true), Next::From(6));
        pieces.advance(order.id, 2);
        assert_eq!(pieces.extend(order.id, true), Next::End);
        assert!(pieces.is_complete());
    }

    #[test]
    fn gaps_are_asked_for_one_by_one_where_ranges_work() {
        let mut pieces = Pieces::new(10, vec![2..4, 6..10]);
        let order = pieces.first(true, Instant::now()).unwrap();
        assert_eq!((order.range.clone(), order.open_ended), (2..4, false));
        pieces.advance(order.id, 1);
        pieces.give_up(order.id);
        assert_eq!(pieces.first(true, Instant::now()).unwrap().range, 3..4);
    }
}
