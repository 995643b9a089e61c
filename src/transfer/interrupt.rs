use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{ErrorKind, Result};

/// A way to stop transfers from another thread. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<(Mutex<bool>, Condvar)>);

impl Interrupt {
    /// One that has not happened.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Lets every transfer that looks at this end soon, with [`ErrorKind::Interrupted`] and with
    /// what has come kept.
    pub fn interrupt(&self) {
        let (interrupted, changed) = &*self.0;
        *interrupted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Whether it has happened.
    pub fn is_interrupted(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails once it has happened.
    pub fn check(&self) -> Result<()> {
        if self.is_interrupted() { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// Waits that long, unless it happens before.
    pub fn wait(&self, duration: Duration) -> Result<()> {
        let (interrupted, changed) = &*self.0;
        let end = Instant::now() + duration;
        let mut guard = interrupted.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if *guard {
                return Err(ErrorKind::Interrupted.into());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let waited = changed.wait_timeout(guard, left);
            guard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
