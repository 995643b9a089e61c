//! How windlass ends.

use windlass::error::ErrorKind;

pub(crate) const DONE: u8 = 0;
pub(crate) const OTHER: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const NOT_FOUND: u8 = 3;
pub(crate) const NOT_ALLOWED: u8 = 4;
pub(crate) const NETWORK: u8 = 5;
pub(crate) const RATE_LIMITED: u8 = 6;
pub(crate) const CONTENT: u8 = 7;
pub(crate) const LOCAL: u8 = 8;
pub(crate) const SEVERAL: u8 = 9;
pub(crate) const SIGINT: u8 = 130;
pub(crate) const SIGTERM: u8 = 143;

/// What an exit code means, as the help of a command says it.
pub(crate) fn meaning(code: u8) -> &'static str {
    match code {
        DONE => "done",
        USAGE => "wrong usage",
        NOT_FOUND => "not found: image, tag, blob, platform, a name in the store",
        NOT_ALLOWED => "not allowed: no or wrong login, a hop to another host that is refused",
        NETWORK => "network, TLS or server trouble after all attempts: worth trying later",
        RATE_LIMITED => "rate limited",
        CONTENT => "the content is wrong: digest, size, a malformed manifest",
        LOCAL => "this machine: no space, no permission, a file that is not there",
        SEVERAL => "of several images some failed (--keep-going)",
        SIGINT => "interrupted (143 by SIGTERM); what has come is kept",
        _ => "any other failure",
    }
}

/// The exit code of what went wrong.
pub(crate) fn code(kind: &ErrorKind) -> u8 {
    match kind {
        ErrorKind::Registry { status: 404, .. } | ErrorKind::NotFound(_) => NOT_FOUND,
        ErrorKind::Registry { status: 401 | 403, .. } | ErrorKind::Denied(_) => NOT_ALLOWED,
        ErrorKind::Registry { status: 429, .. } => RATE_LIMITED,
        ErrorKind::Registry { status: 408 | 499 | 500.., .. } | ErrorKind::Network { .. } => {
            NETWORK
        }
        ErrorKind::Digest { .. }
        | ErrorKind::Size { .. }
        | ErrorKind::Range(_)
        | ErrorKind::Content(_) => CONTENT,
        ErrorKind::Io(_) | ErrorKind::Local(_) => LOCAL,
        ErrorKind::Usage(_) => USAGE,
        ErrorKind::Several { .. } => SEVERAL,
        ErrorKind::Interrupted => SIGINT,
        _ => OTHER,
    }
}

/// What went wrong in one word, for programs. Stable.
pub(crate) fn word(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Io(_) => "io",
        ErrorKind::Local(_) => "local",
        ErrorKind::Network { .. } => "network",
        ErrorKind::Registry { .. } => "registry",
        ErrorKind::NotFound(_) => "not_found",
        ErrorKind::Denied(_) => "denied",
        ErrorKind::Digest { .. } => "digest",
        ErrorKind::Size { .. } => "size",
        ErrorKind::Range(_) => "range",
        ErrorKind::Content(_) => "content",
        ErrorKind::Usage(_) => "usage",
        ErrorKind::Interrupted => "interrupted",
        ErrorKind::Several { .. } => "several",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use windlass::error::Fault;
    use windlass::image::Digest;

    use super::*;

    #[track_caller]
    fn check(kind: ErrorKind, expected: u8) {
        assert_eq!(code(&kind), expected, "{kind:?}");
    }

    #[test]
    fn exit_code_follows_the_kind() {
        let registry = |status| ErrorKind::Registry {
            status,
            code: None,
            message: String::new(),
            retry_after: None,
        };
        for (status, expected) in [
            (400, 1),
            (401, 4),
            (403, 4),
            (404, 3),
            (405, 1),
            (408, 5),
            (418, 1),
            (429, 6),
            (500, 5),
            (501, 5),
            (503, 5),
            (599, 5),
        ] {
            check(registry(status), expected);
        }
        check(ErrorKind::Network { fault: Fault::Tls, message: String::new() }, 5);
        check(ErrorKind::NotFound(String::new()), 3);
        check(ErrorKind::Denied(String::new()), 4);
        check(ErrorKind::Size { expected: 1, got: 2 }, 7);
        let digest = Digest::of(b"");
        check(ErrorKind::Digest { expected: digest, got: digest }, 7);
        check(ErrorKind::Range(String::new()), 7);
        check(ErrorKind::Content(String::new()), 7);
        check(ErrorKind::Io(std::io::ErrorKind::StorageFull.into()), 8);
        check(ErrorKind::Local(String::new()), 8);
        check(ErrorKind::Usage(String::new()), 2);
        check(ErrorKind::Several { failed: 1, total: 2 }, 9);
        check(ErrorKind::Interrupted, 130);
        check(ErrorKind::Other(String::new()), 1);
    }
}
