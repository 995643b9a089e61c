use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::Instant;

use flate2::read::MultiGzDecoder;

use super::Remote;
use super::http::{Method, Response};
use super::problem::problem;
use super::range;
use super::server::{Question, Server};
use super::wire::{Exactly, Rest};
use crate::error::{Context, Error, ErrorKind, Fault, Result};
use crate::image::Descriptor;
use crate::printable::printable;

/// The content of a blob, or a part of it.
type Content = Box<dyn Read + Send>;

/// What a label of gzip means. It is often wrong: a layer is gzip by itself, and whoever sends it
/// says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// Of two lengths the one that fits decides; without a length the bytes are taken as they are.
    Doubted,
    /// Without a length the bytes are inflated: as they are they were wrong before.
    Believed,
}

/// Whether connections and caches may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freshness {
    Kept,
    Afresh,
}

impl Remote {
    pub(super) fn open_blob(&self, blob: &Descriptor, offset: u64) -> Result<Content> {
        self.read(|server| {
            let is_part = (1..blob.size).contains(&offset);
            if !is_part || !server.habits.takes_ranges(&blob.digest) {
                let response = self.get_blob(server, blob, None, Freshness::Kept)?;
                return self.whole(server, blob, offset, response, Label::Doubted);
            }
            let asked = offset..blob.size;
            let response = self.get_blob(server, blob, Some(&asked), Freshness::Kept)?;
            if response.status == 206 {
                return self.part(server, blob, asked, response);
            }
            server.habits.refused_range(blob.digest, response.url.origin());
            self.whole(server, blob, offset, response, Label::Doubted)
        })
        .context(|| format!("reading blob {}", blob.digest))
    }

    pub(super) fn open_blob_range(&self, blob: &Descriptor, asked: Range<u64>) -> Result<Content> {
        self.read(|server| {
            if asked == (0..blob.size) {
                let response = self.get_blob(server, blob, None, Freshness::Kept)?;
                return self.whole(server, blob, 0, response, Label::Doubted);
            }
            if !server.habits.takes_ranges(&blob.digest) {
                return Err(ErrorKind::Range("the registry does not take ranges".into()).into());
            }
            let response = self.get_blob(server, blob, Some(&asked), Freshness::Kept)?;
            if response.status == 206 {
                return self.part(server, blob, asked.clone(), response);
            }
            server.habits.refused_range(blob.digest, response.url.origin());
            let message = format!("asked for bytes {}-, got all", asked.start);
            Err(ErrorKind::Range(message).into())
        })
        .context(|| format!("reading blob {}", blob.digest))
    }

    /// Past mirrors, caches and kept connections: what came before was wrong. A mirror that it
    /// came from may have more of that kind.
    pub(super) fn open_blob_afresh(&self, blob: &Descriptor) -> Result<Content> {
        for mirror in self.registry.mirrors().filter(|it| it.habits.has_served(&blob.digest)) {
            let host = mirror.origin().authority();
            log::warn!("mirror {host} gave wrong content for {}, going on without it", blob.digest);
            mirror.down.store(true, Ordering::SeqCst);
        }
        let server = self.registry.server();
        self.get_blob(server, blob, None, Freshness::Afresh)
            .and_then(|response| self.whole(server, blob, 0, response, Label::Believed))
            .context(|| format!("reading blob {}", blob.digest))
    }

    /// The answer to one GET: 200, or 206 if a range was `asked` for.
    fn get_blob(
        &self,
        server: &Server,
        blob: &Descriptor,
        asked: Option<&Range<u64>>,
        freshness: Freshness,
    ) -> Result<Response> {
        let begun = Instant::now();
        let habits = &server.habits;
        let target = format!("blobs/{}", blob.digest);
        let mut question = Question::read(Method::Get, self.repository.path(), target);
        if let Some(asked) = asked {
            question = question.with("Range", range::header(asked));
        }
        if freshness == Freshness::Afresh {
            question = question.afresh();
        }
        let mut trail = server.trail();
        let response = server.ask(&question, &mut trail).inspect_err(|error| {
            let stalled = matches!(error.kind(), ErrorKind::Network { fault: Fault::Stall, .. });
            if asked.is_some() && stalled {
                habits.silent(blob.digest, &trail.at, begun);
            }
        })?;
        let host = response.url.origin().clone();
        let redirected = host != server.origin();
        match response.status {
            200 => {
                habits.served(blob.digest, &host);
                Ok(response)
            }
            206 if asked.is_some() => Ok(response),
            // Where a redirect leads they mean that it has expired. But if new ones are refused
            // too, they mean what they say.
            status @ (400 | 401 | 403 | 404 | 410)
                if redirected && habits.may_have_expired(blob.digest, begun) =>
            {
                let host = host.authority();
                let message = format!("the redirect has expired: {host} answered {status}");
                Err(Error::network(Fault::Cut, message))
            }
            status @ (400 | 416 | 501) if asked.is_some() => {
                habits.refused_range(blob.digest, &host);
                let message = format!("{} answered {status} to a range", host.authority());
                Err(ErrorKind::Range(message).into())
            }
            206 => {
                let message = format!("{} gave a part, asked for all", host.authority());
                Err(ErrorKind::Range(message).into())
            }
            _ => Err(self.missing(server, blob, problem(response))),
        }
    }

