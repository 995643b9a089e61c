use std::fmt;
use std::net::Ipv6Addr;

use crate::error::{Error, Fault, Result};

/// Query values that say what is asked for. All others may be a signature or a token.
const SHOWN_VALUES: [&str; 8] = ["digest", "from", "last", "mount", "n", "ns", "scope", "service"];

/// An absolute `http` or `https` URL.
///
/// [`Display`](fmt::Display) and `Debug` hide what may be a secret; only
/// [`to_wire`](Url::to_wire) shows all of it. There is never userinfo in it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    origin: Origin,
    /// Path and query, from the first `/` on; visible ASCII.
    target: String,
}

/// Whom one speaks to, and so whom one may tell a secret: scheme, host and port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Origin {
    scheme: Scheme,
    /// Lowercase, without a final dot; IPv6 addresses in brackets.
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Scheme {
    Http,
    Https,
}

/// What to do with `user:password@` in a URL that came from outside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Userinfo {
    Refuse,
    Drop,
}

impl Url {
    /// Reads an absolute URL; a fragment is dropped.
    ///
    /// Userinfo is refused. The error never shows the text, which may hold secrets.
    pub(super) fn parse(text: &str) -> Result<Url> {
        parse_absolute(text, Userinfo::Refuse)
    }

    /// What `location` means in an answer from this URL: it may be relative in all the ways of
    /// [RFC 3986](https://www.rfc-editor.org/rfc/rfc3986#section-5.2). Userinfo is dropped.
    pub(super) fn join(&self, location: &str) -> Result<Url> {
        self.resolve(location, Userinfo::Drop)
    }

    /// The same for places that credentials are sent to: userinfo is refused.
    pub(super) fn join_strictly(&self, reference: &str) -> Result<Url> {
        self.resolve(reference, Userinfo::Refuse)
    }

