//! Requests as they come off the wire, and answers as values.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use crate::support::content::Content;

/// Most bytes of a request's head; more is a broken client.
const HEAD_LIMIT: u64 = 256 * 1024;

/// The request line and headers of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Without the query, as sent.
    pub(crate) path: String,
    /// After the `?`, as sent; empty without one.
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The first header of this name, in any case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A value of the query, decoded.
    pub(crate) fn query_value(&self, name: &str) -> Option<String> {
        form_values(&self.query).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// First and last byte asked for; no last one in an open range.
    pub(crate) fn range(&self) -> Option<(u64, Option<u64>)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
        Some((first.parse().ok()?, last))
    }

    /// Reads up to the empty line. `None` if the client closed instead of sending anything.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
        let mut reader = reader.take(HEAD_LIMIT);
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let target = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
            None => target,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut head = Head {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
        };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            head.headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Gives the request's body to `take`, piece by piece, until it ends or `take` says no.
    pub(super) fn read_body(
        &self,
        reader: &mut impl BufRead,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        let chunked =
            self.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        if !chunked {
            let length = self.header("content-length").and_then(|value| value.parse().ok());
            pass(reader, length.unwrap_or(0), take)?;
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            if !pass(reader, size, take)? {
                return Ok(());
            }
            reader.read_line(&mut String::new())?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// Hands on `length` bytes; false if `take` did not want them all.
fn pass(
    reader: &mut impl BufRead,
    mut length: u64,
    take: &mut dyn FnMut(&[u8]) -> bool,
) -> io::Result<bool> {
    while length > 0 {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let piece = usize::try_from(length).map_or(buffer.len(), |length| length.min(buffer.len()));
        let wanted = take(&buffer[..piece]);
        reader.consume(piece);
        length -= piece as u64;
        if !wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The pairs of a query or form, decoded.
pub(super) fn form_values(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escaped = bytes.get(index + 1..index + 3).and_then(|digits| hex::decode(digits).ok());
        match (bytes[index], escaped) {
            (b'%', Some(byte)) => {
                decoded.extend(byte);
                index += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// What is to be sent, before any fault.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Content,
    /// What of the content is the body.
    pub(super) range: Range<u64>,
}

impl Answer {
    pub(super) fn new(status: u16, content: impl Into<Content>) -> Answer {
        let content = content.into();
        let range = 0..content.size();
        Answer { status, headers: Vec::new(), content, range }
    }

    /// An answer without a body.
    pub(super) fn empty(status: u16) -> Answer {
        Answer::new(status, "")
    }

    /// The distribution-spec's error document.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Answer {
        let document = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
        Answer::json(status, &document)
    }

    pub(super) fn json(status: u16, document: &serde_json::Value) -> Answer {
        Answer::new(status, document.to_string()).header("Content-Type", "application/json")
    }

    /// The same with this header instead of any of its name.
    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.set(name, value.into());
        self
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.remove(name);
        self.headers.push((name.to_owned(), value));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }

    /// The part of a 200 that `head` asks for: 206, or 416 if there is nothing of it.
    pub(super) fn narrowed_to_range(self, head: &Head) -> Answer {
        let Some((first, last)) = head.range() else { return self };
        let size = self.content.size();
        let end = last.map_or(size, |last| last.saturating_add(1).min(size));
        if first >= end {
            let answer = Answer::error(416, "RANGE_INVALID", "no such range");
            return answer.header("Content-Range", format!("bytes */{size}"));
        }
        let described = format!("bytes {first}-{}/{size}", end - 1);
        Answer { status: 206, range: first..end, ..self }.header("Content-Range", described)
    }
}
