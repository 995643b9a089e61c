//! The one error: a kind to act on, and the steps to read.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::image::{Digest, ManifestError};

/// What windlass functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not work: a kind to act on, and the steps that led there to read.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    /// What was being done, innermost step first.
    steps: Vec<String>,
    attempts: u32,
}

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// This machine refuses: no space, no permission, no such file.
    Io(io::Error),
    /// This machine lacks something that no system call has said: room for what is planned, an
    /// empty target.
    Local(String),
    /// The network, TLS or the server's HTTP.
    Network {
        /// What of it, which decides whether trying again may help.
        fault: Fault,
        /// The cause, a short fact.
        message: String,
    },
    /// The registry answered, and not as asked.
    Registry {
        /// The HTTP status.
        status: u16,
        /// The registry's own code, such as `MANIFEST_UNKNOWN`.
        code: Option<String>,
        /// What it says, escaped for a terminal.
        message: String,
        /// When it asks to be asked again.
        retry_after: Option<Duration>,
    },
    /// It is not there: the registry or the store said so.
    NotFound(String),
    /// Credentials are missing or wrong, or a hop to another host is not allowed.
    Denied(String),
    /// The content has another digest than it was asked for by.
    Digest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// The content has another size than its descriptor says.
    Size {
        /// What the descriptor says, in bytes.
        expected: u64,
        /// What came, or was announced, in bytes.
        got: u64,
    },
    /// The source answered a request for a range with something else.
    Range(String),
    /// The content is malformed or hostile.
    Content(String),
    /// What was asked for makes no sense.
    Usage(String),
    /// It was stopped from outside.
    Interrupted,
    /// Of several images some failed, each for a reason that was already told.
    Several {
        /// How many failed.
        failed: usize,
        /// How many there were.
        total: usize,
    },
    /// Anything else.
    Other(String),
}

/// What of the network failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ended in the middle.
    Cut,
    /// A connection that was kept from an earlier request was closed before the answer's first
    /// byte: the server had nothing to do with this request yet.
    Idle,
    /// No byte came for as long as is allowed, or too few.
    Stall,
    /// Nobody answers at that address.
    Unreachable,
    /// The name has no address.
    Resolve,
    /// The peer cannot prove who it is, or does not speak TLS.
    Tls,
    /// What came is not HTTP, or leads in circles.
    Protocol,
}

/// What may help after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing: the next attempt would end the same.
    None,
    /// To try again at once, once.
    Repeat,
    /// To wait and go on where it stopped.
    Resume,
    /// To forget what came and ask for all of it in one stream, once.
    Restart,
}

impl Error {
    /// The error of that kind, with no steps yet.
    pub fn new(kind: ErrorKind) -> Error {
        Error(Box::new(Inner { kind, steps: Vec::new(), attempts: 1 }))
    }

    /// A fault of the network.
    pub fn network(fault: Fault, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Network { fault, message: message.into() })
    }

    /// Content that is malformed or hostile.
    pub fn content(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Content(message.into()))
    }

    /// Something that is not there.
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotFound(message.into()))
    }

    /// Something that is not allowed.
    pub fn denied(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Denied(message.into()))
    }

    /// Something that was asked for wrongly.
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Usage(message.into()))
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// How often it was tried in all.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The same error after so many attempts.
    pub fn after_attempts(mut self, attempts: u32) -> Error {
        self.0.attempts = attempts;
        self
    }

    /// The same error, which happened while doing `step`.
    pub fn context(mut self, step: impl Into<String>) -> Error {
        self.0.steps.push(step.into());
        self
    }

    /// What may help.
    pub fn remedy(&self) -> Remedy {
        match &self.0.kind {
            ErrorKind::Network { fault, .. } => match fault {
                Fault::Idle => Remedy::Repeat,
                Fault::Cut | Fault::Stall | Fault::Unreachable | Fault::Resolve => Remedy::Resume,
                Fault::Tls | Fault::Protocol => Remedy::None,
            },
            ErrorKind::Registry {
                status: 408 | 429 | 499 | 500 | 502 | 503 | 504 | 520..=529,
                ..
            } => Remedy::Resume,
            ErrorKind::Digest { .. } | ErrorKind::Size { .. } | ErrorKind::Range(_) => {
                Remedy::Restart
            }
            _ => Remedy::None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in self.0.steps.iter().rev() {
            write!(f, "{step}: ")?;
        }
        write!(f, "{}", self.0.kind)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:?})", self.0.kind)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Io(error) => f.write_str(&plain(error)),
            ErrorKind::Registry { status, code, message, .. } => {
                write!(f, "the registry answered {status}")?;
                if let Some(code) = code {
                    write!(f, " {code}")?;
                }
                if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
            }
            ErrorKind::Digest { expected, got } => write!(f, "expected {expected}, got {got}"),
            ErrorKind::Size { expected, got } => write!(f, "expected {expected} bytes, got {got}"),
            ErrorKind::Interrupted => f.write_str("interrupted"),
            ErrorKind::Several { failed, total } => write!(f, "{failed} of {total} images failed"),
            ErrorKind::Local(message)
            | ErrorKind::Network { message, .. }
            | ErrorKind::NotFound(message)
            | ErrorKind::Denied(message)
            | ErrorKind::Range(message)
            | ErrorKind::Content(message)
            | ErrorKind::Usage(message)
            | ErrorKind::Other(message) => f.write_str(message),
        }
    }
}

/// The system's words without their number.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_ascii_lowercase(),
        None => text,
    }
}

/// Says of an error for want of space how much space is wanted.
pub(crate) fn lacking(error: io::Error, needed: u64) -> io::Error {
    let kind = error.kind();
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let words = plain(&error);
            io::Error::new(kind, format!("{words}: room for {needed} more bytes is needed"))
        }
        _ => error,
    }
}

impl std::error::Error for Error {}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Error {
        Error::new(kind)
    }
}

impl From<ManifestError> for Error {
    fn from(error: ManifestError) -> Error {
        Error::content(error.to_string())
    }
}

impl From<io::Error> for Error {
    /// An error of ours that travelled through [`io::Read`] comes out as it went in.
    fn from(error: io::Error) -> Error {
        error.downcast::<Error>().unwrap_or_else(|error| ErrorKind::Io(error).into())
    }
}

impl From<Error> for io::Error {
    /// Lets an error of ours travel through [`io::Read`] and [`io::Write`].
    fn from(error: Error) -> io::Error {
        io::Error::other(error)
    }
}

/// Adds a step to the error of a result.
pub trait Context<T> {
    /// Says what was being done, in a gerund with its object; evaluated only on failure.
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.into().context(step()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_reads_from_the_outermost_step_to_the_cause() {
        let size = ErrorKind::Size { expected: 10, got: 4 };
        let error = Error::new(size).context("reading blob sha256:4f").context("pulling alpine");
        assert_eq!(
            error.to_string(),
            "pulling alpine: reading blob sha256:4f: expected 10 bytes, got 4"
        );
    }

    #[test]
    fn error_survives_a_journey_through_io() {
        let network = Error::network(Fault::Cut, "the connection was cut").context("reading");
        let travelled: Error = io::Error::from(network).into();
        assert_eq!(travelled.remedy(), Remedy::Resume);
        assert_eq!(travelled.to_string(), "reading: the connection was cut");
        let full = lacking(io::Error::from(io::ErrorKind::StorageFull), 7);
        let local = Error::from(full).context("writing `x`");
        assert_eq!(local.remedy(), Remedy::None);
        let words = "writing `x`: no storage space: room for 7 more bytes is needed";
        assert_eq!(local.to_string(), words);
    }
}
