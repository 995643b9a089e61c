//! A registry on a real socket, with faults on request.
//!
//! It speaks HTTP/1.1 on a listener of the standard library, one thread a connection, and keeps
//! everything in memory. Every request passes the log, then the [`Rule`]s, then the gate
//! ([`Auth`]), then takes effect on the repositories; what the rules say is then done to the
//! answer on its way out.

pub(crate) mod auth;
mod delivery;
pub(crate) mod http;
mod log;
mod push;
mod repositories;
mod rule;
mod serve;
mod wire;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) use self::auth::{Auth, Bearer};
pub(crate) use self::log::Request;
pub(crate) use self::push::{Location, Push};
pub(crate) use self::repositories::Manifest;
pub(crate) use self::rule::{Fault, Rule};

use self::auth::Gate;
use self::log::Log;
use self::repositories::Repositories;
use self::rule::Rules;
use self::serve::Speech;
use self::wire::Pause;
use crate::support::content::Content;
use crate::support::image::Image;
use crate::support::tls::Tls;

/// A server that ends when dropped.
pub(crate) struct Registry {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    address: SocketAddr,
    speech: Speech,
    log: Log,
    rules: Rules,
    gate: Arc<Gate>,
    /// Whose tokens are given out here, if not our own.
    other_gate: Mutex<Option<Arc<Gate>>>,
    repositories: Mutex<Repositories>,
    connections: Mutex<BTreeMap<u64, TcpStream>>,
    pause: Pause,
}

impl Registry {
    /// Plain HTTP on 127.0.0.1 and any port.
    pub(crate) fn start() -> Registry {
        Registry::start_at("127.0.0.1:0")
    }

    /// Plain HTTP there, such as `[::1]:0`, `127.0.0.2:0` or a port that was free before.
    pub(crate) fn start_at(address: &str) -> Registry {
        Registry::listen(address, Speech::Http)
    }

    /// HTTPS on 127.0.0.1.
    pub(crate) fn start_tls(tls: &Tls) -> Registry {
        Registry::listen("127.0.0.1:0", Speech::Https(tls.server_config()))
    }

    /// Accepts connections and never sends a byte, not even of TLS.
    pub(crate) fn mute() -> Registry {
        Registry::listen("127.0.0.1:0", Speech::Mute)
    }

    /// An address where nothing listens, and nothing else will by chance.
    pub(crate) fn free_address() -> String {
        let listener = TcpListener::bind("127.88.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    fn listen(address: &str, speech: Speech) -> Registry {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            speech,
            log: Log::new(),
            rules: Rules::default(),
            gate: Arc::default(),
            other_gate: Mutex::default(),
            repositories: Mutex::default(),
            connections: Mutex::default(),
            pause: Pause::default(),
        });
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || serve::accept(&shared, &listener)
        });
        Registry { shared, accepting: Some(accepting) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// As it is written in names: `127.0.0.1:4711`.
    pub(crate) fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// The name of an image here, for `box:1`.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.shared.address)
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.origin())
    }
}

/// What it holds.
impl Registry {
    /// Returns the digest, a sha256.
    pub(crate) fn put_blob(&self, repository: &str, content: impl Into<Content>) -> String {
        let content = content.into();
        let digest = content.digest();
        self.put_blob_as(repository, &digest, content);
        digest
    }

    /// Under any digest: a sha512, or a lie.
    pub(crate) fn put_blob_as(&self, repository: &str, digest: &str, content: impl Into<Content>) {
        let mut repositories = self.shared.repositories.lock().unwrap();
        repositories.named(repository).blobs.insert(digest.to_owned(), content.into());
    }

