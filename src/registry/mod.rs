//! A client of the [distribution-spec][spec]: one function, one request.
//!
//! Nothing is tried again here, except in the steps that a protocol has: the same request with
//! the credentials that were asked for, the next hop of a redirect, another connection where a
//! kept one was closed. Whether to try again is for the caller, by [`Error::remedy`].
//!
//! From the bottom up: `url` and `host` say what may go where; `http` sends one request; `token`
//! asks a token server, `authority` gets a request past a 401 with what `credentials` knows; `server`
//! asks one question, with credentials and redirects; `manifests`, `blobs` and `tags` are the
//! questions there are; [`Remote`] is a repository as a [`Source`].
//!
//! [spec]: https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
//! [`Error::remedy`]: crate::error::Error::remedy

mod addresses;
mod authority;
mod blobs;
mod challenge;
mod credentials;
mod habits;
mod host;
mod http;
mod manifests;
mod message;
mod problem;
mod proxy;
mod range;
mod secret;
mod server;
mod tags;
mod tls;
mod token;
mod url;
mod wire;

use std::io::Read;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use credentials::{Credential, Credentials};
pub use proxy::Proxies;
pub use secret::Secret;
pub use tags::Tags;

use self::addresses::Addresses;
use self::authority::Permissions;
use self::http::{Client, Connecting};
use self::server::{Server, Setup};
use self::tls::Identity;
use self::url::Url;
use crate::endpoint::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Manifest};
use crate::reference::{Reference, Repository};

/// How to speak to a registry.
#[derive(Clone, Debug)]
pub struct Options {
    /// Speak HTTP without TLS.
    pub plain_http: bool,
    /// Do not verify the certificate of the registry; of where it redirects to, still.
    pub insecure: bool,
    /// Files of certificates, in PEM, to trust beside those of the system.
    pub ca_files: Vec<PathBuf>,
    /// Files of a certificate and its key, in PEM, to show to the registry and nobody else.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Folders that have `HOST[:PORT]/{*.crt,*.cert,*.key}` in the way of docker and podman, of
    /// the registry and of its mirrors.
    pub cert_dirs: Vec<PathBuf>,
    /// Who we are.
    pub credentials: Credentials,
    /// `HOST[:PORT]` of token servers beside the registry itself that may have the credentials.
    pub trusted_realms: Vec<String>,
    /// Ways to the registry and to where it redirects.
    pub proxies: Proxies,
    /// Mirrors to ask first; those of other hosts are ignored.
    pub mirrors: Vec<Mirror>,
    /// How long no byte may come, of an answer's head or its body. Fewer than 1 KiB a second,
    /// averaged over twice that time, are none.
    pub stall_timeout: Duration,
    /// How many requests are under way at once; so many connections are kept.
    pub jobs: usize,
    /// Addresses of hosts, asked before the system. Port 0 stands for the one asked for.
    pub resolve: Vec<(String, Vec<SocketAddr>)>,
}

/// A server that has the content of a registry too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The registry, as [`Repository::host`] has it.
    pub host: String,
    /// Where the mirror is, with `https://` or `http://`.
    pub url: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            plain_http: false,
            insecure: false,
            ca_files: Vec::new(),
            client_certificate: None,
            cert_dirs: Vec::new(),
            credentials: Credentials::anonymous(),
            trusted_realms: Vec::new(),
            proxies: Proxies::none(),
            mirrors: Vec::new(),
            stall_timeout: Duration::from_secs(30),
            jobs: 8,
            resolve: Vec::new(),
        }
    }
}

/// A registry. Clones speak over the same connections.
#[derive(Clone)]
pub struct Registry(Arc<Servers>);

struct Servers {
    server: Server,
    mirrors: Vec<Arc<Server>>,
}

/// A repository in a registry.
#[derive(Clone)]
pub struct Remote {
    registry: Registry,
    repository: Repository,
}

