use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals as Iterator;
use windlass::error::ErrorKind;

use crate::cli::exit;
use crate::cli::output::Output;

/// How long the work may take to come to an end by itself. A user waits a second at most.
const GRACE: Duration = Duration::from_millis(700);

/// What SIGINT and SIGTERM do: they stop what is under way, and the process ends with their code.
#[derive(Clone, Default)]
pub(crate) struct Signals(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The exit code of the first signal that came.
    code: Option<u8>,
    /// Whether the user was told.
    told: bool,
    stops: Vec<Box<dyn Fn() + Send>>,
}

impl Signals {
    /// Watches for signals from here on. What has not ended by itself soon after the first is
    /// ended: what is in the store is whole at any instant.
    pub(crate) fn watch(output: Output) -> io::Result<Signals> {
        let signals = Signals::default();
        let watching = signals.clone();
        // Where files may not grow further, writing fails instead, with a path to tell.
        signal_hook::flag::register(SIGXFSZ, Arc::default())?;
        let mut incoming = Iterator::new([SIGINT, SIGTERM])?;
        thread::Builder::new().name("signals".into()).spawn(move || {
            let Some(signal) = incoming.forever().next() else { return };
            let code = if signal == SIGTERM { exit::SIGTERM } else { exit::SIGINT };
            watching.stop(code);
            let end = Instant::now() + GRACE;
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                thread::park_timeout(left);
            }
            watching.tell(&output, code);
            end_process(code);
        })?;
        Ok(signals)
    }

    /// Does `stop` when a signal comes, or at once if one has come.
    pub(crate) fn on_stop(&self, stop: impl Fn() + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.code.is_some() {
            stop();
        }
        state.stops.push(Box::new(stop));
    }

    fn stop(&self, code: u8) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.code = Some(code);
        for stop in &state.stops {
            stop();
        }
    }

    /// The exit code of the signal that came, if one came.
    pub(crate) fn code(&self) -> Option<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).code
    }

    /// Tells, once, that a signal ended the run.
    pub(crate) fn tell(&self, output: &Output, code: u8) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut state.told, true) {
            output.failure(&ErrorKind::Interrupted.into(), code);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "whatever main waits for may never come")]
fn end_process(code: u8) -> ! {
    std::process::exit(code.into())
}
