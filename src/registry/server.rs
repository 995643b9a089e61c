use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use super::habits::Habits;
use super::host;
use super::http::{Body, Client, Failure, Manner, Method, Request, Response};
use super::url::{Origin, Url};
use crate::error::{Error, Fault, Result};

/// Most redirects that are followed for one request.
const HOPS: usize = 5;

/// Most bytes of the body of an answer that says nothing, read so that its connection can be kept.
const DRAINED: u64 = 16 * 1024;

/// A server of the distribution-spec: a registry, or a mirror of one.
pub(super) struct Server {
    client: Client,
    /// Where it is, with `https` as long as that is not known to be wrong.
    base: Url,
    /// Whether it may turn out to speak plain HTTP.
    may_be_plain: bool,
    is_plain: AtomicBool,
    /// The registry that this is a mirror of.
    mirrored: Option<String>,
    pub(super) habits: Habits,
    /// Whether it has failed so that it is not worth asking again, if there is another.
    pub(super) down: AtomicBool,
}

/// What is asked of a server.
pub(super) struct Question {
    pub(super) method: Method,
    /// Path and query below the server's base, from `/v2/` on.
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) manner: Manner,
}

/// Where a request led.
pub(super) struct Trail {
    /// Whom it was sent to last.
    pub(super) at: Origin,
}

impl Server {
    /// The server at `base`. If `may_be_plain`, `base` is `https`, and plain HTTP is spoken as
    /// soon as it turns out that the peer does not speak TLS.
    pub(super) fn new(
        client: Client,
        base: Url,
        may_be_plain: bool,
        mirrored: Option<String>,
    ) -> Server {
        Server {
            client,
            base,
            may_be_plain,
            is_plain: AtomicBool::new(false),
            mirrored,
            habits: Habits::default(),
            down: AtomicBool::new(false),
        }
    }

    /// Ends the requests under way, and all later ones.
    pub(super) fn shutdown(&self) {
        self.client.shutdown();
    }

    /// Whom requests go to.
    pub(super) fn origin(&self) -> Origin {
        self.base().origin().clone()
    }

    /// `HOST/REPOSITORY`, for messages.
    pub(super) fn place(&self, repository: &str) -> String {
        format!("{}/{repository}", self.base.origin().authority())
    }

    /// The URL of a path from `/v2/` on.
    pub(super) fn url(&self, path: &str) -> Url {
        let base = self.base();
        let prefix = base.target().trim_end_matches('/');
        let url = base.with_path(&format!("{prefix}{path}"));
        match &self.mirrored {
            Some(host) => url.with_query("ns", host),
            None => url,
        }
    }

    /// Asks, in the steps that the protocol has: credentials if they are asked for, redirects.
    /// The answer is the last one, whatever its status. `trail` is kept on failure too.
    pub(super) fn ask(&self, question: &Question, trail: &mut Trail) -> Result<Response> {
        self.follow(self.url(&question.path), question, trail)
    }

    /// The same for a URL that the server itself gave, which must be of its own origin.
    pub(super) fn ask_at(&self, url: Url, question: &Question) -> Result<Response> {
        let mut trail = self.trail();
        self.follow(url, question, &mut trail)
    }

    /// A trail that has led nowhere yet.
    pub(super) fn trail(&self) -> Trail {
        Trail { at: self.origin() }
    }

    fn follow(&self, mut url: Url, question: &Question, trail: &mut Trail) -> Result<Response> {
        let mut hops = 0;
        loop {
            trail.at = url.origin().clone();
            // Built from scratch for each hop: nothing of what one host was told goes to the next.
            let request = Request {
                method: question.method,
                url: url.clone(),
                headers: question.headers.clone(),
                body: Body::Empty,
            };
            let response = match self.client.send(request, question.manner) {
                Err(Failure::NotTls(_)) if hops == 0 && self.may_become_plain() => {
                    log::debug!("{} does not speak TLS: using plain HTTP", trail.at.authority());
                    self.is_plain.store(true, Ordering::SeqCst);
                    url = plain(&url)?;
                    continue;
                }
                outcome => outcome?,
            };
            let Some(next) = location(&response)? else { return Ok(response) };
            host::may_follow(&self.origin(), &url, &next)?;
            hops += 1;
            if hops > HOPS {
                let message = format!("more than {HOPS} redirects, the last one to {next}");
                return Err(Error::network(Fault::Protocol, message));
            }
            drain(response);
            url = next;
        }
    }

    fn base(&self) -> Url {
        match self.is_plain.load(Ordering::SeqCst) {
            // The base was parsed with another scheme before.
            true => plain(&self.base).unwrap_or_else(|_| self.base.clone()),
            false => self.base.clone(),
        }
    }

    fn may_become_plain(&self) -> bool {
        self.may_be_plain && !self.is_plain.load(Ordering::SeqCst)
    }
}

/// Where a redirect leads; `None` if the answer is none.
fn location(response: &Response) -> Result<Option<Url>> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    match response.headers.get("location") {
        Some(location) => {
            response.url.join(location).map(Some).map_err(|error| {
                error.context(format!("following a redirect from {}", response.url))
            })
        }
        None => {
            let message = format!("{} redirects to nowhere", response.url);
            Err(Error::network(Fault::Protocol, message))
        }
    }
}

/// The same place without TLS, on the same port.
fn plain(url: &Url) -> Result<Url> {
    Url::parse(&format!("http://{}:{}{}", url.host(), url.port(), url.target()))
}

/// Reads a body that does not matter to its end, if that is near: the connection can be kept.
fn drain(response: Response) {
    if response.headers.content_length().is_none_or(|length| length <= DRAINED) {
        // If it fails the connection is not kept.
        let _ = std::io::copy(&mut response.body.take(DRAINED), &mut std::io::sink());
    }
}
