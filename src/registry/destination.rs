use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Remote;
use super::http::{Body, Method, Response};
use super::problem::{manifest_problem, or_immutable, problem};
use super::server::{Place, Question, Server};
use super::session::{self, Session};
use super::token::Scope;
use super::upload::{COMMIT_PATIENCE, Uploading};
use crate::endpoint::{Guard, Notes, Origin, Receipt, Sink};
use crate::error::{Context, Error, ErrorKind, Fault, Result};
use crate::image::{Descriptor, Digest, Manifest};
use crate::reference::{Reference, Repository};

/// Blobs of fewer bytes are sent again rather than remembered.
const WORTH_A_NOTE: u64 = 1024 * 1024;

/// A repository in a registry that images are sent to.
///
/// Asks the registry itself, never a mirror of it.
pub struct Destination {
    pub(super) remote: Remote,
    /// Where else in the registry a blob may be, so that it need not be sent.
    elsewhere: HashMap<Digest, Repository>,
    notes: Option<Arc<dyn Notes>>,
    sessions: Mutex<HashMap<Digest, Arc<Mutex<Session>>>>,
    /// Blobs of which was asked whether they may be taken from elsewhere.
    mounted: Mutex<HashSet<Digest>>,
}

impl Remote {
    /// The repository as a place that images are sent to.
    ///
    /// `notes` remember uploads for a later run.
    ///
    /// # Errors
    ///
    /// When credentials cannot be read, or a helper that should know some does not work: nothing
    /// is sent without a login where there is one.
    pub fn destination(&self, notes: Option<Arc<dyn Notes>>) -> Result<Destination> {
        self.registry.server().can_log_in(self.repository.path())?;
        Ok(Destination {
            remote: self.clone(),
            elsewhere: HashMap::new(),
            notes,
            sessions: Mutex::default(),
            mounted: Mutex::default(),
        })
    }
}

impl Destination {
    /// The same, with other repositories that probably have blobs: if they are in the same
    /// registry, that is asked to take them from there.
    pub fn knowing(self, elsewhere: HashMap<Digest, Repository>) -> Destination {
        Destination { elsewhere, ..self }
    }

    pub(super) fn server(&self) -> &Server {
        self.remote.registry.server()
    }