impl Registry {
    /// The registry at `host`, which is written as [`Repository::host`] has it. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// When a file of certificates or the URL of a mirror makes no sense.
    pub fn new(host: &str, options: Options) -> Result<Registry> {
        let scheme = if options.plain_http { "http" } else { "https" };
        let base = Url::parse(&format!("{scheme}://{}/", host::api_host(host)))?;
        let mut mirrors = Vec::new();
        for mirror in options.mirrors.iter().filter(|mirror| mirror.host == host) {
            let base = Url::parse(&mirror.url)
                .map_err(|error| Error::usage(format!("mirror of {host}: {error}")))?;
            let name = base.origin().authority();
            log::info!("asking {name} first, a mirror of {host}");
            let identity = Identity::load(&name, &options.ca_files, None, &options.cert_dirs)?;
            mirrors.push(Arc::new(Server::new(Setup {
                client: client(&base, &options, identity, false),
                may_be_plain: false,
                mirrored: Some(host.to_owned()),
                host: name,
                credentials: options.credentials.clone(),
                permissions: permissions(&options, !base.is_https()),
                base,
            })));
        }
        let own = options.client_certificate.as_ref();
        let identity = Identity::load(host, &options.ca_files, own, &options.cert_dirs)?;
        let server = Server::new(Setup {
            client: client(&base, &options, identity, options.insecure),
            may_be_plain: !options.plain_http && host::is_loopback(base.host()),
            mirrored: None,
            host: host.to_owned(),
            permissions: permissions(&options, options.plain_http),
            credentials: options.credentials,
            base,
        });
        Ok(Registry(Arc::new(Servers { server, mirrors })))
    }

    /// A repository there. Its host is not looked at.
    pub fn repository(&self, repository: &Repository) -> Remote {
        Remote { registry: self.clone(), repository: repository.clone() }
    }

    /// Ends the requests under way with [`ErrorKind::Interrupted`], and all later ones.
    pub fn shutdown(&self) {
        self.0.server.shutdown();
        for mirror in &self.0.mirrors {
            mirror.shutdown();
        }
    }

    fn server(&self) -> &Server {
        &self.0.server
    }

    /// The mirrors that are worth asking.
    fn mirrors(&self) -> impl Iterator<Item = &Server> {
        let up = |mirror: &&Server| !mirror.down.load(Ordering::SeqCst);
        self.0.mirrors.iter().map(Arc::as_ref).filter(up)
    }

    /// The mirror that this server is.
    fn mirror_of(&self, server: &Server) -> Option<Arc<Server>> {
        self.0.mirrors.iter().find(|mirror| std::ptr::eq(mirror.as_ref(), server)).cloned()
    }
}

fn client(base: &Url, options: &Options, identity: Identity, insecure: bool) -> Client {
    Client::new(Connecting {
        own: base.origin().clone(),
        identity,
        insecure,
        proxies: options.proxies.clone(),
        addresses: Addresses::new(options.resolve.clone()),
        stall_timeout: options.stall_timeout,
        jobs: options.jobs,
    })
}

fn permissions(options: &Options, plain_http: bool) -> Permissions {
    Permissions { trusted_realms: options.trusted_realms.clone(), plain_http }
}

impl Remote {
    /// The tags of the repository.
    pub fn tags(&self) -> Tags {
        Tags::new(self.clone())
    }

    /// What `ask` gives for the first mirror that has it, else for the registry.
    fn read<T>(&self, ask: impl Fn(&Server) -> Result<T>) -> Result<T> {
        let server = self.registry.server();
        for mirror in self.registry.mirrors() {
            match ask(mirror) {
                Err(error) if !matches!(error.kind(), ErrorKind::Interrupted) => {
                    log::warn!("mirror {}: {error}", mirror.origin().authority());
                    if matches!(error.kind(), ErrorKind::Network { .. } | ErrorKind::Denied(_)) {
                        mirror.down.store(true, Ordering::SeqCst);
                    }
                    log::info!("falling back to {}", server.origin().authority());
                }
                outcome => return outcome,
            }
        }
        ask(server)
    }
}

impl Source for Remote {
    fn resolve(&self, reference: &Reference) -> Result<Manifest> {
        self.resolve_manifest(reference)
    }

    fn digest(&self, reference: &Reference) -> Result<Option<Digest>> {
        match reference.digest() {
            Some(digest) => Ok(Some(digest)),
            None => self.head(reference).map(|descriptor| Some(descriptor.digest)),
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        self.fetch_manifest(descriptor)
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        self.open_blob(blob, offset)
    }

    fn open_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        self.open_blob_range(blob, range)
    }

    /// The same from the registry itself, over a new connection, past caches; a label of gzip is
    /// believed.
    fn open_afresh(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        self.open_blob_afresh(blob)
    }

    fn takes_ranges(&self, blob: &Descriptor) -> bool {
        let first = self.registry.mirrors().next().unwrap_or(self.registry.server());
        first.habits.takes_ranges(&blob.digest)
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }
}