    /// Returns the digest, a sha256. What the manifest lists need not be there.
    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        media_type: &str,
        bytes: impl Into<Content>,
    ) -> String {
        let bytes = bytes.into();
        let digest = bytes.digest();
        self.put_manifest_as(repository, &digest, media_type, bytes);
        digest
    }

    /// Under any digest.
    pub(crate) fn put_manifest_as(
        &self,
        repository: &str,
        digest: &str,
        media_type: &str,
        bytes: impl Into<Content>,
    ) {
        let manifest = Manifest { media_type: media_type.to_owned(), bytes: bytes.into() };
        let mut repositories = self.shared.repositories.lock().unwrap();
        repositories.named(repository).manifests.insert(digest.to_owned(), manifest);
    }

    pub(crate) fn put_tag(&self, repository: &str, tag: &str, digest: &str) {
        let mut repositories = self.shared.repositories.lock().unwrap();
        repositories.named(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }

    /// All of an image under a name such as `box:1`. Returns the image's name here.
    pub(crate) fn push(&self, image: &Image, name: &str) -> String {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        for blob in &image.blobs {
            self.put_blob_as(repository, &blob.digest, &blob.content);
        }
        for manifest in &image.manifests {
            self.put_manifest(repository, &manifest.media_type, &manifest.content);
        }
        self.put_tag(repository, tag, &image.digest);
        self.name(name)
    }

    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Content> {
        let repositories = self.shared.repositories.lock().unwrap();
        repositories.by_name.get(repository)?.blobs.get(digest).cloned()
    }

    /// By tag or digest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let repositories = self.shared.repositories.lock().unwrap();
        Some(repositories.by_name.get(repository)?.find(reference)?.1.clone())
    }

    pub(crate) fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        let repositories = self.shared.repositories.lock().unwrap();
        repositories.by_name.get(repository).map(|it| it.tags.clone()).unwrap_or_default()
    }

    /// Whether everything of the image is in the repository.
    pub(crate) fn holds(&self, repository: &str, image: &Image) -> bool {
        let blobs = image.blobs.iter().all(|blob| {
            self.blob(repository, &blob.digest).is_some_and(|content| content.is(&blob.digest))
        });
        let manifests = image.manifests.iter();
        blobs && manifests.clone().all(|it| self.manifest(repository, &it.digest).is_some())
    }

    /// Removes a blob, a manifest with its tags, or a tag.
    pub(crate) fn remove(&self, repository: &str, reference: &str) {
        let mut repositories = self.shared.repositories.lock().unwrap();
        let repository = repositories.named(repository);
        repository.blobs.remove(reference);
        repository.manifests.remove(reference);
        repository.tags.retain(|tag, digest| tag != reference && digest != reference);
    }

    /// Serves this at a path outside of `/v2/`, to anybody. Returns the URL.
    pub(crate) fn put_file(&self, path: &str, content: impl Into<Content>) -> String {
        let mut repositories = self.shared.repositories.lock().unwrap();
        repositories.files.insert(path.to_owned(), content.into());
        self.url(path)
    }

    /// Most tags in one answer, whatever the client asks.
    pub(crate) fn page_size(&self, most: usize) {
        self.shared.repositories.lock().unwrap().page = Some(most);
    }

    /// How uploads are taken from now on.
    pub(crate) fn takes(&self, push: Push) {
        self.shared.repositories.lock().unwrap().push = push;
    }
}

/// What goes wrong.
impl Registry {
    pub(crate) fn rule(&self, rule: Rule) {
        self.shared.rules.add(rule);
    }

    /// For the first request that fits the [pattern](Rule::on).
    pub(crate) fn fail_once(&self, pattern: &str, fault: Fault) {
        self.rule(Rule::on(pattern).once().fault(fault));
    }

    /// For the first `times` requests that fit.
    pub(crate) fn fail_times(&self, times: u32, pattern: &str, fault: Fault) {
        self.rule(Rule::on(pattern).nth(0..times).fault(fault));
    }

    /// For every request that fits.
    pub(crate) fn fail_always(&self, pattern: &str, fault: Fault) {
        self.rule(Rule::on(pattern).fault(fault));
    }

    /// Everything works from now on.
    pub(crate) fn recover(&self) {
        self.shared.rules.clear();
    }

    pub(crate) fn require(&self, auth: Auth) {
        self.shared.gate.require(auth);
    }

    /// Serves at `/token` the tokens of that registry, whose realm must say so.
    pub(crate) fn give_tokens_for(&self, registry: &Registry) {
        *self.shared.other_gate.lock().unwrap() = Some(registry.shared.gate.clone());
    }

    /// All tokens given out so far are worthless.
    pub(crate) fn expire_tokens(&self) {
        self.shared.gate.expire_tokens();
    }

    pub(crate) fn tokens_given_out(&self) -> u32 {
        self.shared.gate.tokens_given_out()
    }
}

/// What was asked.
impl Registry {
    /// All requests, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.log.requests("*")
    }

    /// Those that fit the [pattern](Rule::on).
    pub(crate) fn requests_for(&self, pattern: &str) -> Vec<Request> {
        self.shared.log.requests(pattern)
    }

    /// How many fit the [pattern](Rule::on).
    pub(crate) fn count(&self, pattern: &str) -> usize {
        self.requests_for(pattern).len()
    }

    /// Bytes of bodies sent in answer to those that fit.
    pub(crate) fn bytes_sent(&self, pattern: &str) -> u64 {
        self.requests_for(pattern).iter().map(|request| request.sent).sum()
    }

    /// Most requests that were under way at the same time.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.log.most_at_once()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.shared.log.connections.load(Ordering::SeqCst)
    }

    /// Forgets all requests so far.
    pub(crate) fn forget(&self) {
        self.shared.log.clear();
    }
}

impl Shared {
    fn origin(&self) -> String {
        let scheme = if matches!(self.speech, Speech::Https(_)) { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    fn tokens(&self) -> Arc<Gate> {
        self.other_gate.lock().unwrap().clone().unwrap_or_else(|| self.gate.clone())
    }

    fn wait_for_end(&self) {
        while self.pause.wait(Duration::from_secs(3600)) {}
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.pause.end();
        wire::knock(self.shared.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for socket in self.shared.connections.lock().unwrap().values() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}