    /// A question for which it takes the permission to write.
    pub(super) fn question(&self, method: Method, target: String) -> Question<'_> {
        let path = self.remote.repository.path();
        Question::read(method, path, target).needing(Scope::push(path))
    }

    fn ask(&self, question: &Question<'_>) -> Result<Response> {
        let server = self.server();
        server.ask(question, &mut server.trail())
    }

    /// Whether the registry has it.
    pub(super) fn has(&self, content: &Descriptor) -> Result<bool> {
        let digest = content.digest;
        if content.media_type.is_manifest() {
            return Ok(self.digest_of(&digest.to_string())?.is_some());
        }
        let question = self.question(Method::Head, format!("blobs/{digest}"));
        let found = self.look(&question)?.map(|response| response.headers.content_length());
        Ok(found.is_some_and(|size| size.is_none_or(|size| size == content.size)))
    }

    /// The answer of what is there; none if it is not, or that is not told. Some registries forbid
    /// to ask for what is not there.
    fn look(&self, question: &Question<'_>) -> Result<Option<Response>> {
        let response = match self.ask(question) {
            Err(error) if matches!(error.kind(), ErrorKind::Registry { status: 403, .. }) => {
                log::debug!("{error}: taken to be absent");
                return Ok(None);
            }
            asked => asked?,
        };
        match response.status {
            200 => Ok(Some(response)),
            401 | 408 | 429 | 499.. | ..300 => Err(problem(response)),
            _ => Ok(None),
        }
    }

    /// The digest of the manifest that a tag or digest means in the registry.
    fn digest_of(&self, reference: &str) -> Result<Option<Digest>> {
        let target = format!("manifests/{reference}");
        let question = |method| self.question(method, target.clone()).accepting_manifests();
        let looked = self.look(&question(Method::Head)).or_else(|error| match error.kind() {
            // The answer to GET has the registry's own code and message.
            ErrorKind::Registry { status: 401, .. } => self.look(&question(Method::Get)),
            _ => Err(error),
        });
        let Some(response) = looked? else { return Ok(None) };
        if let Some(stated) = stated(&response) {
            return Ok(Some(stated));
        }
        let question = question(Method::Get);
        self.remote.received_digest(self.server(), &question, reference).map(Some)
    }

    fn send_manifest(&self, manifest: &Manifest, reference: &str) -> Result<()> {
        let (digest, kind) = (manifest.digest(), manifest.media_type());
        let sending = || format!("sending manifest {digest} ({kind}) as `{reference}`");
        let mut question = self
            .question(Method::Put, format!("manifests/{reference}"))
            .with("Content-Type", manifest.media_type().as_str());
        question.manner.patience = Some(COMMIT_PATIENCE);
        let server = self.server();
        let place = Place::own(server.url(question.repository, &question.target));
        let body = Body::Bytes(manifest.bytes().to_vec());
        let asked = server.ask_at(&place, &question, body, &mut server.trail());
        let response = asked.map_err(or_immutable).context(sending)?;
        match response.status {
            201 => check_stated(&response, manifest.digest()).context(sending),
            200..=299 => match self.digest_of(reference).context(sending)? {
                Some(got) if got == manifest.digest() => Ok(()),
                _ => Err(Error::content(format!(
                    "the registry answered {} and does not have it",
                    response.status
                )))
                .context(sending),
            },
            _ => Err(manifest_problem(response)).context(sending),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Mutex<Session>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upload of `blob`, as far as it is known here or from an earlier run.
    fn session(&self, blob: &Descriptor) -> Arc<Mutex<Session>> {
        let mut sessions = self.sessions();
        let session = sessions.entry(blob.digest).or_insert_with(|| {
            let registry = self.server().origin();
            let path = self.remote.repository.path();
            let notes = self.notes.as_ref().filter(|_| blob.size >= WORTH_A_NOTE);
            let subject = session::subject(&registry, path, blob.digest);
            let note = notes.and_then(|notes| notes.open(&subject));
            Arc::new(Mutex::new(Session::from_note(note, &registry)))
        });
        Arc::clone(session)
    }

    /// It is there, so nothing is left to be remembered.
    pub(super) fn arrived(&self, blob: &Descriptor) {
        self.sessions().remove(&blob.digest);
    }

    /// Where the blob may be taken from, the first time that this is asked.
    fn mount_from(&self, blob: &Descriptor) -> Option<&Repository> {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        let own = &self.remote.repository;
        let from = self.elsewhere.get(&blob.digest);
        let from = from.filter(|from| from.host() == own.host() && *from != own)?;
        mounted.insert(blob.digest).then_some(from)
    }

    /// Begins or continues to send `blob`, and says from which byte on; none if it is there.
    fn begin(&self, blob: &Descriptor, session: &mut Session) -> Result<Option<u64>> {
        let was_known = std::mem::replace(&mut session.is_known, true);
        if (was_known || session.place.is_some()) && self.has(blob)? {
            return Ok(None);
        }
        if let Some(place) = session.place.clone() {
            match self.reached(&place, session)? {
                Some(offset) if offset <= blob.size => return Ok(Some(offset)),
                _ => session.place = None,
            }
        }
        match self.mount_from(blob) {
            Some(from) => match self.mount(blob, from, session) {
                Err(error) if is_transient(&error) => Err(error),
                Err(error) => {
                    log::debug!("not taken from {from}: {error}");
                    self.open(session).map(|()| Some(0))
                }
                Ok(true) => Ok(None),
                Ok(false) => Ok(Some(0)),
            },
            None => self.open(session).map(|()| Some(0)),
        }
    }

    /// Asks for an upload.
    fn open(&self, session: &mut Session) -> Result<()> {
        let response = self.ask(&self.question(Method::Post, "blobs/uploads/".into()))?;
        match response.status {
            200..=299 => self.opened(response, session),
            _ => Err(problem(response)),
        }
    }

    /// Asks for the blob to be taken from another repository. If that is not done, an upload has
    /// begun.
    fn mount(&self, blob: &Descriptor, from: &Repository, session: &mut Session) -> Result<bool> {
        let (digest, path) = (blob.digest, from.path());
        let target =
            format!("blobs/uploads/?mount={digest}&from={}", super::url::encode_component(path));
        let mut question = self.question(Method::Post, target);
        question.scope = question.scope.and(Scope::pull(path));
        let response = self.ask(&question)?;
        match response.status {
            201 => {
                log::debug!("{digest} is taken from {from}");
                check_stated(&response, digest).map(|()| true)
            }
            200..=299 => self.opened(response, session).map(|()| false),
            _ => Err(problem(response)),
        }
    }

    fn opened(&self, response: Response, session: &mut Session) -> Result<()> {
        let location = response.headers.get("location").ok_or_else(|| {
            let message = format!("{} does not say where to send it", response.url);
            Error::network(Fault::Protocol, message)
        })?;
        let least = response.headers.get("oci-chunk-min-length");
        session.least_chunk = least.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let from = Place::own(response.url.clone());
        let from = Place { is_own: *response.url.origin() == self.server().origin(), ..from };
        let place = self.server().next_place(&from, &response, location)?;
        session.moved(place, &self.server().origin());
        Ok(())
    }

    /// How much of an upload is there; none if there is no such upload any more.
    fn reached(&self, place: &Place, session: &mut Session) -> Result<Option<u64>> {
        let server = self.server();
        let question = self.question(Method::Get, String::new());
        let response = server.ask_at(place, &question, Body::Empty, &mut server.trail());
        let response = match response {
            Err(error) if is_transient(&error) => return Err(error),
            Err(error) => {
                log::debug!("the upload is not continued: {error}");
                return Ok(None);
            }
            Ok(response) => response,
        };
        match response.status {
            200..=299 => {
                if let Some(location) = response.headers.get("location") {
                    let next = server.next_place(place, &response, location)?;
                    session.moved(next, &server.origin());
                }
                Ok(response.headers.get("range").and_then(session::received))
            }
            408 | 429 | 500.. => Err(problem(response)),
            status => {
                log::debug!("the registry knows of no such upload: {status}");
                Ok(None)
            }
        }
    }
}

impl Sink for Destination {
    /// A registry has no such promise to give.
    fn protect(&self, _content: &[Digest]) -> Result<Box<dyn Guard>> {
        Ok(Box::new(()))
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        self.has(descriptor).context(|| format!("asking for {}", descriptor.digest))
    }

    fn is_far(&self) -> bool {
        true
    }

    fn is_done(&self, reference: &Reference, root: &Descriptor) -> Result<bool> {
        let asking = || format!("asking for manifest {reference}");
        let there = self.digest_of(&tag_or(reference, root.digest)).context(asking)?;
        Ok(there == Some(root.digest))
    }

    fn room(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn partial_len(&self, _blob: &Descriptor) -> Result<u64> {
        Ok(0)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        let session = self.session(blob);
        let mut locked = session.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.begin(blob, &mut locked);
        match begun.context(|| format!("sending blob {}", blob.digest))? {
            Some(offset) => {
                drop(locked);
                Ok(Receipt::Upload(Box::new(Uploading::new(self, blob.clone(), session, offset))))
            }
            None => {
                locked.end();
                drop(locked);
                self.arrived(blob);
                Ok(Receipt::Present)
            }
        }
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.send_manifest(manifest, &manifest.digest().to_string())
    }

    fn put_named(
        &self,
        reference: &Reference,
        root: &Manifest,
        _target: &Descriptor,
        _origin: &Origin,
    ) -> Result<()> {
        self.send_manifest(root, &tag_or(reference, root.digest()))
    }

    /// What has a digest for a name has it.
    fn name(&self, reference: &Reference, target: &Descriptor, _origin: &Origin) -> Result<()> {
        match reference.tag() {
            Some(tag) => self.send_manifest(&self.remote.fetch_manifest(target)?, tag),
            None => Ok(()),
        }
    }
}

/// What the manifest is called at the registry.
fn tag_or(reference: &Reference, digest: Digest) -> String {
    reference.tag().map_or_else(|| digest.to_string(), str::to_owned)
}

/// The digest that an answer states.
fn stated(response: &Response) -> Option<Digest> {
    response.headers.get("docker-content-digest")?.trim().parse().ok()
}

/// Fails if the registry says that it has taken something else.
pub(super) fn check_stated(response: &Response, expected: Digest) -> Result<()> {
    match stated(response).filter(|got| got.algorithm() == expected.algorithm()) {
        Some(got) if got != expected => Err(Error::content(format!(
            "the registry says that it has got {got}, expected {expected}"
        ))),
        _ => Ok(()),
    }
}

/// Whether the same may work a moment later.
fn is_transient(error: &Error) -> bool {
    use crate::error::Remedy;
    matches!(error.kind(), ErrorKind::Interrupted)
        || matches!(error.remedy(), Remedy::Repeat | Remedy::Resume)
}
