//! HTTP over `ureq`, which no other file names.

use std::cell::Cell;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout,
    RustlsConnector, TcpConnector, Transport, time::Duration as UreqDuration,
};
use ureq::{Agent, SendBody, Timeout};

use super::addresses::{Addresses, is_reserved};
pub(super) use super::message::{Body, Headers, Method, Request, Response};
use super::tls::{self, Identity};
use super::url::{Origin, Url};
use super::wire::{Exactly, Pace, Stopped, Wire};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::printable::printable;

/// Longest that looking up a name may take.
const RESOLVE: Duration = Duration::from_secs(10);

/// Longest that connecting may take: all addresses, the proxy and the handshake of TLS.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest that sending a request without its body may take.
const SEND: Duration = Duration::from_secs(30);

/// Bytes read at once from a connection. Larger is not measurably faster, and two of them exist for
/// each connection with TLS.
const INPUT_BUFFER: usize = 64 * 1024;

/// Bytes written at once to a connection.
const OUTPUT_BUFFER: usize = 16 * 1024;

/// Most bytes of the headers of an answer.
const HEADERS_LIMIT: usize = 64 * 1024;

/// How to connect, for all requests of a [`Client`].
pub(super) struct Connecting {
    /// The registry for which `identity` and `insecure` hold, and for nobody else.
    pub(super) own: Origin,
    pub(super) identity: Identity,
    pub(super) insecure: bool,
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
}

/// Sends requests, each once, and keeps connections. Follows nothing and decides nothing.
pub(super) struct Client {
    agent: Agent,
    stall_timeout: Duration,
    stopped: Stopped,
}

/// Why no answer came.
pub(super) enum Failure {
    /// The peer is there and does not speak TLS.
    NotTls(Error),
    Other(Error),
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
        let Connecting { own, identity, insecure, addresses, stall_timeout, jobs } = connecting;
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
                .chain(Dial::default())
                .chain(Tls::new(own, identity, insecure))
                .chain(Watch);
        let agent = Agent::with_parts(config, connector, Lookup(addresses));
        Client { agent, stall_timeout, stopped: Stopped::default() }
    }

    /// Sends `request` and gives the answer, whatever its status.
    pub(super) fn send(&self, request: Request, manner: Manner) -> Result<Response, Failure> {
        let Request { method, url, headers, body } = request;
        let empty = matches!(body, Body::Empty);
        match self.exchange(method, &url, &headers, body, manner) {
            // A connection that was kept had been closed: the server knows nothing of this request.
            Err(Failure::Other(error))
                if method.is_safe()
                    && empty
                    && matches!(error.kind(), ErrorKind::Network { fault: Fault::Idle, .. }) =>
            {
                let manner = Manner { afresh: true, ..manner };
                self.exchange(method, &url, &headers, Body::Empty, manner)
            }
            outcome => outcome,
        }
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
        body: Body,
        manner: Manner,
    ) -> Result<Response, Failure> {
        let unfit = |error: &dyn std::fmt::Display| {
            Failure::Other(Error::network(Fault::Protocol, format!("asking {url}: {error}")))
        };
        let mut builder =
            ureq::http::Request::builder().method(method.as_str()).uri(url.to_wire().as_str());
        for (name, value) in headers {
            builder = builder.header(*name, value.as_str());
        }
        if manner.afresh {
            builder = builder.header("Connection", "close");
        }
        let body = match body {
            Body::Empty => SendBody::none(),
            Body::Bytes(bytes) => {
                builder = builder.header("Content-Length", bytes.len());
                SendBody::from_owned_reader(io::Cursor::new(bytes))
            }
            Body::Reader { reader, len } => {
                builder = builder.header("Content-Length", len);
                SendBody::from_owned_reader(Exactly::or_size(reader, len))
            }
        };
        let request = builder.body(body).map_err(|error| unfit(&error))?;
        let mut configured = self.agent.configure_request(request);
        if let Some(patience) = manner.patience {
            configured =
                configured.timeout_recv_response(Some(patience)).timeout_per_read(Some(patience));
        }
        if manner.afresh {
            configured = configured.max_idle_age(Duration::ZERO);
        }
        STAGE.set(Stage::Kept);
        let answer = self.agent.run(configured.build());
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
        Ok(Response { status: parts.status.as_u16(), headers, url: url.clone(), body })
    }
}

/// How far a request came; of the thread that sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// On a connection that was kept.
    Kept,
    /// Looking for somebody who takes the connection.
    Dialing,
    /// Connected, shaking hands.
    Shaking,
    /// Connected, sending and waiting.
    Ready,
    /// Bytes came.
    Answered,
}

thread_local! {
    static STAGE: Cell<Stage> = const { Cell::new(Stage::Kept) };
}

