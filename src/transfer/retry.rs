use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::Interrupt;
use crate::error::{Error, ErrorKind, Fault, Remedy, Result};

/// How many times in a row without progress a connection may stall. Each costs the whole stall
/// timeout, so fewer are allowed than of other failures.
const STALLS: u32 = 3;

/// How often a name is looked up that has no address.
const LOOKUPS: u32 = 2;

/// When and how long to try again.
#[derive(Clone, Debug)]
pub struct Retry {
    /// How often to try in a row without progress, the first time included; 1 means never again.
    pub attempts: u32,
    /// The first wait; each further one is twice as long.
    pub base: Duration,
    /// The longest wait that we choose ourselves.
    pub cap: Duration,
    /// The longest wait that a registry may ask for; if it asks for more, that is the error.
    pub max_wait: Duration,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            attempts: 8,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(15),
            max_wait: Duration::from_secs(120),
        }
    }
}

impl Retry {
    /// Does one request, again where that may help. `failed` is told of each failure that is
    /// not the last, with its number and how long we wait.
    pub fn run<T>(
        &self,
        interrupt: &Interrupt,
        mut failed: impl FnMut(&Error, u32, Duration),
        mut request: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        let mut budget = Budget::default();
        loop {
            interrupt.check()?;
            let error = match request() {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            interrupt.check()?;
            let wait = match budget.decide(self, &error) {
                Decision::Again(wait) => wait,
                Decision::Restart => Duration::ZERO,
                Decision::Fail => return Err(budget.last(self, error)),
            };
            failed(&error, budget.failures, wait);
            interrupt.wait(wait)?;
        }
    }
}

/// What has been tried in a row without progress.
#[derive(Debug, Default)]
pub(super) struct Budget {
    failures: u32,
    stalls: u32,
    lookups: u32,
    repeats: u32,
    restarts: u32,
    /// Whether bytes came since the last failure: the connection works, so the first failure
    /// after that needs no wait.
    flowing: bool,
}

/// What to do after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Go on where it stopped, after a wait.
    Again(Duration),
    /// Ask for all of it again.
    Restart,
    /// Give up.
    Fail,
}

impl Budget {
    /// Enough has come to count as progress: all is forgiven but a restart.
    pub(super) fn progressed(&mut self) {
        *self = Budget { restarts: self.restarts, flowing: true, ..Budget::default() };
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn decide(&mut self, retry: &Retry, error: &Error) -> Decision {
        let flowing = std::mem::take(&mut self.flowing);
        self.failures += 1;
        match error.remedy() {
            Remedy::None => Decision::Fail,
            _ if retry.attempts <= 1 => Decision::Fail,
            Remedy::Repeat if self.repeats == 0 => {
                self.repeats += 1;
                Decision::Again(Duration::ZERO)
            }
            Remedy::Restart if self.restarts == 0 => {
                self.restarts += 1;
                Decision::Restart
            }
            Remedy::Restart => Decision::Fail,
            Remedy::Repeat | Remedy::Resume => self.resume(retry, error, flowing),
        }
    }

    fn resume(&mut self, retry: &Retry, error: &Error, flowing: bool) -> Decision {
        match error.kind() {
            ErrorKind::Network { fault: Fault::Stall, .. } => self.stalls += 1,
            ErrorKind::Network { fault: Fault::Resolve, .. } => self.lookups += 1,
            ErrorKind::Registry { retry_after: Some(asked), .. } => {
                let in_time = *asked <= retry.max_wait && self.failures < retry.attempts;
                return if in_time { Decision::Again(*asked) } else { Decision::Fail };
            }
            _ => {}
        }
        if self.failures >= retry.attempts || self.stalls >= STALLS || self.lookups >= LOOKUPS {
            return Decision::Fail;
        }
        let cut = matches!(error.kind(), ErrorKind::Network { fault: Fault::Cut, .. });
        if flowing && cut {
            return Decision::Again(Duration::ZERO);
        }
        let doubled = retry.base.saturating_mul(1 << (self.failures - 1).min(16));
        Decision::Again(jittered(doubled.min(retry.cap)))
    }

    /// The error that ends it all, with what was tried.
    pub(super) fn last(&self, retry: &Retry, error: Error) -> Error {
        let attempts = self.failures;
        let asked = match error.kind() {
            ErrorKind::Registry { retry_after, .. } => *retry_after,
            _ => None,
        };
        let error = error.after_attempts(attempts);
        match asked {
            Some(asked) if asked > retry.max_wait => error.context(format!(
                "waiting at most {} s, asked to wait {} s",
                retry.max_wait.as_secs(),
                asked.as_secs()
            )),
            _ if attempts > 1 => error.context(format!("after {attempts} attempts")),
            _ => error,
        }
    }
}

/// 20 % more or less, so that many clients do not come back at the same moment.
fn jittered(duration: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(()) % 401).unwrap_or(200);
    duration.saturating_mul(800 + random) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut() -> Error {
        Error::network(Fault::Cut, "cut")
    }

