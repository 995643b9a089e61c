//! What the value of an option may be.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use regex_lite::Regex;
use windlass::reference::{ParseReferenceError, Reference, Repository};
use windlass::registry;
use windlass::stream::compression::Compression;

use crate::cli::place;

/// Most requests at once: a registry that is asked more is not faster, and each has its buffers.
const JOBS_LIMIT: usize = 64;

/// Most attempts in a row; beyond that nobody means it.
const ATTEMPTS_LIMIT: u32 = 1000;

/// Longest time that can be asked for: a year.
const SECONDS_LIMIT: f64 = 365.0 * 24.0 * 3600.0;

/// The value of an option is not what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseValueError {
    text: String,
    expected: String,
}

impl ParseValueError {
    pub(crate) fn new(text: &str, expected: impl Into<String>) -> ParseValueError {
        ParseValueError { text: text.into(), expected: expected.into() }
    }
}

impl fmt::Display for ParseValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid value `{}`: expected {}", self.text, self.expected)
    }
}

/// How many requests may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Jobs(pub(crate) usize);

impl FromStr for Jobs {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Jobs, ParseValueError> {
        match whole(text) {
            Some(jobs @ 1..=JOBS_LIMIT) => Ok(Jobs(jobs)),
            _ => Err(ParseValueError::new(text, format!("a number from 1 to {JOBS_LIMIT}"))),
        }
    }
}

/// How often something is tried in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempts(pub(crate) u32);

impl FromStr for Attempts {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Attempts, ParseValueError> {
        match whole(text) {
            Some(attempts @ 1..=ATTEMPTS_LIMIT) => Ok(Attempts(attempts)),
            _ => Err(ParseValueError::new(text, format!("a number from 1 to {ATTEMPTS_LIMIT}"))),
        }
    }
}

/// Digits and nothing else, so that `+1` is as wrong as `-1`.
fn whole<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A time in seconds, with or without a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromStr for Seconds {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Seconds, ParseValueError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        match text.parse::<f64>() {
            Ok(seconds) if plain && seconds <= SECONDS_LIMIT => {
                Ok(Seconds(Duration::from_secs_f64(seconds)))
            }
            _ => Err(ParseValueError::new(text, "seconds, such as 30 or 0.5")),
        }
    }
}

/// How old something must be: a number of seconds, minutes, hours or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub(crate) Duration);

impl FromStr for Age {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<Age, ParseValueError> {
        let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];
        let unit = units.into_iter().find_map(|(unit, seconds)| {
            let digits = text.strip_suffix(unit).filter(|digits| !digits.is_empty())?;
            Some((digits, seconds))
        });
        let (digits, seconds) = unit.unwrap_or((if text == "0" { text } else { "-" }, 1));
        match whole::<u64>(digits).and_then(|count| count.checked_mul(seconds)) {
            Some(seconds) => Ok(Age(Duration::from_secs(seconds))),
            None => Err(ParseValueError::new(text, "an age, such as 0, 90s, 30m, 12h or 7d")),
        }
    }
}

/// How the user is told what happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressMode {
    /// Bars if somebody watches, else lines.
    Auto,
    /// A line for what is worth one.
    Plain,
    /// An object for each event.
    Json,
    /// Not at all.
    None,
}

impl FromStr for ProgressMode {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<ProgressMode, ParseValueError> {
        match text {
            "auto" => Ok(ProgressMode::Auto),
            "plain" => Ok(ProgressMode::Plain),
            "json" => Ok(ProgressMode::Json),
            "none" => Ok(ProgressMode::None),
            _ => Err(ParseValueError::new(text, "auto, plain, json or none")),
        }
    }
}

/// How something that is written is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompressedBy(pub(crate) Compression);

impl FromStr for CompressedBy {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<CompressedBy, ParseValueError> {
        match text {
            "gzip" => Ok(CompressedBy(Compression::Gzip)),
            "zstd" => Ok(CompressedBy(Compression::Zstd)),
            _ => Err(ParseValueError::new(text, "gzip or zstd")),
        }
    }
}

/// The name of an image in a registry, with or without skopeo's `docker://`.
#[derive(Clone, Debug)]
pub(crate) struct ImageName(pub(crate) Reference);

impl FromStr for ImageName {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<ImageName, ParseReferenceError> {
        place::in_registry(text).parse().map(ImageName)
    }
}

/// The name of a repository in a registry.
#[derive(Clone, Debug)]
pub(crate) struct RepositoryName(pub(crate) Repository);

impl FromStr for RepositoryName {
    type Err = String;

