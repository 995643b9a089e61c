use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use windlass::store::Checked;

use crate::cli::human;
use crate::cli::output::{Output, Progress};

const BAR: &str = "verifying  [{bar:24}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";

/// How long to be silent after an object, and after a line.
const SILENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];

/// Tells how far a check has come.
pub(crate) struct Checking {
    output: Output,
    told: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Checking {
    pub(crate) fn new(output: &Output) -> Checking {
        let bar = match output.progress() {
            Progress::Bars(bars) => {
                let style = ProgressStyle::with_template(BAR)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> ");
                Some(bars.add(ProgressBar::new(0)).with_style(style))
            }
            _ => None,
        };
        Checking { output: output.clone(), told: Mutex::new(Instant::now()), bar }
    }

    pub(crate) fn reached(&self, checked: &Checked) {
        let Checked { done, total } = *checked;
        match self.output.progress() {
            Progress::None => {}
            Progress::Bars(_) => {
                if let Some(bar) = &self.bar {
                    bar.set_length(total);
                    bar.set_position(done);
                }
            }
            Progress::Json if self.may_tell(SILENCE[0]) => {
                let object = json!({"event": "check", "offset": done, "size": total});
                self.output.tell_json(&object);
            }
            Progress::Plain if self.may_tell(SILENCE[1]) => {
                let line = format!("verified {} of {}", human::size(done), human::size(total));
                self.output.tell(&line);
            }
            Progress::Json | Progress::Plain => {}
        }
    }

    fn may_tell(&self, silence: Duration) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let may = told.elapsed() >= silence;
        if may {
            *told = Instant::now();
        }
        may
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
