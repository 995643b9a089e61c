//! Tells what a transfer does: in bars, in lines or as JSON.
//!
//! `--progress json` writes one object a line to stderr. Their fields, which stay:
//!
//! | `event` | when | fields |
//! |---|---|---|
//! | `start` | the image is planned | `image`, `blobs` (how many blobs and manifests), `size` (bytes of all), `present` (bytes that were there before) |
//! | `plan` | `--dry-run`: the image is planned | `image`, `blobs` (how many are missing), `size` (bytes of them) |
//! | `plan` | `export --dry-run`: the archive is planned | `archive`, `blobs` (how many blobs and manifests), `size` (bytes of the archive) |
//! | `progress` | bytes of a blob have come, at most 5 times a second for each | `image`, `digest`, `offset` (bytes that are there now), `size` |
//! | `blob` | a blob or manifest is complete | `image`, `digest`, `offset`, `size`, `present` (whether it was there before) |
//! | `retry` | something failed and is tried again | `image`, `digest` (`null` for the name itself), `attempt` (failures in a row), `wait` (seconds), `error` |
//! | `done` | the image is complete and named | `image`, `digest` (that the name has where it came from) |
//! | `read` | an archive comes from a pipe, or compressed | `offset` (bytes that were read) |
//! | `log` | windlass has something else to say | `level` (`error`, `warning`, `info`, ...), `message` |
//!
//! An error is the object that `--json` gives, which has `error` and no `event`. Whoever reads them
//! should pass over events and fields that they do not know: there may be more one day.

mod bars;
pub(crate) mod check;
mod json;
mod plain;
pub(crate) mod read;
pub(crate) mod story;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::json;
use windlass::error::Error;
use windlass::image::Digest;
use windlass::transfer::{Missing, Observer};

use crate::cli::human;
use crate::cli::output::{Output, Progress};

/// Who tells the user what happens, in the way that was asked for.
pub(crate) fn observer(output: &Output) -> Box<dyn Observer> {
    match output.progress() {
        Progress::None => Box::new(()),
        Progress::Json => Box::new(json::Json::new(output.clone())),
        Progress::Plain => Box::new(plain::Plain::new(output.clone())),
        Progress::Bars(bars) => Box::new(bars::Bars::new(bars.clone())),
    }
}

/// Tells that a question about `name` is asked again.
pub(crate) fn retrying(output: &Output, name: &str, error: &Error, attempt: u32, wait: Duration) {
    match output.progress() {
        Progress::None => {}
        Progress::Json => output.tell_json(&json!({
            "event": "retry",
            "image": name,
            "digest": null,
            "attempt": attempt,
            "wait": wait.as_secs_f64(),
            "error": error.to_string(),
        })),
        Progress::Plain | Progress::Bars(_) => output.tell(&retry_line(name, error, wait)),
    }
}

fn retry_line(what: &str, error: &Error, wait: Duration) -> String {
    format!("retrying {what}: {error}, in {}", human::time(wait))
}

/// Tells what `verb` would do to `image` if this were no dry run.
pub(crate) fn would_move(output: &Output, image: &str, verb: &str, missing: &Missing) {
    let Missing { blobs, size } = missing;
    match output.progress() {
        Progress::Json => output.tell_json(&json!({
            "event": "plan",
            "image": image,
            "blobs": blobs,
            "size": size,
        })),
        _ => output.tell(&format!("would {verb} {image}: {blobs} blobs, {size} bytes")),
    }
}

/// Tells what an archive would hold if this were no dry run.
pub(crate) fn would_write(output: &Output, archive: &str, blobs: usize, size: u64) {
    match output.progress() {
        Progress::Json => output.tell_json(&json!({
            "event": "plan",
            "archive": archive,
            "blobs": blobs,
            "size": size,
        })),
        _ => output.tell(&format!("would write {archive}: {blobs} blobs, {size} bytes")),
    }
}

/// How far an image has come.
struct Tally {
    name: String,
    size: u64,
    /// Bytes that were there at the start, whole blobs and parts.
    present: u64,
    offsets: HashMap<Digest, u64>,
    started: Instant,
}

impl Tally {
    fn new(name: String, size: u64, present: u64) -> Tally {
        Tally { name, size, present, offsets: HashMap::new(), started: Instant::now() }
    }

    fn reached(&mut self, blob: Digest, offset: u64) {
        self.offsets.insert(blob, offset);
    }

    /// Bytes that are there, as far as is known: of a part that was there before we only hear
    /// when more of that blob comes.
    fn done(&self) -> u64 {
        let heard = self.offsets.values().fold(0, |sum: u64, offset| sum.saturating_add(*offset));
        heard.max(self.present).min(self.size)
    }

    /// One line on how far it has come, and how fast.
    fn summary(&self, elapsed: Duration) -> String {
        let (done, size) = (self.done(), self.size);
        let mut line = format!("{}: {} of {}", self.name, human::size(done), human::size(size));
        let moved = u128::from(done.saturating_sub(self.present));
        let speed = u64::try_from(moved * 1000 / elapsed.as_millis().max(1)).unwrap_or(u64::MAX);
        if let Some(left) = (size - done).checked_div(speed) {
            let left = human::time(Duration::from_secs(left));
            line.push_str(&format!(", {}/s, {left} left", human::size(speed)));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_counts_what_was_there_but_not_as_speed() {
        let mut tally = Tally::new("a".into(), 10_000_000, 2_000_000);
        assert_eq!(tally.summary(Duration::from_secs(30)), "a: 2.0MB of 10.0MB");
        tally.reached(Digest::of(b"a"), 2_000_000);
        tally.reached(Digest::of(b"b"), 3_000_000);
        let summary = tally.summary(Duration::from_secs(30));
        assert_eq!(summary, "a: 5.0MB of 10.0MB, 100.0kB/s, 50 s left");
        tally.reached(Digest::of(b"b"), u64::MAX);
        assert_eq!(tally.done(), 10_000_000);
    }
}