    fn from_str(text: &str) -> Result<RepositoryName, String> {
        let text = place::in_registry(text);
        match text.parse() {
            Ok(repository) => Ok(RepositoryName(repository)),
            Err(_) if text.parse::<Reference>().is_ok() => {
                Err(format!("`{text}` is one image: expected a repository, without tag and digest"))
            }
            Err(error) => Err(ParseReferenceError::to_string(&error)),
        }
    }
}

/// A host that is trusted: `HOST[:PORT]`, and not a URL, which would trust something else or
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrustedHost(pub(crate) String);

impl FromStr for TrustedHost {
    type Err = ParseValueError;

    fn from_str(text: &str) -> Result<TrustedHost, ParseValueError> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let is_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                !host.is_empty() && host.bytes().all(is_word)
            }
        };
        let is_port = port.is_none_or(|port| matches!(whole(port), Some(1..=u16::MAX)));
        match is_host && is_port {
            true => Ok(TrustedHost(text.to_owned())),
            false => Err(ParseValueError::new(text, "HOST or HOST:PORT, such as auth.example.com")),
        }
    }
}

/// A mirror of a registry: `HOST=URL`. The error shows no URL: there may be a password in it.
#[derive(Clone, Debug)]
pub(crate) struct Mirror(pub(crate) registry::Mirror);

impl FromStr for Mirror {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Mirror, &'static str> {
        const EXPECTED: &str = "expected HOST=URL, such as docker.io=https://mirror.example";
        let (host, url) = text.split_once('=').ok_or(EXPECTED)?;
        let repository: Repository = format!("{host}/a/b").parse().map_err(|_| EXPECTED)?;
        let has_scheme = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
        if repository.path() != "a/b" || !has_scheme {
            return Err(EXPECTED);
        }
        let host = repository.host().to_owned();
        Ok(Mirror(registry::Mirror { host, url: url.to_owned() }))
    }
}

/// A regular expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(pub(crate) Regex);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let invalid = |error| format!("invalid regular expression `{text}`: {error}");
        Regex::new(text).map(Pattern).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refuse<T: FromStr + fmt::Debug>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn mirror_is_of_a_host() {
        let mirror: Mirror = "index.docker.io=http://m:5000/x?a=b".parse().unwrap();
        assert_eq!(mirror.0.host, "docker.io");
        assert_eq!(mirror.0.url, "http://m:5000/x?a=b");
        refuse::<Mirror>(&["", "a.io", "a.io=", "a.io=m", "=https://m", "tool=https://m", "a/b=c"]);
    }

    #[test]
    fn age_has_a_unit_unless_it_is_nothing() {
        let check = |text: &str, seconds| {
            assert_eq!(text.parse(), Ok(Age(Duration::from_secs(seconds))), "{text}");
        };
        check("0", 0);
        check("0d", 0);
        check("90s", 90);
        check("30m", 1800);
        check("12h", 43_200);
        check("7d", 604_800);
        refuse::<Age>(&[
            "",
            "7",
            "d",
            "-1s",
            "+1s",
            "1.5h",
            "7 d",
            "7D",
            "7w",
            "99999999999999999d",
        ]);
    }

    #[test]
    fn one_image_is_no_repository() {
        assert_eq!("docker://a".parse::<RepositoryName>().unwrap().0.path(), "library/a");
        let error = "a:1".parse::<RepositoryName>().unwrap_err();
        assert_eq!(error, "`a:1` is one image: expected a repository, without tag and digest");
        refuse::<RepositoryName>(&["", "A", "a:"]);
        refuse::<Pattern>(&["(", "[", "*"]);
    }

    #[test]
    fn numbers_are_plain_and_have_limits() {
        assert_eq!("1".parse(), Ok(Jobs(1)));
        assert_eq!("64".parse(), Ok(Jobs(64)));
        refuse::<Jobs>(&["", "0", "65", "-1", "+1", "1.0", " 1", "abc", "99999999999999999999"]);
        assert_eq!("8".parse(), Ok(Attempts(8)));
        refuse::<Attempts>(&["", "0", "-1", "1001", "x"]);
        assert_eq!("0.3".parse(), Ok(Seconds(Duration::from_millis(300))));
        assert_eq!("0".parse(), Ok(Seconds(Duration::ZERO)));
        refuse::<Seconds>(&["", ".", "-1", "+1", "inf", "NaN", "1e3", "1.2.3", "99999999999"]);
        refuse::<ProgressMode>(&["", "Auto", "bars"]);
        assert_eq!("zstd".parse(), Ok(CompressedBy(Compression::Zstd)));
        refuse::<CompressedBy>(&["", "none", "Gzip", "xz"]);
    }
}