    fn status(status: u16, retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        Error::new(ErrorKind::Registry { status, code: None, message: String::new(), retry_after })
    }

    /// How many failures are forgiven before one is final.
    fn forgiven(retry: &Retry, error: impl Fn() -> Error) -> u32 {
        let mut budget = Budget::default();
        (0..1000).find(|_| budget.decide(retry, &error()) == Decision::Fail).unwrap()
    }

    #[test]
    fn failures_without_progress_are_counted_by_their_kind() {
        let retry = Retry::default();
        assert_eq!(forgiven(&retry, cut), 7);
        assert_eq!(forgiven(&retry, || status(503, None)), 7);
        assert_eq!(forgiven(&retry, || status(429, Some(1))), 7);
        assert_eq!(forgiven(&retry, || Error::network(Fault::Stall, "")), 2);
        assert_eq!(forgiven(&retry, || Error::network(Fault::Resolve, "")), 1);
        assert_eq!(forgiven(&retry, || ErrorKind::Range(String::new()).into()), 1);
        assert_eq!(forgiven(&retry, || status(429, Some(121))), 0);
        for permanent in [400, 401, 403, 404, 405, 413, 501, 505] {
            assert_eq!(forgiven(&retry, || status(permanent, None)), 0, "{permanent}");
        }
        assert_eq!(forgiven(&Retry { attempts: 1, ..retry }, cut), 0);
    }

    #[test]
    fn progress_forgives_everything_but_a_restart() {
        let retry = Retry::default();
        let mut budget = Budget::default();
        for _ in 0..100 {
            budget.progressed();
            assert_eq!(budget.decide(&retry, &cut()), Decision::Again(Duration::ZERO));
        }
        let wrong = || Error::new(ErrorKind::Size { expected: 1, got: 2 });
        assert_eq!(budget.decide(&retry, &wrong()), Decision::Restart);
        budget.progressed();
        assert_eq!(budget.decide(&retry, &wrong()), Decision::Fail);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_what_the_registry_asks_for_is_exact() {
        let retry = Retry { attempts: 100, ..Retry::default() };
        let mut budget = Budget::default();
        for expected in [250, 500, 1000, 2000, 4000, 8000, 15000, 15000] {
            let Decision::Again(wait) = budget.decide(&retry, &status(500, None)) else { panic!() };
            let (low, high) = (expected * 8 / 10, expected * 12 / 10);
            assert!((low..=high).contains(&wait.as_millis()), "{wait:?}");
        }
        let asked = budget.decide(&retry, &status(429, Some(7)));
        assert_eq!(asked, Decision::Again(Duration::from_secs(7)));
    }

    #[test]
    fn interrupt_ends_a_wait() {
        let interrupt = Interrupt::new();
        interrupt.interrupt();
        let retry = Retry::default();
        let error = retry.run(&interrupt, |_, _, _| {}, || Err::<(), _>(cut())).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Interrupted));
    }
}
