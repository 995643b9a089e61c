use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::MultiProgress;
use serde::Serialize;
use windlass::error::{Context, Result};
use windlass::printable::printable;

use crate::cli::failure::Failure;
use crate::cli::values::ProgressMode;

/// Everything that is printed, by whatever thread: answers to stdout, the story to stderr.
#[derive(Clone)]
pub(crate) struct Output(Arc<Inner>);

struct Inner {
    /// Whether answers are JSON.
    json: bool,
    quiet: bool,
    progress: Progress,
    /// Whether nobody reads stdout any more.
    closed: AtomicBool,
}

/// How progress is shown, now that it is known whether somebody watches.
#[derive(Clone)]
pub(crate) enum Progress {
    None,
    Plain,
    Json,
    Bars(MultiProgress),
}

impl Output {
    /// `quiet` leaves answers and errors.
    pub(crate) fn new(json: bool, quiet: bool, progress: ProgressMode) -> Output {
        let progress = match progress {
            _ if quiet => Progress::None,
            ProgressMode::None => Progress::None,
            ProgressMode::Json => Progress::Json,
            ProgressMode::Auto if io::stderr().is_terminal() => {
                Progress::Bars(MultiProgress::new())
            }
            ProgressMode::Auto | ProgressMode::Plain => Progress::Plain,
        };
        Output(Arc::new(Inner { json, quiet, progress, closed: AtomicBool::new(false) }))
    }

    /// Whether answers are to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.0.json
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.0.progress
    }

    /// Answers with a text of one or more lines, escaped for a terminal.
    pub(crate) fn answer(&self, text: &str) -> Result<()> {
        let mut safe: String = text.lines().flat_map(|line| [escaped(line), "\n".into()]).collect();
        if text.is_empty() {
            safe.push('\n');
        }
        self.answer_exactly(safe.as_bytes())
    }

    /// Answers with one line of JSON.
    pub(crate) fn answer_json(&self, object: &impl Serialize) -> Result<()> {
        self.answer_exactly(json_line(object).as_bytes())
    }

    /// Gives the answer on stderr, because stdout is for what was asked for.
    pub(crate) fn answer_aside(&self, text: &str) {
        self.0.stderr(&escaped(text));
    }

    /// The same of one line of JSON.
    pub(crate) fn answer_json_aside(&self, object: &impl Serialize) {
        self.0.stderr(json_line(object).trim_end());
    }

    /// Stdout for bytes that nobody is to read.
    ///
    /// # Errors
    ///
    /// If it is a terminal.
    pub(crate) fn pipe(&self) -> Result<File, Failure> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            let failure = Failure::usage("expected a file or a pipe, stdout is a terminal");
            return Err(failure.help("give a file with -o FILE, or let another program read it"));
        }
        let pipe = stdout.as_fd().try_clone_to_owned().context(|| "opening stdout")?;
        Ok(File::from(pipe))
    }

    /// Answers with those bytes. If the reader has gone, nobody misses them: that is no error, and
    /// the work goes on.
    ///
    /// # Errors
    ///
    /// When stdout cannot take them, a full disk for example.
    pub(crate) fn answer_exactly(&self, bytes: &[u8]) -> Result<()> {
        if self.0.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let written = self.0.beside_bars(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        });
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.0.closed.store(true, Ordering::Relaxed);
                Ok(())
            }
            written => written.context(|| "writing the answer to stdout"),
        }
    }

    /// Tells on stderr what happens, unless told to be quiet.
    pub(crate) fn tell(&self, line: &str) {
        if !self.0.quiet {
            self.0.stderr(&escaped(line));
        }
    }

    /// Tells it as JSON.
    pub(crate) fn tell_json(&self, object: &serde_json::Value) {
        if !self.0.quiet {
            self.0.stderr(json_line(object).trim_end());
        }
    }

    /// What the log has to say.
    pub(crate) fn log(&self, level: log::Level, message: &str) {
        let level = match level {
            log::Level::Warn => "warning".to_owned(),
            level => level.as_str().to_ascii_lowercase(),
        };
        match self.0.progress {
            Progress::Json => self.tell_json(
                &serde_json::json!({"event": "log", "level": level, "message": message}),
            ),
            _ => self.0.stderr(&escaped(&format!("windlass: {level}: {message}"))),
        }
    }

    /// Tells what went wrong and what helps. The run ends with `code`, or goes on with the next
    /// image.
    pub(crate) fn failure(&self, failure: &Failure, code: u8) {
        if self.0.json || matches!(self.0.progress, Progress::Json) {
            return self.0.stderr(json_line(&failure.to_json(code)).trim_end());
        }
        let mut text = escaped(&format!("windlass: {}", failure.message()));
        if let Some(advice) = failure.advice() {
            text.push_str("\nhelp: ");
            text.push_str(&escaped(advice));
        }
        self.0.stderr(&text);
    }
}

impl Inner {
    /// Writes lines to stderr. Nobody can be told if that fails.
    fn stderr(&self, lines: &str) {
        self.beside_bars(|| {
            let _ = io::stderr().lock().write_all(format!("{lines}\n").as_bytes());
        });
    }

    /// Does something on the terminal while the bars are away.
    fn beside_bars<T>(&self, act: impl FnOnce() -> T) -> T {
        match &self.progress {
            Progress::Bars(bars) => bars.suspend(act),
            _ => act(),
        }
    }
}

/// `line` as it may be shown. Whole, but for single words longer than what foreign text may have.
fn escaped(line: &str) -> String {
    line.split_inclusive(' ').map(printable).collect()
}

/// One line of JSON in ASCII, so that a terminal that shows it does nothing else. What is in it as
/// it came may have had several lines.
fn json_line(object: &impl Serialize) -> String {
    let text = serde_json::to_string(object).expect("objects here have text keys and plain values");
    let mut line = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        // In JSON's strings they are escaped, so these stand between its words.
        if matches!(character, '\n' | '\r' | '\t') {
            continue;
        }
        if character.is_ascii() && character != '\x7f' {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_moves_no_terminal_and_means_the_same() {
        let hostile = "\x1b]0;x\x07\r\n\u{7f}\u{9b}\u{202e}é😀";
        let line = json_line(&hostile);
        assert!(line.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }

    #[test]
    fn long_lines_are_whole_and_harmless() {
        let line = "sha256:0123456789 ".repeat(100);
        assert_eq!(escaped(&line), line);
        assert_eq!(escaped("a \x1b[31m b"), r"a \x1b[31m b");
    }
}
