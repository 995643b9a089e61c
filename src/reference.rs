//! What the user types: names of images and repositories.

use std::fmt;
use std::str::FromStr;

use crate::image::Digest;

/// Most bytes of a repository's name, host included, that registries take ([Pulling
/// manifests][spec]).
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
const NAME_LIMIT: usize = 255;

/// The registry that a name without a host means.
const DEFAULT_HOST: &str = "docker.io";

/// The name of an image, as people type it, with Docker's defaults filled in.
///
/// `alpine` is `docker.io/library/alpine:latest`. [`Display`](fmt::Display) gives the full name.
///
/// ```
/// use windlass::reference::Reference;
///
/// let alpine: Reference = "alpine".parse()?;
/// assert_eq!(alpine.to_string(), "docker.io/library/alpine:latest");
/// assert!("Alpine".parse::<Reference>().is_err());
/// # Ok::<(), windlass::reference::ParseReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The name of a repository: a registry's host and a path in it.
///
/// ```
/// use windlass::reference::Repository;
///
/// let repository: Repository = "localhost:5000/team/tool".parse()?;
/// assert_eq!((repository.host(), repository.path()), ("localhost:5000", "team/tool"));
/// # Ok::<(), windlass::reference::ParseReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: String,
    path: String,
}

impl Reference {
    /// The repository that the image is in.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if the name has one. A name with neither tag nor digest has `latest`.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the name has one. It decides which image is meant.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The full name under which the image is kept: with the tag if there is one, else with the
    /// digest.
    pub fn name(&self) -> String {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => format!("{}:{tag}", self.repository),
            (None, Some(digest)) => format!("{}@{digest}", self.repository),
            (None, None) => self.repository.to_string(),
        }
    }

    /// `NAME@DIGEST`, the form in which commands answer; a digest that is in the name is not
    /// repeated.
    pub fn at(&self, digest: Digest) -> String {
        match self.tag {
            Some(_) => format!("{}@{digest}", self.name()),
            None => format!("{}@{digest}", self.repository),
        }
    }

    /// The same name for exactly that content.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { digest: Some(digest), ..self.clone() }
    }
}

impl Repository {
    /// `host` or `host:port`, with `docker.io` for all names of that registry.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What follows the host: `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Reference, ParseReferenceError> {
        let invalid = |expected| ParseReferenceError::new(text, expected);
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| invalid("a digest after `@`: `sha256:` and 64 hex digits"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let last_part = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[last_part..].find(':') {
            Some(colon) => (&rest[..last_part + colon], Some(&rest[last_part + colon + 1..])),
            None => (rest, None),
        };
        if !tag.is_none_or(is_tag) {
            return Err(invalid("a tag of at most 128 letters, digits, `_`, `.` and `-`"));
        }
        if digest.is_none() && name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid("a name: 64 hex digits alone are a digest without `sha256:`"));
        }
        let repository = parse_repository(name).map_err(invalid)?;
        let tag = match (tag, digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Reference { repository, tag, digest })
    }
}

impl FromStr for Repository {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Repository, ParseReferenceError> {
        parse_repository(text).map_err(|expected| ParseReferenceError::new(text, expected))
    }
}

/// Docker's rule: the first part is a host if it could not be anything else.
fn parse_repository(text: &str) -> Result<Repository, &'static str> {
    if text.is_empty() {
        return Err("a name");
    }
    let is_host = |part: &str| part.contains(['.', ':']) || part == "localhost";
    let (host, path) = match text.split_once('/') {
        Some((first, rest)) if is_host(first) => (parse_host(first)?, rest),
        _ => (DEFAULT_HOST.to_owned(), text),
    };
    let path = match host.as_str() {
        DEFAULT_HOST if !path.contains('/') => format!("library/{path}"),
        _ => path.to_owned(),
    };
    if !path.split('/').all(is_path_component) {
        return Err(
            "a path of lowercase letters and digits, separated by `/`, `.`, `_`, `__` or `-`",
        );
    }
    if host.len() + 1 + path.len() > NAME_LIMIT {
        return Err("a name of at most 255 bytes");
    }
    Ok(Repository { host, path })
}

