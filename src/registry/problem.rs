//! Answers that are none: what a server says is wrong.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;

use super::http::{Headers, Response};
use crate::error::{Error, ErrorKind};
use crate::image::Digest;
use crate::printable::printable;

/// Most bytes of an error document that are read.
const LIMIT: u64 = 64 * 1024;

/// Longest wait that is taken seriously; what is done about it is for the caller.
const LONGEST: u64 = 365 * 24 * 3600;

/// Codes by which a registry says that something is not there, whatever the status.
const NOT_FOUND: [&str; 3] = ["BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "NAME_UNKNOWN"];

/// Spec: [Error codes][spec].
///
/// [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
#[derive(Default, Deserialize)]
struct Document {
    #[serde(default)]
    errors: Vec<Entry>,
    /// What gateways in front of registries write instead.
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<serde_json::Value>,
}

/// Codes by which a registry says that it lacks what a manifest leads to.
const LACKING: [&str; 4] = [
    "MANIFEST_BLOB_UNKNOWN",
    "BLOB_UNKNOWN",
    "MANIFEST_UNKNOWN",
    "MANIFEST_REFERENCED_BLOB_UNKNOWN",
];

/// Most digests that are taken out of one error.
const NAMED: usize = 1000;

/// The error that `response`, to a manifest that was sent, is: what it lacks, and whether the tag
/// cannot be changed, is said.
pub(super) fn manifest_problem(response: Response) -> Error {
    let Response { status, headers, led_away, body, .. } = response;
    let mut bytes = Vec::new();
    let _ = body.take(LIMIT).read_to_end(&mut bytes);
    let error = read(status, &headers, &bytes, led_away);
    if !(400..500).contains(&status) || matches!(status, 401 | 408 | 429) {
        return error;
    }
    let document: Document = serde_json::from_slice(&bytes).unwrap_or_default();
    let is_lacking = |entry: &Entry| {
        let code = entry.code.as_ref().and_then(|code| code.as_str()).unwrap_or("");
        let message = entry.message.as_deref().unwrap_or("").to_ascii_lowercase();
        LACKING.contains(&code) || message.contains("blob unknown")
    };
    let mut digests = Vec::new();
    let lacking = document.errors.iter().filter(|entry| is_lacking(entry));
    let count = lacking
        .inspect(|entry| entry.detail.iter().for_each(|detail| named(detail, &mut digests)))
        .count();
    if count > 0 {
        return ErrorKind::Lacking { digests, message: error.to_string() }.into();
    }
    or_immutable(error)
}

/// The error, or what it says of a tag.
pub(super) fn or_immutable(error: Error) -> Error {
    let message = error.to_string();
    match error.kind() {
        ErrorKind::Registry { status: 400..500, .. }
            if message.to_ascii_lowercase().contains("immutable") =>
        {
            ErrorKind::Other(format!("the tag cannot be changed: {message}")).into()
        }
        _ => error,
    }
}

/// The digests that a detail names, however it is made.
fn named(detail: &serde_json::Value, digests: &mut Vec<Digest>) {
    use serde_json::Value;
    match detail {
        Value::String(text) if digests.len() < NAMED => digests.extend(text.parse::<Digest>()),
        Value::Array(list) => list.iter().for_each(|value| named(value, digests)),
        Value::Object(map) => map.values().for_each(|value| named(value, digests)),
        _ => {}
    }
}

/// The error that `response` is. Its body is read, as far as it makes sense.
pub(super) fn problem(response: Response) -> Error {
    let Response { status, headers, led_away, body, .. } = response;
    let mut bytes = Vec::new();
    // What came before an error of the wire has to do: the status is what counts.
    let _ = body.take(LIMIT).read_to_end(&mut bytes);
    read(status, &headers, &bytes, led_away)
}

/// The error that `response`, a 401 or 403, is, and why we could not do better.
pub(super) fn refused(response: Response, why: &str) -> Error {
    let error = problem(response);
    match error.kind() {
        ErrorKind::Registry { status, code, message, retry_after } if !why.is_empty() => {
            let (status, code, retry_after) = (*status, code.clone(), *retry_after);
            let both = [message.as_str(), why].into_iter().filter(|text| !text.is_empty());
            let message = both.collect::<Vec<_>>().join("; ");
            ErrorKind::Registry { status, code, message, retry_after }.into()
        }
        _ => error,
    }
}

/// What is no answer at all, such as a captive portal's page: its type and how it starts. If the
/// answer was `led_away` to, only its type: storage shows a request that it refuses, and with it
/// the signature.
pub(super) fn foreign(headers: &Headers, bytes: &[u8], led_away: bool) -> String {
    let kind = quoted(headers.get("content-type").unwrap_or("of no type"));
    if led_away {
        return format!("answer is {kind}");
    }
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
    format!("answer is {kind}, starts with `{}`", quoted(start.trim()))
}

/// A server's words as they may be shown: escaped, and without the queries of URLs, which may be
/// signatures.
fn quoted(text: &str) -> String {
    let ends_query = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<');
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('?') {
        let (query, behind) = after.split_at(after.find(ends_query).unwrap_or(after.len()));
        shown.push_str(before);
        shown.push('?');
        shown.push_str(if query.contains('=') { "***" } else { query });
        rest = behind;
    }
    shown.push_str(rest);
    printable(&shown)
}

fn read(status: u16, headers: &Headers, bytes: &[u8], led_away: bool) -> Error {
    let document: Document = serde_json::from_slice(bytes).unwrap_or_default();
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let (mut code, mut message) = (None, None);
    if let Some(entry) = document.errors.into_iter().next() {
        code = entry.code.and_then(text).filter(|code| !code.is_empty());
        message = entry.message;
    }
    let message = message
        .or(document.message)
        .or(document.error.and_then(text))
        .filter(|message| !message.is_empty());
    let message = match message {
        Some(message) => quoted(&message),
        None if bytes.is_empty() || code.is_some() => String::new(),
        None => foreign(headers, bytes, led_away),
    };
    let code = code.map(|code| quoted(&code));
    let says_not_found = match code.as_deref() {
        Some("UNKNOWN") => message.to_ascii_lowercase().contains("not found"),
        Some(code) => NOT_FOUND.contains(&code),
        None => false,
    };
    let asked_wrongly = (400..500).contains(&status) && !matches!(status, 401 | 403 | 404 | 429);
    if says_not_found && asked_wrongly {
        let code = code.unwrap_or_default();
        return Error::not_found(format!("the registry answered {status} {code}: {message}"));
    }
    ErrorKind::Registry { status, code, message, retry_after: retry_after(headers) }.into()
}

/// When the server asks to be asked again. A date is compared with the server's own clock, since
/// ours may be wrong.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let text = headers.get("retry-after")?.trim();
    let seconds = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().unwrap_or(u64::MAX)
    } else {
        let date = |text: &str| httpdate::parse_http_date(text.trim()).ok();
        let until = date(text)?.duration_since(date(headers.get("date")?)?);
        until.unwrap_or_default().as_secs()
    };
    Some(Duration::from_secs(seconds.min(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let html = headers(&[("Content-Type", "text/html")]);
        assert_eq!(read(status, &html, body.as_bytes(), false).to_string(), expected);
    }

    #[test]
    fn registry_is_quoted_and_escaped() {
        check(
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}}]}"#,
            "the registry answered 404 MANIFEST_UNKNOWN: manifest unknown",
        );
        check(
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\u001b[2J"}]}"#,
            r"the registry answered 429 TOOMANYREQUESTS: slow\x1b[2J",
        );
        check(403, r#"{"errors":[{"code":"DENIED"}]}"#, "the registry answered 403 DENIED");
        check(500, "", "the registry answered 500");
        check(401, r#"{"message":"log in"}"#, "the registry answered 401: log in");
        check(
            502,
            "\n<html>\x1b",
            r"the registry answered 502: answer is text/html, starts with `<html>\x1b`",
        );
        check(
            400,
            r#"{"errors":null}"#,
            r#"the registry answered 400: answer is text/html, starts with `{"errors":null}`"#,
        );
    }

    #[test]
    fn queries_in_a_servers_words_are_not_shown() {
        for (text, shown) in [
            ("no https://a/b?X-Amz-Signature=s&c here", "no https://a/b?*** here"),
            ("<x>?sig=s</x><y>?z=s", "<x>?***</x><y>?***"),
            ("'/a?b=s'\"?c=s\"`?d=s`", "'/a?***'\"?***\"`?***`"),
            ("?a??b=s\u{1b}c", "?***"),
            ("why? who knows? a = b", "why? who knows? a = b"),
            ("", ""),
        ] {
            assert_eq!(quoted(text), shown, "{text}");
        }
        check(
            500,
            "<x>?X-Amz-Signature=s</x>",
            "the registry answered 500: answer is text/html, starts with `<x>?***</x>`",
        );
        check(
            403,
            r#"{"errors":[{"code":"DENIED","message":"see https://a/?sig=s"}]}"#,
            "the registry answered 403 DENIED: see https://a/?***",
        );
    }

    #[test]
    fn only_the_type_is_told_of_a_page_that_a_redirect_led_to() {
        let error = read(500, &headers(&[("Content-Type", "text/html")]), b"<html>", true);
        assert_eq!(error.to_string(), "the registry answered 500: answer is text/html");
    }

    #[test]
    fn what_is_not_found_is_known_by_status_code_or_words() {
        let kind = |status, body: &str| read(status, &headers(&[]), body.as_bytes(), false);
        let entry =
            |code, message| format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        for (status, body) in [
            (400, entry("UNKNOWN", "unknown: Not Found")),
            (412, entry("UNKNOWN", "http status code: 404, body: repository a not found")),
            (400, entry("NAME_UNKNOWN", "")),
        ] {
            let error = kind(status, &body);
            assert!(matches!(error.kind(), ErrorKind::NotFound(_)), "{error}");
        }
        for (status, body) in [
            (404, entry("UNKNOWN", "not found")),
            (401, entry("NAME_UNKNOWN", "")),
            (500, entry("UNKNOWN", "not found")),
            (400, entry("UNKNOWN", "no")),
        ] {
            let error = kind(status, &body);
            assert!(matches!(error.kind(), ErrorKind::Registry { .. }), "{error}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let date = ("Date", "Tue, 15 Nov 1994 08:12:31 GMT");
        let wait = |text: &str| retry_after(&headers(&[("Retry-After", text), date]));
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait("2"), seconds(2));
        assert_eq!(wait(" 0 "), seconds(0));
        assert_eq!(wait("Tue, 15 Nov 1994 08:12:34 GMT"), seconds(3));
        assert_eq!(wait("Tue, 15 Nov 1994 08:12:30 GMT"), seconds(0));
        assert_eq!(wait("99999999999999999999999"), seconds(LONGEST));
        for garbage in ["", "-1", "1.5", "soon", "2 s"] {
            assert_eq!(wait(garbage), None, "{garbage}");
        }
        let undated = headers(&[("Retry-After", "Tue, 15 Nov 1994 08:12:34 GMT")]);
        assert_eq!(retry_after(&undated), None);
    }
}
