use windlass::error::{Error, ErrorKind, Fault};

use crate::cli::exit;

const INTERRUPTED: &str = "interrupted; what has come is kept, the same command goes on";

/// What ends a command: an error, and what its user can do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Error,
    help: Option<String>,
}

impl Failure {
    /// Something that was asked for wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Error::usage(message).into()
    }

    /// The same with what to do about it, if nobody closer to it said so.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// The same, which happened while doing `step`.
    pub(crate) fn context(mut self, step: impl Into<String>) -> Failure {
        self.error = self.error.context(step);
        self
    }

    /// What went wrong.
    pub(crate) fn error(&self) -> &Error {
        &self.error
    }

    /// The exit code, unless a signal decides.
    pub(crate) fn code(&self) -> u8 {
        exit::code(self.error.kind())
    }

    /// What went wrong, as it is told. An interrupt has but one story, wherever it hit.
    pub(crate) fn message(&self) -> String {
        match self.error.kind() {
            ErrorKind::Interrupted => INTERRUPTED.to_owned(),
            _ => self.error.to_string(),
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.help.as_deref().or_else(|| advice(self.error.kind()))
    }

    /// The failure as one JSON object, which ends the run with `code`. Stable.
    pub(crate) fn to_json(&self, code: u8) -> serde_json::Value {
        let kind = self.error.kind();
        let (status, registry_code) = match kind {
            ErrorKind::Registry { status, code, .. } => (Some(*status), code.as_deref()),
            _ => (None, None),
        };
        serde_json::json!({
            "error": self.message(),
            "kind": exit::word(kind),
            "status": status,
            "code": registry_code,
            "attempts": self.error.attempts(),
            "exit": code,
            "help": self.advice(),
        })
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { error: error.into(), help: None }
    }
}

/// What helps against errors of that kind, wherever they arise.
fn advice(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Registry { status: 401 | 403, .. } => Some(
            "log in with docker or podman, or give the login with --authfile FILE or --creds-stdin",
        ),
        ErrorKind::Registry { status: 429, .. } => {
            Some("try again later, or with a login: most registries then allow more")
        }
        ErrorKind::Network { fault: Fault::Tls, .. } => Some(
            "--ca-file FILE trusts a certificate; --plain-http speaks to a registry without TLS",
        ),
        ErrorKind::Network { .. } | ErrorKind::Registry { status: 408 | 499 | 500.., .. } => {
            Some("try again later; nothing that has come is fetched again")
        }
        ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            Some("make room; the same command then goes on where this one stopped")
        }
        ErrorKind::Usage(_) => {
            Some("`windlass --help` lists the commands, `windlass COMMAND --help` what one takes")
        }
        _ => None,
    }
}