/// Looks up names: those that are given first, then the system.
#[derive(Debug)]
struct Lookup(Addresses);

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        let found: Vec<SocketAddr> = match self.0.given(host, port) {
            Some(given) => given,
            None if is_reserved(host) => return Err(ureq::Error::HostNotFound),
            None => {
                let found = DefaultResolver::default().resolve(uri, config, timeout)?;
                found.iter().copied().collect()
            }
        };
        let mut addresses = self.empty();
        for address in self.0.in_order(found) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// Opens connections: an address that does not answer leaves half of the time to the others.
#[derive(Debug, Default)]
struct Dial(TcpConnector);

/// No address of a host takes a connection.
#[derive(Debug)]
struct NobodyThere {
    address: SocketAddr,
    error: ureq::Error,
}

impl std::fmt::Display for NobodyThere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.error {
            ureq::Error::Io(error) => write!(f, "{}: {}", self.address, plain(error)),
            ureq::Error::Timeout(_) => write!(f, "{}: no answer", self.address),
            error => write!(f, "{}: {error}", self.address),
        }
    }
}

impl std::error::Error for NobodyThere {}

impl<In: Transport> Connector<In> for Dial {
    type Out = <TcpConnector as Connector<In>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if chained.is_some() {
            return self.0.connect(details, chained);
        }
        STAGE.set(Stage::Dialing);
        let begun = Instant::now();
        let budget = match details.timeout.after {
            UreqDuration::Exact(budget) => budget,
            UreqDuration::NotHappening => CONNECT,
        };
        let mut failed = None;
        for (index, address) in details.addrs.iter().enumerate() {
            let left = budget.saturating_sub(begun.elapsed());
            let share = if index + 1 == details.addrs.len() { left } else { left / 2 };
            if share.is_zero() {
                break;
            }
            let mut one = details.resolver.empty();
            one.push(*address);
            let timeout = NextTimeout { after: UreqDuration::Exact(share), ..details.timeout };
            let details = ConnectionDetails { addrs: one, timeout, ..again(details) };
            match self.0.connect(&details, None::<In>) {
                Ok(connected) => {
                    Addresses::remember(*address);
                    return Ok(connected);
                }
                Err(ureq::Error::Io(error)) if is_local(&error) => return Err(error.into()),
                Err(error) => failed = Some(NobodyThere { address: *address, error }),
            }
        }
        Err(failed.map_or(ureq::Error::HostNotFound, |failed| ureq::Error::Other(failed.into())))
    }
}

/// The same details; the struct cannot be cloned.
fn again<'a>(details: &ConnectionDetails<'a>) -> ConnectionDetails<'a> {
    ConnectionDetails {
        uri: details.uri,
        addrs: details.addrs.clone(),
        config: details.config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    }
}

/// Puts TLS around connections: the registry may have its own terms, everybody else has none.
/// Certificates are loaded when the first one is needed.
#[derive(Debug)]
struct Tls {
    own: Origin,
    identity: Identity,
    insecure: bool,
    own_terms: OnceLock<(Config, RustlsConnector)>,
    terms: OnceLock<(Config, RustlsConnector)>,
}

impl Tls {
    fn new(own: Origin, identity: Identity, insecure: bool) -> Tls {
        Tls { own, identity, insecure, own_terms: OnceLock::new(), terms: OnceLock::new() }
    }

    /// The terms for whoever is at `uri`.
    fn terms_for(&self, uri: &Uri, config: &Config) -> &(Config, RustlsConnector) {
        let port = uri.port_u16().unwrap_or(443);
        let host = uri.host().unwrap_or_default();
        let is_own = host.eq_ignore_ascii_case(self.own.host()) && port == self.own.port();
        let (terms, extra) = match is_own {
            true => (&self.own_terms, self.identity.own_roots.as_slice()),
            false => (&self.terms, &[][..]),
        };
        terms.get_or_init(|| {
            let mut tls = TlsConfig::builder();
            if is_own && self.insecure {
                tls = tls.disable_verification(true);
            } else {
                let roots = tls::roots(self.identity.roots.iter().chain(extra));
                tls = tls.root_certs(match roots {
                    Some(roots) => {
                        let owned = roots.iter().map(|root| Certificate::from_der(root).to_owned());
                        RootCerts::from(owned)
                    }
                    None => RootCerts::WebPki,
                });
            }
            if is_own && let Some(client) = &self.identity.client {
                let chain: Vec<_> =
                    client.chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
                match PrivateKey::from_pem(&client.key_pem) {
                    Ok(key) => {
                        tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
                    }
                    // It was parsed when it was loaded.
                    Err(error) => log::warn!("using no client certificate: {error}"),
                }
            }
            let config = Config::builder()
                .input_buffer_size(config.input_buffer_size())
                .output_buffer_size(config.output_buffer_size())
                .tls_config(tls.build())
                .build();
            (config, RustlsConnector::default())
        })
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, <RustlsConnector as Connector<In>>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        match chained {
            Some(transport) if details.needs_tls() && !transport.is_tls() => {
                let (config, connector) = self.terms_for(details.uri, details.config);
                STAGE.set(Stage::Shaking);
                // Not of the request, so that ureq keeps the parsed certificates.
                let details = ConnectionDetails { config, request_level: false, ..again(details) };
                Ok(connector.connect(&details, Some(transport))?.map(Either::B))
            }
            chained => Ok(chained.map(Either::A)),
        }
    }
}