    /// Says where a blob is missing.
    fn missing(&self, server: &Server, blob: &Descriptor, error: Error) -> Error {
        let ErrorKind::Registry { status: 404, code, message, retry_after } = error.kind() else {
            return error;
        };
        let place = server.place(self.repository.path());
        let mut text = format!("blob {} is missing at {place}", blob.digest);
        if !message.is_empty() {
            text = format!("{text}: {message}");
        }
        let (code, retry_after) = (code.clone(), *retry_after);
        ErrorKind::Registry { status: 404, code, message: text, retry_after }.into()
    }

    /// The body of a 206.
    fn part(
        &self,
        server: &Server,
        blob: &Descriptor,
        asked: Range<u64>,
        response: Response,
    ) -> Result<Content> {
        let host = response.url.origin();
        match range::check(&response.headers, &asked, blob.size) {
            Ok(()) => {
                server.habits.served_range(blob.digest, host);
                let len = asked.end - asked.start;
                Ok(self.watched(server, Exactly::or_cut(response.body, len)))
            }
            Err(reason) => {
                server.habits.refused_range(blob.digest, host);
                Err(ErrorKind::Range(format!("{}: {reason}", host.authority())).into())
            }
        }
    }

    /// The body of a 200 from `offset` on.
    fn whole(
        &self,
        server: &Server,
        blob: &Descriptor,
        offset: u64,
        response: Response,
        label: Label,
    ) -> Result<Content> {
        let Response { headers, body, url, .. } = response;
        let size = blob.size;
        let length = headers.content_length();
        let raw = match headers.get("content-encoding").map(str::trim) {
            None | Some("" | "identity") => match length {
                Some(got) if got != size => {
                    return Err(ErrorKind::Size { expected: size, got }.into());
                }
                _ => true,
            },
            Some(gzip) if matches!(&*gzip.to_ascii_lowercase(), "gzip" | "x-gzip") => {
                match length {
                    Some(length) => length == size,
                    // If it ends too soon it was not cut: it is encoded after all.
                    None if label == Label::Doubted && !server.habits.is_encoded(&blob.digest) => {
                        let body = Exactly::or_size(body, size);
                        return Ok(self.watched(server, Rest::new(body, offset)));
                    }
                    None => false,
                }
            }
            Some(other) => {
                let (host, other) = (url.origin().authority(), printable(other));
                let message = format!("{host} encoded it as `{other}`, which nobody asked for");
                return Err(Error::content(message));
            }
        };
        if raw {
            let body = Exactly::or_cut(body, size);
            return Ok(self.watched(server, Rest::new(body, offset)));
        }
        // Offsets would count bytes of the encoded form there.
        server.habits.refused_range(blob.digest, url.origin());
        server.habits.encodes(blob.digest);
        let inflated = Inflated { inner: MultiGzDecoder::new(body), size, inflated: 0 };
        Ok(self.watched(server, Rest::new(Exactly::or_size(inflated, size), offset)))
    }

    /// `content`, whose errors take a mirror out of service: the next attempt is somewhere else.
    fn watched(&self, server: &Server, content: impl Read + Send + 'static) -> Content {
        match self.registry.mirror_of(server) {
            Some(mirror) => Box::new(Watched { content, mirror }),
            None => Box::new(content),
        }
    }
}

/// What is inflated on the way. What is no gzip is wrong content, not a fault of the wire.
struct Inflated<R> {
    inner: MultiGzDecoder<R>,
    size: u64,
    inflated: u64,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf).map_err(|error| match error.downcast::<Error>() {
            Ok(ours) => ours.into(),
            Err(_) => {
                let kind = ErrorKind::Size { expected: self.size, got: self.inflated };
                io::Error::from(Error::new(kind).context("inflating"))
            }
        })?;
        self.inflated = self.inflated.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

/// Content from a mirror.
struct Watched<R> {
    content: R,
    mirror: std::sync::Arc<Server>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.content.read(buf).inspect_err(|_| self.mirror.down.store(true, Ordering::SeqCst))
    }
}
