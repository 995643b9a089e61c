//! Adapters over the bodies of answers. Errors of the wire are marked here, where they arise.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Fault};

/// Fewest bytes a second that count as progress, averaged over the window of a [`Pace`].
const SLOWEST: u64 = 1024;

/// Whether all requests were asked to end.
#[derive(Clone, Default)]
pub(super) struct Stopped(Arc<AtomicBool>);

impl Stopped {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// How fast bytes come. Only time spent waiting for them counts: whoever reads may be slow.
pub(super) struct Pace {
    window: Duration,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Looks at twice `stall_timeout` at a time.
    pub(super) fn new(stall_timeout: Duration) -> Pace {
        Pace { window: stall_timeout.saturating_mul(2), waited: Duration::ZERO, bytes: 0 }
    }

    /// Whether it still goes on, after `bytes` came that were waited for so long.
    fn holds(&mut self, bytes: usize, waited: Duration) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.waited < self.window {
            return true;
        }
        let fewest = u128::from(SLOWEST) * self.waited.as_millis() / 1000;
        let enough = u128::from(self.bytes) >= fewest;
        (self.waited, self.bytes) = (Duration::ZERO, 0);
        enough
    }
}

/// The body of an answer, whose errors are [`ErrorKind::Network`].
///
/// One `io::copy` reads from the wire and writes to the disk. Only an error of the wire may pass
/// if we try again, so it is marked here, where it arises. After an error come only errors.
pub(super) struct Wire<R> {
    inner: R,
    pace: Pace,
    stopped: Stopped,
    failed: bool,
}

impl<R> Wire<R> {
    pub(super) fn new(inner: R, pace: Pace, stopped: Stopped) -> Wire<R> {
        Wire { inner, pace, stopped, failed: false }
    }

    fn fail(&mut self, error: Error) -> io::Error {
        self.failed = true;
        if self.stopped.is_set() { Error::new(ErrorKind::Interrupted) } else { error }.into()
    }
}

impl<R: Read> Read for Wire<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failed {
            return Err(Error::network(Fault::Cut, "the connection was cut before").into());
        }
        let begun = Instant::now();
        match self.inner.read(buf) {
            // An end may be the shutdown of the socket.
            Ok(0) if !buf.is_empty() && self.stopped.is_set() => {
                Err(self.fail(ErrorKind::Interrupted.into()))
            }
            Ok(count) if count > 0 && !self.pace.holds(count, begun.elapsed()) => {
                let slow = format!("fewer than {SLOWEST} bytes a second came");
                Err(self.fail(Error::network(Fault::Stall, slow)))
            }
            Ok(count) => Ok(count),
            Err(error) => {
                let error = match error.downcast::<Error>() {
                    Ok(ours) => ours,
                    Err(error) => Error::network(Fault::Cut, error.to_string()),
                };
                Err(self.fail(error))
            }
        }
    }
}

/// Content of a known length: never more than that, and an error if it is less or more.
pub(super) struct Exactly<R> {
    inner: R,
    len: u64,
    read: u64,
    state: State,
    too_short: fn(read: u64, len: u64) -> Error,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The end was looked for and found.
    Ended,
    Failed,
}

impl<R: Read> Exactly<R> {
    /// If it is too short, the connection was cut.
    pub(super) fn or_cut(inner: R, len: u64) -> Exactly<R> {
        let too_short = |read, len| {
            let message = format!("the connection ended after {read} of {len} bytes");
            Error::network(Fault::Cut, message)
        };
        Exactly { inner, len, read: 0, state: State::Open, too_short }
    }

    /// If it is too short, it is not what it should be.
    pub(super) fn or_size(inner: R, len: u64) -> Exactly<R> {
        let too_short = |read, len| ErrorKind::Size { expected: len, got: read }.into();
        Exactly { inner, len, read: 0, state: State::Open, too_short }
    }

    fn read_more(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        let left = self.len - self.read;
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        let mut count = 0;
        if max > 0 {
            count = self.inner.read(&mut buf[..max])?;
            if count == 0 {
                return Err((self.too_short)(self.read, self.len));
            }
            self.read += u64::try_from(count).unwrap_or(left);
        }
        if self.read == self.len {
            // Looked for as soon as the last byte is there: a body that was read to its end
            // leaves a connection for the next request. When all of it came, it is nothing to us
            // how the connection ends.
            if let Ok(1..) = self.inner.read(&mut [0]) {
                let got = self.len.saturating_add(1);
                return Err(ErrorKind::Size { expected: self.len, got }.into());
            }
            self.state = State::Ended;
        }
        Ok(count)
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Ended => Ok(0),
            State::Failed => {
                Err(Error::network(Fault::Cut, "the connection was cut before").into())
            }
            State::Open if buf.is_empty() => Ok(0),
            State::Open => self.read_more(buf).map_err(|error| {
                self.state = State::Failed;
                error.into()
            }),
        }
    }
}