/// Notes whether bytes of an answer came.
#[derive(Debug)]
struct Watch;

#[derive(Debug)]
struct Watched<T>(T);

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Watched<In>>, ureq::Error> {
        STAGE.set(Stage::Ready);
        Ok(chained.map(Watched))
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let came = self.0.await_input(timeout)?;
        if came {
            STAGE.set(Stage::Answered);
        }
        Ok(came)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
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
            Error::from(classify(error, Stage::Answered, &self.url, self.stall)).into()
        })
    }
}

/// What `error` is to us, given how far the request for `url` had come.
fn classify(error: ureq::Error, stage: Stage, url: &Url, stall: Duration) -> Failure {
    let peer = url.origin().authority();
    let network = |fault, message| Failure::Other(Error::network(fault, message));
    match error {
        ureq::Error::HostNotFound => {
            network(Fault::Resolve, format!("cannot resolve {}", url.host()))
        }
        ureq::Error::Timeout(Timeout::Resolve) => network(
            Fault::Resolve,
            format!("cannot resolve {}: no answer for {} s", url.host(), RESOLVE.as_secs()),
        ),
        ureq::Error::Timeout(Timeout::Connect) if stage == Stage::Shaking => network(
            Fault::Stall,
            format!("{peer} did not finish the TLS handshake in {} s", CONNECT.as_secs()),
        ),
        ureq::Error::Timeout(Timeout::Connect) => network(
            Fault::Unreachable,
            format!("connecting to {peer} took longer than {} s", CONNECT.as_secs()),
        ),
        ureq::Error::Timeout(_) => {
            network(Fault::Stall, format!("no byte from {peer} for {} s", stall.as_secs_f32()))
        }
        ureq::Error::Rustls(error) => handshake(&error, peer),
        ureq::Error::Tls(_) | ureq::Error::TlsRequired | ureq::Error::Pem(_) => {
            network(Fault::Tls, format!("no TLS with {peer}: {error}"))
        }
        ureq::Error::Other(error) => {
            network(Fault::Unreachable, format!("connecting to {peer}: {error}"))
        }
        ureq::Error::ConnectProxyFailed(reason) if reason.contains("responded 407") => {
            Failure::Other(Error::denied(format!("the proxy for {peer} wants a login")))
        }
        ureq::Error::ConnectProxyFailed(reason) => {
            network(Fault::Unreachable, format!("connecting to {peer}: {}", printable(&reason)))
        }
        ureq::Error::Io(error) => classify_io(error, stage, url),
        error => network(
            Fault::Protocol,
            format!("{peer} does not speak HTTP: {}", printable(&error.to_string())),
        ),
    }
}

fn classify_io(error: io::Error, stage: Stage, url: &Url) -> Failure {
    let error = match error.downcast::<Error>() {
        Ok(ours) => return Failure::Other(ours),
        Err(error) => error,
    };
    let peer = url.origin().authority();
    let network = |fault, message| Failure::Other(Error::network(fault, message));
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return handshake(error, peer);
    }
    if is_local(&error) {
        return Failure::Other(
            Error::new(ErrorKind::Io(error)).context(format!("connecting to {peer}")),
        );
    }
    let cut = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    );
    match stage {
        Stage::Shaking if cut => Failure::NotTls(Error::network(
            Fault::Tls,
            format!("no TLS with {peer}: the connection was closed in the handshake"),
        )),
        Stage::Kept if cut => network(Fault::Idle, format!("{peer} closed the connection")),
        Stage::Kept if error.kind() == io::ErrorKind::Other => {
            network(Fault::Resolve, format!("cannot resolve {}", url.host()))
        }
        _ if cut => network(Fault::Cut, format!("the connection to {peer} was cut")),
        Stage::Kept => {
            network(Fault::Resolve, format!("cannot resolve {}: {}", url.host(), plain(&error)))
        }
        Stage::Dialing => {
            network(Fault::Unreachable, format!("connecting to {peer}: {}", plain(&error)))
        }
        _ => network(Fault::Cut, format!("the connection to {peer} was cut: {}", plain(&error))),
    }
}

/// TLS did not come about.
fn handshake(error: &rustls::Error, peer: String) -> Failure {
    let failure = Error::network(Fault::Tls, format!("no TLS with {peer}: {}", tls::reason(error)));
    match error {
        rustls::Error::InvalidMessage(_) => Failure::NotTls(failure),
        _ => Failure::Other(failure),
    }
}

/// Whether this machine is to blame: no file descriptors, no memory for sockets.
fn is_local(error: &io::Error) -> bool {
    let errors = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| errors.iter().any(|errno| errno.raw_os_error() == code))
}

/// The system's words without their number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_ascii_lowercase(),
        None => text,
    }
}
