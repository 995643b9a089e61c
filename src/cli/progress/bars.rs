use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use windlass::image::{Descriptor, Digest};
use windlass::printable::printable;
use windlass::transfer::{Event, Observer};

use super::Tally;
use crate::cli::human;

const TOTAL: &str = "{prefix}  [{bar:24}] {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
const BLOB: &str = "  {prefix}  [{bar:24}] {decimal_bytes} of {decimal_total_bytes} {msg}";

/// Hex digits of a digest in a bar, as `list` shows them.
const SHORT: usize = 12;

/// A bar for the image, and one below it for each blob on its way.
pub(super) struct Bars {
    screen: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    image: Option<(ProgressBar, Tally)>,
    blobs: HashMap<Digest, ProgressBar>,
}

impl Bars {
    pub(super) fn new(screen: MultiProgress) -> Bars {
        Bars { screen, state: Mutex::default() }
    }

    fn bar(&self, size: u64, template: &str, prefix: String) -> ProgressBar {
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = self.screen.add(ProgressBar::new(size));
        bar.set_style(style);
        bar.set_prefix(prefix);
        bar
    }

    fn blob<'a>(&self, state: &'a mut State, blob: &Descriptor) -> &'a ProgressBar {
        state.blobs.entry(blob.digest).or_insert_with(|| {
            let hex = blob.digest.hex();
            self.bar(blob.size, BLOB, hex[..SHORT].to_owned())
        })
    }
}

impl State {
    fn reached(&mut self, blob: Digest, offset: u64) {
        if let Some((bar, tally)) = &mut self.image {
            tally.reached(blob, offset);
            bar.set_position(tally.done());
        }
    }

    fn clear(&mut self) {
        for (_, bar) in self.blobs.drain() {
            bar.finish_and_clear();
        }
        if let Some((bar, _)) = self.image.take() {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Bars {
    fn event(&self, event: &Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Start { image, size, present, .. } => {
                state.clear();
                let bar = self.bar(*size, TOTAL, (*image).to_owned());
                bar.set_position(*present);
                // The speed is that of what moves, not of what was there.
                bar.reset_eta();
                state.image = Some((bar, Tally::new((*image).to_owned(), *size, *present)));
            }
            Event::Progress { blob, offset, .. } => {
                state.reached(blob.digest, *offset);
                let bar = self.blob(&mut state, blob);
                bar.set_position(*offset);
                bar.set_message("");
            }
            Event::Blob { blob, .. } => {
                state.reached(blob.digest, blob.size);
                if let Some(bar) = state.blobs.remove(&blob.digest) {
                    bar.finish_and_clear();
                }
            }
            Event::Retry { blob: Some(blob), error, wait, .. } => {
                let why = printable(&error.to_string());
                let message = format!("{why}, again in {}", human::time(*wait));
                self.blob(&mut state, blob).set_message(message);
            }
            Event::Retry { image, error, wait, .. } => {
                let why = printable(&error.to_string());
                let name = (*image).to_owned();
                let line = format!("retrying {name}: {why}, in {}", human::time(*wait));
                // A line that does not get through changes nothing.
                let _ = self.screen.println(line);
            }
            Event::Done { .. } => state.clear(),
            _ => {}
        }
    }
}

impl Drop for Bars {
    /// Whatever ends a run, the terminal is clean.
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