/// What is left of `inner` after its first `skip` bytes.
pub(super) struct Rest<R> {
    inner: R,
    skip: u64,
}

impl<R> Rest<R> {
    pub(super) fn new(inner: R, skip: u64) -> Rest<R> {
        Rest { inner, skip }
    }
}

impl<R: Read> Read for Rest<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.skip > 0 && !buf.is_empty() {
            let max = usize::try_from(self.skip).unwrap_or(usize::MAX).min(buf.len());
            let count = self.inner.read(&mut buf[..max])?;
            if count == 0 {
                return Ok(0);
            }
            self.skip -= u64::try_from(count).unwrap_or(self.skip);
        }
        self.inner.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Remedy;

    fn wire<R: Read>(inner: R) -> Wire<R> {
        Wire::new(inner, Pace::new(Duration::from_secs(30)), Stopped::default())
    }

    /// Gives what it is told to, then ends.
    struct Script(Vec<io::Result<&'static [u8]>>);

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let bytes = self.0.remove(0)?;
            buf[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn wire_marks_errors_and_never_ends_well_after_one() {
        let reset = || Err(io::ErrorKind::ConnectionReset.into());
        let mut body = wire(Script(vec![Ok(b"ab"), reset(), Ok(b"cd")]));
        let mut buf = [0; 8];
        assert_eq!(body.read(&mut buf).unwrap(), 2);
        for _ in 0..3 {
            let error = Error::from(body.read(&mut buf).unwrap_err());
            assert_eq!(error.remedy(), Remedy::Resume);
        }
    }

    #[test]
    fn wire_of_a_stopped_client_is_interrupted_even_at_its_end() {
        let stopped = Stopped::default();
        let mut body = Wire::new(&b""[..], Pace::new(Duration::from_secs(1)), stopped.clone());
        stopped.set();
        let error = Error::from(body.read(&mut [0]).unwrap_err());
        assert!(matches!(error.kind(), ErrorKind::Interrupted));
    }

    #[test]
    fn pace_counts_the_time_of_waiting_only() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(second);
        assert!(pace.holds(1, second), "the window is not over");
        assert!(!pace.holds(1, second), "2 bytes in 2 s");
        assert!(pace.holds(2048, 2 * second), "1 KiB/s");
        assert!(!pace.holds(2047, 2 * second));
        assert!(pace.holds(1, Duration::ZERO));
    }

    #[track_caller]
    fn check_exactly(content: &[u8], len: u64, expected: Result<&[u8], &str>) {
        let mut read = Vec::new();
        let outcome = Exactly::or_cut(content, len).read_to_end(&mut read);
        let outcome = outcome.map(|_| read).map_err(|error| error.to_string());
        assert_eq!(outcome.as_deref(), expected.map_err(str::to_owned).as_deref());
    }

    #[test]
    fn content_is_exactly_as_long_as_it_should_be() {
        check_exactly(b"hello", 5, Ok(b"hello"));
        check_exactly(b"", 0, Ok(b""));
        check_exactly(b"hell", 5, Err("the connection ended after 4 of 5 bytes"));
        check_exactly(b"hello!", 5, Err("expected 5 bytes, got 6"));
        check_exactly(b"!", 0, Err("expected 0 bytes, got 1"));
        check_exactly(
            b"",
            u64::MAX,
            Err("the connection ended after 0 of 18446744073709551615 bytes"),
        );
    }

    #[test]
    fn content_that_is_complete_may_end_in_any_way() {
        let reset = Err(io::ErrorKind::ConnectionReset.into());
        let mut read = Vec::new();
        Exactly::or_cut(Script(vec![Ok(b"hello"), reset]), 5).read_to_end(&mut read).unwrap();
        assert_eq!(read, b"hello");
    }

    #[test]
    fn rest_begins_after_what_is_skipped() {
        for skip in 0..=7 {
            let mut rest = Vec::new();
            Rest::new((&b"he"[..]).chain(&b"llo"[..]), skip).read_to_end(&mut rest).unwrap();
            assert_eq!(rest, &b"hello"[usize::try_from(skip).unwrap().min(5)..]);
        }
    }
}
