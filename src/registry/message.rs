//! What goes to a server and what comes back.

use std::io::Read;

use super::url::Url;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
    }

    /// Whether the request may be sent again without a second effect.
    pub(super) fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

/// What goes to a server.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// The content that goes with a request.
pub(super) enum Body {
    Empty,
    Bytes(Vec<u8>),
}

/// What came back. The body is not decoded, and not read yet.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Headers,
    /// What was asked to give this answer.
    pub(super) url: Url,
    /// Whether it is of another host than was asked first: a redirect led there, whose signature
    /// the body may repeat.
    pub(super) led_away: bool,
    pub(super) body: Box<dyn Read + Send>,
}

/// The headers of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers(pub(super) Vec<(String, String)>);

impl Headers {
    /// The first header of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All headers of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = move |(own, _): &&(String, String)| own.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|(_, value)| value.as_str())
    }

    /// The `Content-Length`, if it is a number.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.get("content-length")?.trim().parse().ok()
    }
}
