use std::io::Read;

use super::Remote;
use super::http::{Headers, Method, Response};
use super::problem::{foreign, problem};
use super::server::{Question, Server};
use super::url::Url;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Descriptor, Digest, MANIFEST_LIMIT, Manifest, MediaType};
use crate::reference::Reference;

/// What we understand. Registries answer with what fits, or convert.
const ACCEPT: [&str; 4] = [
    MediaType::OCI_INDEX,
    MediaType::DOCKER_INDEX,
    MediaType::OCI_MANIFEST,
    MediaType::DOCKER_MANIFEST,
];

/// A manifest as it came, not looked into.
struct Received {
    bytes: Vec<u8>,
    headers: Headers,
    url: Url,
    led_away: bool,
}

impl Remote {
    /// What `reference` means at the registry. Asks with HEAD, which registries do not count
    /// against quotas; with GET if that does not say it all.
    pub fn head(&self, reference: &Reference) -> Result<Descriptor> {
        let asked = self.read(|server| self.describe_at(server, reference));
        let descriptor = match (asked, reference.digest()) {
            (Ok(descriptor), Some(expected)) if descriptor.digest != expected => {
                Err(ErrorKind::Digest { expected, got: descriptor.digest }.into())
            }
            (asked, _) => asked,
        };
        descriptor.context(|| format!("asking for manifest {reference}"))
    }

    pub(super) fn resolve_manifest(&self, reference: &Reference) -> Result<Manifest> {
        self.read(|server| self.resolve_at(server, reference))
            .context(|| format!("reading manifest {reference}"))
    }

    pub(super) fn fetch_manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        self.read(|server| self.manifest_at(server, descriptor))
    }

    /// The same, asked of that server.
    pub(super) fn describe_at(&self, server: &Server, reference: &Reference) -> Result<Descriptor> {
        match self.head_at(server, reference) {
            Err(error) if !matches!(error.kind(), ErrorKind::Network { .. }) => {
                // The answer to GET has the registry's own code and message.
                self.resolve_at(server, reference).map(|manifest| manifest.descriptor())
            }
            outcome => outcome,
        }
    }

    fn head_at(&self, server: &Server, reference: &Reference) -> Result<Descriptor> {
        let question = self.question(Method::Head, &target(reference));
        let response = server.ask(&question, &mut server.trail())?;
        if response.status != 200 {
            return Err(problem(response));
        }
        let headers = &response.headers;
        let digest = headers.get("docker-content-digest").and_then(|text| text.trim().parse().ok());
        let media_type = headers.get("content-type").map(media_type).filter(MediaType::is_manifest);
        match (media_type, digest, headers.content_length()) {
            (Some(media_type), Some(digest), Some(size)) if size <= MANIFEST_LIMIT => {
                Ok(Descriptor::new(media_type, digest, size))
            }
            _ => Err(Error::content("the answer to HEAD does not say it all")),
        }
    }

    fn resolve_at(&self, server: &Server, reference: &Reference) -> Result<Manifest> {
        let question = self.question(Method::Get, &target(reference));
        let mut received = get(server, &question)?;
        if is_cut(&received.bytes) {
            // The length may not have been announced, and the connection been cut.
            log::debug!("{} bytes are no whole manifest: asking again", received.bytes.len());
            received = get(server, &question.afresh())?;
        }
        let declared = received.headers.get("content-type").map(media_type);
        received.manifest(reference.digest(), declared.as_ref())
    }

    fn manifest_at(&self, server: &Server, descriptor: &Descriptor) -> Result<Manifest> {
        let question = self.question(Method::Get, &descriptor.digest.to_string());
        let received = get(server, &question)?;
        let served = received.headers.get("content-type").map(media_type);
        let got = u64::try_from(received.bytes.len()).unwrap_or(u64::MAX);
        if got != descriptor.size && received.is_json() {
            return Err(ErrorKind::Size { expected: descriptor.size, got }.into());
        }
        let declared = Some(&descriptor.media_type).filter(|declared| declared.is_manifest());
        let manifest = received.manifest(Some(descriptor.digest), declared.or(served.as_ref()))?;
        match served.filter(MediaType::is_manifest) {
            Some(served) if served != *manifest.media_type() => Err(Error::content(format!(
                "served as {served}, and it is {}",
                manifest.media_type()
            ))),
            _ => Ok(manifest),
        }
    }

    /// The digest of the manifest that is the answer to `question`, whatever it says of itself.
    pub(super) fn received_digest(
        &self,
        server: &Server,
        question: &Question<'_>,
        reference: &str,
    ) -> Result<Digest> {
        let received = get(server, question)?;
        let algorithm = reference.parse().map_or(Algorithm::Sha256, |it: Digest| it.algorithm());
        Ok(digest(&received.bytes, algorithm))
    }

    fn question(&self, method: Method, target: &str) -> Question<'_> {
        let target = format!("manifests/{target}");
        Question::read(method, self.repository.path(), target).accepting_manifests()
    }
}