    fn resolve(&self, reference: &str, userinfo: Userinfo) -> Result<Url> {
        let reference = without_fragment(reference.trim_matches([' ', '\t']));
        if scheme_of(reference).is_some() {
            return parse_absolute(reference, userinfo);
        }
        if reference.starts_with("//") {
            return parse_absolute(&format!("{}:{reference}", self.origin.scheme), userinfo);
        }
        let (path, _) = split_query(&self.target);
        let target = match reference.as_bytes().first() {
            None => self.target.clone(),
            Some(b'/') => reference.to_owned(),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) => {
                let folder = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
                format!("{folder}{reference}")
            }
        };
        Ok(Url { origin: self.origin.clone(), target: parse_target(&target)? })
    }

    /// Another path and query, which start with `/`, at the same origin.
    pub(super) fn with_path(&self, path_and_query: &str) -> Url {
        Url { origin: self.origin.clone(), target: encode(path_and_query, is_target_byte) }
    }

    /// The same with one more query parameter, encoded.
    pub(super) fn with_query(&self, key: &str, value: &str) -> Url {
        let joint = match self.target.as_bytes() {
            [.., b'?' | b'&'] => "",
            target if target.contains(&b'?') => "&",
            _ => "?",
        };
        let (key, value) = (encode_component(key), encode_component(value));
        let target = format!("{}{joint}{key}={value}", self.target);
        Url { origin: self.origin.clone(), target }
    }

    /// Whom a request for this goes to.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The host in lowercase; an IPv6 address in brackets.
    pub(super) fn host(&self) -> &str {
        &self.origin.host
    }

    /// The port, also where the URL leaves it to the scheme.
    pub(super) fn port(&self) -> u16 {
        self.origin.port
    }

    /// Whether the scheme is `https`.
    pub(super) fn is_https(&self) -> bool {
        self.origin.is_https()
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// All of it, secrets too: for the request and nothing else.
    pub(super) fn to_wire(&self) -> String {
        format!("{}{}", self.origin, self.target)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = split_query(&self.target);
        write!(f, "{}{path}", self.origin)?;
        for (at, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            f.write_str(if at == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((key, _)) if SHOWN_VALUES.contains(&key) => f.write_str(pair)?,
                Some((key, _)) => write!(f, "{key}=***")?,
                None => f.write_str("***")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Origin {
    /// The host in lowercase; an IPv6 address in brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where it is the scheme's own.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is said to it is encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The URL of its root.
    pub(super) fn root(&self) -> Url {
        Url { origin: self.clone(), target: "/".into() }
    }

    /// `host`, or `host:port` if the port is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        match self.port == self.scheme.default_port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        })
    }
}

/// The text as the value of a query or of a form: all but RFC 3986's unreserved characters
/// encoded, as every Go client does it.
pub(super) fn encode_component(text: &str) -> String {
    encode(text, |b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

/// The text with its `%xx` resolved; what is not UTF-8 then is replaced.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, after) {
            (b'%', [high, low, tail @ ..]) if digit(high).is_some() && digit(low).is_some() => {
                bytes.push(digit(high).unwrap_or(0) << 4 | digit(low).unwrap_or(0));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn invalid(expected: &str) -> Error {
    Error::network(Fault::Protocol, format!("invalid URL: expected {expected}"))
}

fn parse_absolute(text: &str, userinfo: Userinfo) -> Result<Url> {
    let (scheme, rest) = scheme_of(text)
        .and_then(|scheme| Some((scheme, text[scheme.len()..].strip_prefix("://")?)))
        .ok_or_else(|| invalid("`https://` or `http://` and a host"))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(invalid("`https://` or `http://`")),
    };
    let rest = without_fragment(rest);
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = match (authority.rsplit_once('@'), userinfo) {
        (None, _) => authority,
        (Some((_, host)), Userinfo::Drop) => host,
        (Some(_), Userinfo::Refuse) => return Err(invalid("no user or password before the host")),
    };
    let (host, port) = parse_authority(authority)?;
    let origin = Origin { scheme, host, port: port.unwrap_or(scheme.default_port()) };
    let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
    Ok(Url { origin, target: parse_target(&target)? })
}

/// What stands before the first `:`, if it can be a scheme.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

/// `name`, `name:port`, `1.2.3.4:port`, `[::1]:port`. Names are letters, digits, `-`, `_` and
/// dots between them; whoever has others writes them in punycode.
fn parse_authority(text: &str) -> Result<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            let address: Ipv6Addr =
                address.parse().map_err(|_| invalid("an IPv6 address in brackets"))?;
            (format!("[{address}]"), after)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let host = host.strip_suffix('.').unwrap_or(host);
            let is_label = |label: &str| {
                let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                !label.is_empty() && label.bytes().all(is_word)
            };
            if host.len() > 253 || !host.split('.').all(is_label) {
                return Err(invalid("a host of letters, digits, `-` and `.`"));
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port = digits.parse().ok().filter(|port| *port != 0);
            Some(port.ok_or_else(|| invalid("a port from 1 to 65535"))?)
        }
        _ => return Err(invalid("a port from 1 to 65535 after the host")),
    };
    Ok((host, port))
}

/// Path and query without dot segments; what may not stand in a request line is encoded, except
/// spaces and control characters, which are refused: someone is splitting requests.
fn parse_target(text: &str) -> Result<String> {
    if text.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err(invalid("no spaces and no control characters"));
    }
    let (path, query) = split_query(text);
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        match part {
            "." | ".." => {
                if part == ".." {
                    segments.pop();
                }
                if parts.peek().is_none() {
                    segments.push("");
                }
            }
            _ => segments.push(part),
        }
    }
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Ok(encode(&format!("/{}{query}", segments.join("/")), is_target_byte))
}

fn is_target_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>\\`{}#".contains(&byte)
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

fn without_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or("")
}

fn encode(text: &str, is_plain: fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match is_plain(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn equal_places_are_equal_however_they_are_written() {
        for (text, wire) in [
            ("https://Quay.IO/v2/", "https://quay.io/v2/"),
            ("HTTPS://quay.io:443/v2/", "https://quay.io/v2/"),
            ("https://quay.io./v2/", "https://quay.io/v2/"),
            ("https://quay.io:", "https://quay.io/"),
            ("http://quay.io:443", "http://quay.io:443/"),
            ("http://quay.io:80/", "http://quay.io/"),
            ("https://quay.io?a=b", "https://quay.io/?a=b"),
            ("https://quay.io/a#b", "https://quay.io/a"),
            ("https://quay.io/a?b#c?d", "https://quay.io/a?b"),
            ("https://quay.io/a/../b/./c", "https://quay.io/b/c"),
            ("https://quay.io/../../a/..", "https://quay.io/"),
            ("https://quay.io/a//b", "https://quay.io/a//b"),
            ("https://[2001:DB8:0::1]:5000/", "https://[2001:db8::1]:5000/"),
            ("https://my_registry:5000/", "https://my_registry:5000/"),
            ("https://quay.io/é|<\\", "https://quay.io/%C3%A9|%3C%5C"),
            ("https://quay.io/a%2Fb?c=%3d", "https://quay.io/a%2Fb?c=%3d"),
        ] {
            assert_eq!(url(text).to_wire(), wire, "{text}");
            assert_eq!(url(wire), url(text), "{text}");
        }
    }

    #[test]
    fn anything_but_a_plain_http_url_is_refused_and_never_shown() {
        for text in [
            "",
            "quay.io/hunter2",
            "/hunter2",
            "//quay.io/hunter2",
            "https:/quay.io/hunter2",
            "https:quay.io/hunter2",
            "https:///hunter2",
            "https://:5000/hunter2",
            "ftp://quay.io/hunter2",
            "file:///etc/hunter2",
            "https://user:hunter2@quay.io/",
            "https://hunter2@quay.io/",
            "https://quay.io\\@hunter2/",
            "https://quay.io:0/hunter2",
            "https://quay.io:65536/hunter2",
            "https://quay.io:+80/hunter2",
            "https://quay.io:80:80/hunter2",
            "https://quay..io/hunter2",
            "https://.quay.io/hunter2",
            "https://qu%61y.io/hunter2",
            "https://quäy.io/hunter2",
            "https://[::1/hunter2",
            "https://[::g]/hunter2",
            "https://[fe80::1%25eth0]/hunter2",
            "https://[::1]x/hunter2",
            "https://quay.io/hunter2 HTTP/1.1",
            "https://quay.io/hunter2\r\nHost: x",
            "https://quay.io/hunter2\0",
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn location_means_what_rfc_3986_says() {
        let base = url("https://quay.io:5000/v2/a/blobs/uploads/?state=1");
        for (location, wire) in [
            ("https://cdn.io/x?y", "https://cdn.io/x?y"),
            ("https://user:password@cdn.io/x", "https://cdn.io/x"),
            ("//cdn.io/x", "https://cdn.io/x"),
            ("/x?y=/../z", "https://quay.io:5000/x?y=/../z"),
            ("x", "https://quay.io:5000/v2/a/blobs/uploads/x"),
            ("./x", "https://quay.io:5000/v2/a/blobs/uploads/x"),
            ("../x", "https://quay.io:5000/v2/a/blobs/x"),
            ("../../../../../../x", "https://quay.io:5000/x"),
            ("x/y:z", "https://quay.io:5000/v2/a/blobs/uploads/x/y:z"),
            ("?y", "https://quay.io:5000/v2/a/blobs/uploads/?y"),
            ("", "https://quay.io:5000/v2/a/blobs/uploads/?state=1"),
            ("#y", "https://quay.io:5000/v2/a/blobs/uploads/?state=1"),
            (" /x ", "https://quay.io:5000/x"),
        ] {
            assert_eq!(base.join(location).unwrap().to_wire(), wire, "{location}");
        }
        for location in ["quay.io:5000/x", "ftp://x/", "/a b", "/a\nb", "//", "mailto:x"] {
            assert!(base.join(location).is_err(), "{location}");
        }
        assert!(base.join_strictly("https://user@cdn.io/").is_err());
    }

    #[test]
    fn shown_url_hides_what_may_be_a_secret() {
        for (text, shown) in [
            ("https://a/t?service=s&scope=x:y&token=hunter2", "?service=s&scope=x:y&token=***"),
            ("https://a/t?X-Amz-Signature=hunter2&n=5", "?X-Amz-Signature=***&n=5"),
            ("https://a/t?hunter2", "?***"),
            ("https://a/t?=hunter2&account=hunter2", "?=***&account=***"),
            ("https://a/t?%73cope=hunter2", "?%73cope=***"),
            ("https://a/t?digest=sha256:4f&mount=m&from=f&last=l&ns=n", ""),
        ] {
            let full = url(text);
            let shown = if shown.is_empty() { text.into() } else { format!("https://a/t{shown}") };
            assert_eq!(full.to_string(), shown);
            assert_eq!(format!("{full:?}"), shown);
        }
    }

    #[test]
    fn query_parameters_come_back_as_they_were_given() {
        let base = url("https://a/t");
        let full = base.with_query("scope", "repository:a/b:pull,push").with_query("k&", "=é +%");
        assert_eq!(
            full.target(),
            "/t?scope=repository%3Aa%2Fb%3Apull%2Cpush&k%26=%3D%C3%A9%20%2B%25"
        );
        assert_eq!(decode(full.target()), "/t?scope=repository:a/b:pull,push&k&==é +%");
        assert_eq!(url("https://a/t?x=1").with_query("y", "2").target(), "/t?x=1&y=2");
        assert_eq!(url("https://a/t?").with_query("y", "2").target(), "/t?y=2");
        assert_eq!(decode("%4%zz%C3"), "%4%zz\u{fffd}");
    }
}
