//! What goes to a server and what comes back.

use std::io::Read;

use super::url::Url;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// Whether the request may be sent again without a second effect.
    pub(super) fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

/// What goes to a server.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body<'a>,
}

/// The content that goes with a request.
pub(super) enum Body<'a> {
    Empty,
    Bytes(Vec<u8>),
    /// Not sent before the server says that it wants it.
    Content(&'a mut (dyn Content + 'a)),
}

/// Content of a known length that can be read once.
pub(super) trait Content: Read {
    /// How many bytes it has.
    fn len(&self) -> u64;

    /// Whether nothing was read yet.
    fn is_untouched(&self) -> bool;
}

impl Body<'_> {
    /// The same once more, unless some of it is gone already.
    pub(super) fn again(&mut self) -> Option<Body<'_>> {
        match self {
            Body::Empty => Some(Body::Empty),
            Body::Bytes(bytes) => Some(Body::Bytes(bytes.clone())),
            Body::Content(content) if content.is_untouched() => Some(Body::Content(*content)),
            Body::Content(_) => None,
        }
    }
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