impl Question<'_> {
    /// The same for a manifest of any kind that we understand.
    pub(super) fn accepting_manifests(self) -> Self {
        self.with("Accept", ACCEPT.join(", "))
    }
}

/// The last part of the URL.
fn target(reference: &Reference) -> String {
    match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    }
}

fn get(server: &Server, question: &Question<'_>) -> Result<Received> {
    let response = server.ask(question, &mut server.trail())?;
    if response.status != 200 {
        return Err(problem(response));
    }
    let too_large = |size: u64| {
        Error::content(format!("expected a manifest of at most {MANIFEST_LIMIT} bytes, got {size}"))
    };
    if let Some(size) = response.headers.content_length().filter(|size| *size > MANIFEST_LIMIT) {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    response.body.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes)?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > MANIFEST_LIMIT {
        return Err(too_large(size));
    }
    let labelled = response.headers.get("content-encoding").is_some();
    let bytes = if labelled && bytes.starts_with(&[0x1f, 0x8b]) { inflate(&bytes)? } else { bytes };
    let Response { headers, url, led_away, .. } = response;
    Ok(Received { bytes, headers, url, led_away })
}

impl Received {
    /// The manifest, if it is one, and the one that was asked for.
    fn manifest(self, wanted: Option<Digest>, declared: Option<&MediaType>) -> Result<Manifest> {
        let place = format!("{} bytes from {}", self.bytes.len(), self.url);
        if !self.is_json() {
            return Err(
                Error::content(foreign(&self.headers, &self.bytes, self.led_away)).context(place)
            );
        }
        let stated: Option<Digest> = match self.headers.get("docker-content-digest") {
            Some(text) => text.trim().parse().map_err(|error| log::debug!("{error}")).ok(),
            None => None,
        };
        // What breaks off has another digest too, which says less.
        let verifiable = wanted.iter().chain(&stated).copied().filter(|_| !is_cut(&self.bytes));
        for expected in verifiable {
            let got = digest(&self.bytes, expected.algorithm());
            if got != expected {
                return Err(ErrorKind::Digest { expected, got }.into());
            }
        }
        let algorithm = wanted.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        Manifest::parse(self.bytes, algorithm, declared).context(|| place)
    }

    /// Whether it could be a manifest at all, and is no page of a portal or proxy.
    fn is_json(&self) -> bool {
        self.bytes.trim_ascii_start().first().is_none_or(|byte| *byte == b'{')
    }
}

/// Whether the JSON breaks off.
fn is_cut(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err_and(|error| error.is_eof())
}

fn digest(bytes: &[u8], algorithm: Algorithm) -> Digest {
    let mut hasher = algorithm.hasher();
    hasher.update(bytes);
    hasher.finish()
}

fn media_type(content_type: &str) -> MediaType {
    MediaType::new(content_type.split(';').next().unwrap_or("").trim())
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut inflated = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(MANIFEST_LIMIT + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| Error::content(format!("expected gzip: {error}")))?;
    Ok(inflated)
}
