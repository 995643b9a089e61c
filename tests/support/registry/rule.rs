//! Which requests meet a fault, and the faults there are.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http::Head;
use super::log::Request;

/// What goes wrong. Several may apply to one request; those of `n` count bytes of the body.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with an error document; the request takes no effect.
    Status(u16),
    /// This status, these headers and this body; the request takes no effect.
    Answer(u16, Vec<(String, String)>, Vec<u8>),
    /// As `Status`, before the request's body is read. The connection is closed, by RST if the
    /// client goes on sending: one that does not expect a 100 may lose the answer.
    Early(u16),
    /// The request takes effect, but this status is the answer.
    Lost(u16),
    /// To another URL, which may be relative.
    Redirect(u16, String),
    /// This status for requests that have a `Range`; the others are served.
    RangeStatus(u16),
    /// All tokens given out so far are worthless, from this request on.
    ExpireToken,
    /// The request takes effect, but instead of an answer comes FIN.
    Close,
    /// The request takes effect, but instead of an answer comes RST.
    Reset,
    /// The request's body is read up to `n` bytes, then comes RST; it takes no effect.
    ResetWhileSending(u64),
    /// Of an upload's body the first `n` bytes are kept, then comes RST.
    ResetKeeping(u64),
    /// Of an upload's body the first `n` bytes are kept, and no more is read; the connection stays
    /// open.
    HangKeeping(u64),
    /// No answer, ever; the connection stays open.
    Silent,
    /// Exactly these bytes instead of head and body, then FIN.
    Raw(Vec<u8>),
    /// A wait before the head.
    Stall(Duration),
    /// A wait after `n` bytes of the body.
    StallAfter(u64, Duration),
    /// FIN after `n` bytes of the body.
    CutFin(u64),
    /// RST after `n` bytes of the body, all of which arrive if the client reads within a second.
    CutRst(u64),
    /// Pieces of so many bytes with a wait after each.
    Drip { bytes: u64, every: Duration },
    /// At most so many bytes a second on each connection.
    Throttle { bytes_per_second: u64 },
    /// The byte at this offset of the blob is wrong. Ranges without it do not count as matching.
    Flip(u64),
    /// Only the first `n` bytes of the body, with a `Content-Length` that says so.
    Truncate(u64),
    /// More bytes after the body, which `Content-Length` counts.
    Extra(Vec<u8>),
    /// Another body under the same headers.
    Body(Vec<u8>),
    /// `Range` is ignored: 200 and everything.
    IgnoreRange,
    /// No length, in chunks.
    Chunked,
    /// No length: the body ends with the connection, by FIN or where a cut says so.
    CloseDelimited,
    /// The body is compressed in passing, and labelled so.
    Gzip,
    /// Labelled as compressed in passing, which it is not.
    GzipLabel,
    /// The body goes on with zeros for ever, without a length.
    Endless,
    /// So many more (or fewer) bytes in `Content-Length` than there are.
    ContentLength(i64),
    /// Two headers `Content-Length` that disagree.
    TwoContentLengths,
    /// This header instead of any of its name.
    Header(String, String),
    /// One more header.
    AddHeader(String, String),
    /// No header of this name.
    NoHeader(String),
    /// Of the bytes of a PATCH only the first `n` are kept.
    AcceptOnly(u64),
}

impl Fault {
    /// A whole answer, as in `Fault::answer(429, &[("Retry-After", "2")], "")`.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Fault {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Fault::Answer(status, headers.iter().map(own).collect(), body.into())
    }

    pub(crate) fn redirect(url: impl Into<String>) -> Fault {
        Fault::Redirect(307, url.into())
    }

    pub(crate) fn header(name: &str, value: &str) -> Fault {
        Fault::Header(name.to_owned(), value.to_owned())
    }

    pub(crate) fn content_type(value: &str) -> Fault {
        Fault::header("Content-Type", value)
    }

    pub(crate) fn content_range(value: &str) -> Fault {
        Fault::header("Content-Range", value)
    }

    pub(crate) fn no_header(name: &str) -> Fault {
        Fault::NoHeader(name.to_owned())
    }

    pub(crate) fn no_digest_header() -> Fault {
        Fault::no_header("Docker-Content-Digest")
    }
}

/// Faults and the requests that meet them; made by [`Rule::on`].
#[derive(Clone)]
pub(crate) struct Rule {
    pattern: Pattern,
    only: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
    nth: Range<u32>,
    faults: Vec<Fault>,
}

impl Rule {
    /// For every request that fits, as in `"GET /v2/*/blobs/*"`: `*` is any text, the method may
    /// be left out, and the query counts only if the pattern has a `?`.
    pub(crate) fn on(pattern: &str) -> Rule {
        Rule {
            pattern: Pattern::new(pattern),
            only: Arc::new(|_| true),
            nth: 0..u32::MAX,
            faults: Vec::new(),
        }
    }

    /// For those only of which this is true too.
    pub(crate) fn only(mut self, only: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Rule {
        self.only = Arc::new(only);
        self
    }

    /// For those only of the fitting requests, counted from 0.
    pub(crate) fn nth(mut self, nth: Range<u32>) -> Rule {
        self.nth = nth;
        self
    }

    /// For the first fitting request only.
    pub(crate) fn once(self) -> Rule {
        self.nth(0..1)
    }

    /// One more thing that goes wrong.
    pub(crate) fn fault(mut self, fault: Fault) -> Rule {
        self.faults.push(fault);
        self
    }

    fn matches(&self, request: &Request) -> bool {
        let reaches = |fault: &Fault| match (fault, request.range()) {
            (Fault::Flip(offset), Some((first, last))) => {
                first <= *offset && last.is_none_or(|last| *offset <= last)
            }
            _ => true,
        };
        self.pattern.matches(&request.head)
            && (self.only)(request)
            && self.faults.iter().all(reaches)
    }
}

/// The rules of a server, and how often each has matched.
#[derive(Default)]
pub(super) struct Rules(Mutex<Vec<(Rule, u32)>>);

impl Rules {
    pub(super) fn add(&self, rule: Rule) {
        self.0.lock().unwrap().push((rule, 0));
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// What goes wrong with this request, which counts as a match.
    pub(super) fn meet(&self, request: &Request) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (rule, count) in self.0.lock().unwrap().iter_mut() {
            if rule.matches(request) {
                if rule.nth.contains(count) {
                    faults.extend(rule.faults.iter().cloned());
                }
                *count += 1;
            }
        }
        faults
    }
}

/// Method and path with `*` for any text.
#[derive(Clone)]
pub(super) struct Pattern {
    method: Option<String>,
    path: String,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        match text.split_once(' ') {
            Some((method, path)) => {
                Pattern { method: Some(method.to_owned()), path: path.to_owned() }
            }
            None => Pattern { method: None, path: text.to_owned() },
        }
    }

    pub(super) fn matches(&self, head: &Head) -> bool {
        if self.method.as_ref().is_some_and(|method| *method != head.method) {
            return false;
        }
        if self.path.contains('?') {
            return fits(&self.path, &format!("{}?{}", head.path, head.query));
        }
        fits(&self.path, &head.path)
    }
}

/// Whether `text` is `pattern`, in which `*` is any text.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let mut ends = (0..=text.len()).filter(|end| text.is_char_boundary(*end));
    ends.any(|end| fits(rest, &text[end..]))
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {:?}", self.pattern.path, self.nth, self.faults)
    }
}
