//! HTTP over `ureq`, which is named here and nowhere else.

mod connect;
mod failure;

use std::io::{self, Read};
use std::time::Duration;

use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, SendBody};

use self::connect::{Dial, Lookup, STAGE, Stage, Tls, Watch};
use self::failure::classify;
use super::addresses::Addresses;
pub(super) use super::message::{Body, Headers, Method, Request, Response};
use super::proxy::Proxies;
use super::tls::Identity;
use super::url::{Origin, Url};
use super::wire::{Pace, Stopped, Wire};
use crate::error::{Error, ErrorKind, Fault, Result};

/// Longest that looking up a name may take.
const RESOLVE: Duration = Duration::from_secs(10);

/// Longest that connecting may take: all addresses, the proxy and the handshake of TLS.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest that sending a request without its body may take.
const SEND: Duration = Duration::from_secs(30);

/// Bytes read at once from a connection. Larger is not measurably faster, and two of them exist for
/// each connection with TLS.
const INPUT_BUFFER: usize = 64 * 1024;

/// Bytes written at once to a connection, and so read at once from what is uploaded. Where nothing
/// is, they take no memory.
const OUTPUT_BUFFER: usize = 64 * 1024;

/// Most bytes of the headers of an answer. They have to fit in the buffer with room to spare, or
/// ureq takes what is too large for what is cut.
const HEADERS_LIMIT: usize = INPUT_BUFFER - 4 * 1024;

/// How to connect, for all requests of a [`Client`].
pub(super) struct Connecting {
    /// The registry for which `identity` and `insecure` hold, and for nobody else.
    pub(super) own: Origin,
    pub(super) identity: Identity,
    pub(super) insecure: bool,
    pub(super) proxies: Proxies,
    pub(super) addresses: Addresses,
    pub(super) stall_timeout: Duration,
    pub(super) jobs: usize,
}

/// How one request is sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    /// On a connection of its own, which is not kept.
    pub(super) afresh: bool,
    /// How long the answer may take to begin, if that is not the stall timeout.
    pub(super) patience: Option<Duration>,
    /// Whether content is sent without asking whether it is wanted.
    pub(super) unasked: bool,
}

/// Sends requests, each once, and keeps connections. Follows nothing and decides nothing.
pub(super) struct Client {
    agent: Agent,
    proxies: Proxies,
    stall_timeout: Duration,
    stopped: Stopped,
}

/// Why no answer came.
pub(super) enum Failure {
    /// The peer is there and does not speak TLS, or ended the connection when it was to.
    NotTls(Error),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::NotTls(error) | Failure::Other(error) => error,
        }
    }
}

impl Client {
    pub(super) fn new(connecting: Connecting) -> Client {
        let Connecting { own, identity, insecure, proxies, addresses, stall_timeout, jobs } =
            connecting;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_response_header_size(HEADERS_LIMIT)
            .max_idle_connections(2 * (jobs + 1))
            .max_idle_connections_per_host(jobs + 1)
            .timeout_resolve(Some(RESOLVE))
            .timeout_connect(Some(CONNECT))
            .timeout_send_request(Some(SEND))
            .timeout_recv_response(Some(stall_timeout))
            .timeout_per_read(Some(stall_timeout))
            .timeout_per_write(Some(stall_timeout))
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(Dial::new(addresses.clone()))
                .chain(Tls::new(own, identity, insecure))
                .chain(Watch);
        let agent = Agent::with_parts(config, connector, Lookup(addresses));
        Client { agent, proxies, stall_timeout, stopped: Stopped::default() }
    }

