use std::cell::Cell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::human;
use crate::cli::output::{Output, Progress};

const BAR: &str = "reading  {decimal_bytes}, {decimal_bytes_per_sec}";

/// How long to be silent after an object, and after a line.
const SILENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];

/// Tells how much was read of something that does not say how long it is.
pub(crate) struct Reading {
    output: Output,
    done: Cell<u64>,
    told: Cell<Instant>,
    bar: Option<ProgressBar>,
}

impl Reading {
    pub(crate) fn new(output: &Output) -> Reading {
        let bar = match output.progress() {
            Progress::Bars(bars) => {
                let style = ProgressStyle::with_template(BAR)
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                Some(bars.add(ProgressBar::no_length()).with_style(style))
            }
            _ => None,
        };
        let (done, told) = (Cell::new(0), Cell::new(Instant::now()));
        Reading { output: output.clone(), done, told, bar }
    }

    /// So many bytes more.
    pub(crate) fn reached(&self, more: u64) {
        let done = self.done.get().saturating_add(more);
        self.done.set(done);
        match self.output.progress() {
            Progress::None => {}
            Progress::Bars(_) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Progress::Json if self.may_tell(SILENCE[0]) => {
                self.output.tell_json(&json!({"event": "read", "offset": done}));
            }
            Progress::Plain if self.may_tell(SILENCE[1]) => {
                self.output.tell(&format!("read {}", human::size(done)));
            }
            Progress::Json | Progress::Plain => {}
        }
    }

    fn may_tell(&self, silence: Duration) -> bool {
        let may = self.told.get().elapsed() >= silence;
        if may {
            self.told.set(Instant::now());
        }
        may
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
