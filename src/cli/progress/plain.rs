use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use windlass::transfer::{Event, Observer};

use super::{Tally, retry_line};
use crate::cli::human;
use crate::cli::output::Output;

/// How often to say how far it has come.
const INTERVAL: Duration = Duration::from_secs(30);

/// A line for what is worth one.
pub(super) struct Plain {
    output: Output,
    tally: Arc<Mutex<Option<Tally>>>,
    /// Ends the summaries when dropped.
    _summaries: Sender<()>,
}

impl Plain {
    pub(super) fn new(output: Output) -> Plain {
        let tally: Arc<Mutex<Option<Tally>>> = Arc::default();
        let (summaries, end) = mpsc::channel();
        let (shared, teller) = (Arc::clone(&tally), output.clone());
        // Without the thread there are no summaries, and nothing else is lost.
        let _ = thread::Builder::new().name("progress".into()).spawn(move || {
            while end.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let tally = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(tally) = &*tally {
                    teller.tell(&tally.summary(tally.started.elapsed()));
                }
            }
        });
        Plain { output, tally, _summaries: summaries }
    }
}

impl Observer for Plain {
    fn event(&self, event: &Event<'_>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Start { image, blobs, size, present } => {
                let name = (*image).to_owned();
                let mut line = format!("{name}: {blobs} blobs, {}", human::size(*size));
                if *present > 0 {
                    line.push_str(&format!(", {} of it here already", human::size(*present)));
                }
                *tally = Some(Tally::new(name, *size, *present));
                self.output.tell(&line);
            }
            Event::Progress { blob, offset, .. } => {
                if let Some(tally) = &mut *tally {
                    tally.reached(blob.digest, *offset);
                }
            }
            Event::Blob { blob, present, .. } => {
                if let Some(tally) = &mut *tally {
                    tally.reached(blob.digest, blob.size);
                }
                if !present {
                    let size = human::size(blob.size);
                    self.output.tell(&format!("blob {} done, {size}", blob.digest));
                }
            }
            Event::Retry { image, blob, error, wait, .. } => {
                let what = match blob {
                    Some(blob) => format!("blob {}", blob.digest),
                    None => (*image).to_owned(),
                };
                self.output.tell(&retry_line(&what, error, *wait));
            }
            Event::Done { image, .. } => {
                if let Some(tally) = tally.take() {
                    let took = human::time(tally.started.elapsed());
                    self.output.tell(&format!("{}: done in {took}", (*image).to_owned()));
                }
            }
            _ => {}
        }
    }
}