    /// Sends `request` and gives the answer, whatever its status.
    pub(super) fn send(&self, request: Request<'_>, manner: Manner) -> Result<Response, Failure> {
        let Request { method, url, headers, body } = request;
        let exchange = |body: Body<'_>, manner| self.exchange(method, &url, &headers, body, manner);
        let outcome = match body {
            Body::Content(content) => match exchange(Body::Content(&mut *content), manner) {
                // Some proxies do not let themselves be asked.
                Ok(response) if response.status == 417 && content.is_untouched() => {
                    exchange(Body::Content(content), Manner { unasked: true, ..manner })
                }
                outcome => outcome,
            },
            Body::Empty if method.is_safe() => match exchange(Body::Empty, manner) {
                // A connection that was kept had been closed: the server knows nothing of this
                // request.
                Err(Failure::Other(error))
                    if matches!(error.kind(), ErrorKind::Network { fault: Fault::Idle, .. }) =>
                {
                    exchange(Body::Empty, Manner { afresh: true, ..manner })
                }
                outcome => outcome,
            },
            body => exchange(body, manner),
        };
        let method = method.as_str();
        match &outcome {
            Ok(response) => log::debug!("{method} {url}: {}", response.status),
            Err(Failure::NotTls(error) | Failure::Other(error)) => {
                log::debug!("{method} {url}: {error}");
            }
        }
        outcome
    }

    /// Ends the requests under way with [`ErrorKind::Interrupted`], and all later ones.
    pub(super) fn shutdown(&self) {
        self.stopped.set();
        self.agent.clone().shutdown();
    }

    fn exchange(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&'static str, String)],
        body: Body<'_>,
        manner: Manner,
    ) -> Result<Response, Failure> {
        let unfit = |error: &dyn std::fmt::Display| {
            Failure::Other(Error::network(Fault::Protocol, format!("asking {url}: {error}")))
        };
        let proxy = match self.proxies.for_url(url) {
            Some(proxy) => Some(ureq::Proxy::new(&proxy.to_wire()).map_err(|error| unfit(&error))?),
            None => None,
        };
        let mut builder =
            ureq::http::Request::builder().method(method.as_str()).uri(url.to_wire().as_str());
        for (name, value) in headers {
            builder = builder.header(*name, value.as_str());
        }
        if manner.afresh {
            builder = builder.header("Connection", "close");
        }
        let send = |builder: ureq::http::request::Builder, body: SendBody<'_>| {
            let request = builder.body(body).map_err(|error| unfit(&error))?;
            let mut configured = self.agent.configure_request(request).proxy(proxy);
            if let Some(patience) = manner.patience {
                let timeout = Some(patience);
                configured = configured.timeout_recv_response(timeout).timeout_per_read(timeout);
            }
            if manner.afresh {
                configured = configured.max_idle_age(Duration::ZERO);
            }
            STAGE.set(Stage::Resolving);
            Ok::<_, Failure>(self.agent.run(configured.build()))
        };
        let answer = match body {
            Body::Empty if method.is_safe() || method == Method::Delete => {
                send(builder, SendBody::none())?
            }
            Body::Empty => send(builder.header("Content-Length", 0), SendBody::none())?,
            Body::Bytes(bytes) => {
                let builder = builder.header("Content-Length", bytes.len());
                send(builder, SendBody::from_owned_reader(io::Cursor::new(bytes)))?
            }
            Body::Content(content) => {
                let builder = builder.header("Content-Length", content.len());
                let builder = match manner.unasked {
                    true => builder,
                    false => builder.header("Expect", "100-continue"),
                };
                send(builder, SendBody::from_reader(content))?
            }
        };
        if self.stopped.is_set() {
            return Err(Failure::Other(ErrorKind::Interrupted.into()));
        }
        let (parts, body) = answer
            .map_err(|error| classify(error, STAGE.get(), url, self.stall_timeout))?
            .into_parts();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes())));
        let headers = Headers(headers.collect());
        let stall = self.stall_timeout;
        let body = Marked { inner: body.into_reader(), url: url.clone(), stall };
        let body = Box::new(Wire::new(body, Pace::new(stall), self.stopped.clone()));
        let (status, url) = (parts.status.as_u16(), url.clone());
        Ok(Response { status, headers, url, led_away: false, body })
    }
}

/// A body whose errors are ours.
struct Marked<R> {
    inner: R,
    url: Url,
    stall: Duration,
}

impl<R: Read> Read for Marked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|error| {
            let error = ureq::Error::from(error);
            let error = Error::from(classify(error, Stage::Answered, &self.url, self.stall));
            // The head was HTTP: something on the way has garbled the rest, this time.
            match error.kind() {
                ErrorKind::Network { fault: Fault::Protocol, .. } => {
                    Error::network(Fault::Cut, error.to_string()).into()
                }
                _ => error.into(),
            }
        })
    }
}
