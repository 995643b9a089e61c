use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, RustlsConnector, TcpConnector,
    Transport, time::Duration,
};

use super::CONNECT;
use super::failure::is_local;
use crate::error::plain;
use crate::registry::addresses::{Addresses, is_reserved};
use crate::registry::tls::{self, Identity};
use crate::registry::url::Origin;

/// How far a request came; of the thread that sends it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Looking for the addresses of a name.
    Resolving,
    /// On a connection that was kept.
    Kept,
    /// Looking for an address that takes a connection.
    Dialing,
    /// Connected, shaking hands.
    Shaking,
    /// Connected, sending and waiting.
    Ready,
    /// Bytes came.
    Answered,
}

thread_local! {
    pub(super) static STAGE: Cell<Stage> = const { Cell::new(Stage::Resolving) };
}

/// Looks up names: those that are given first, then the system.
#[derive(Debug)]
pub(super) struct Lookup(pub(super) Addresses);

impl Resolver for Lookup {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        STAGE.set(Stage::Resolving);
        let (host, port) = host_and_port(uri);
        let found = match self.0.known(host, port) {
            Some(known) => known,
            None if is_reserved(host) => return Err(ureq::Error::HostNotFound),
            None => {
                let found = DefaultResolver::default().resolve(uri, config, timeout)?;
                self.0.learn(host, port, found.to_vec());
                found.to_vec()
            }
        };
        let mut addresses = self.empty();
        for address in self.0.in_order(found) {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(ureq::Error::HostNotFound);
        }
        STAGE.set(Stage::Kept);
        Ok(addresses)
    }
}

fn host_and_port(uri: &Uri) -> (&str, u16) {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(default))
}

/// Opens connections: an address that does not answer leaves half of the time to the others.
#[derive(Debug)]
pub(super) struct Dial {
    tcp: TcpConnector,
    addresses: Addresses,
}

impl Dial {
    pub(super) fn new(addresses: Addresses) -> Dial {
        Dial { tcp: TcpConnector::default(), addresses }
    }
}

/// No address of a host takes a connection.
#[derive(Debug)]
struct NobodyThere {
    address: SocketAddr,
    error: ureq::Error,
}

impl fmt::Display for NobodyThere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
            return self.tcp.connect(details, chained);
        }
        STAGE.set(Stage::Dialing);
        let begun = Instant::now();
        let budget = match details.timeout.after {
            Duration::Exact(budget) => budget,
            Duration::NotHappening => CONNECT,
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
            let timeout = NextTimeout { after: Duration::Exact(share), ..details.timeout };
            let details = ConnectionDetails { addrs: one, timeout, ..again(details) };
            match self.tcp.connect(&details, None::<In>) {
                Ok(connected) => {
                    Addresses::remember(*address);
                    return Ok(connected);
                }
                Err(ureq::Error::Io(error)) if is_local(&error) => return Err(error.into()),
                Err(error) => failed = Some(NobodyThere { address: *address, error }),
            }
        }
        let (host, port) = host_and_port(details.uri);
        self.addresses.forget(host, port);
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
pub(super) struct Tls {
    own: Origin,
    identity: Identity,
    insecure: bool,
    own_terms: OnceLock<(Config, RustlsConnector)>,
    terms: OnceLock<(Config, RustlsConnector)>,
}

impl Tls {
    pub(super) fn new(own: Origin, identity: Identity, insecure: bool) -> Tls {
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
pub(super) struct Watch;

#[derive(Debug)]
pub(super) struct Watched<T>(T);

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