/// `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`.
fn parse_host(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "a host before the first `/`: host, host:port or [ipv6]:port";
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| EXPECTED)?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(EXPECTED)?),
            };
            (format!("[{}]", address.to_ascii_lowercase()), port)
        }
        None => {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            };
            let is_label = |label: &str| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if !name.split('.').all(is_label) {
                return Err(EXPECTED);
            }
            (name.to_ascii_lowercase(), port)
        }
    };
    match (name.as_str(), port) {
        ("docker.io" | "index.docker.io" | "registry-1.docker.io", None | Some("443")) => {
            Ok(DEFAULT_HOST.into())
        }
        (_, None) => Ok(name),
        (_, Some(port)) => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            match port.parse::<u16>() {
                Ok(1..) if digits => Ok(format!("{name}:{port}")),
                _ => Err(EXPECTED),
            }
        }
    }
}

/// Spec: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` ([Pulling manifests][spec]).
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut rest = text;
    loop {
        let word = rest.bytes().take_while(|b| alphanumeric(*b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let dashes = rest.bytes().take_while(|b| *b == b'-').count();
        let separator = match rest.as_bytes() {
            [b'-', ..] => dashes,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            _ => return false,
        };
        rest = &rest[separator..];
    }
}

/// Whether the text may be a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// The text is not the name of an image or a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseReferenceError {
    text: String,
    expected: &'static str,
}

impl ParseReferenceError {
    fn new(text: &str, expected: &'static str) -> ParseReferenceError {
        ParseReferenceError { text: text.chars().take(300).collect(), expected }
    }
}

impl fmt::Display for ParseReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid image name `{}`: expected {}", self.text.escape_debug(), self.expected)
    }
}

impl std::error::Error for ParseReferenceError {}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &str, full: &str) {
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.to_string(), full);
        assert_eq!(full.parse::<Reference>().unwrap(), reference, "the full name means the same");
    }

    #[test]
    fn short_names_mean_what_docker_says() {
        check("alpine", "docker.io/library/alpine:latest");
        check("alpine:3.20", "docker.io/library/alpine:3.20");
        check("me/tool:1", "docker.io/me/tool:1");
        check("docker.io/alpine", "docker.io/library/alpine:latest");
        check("index.docker.io/alpine", "docker.io/library/alpine:latest");
        check("registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest");
        check("localhost/tool", "localhost/tool:latest");
        check("localhost:5000/tool", "localhost:5000/tool:latest");
        check("quay.io/a/b/c:1.0", "quay.io/a/b/c:1.0");
        check("Quay.IO/a", "quay.io/a:latest");
        check("[::1]:5000/a/b", "[::1]:5000/a/b:latest");
        check("[2001:DB8::1]/a", "[2001:db8::1]/a:latest");
        check("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest");
        check("a/b__c/d-e---f/g.h_i", "docker.io/a/b__c/d-e---f/g.h_i:latest");
    }

    #[test]
    fn digest_decides_and_tag_names() {
        check(&format!("alpine@{DIGEST}"), &format!("docker.io/library/alpine@{DIGEST}"));
        check(&format!("alpine:3@{DIGEST}"), &format!("docker.io/library/alpine:3@{DIGEST}"));
        check(&format!("h:5/a@{DIGEST}"), &format!("h:5/a@{DIGEST}"));
        let both: Reference = format!("alpine:3@{DIGEST}").parse().unwrap();
        assert_eq!(both.name(), "docker.io/library/alpine:3");
        assert_eq!(both.at(DIGEST.parse().unwrap()), both.to_string());
        let bare: Reference = format!("alpine@{DIGEST}").parse().unwrap();
        assert_eq!(bare.at(DIGEST.parse().unwrap()), bare.to_string());
    }

    #[test]
    fn names_that_registries_would_refuse_are_refused() {
        let long_path = format!("docker.io/{}", "a".repeat(250));
        let long_tag = format!("a:{}", "b".repeat(129));
        for text in [
            "",
            ":",
            "/",
            "@",
            "a:",
            "a@",
            "a@sha256:12",
            "Alpine",
            "HOST/a",
            "a//b",
            "/a",
            "a/",
            "a:b:c",
            "a b",
            "a\n",
            "a:-x",
            "a:.x",
            "../a",
            "a/../b",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a_",
            "host:x/a",
            "host:0/a",
            "host:99999/a",
            "host:+1/a",
            "[::g]:1/a",
            "[::1/a",
            "[::1]x/a",
            "h.:1/a",
            "-h.io/a",
            "http://h/a",
            "https://h.io/a",
            "user@host/a",
            "a?b",
            "a#b",
            "a%2fb",
            "é",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            &long_path,
            &long_tag,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
