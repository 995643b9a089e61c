//! What a registry holds, and the answers to those who read it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{Answer, Head};
use crate::support::content::Content;

/// A manifest as a registry keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Content,
}

#[derive(Default)]
pub(super) struct Repository {
    pub(super) blobs: BTreeMap<String, Content>,
    /// By digest.
    pub(super) manifests: BTreeMap<String, Manifest>,
    /// To the digest.
    pub(super) tags: BTreeMap<String, String>,
}

/// A blob that is being pushed.
pub(super) struct Upload {
    pub(super) repository: String,
    pub(super) bytes: Vec<u8>,
    /// What came while content is [discarded](super::Push::discards), and how long it was.
    pub(super) discarded: (Sha256, u64),
}

impl Upload {
    pub(super) fn new(repository: &str, bytes: Vec<u8>) -> Upload {
        Upload { repository: repository.to_owned(), bytes, discarded: (Sha256::new(), 0) }
    }

    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64 + self.discarded.1
    }

    /// What was pushed, if it is as its digest says.
    pub(super) fn content(self, digest: &str) -> Option<Content> {
        let (hasher, size) = self.discarded;
        if size > 0 {
            let same = digest == format!("sha256:{}", hex::encode(hasher.finalize()));
            return same.then(|| Content::discarded(size));
        }
        Some(Content::from(self.bytes)).filter(|content| content.is(digest))
    }
}

#[derive(Default)]
pub(super) struct Repositories {
    pub(super) by_name: BTreeMap<String, Repository>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) uploads_begun: u64,
    /// What is served outside of `/v2/`, by path.
    pub(super) files: BTreeMap<String, Content>,
    /// Most tags in one answer, whatever `n` says.
    pub(super) page: Option<usize>,
    pub(super) push: super::push::Push,
}

/// What a path of the distribution-spec is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    Base,
    Manifest(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Upload(&'a str, &'a str),
    Tags(&'a str),
    Other,
}

impl<'a> Target<'a> {
    pub(super) fn of(path: &'a str) -> Target<'a> {
        let Some(path) = path.strip_prefix("/v2/") else {
            return if path == "/v2" { Target::Base } else { Target::Other };
        };
        if path.is_empty() {
            return Target::Base;
        }
        if let Some(name) = path.strip_suffix("/tags/list") {
            return Target::Tags(name);
        }
        if let Some((name, id)) = path.rsplit_once("/blobs/uploads") {
            return Target::Upload(name, id.trim_start_matches('/'));
        }
        if let Some((name, digest)) = path.rsplit_once("/blobs/") {
            return Target::Blob(name, digest);
        }
        if let Some((name, reference)) = path.rsplit_once("/manifests/") {
            return Target::Manifest(name, reference);
        }
        Target::Other
    }

    /// The repository, if it is about one.
    pub(super) fn repository(&self) -> Option<&'a str> {
        match self {
            Target::Manifest(name, _) | Target::Blob(name, _) => Some(name),
            Target::Upload(name, _) | Target::Tags(name) => Some(name),
            Target::Base | Target::Other => None,
        }
    }
}

impl Repository {
    /// Digest and manifest of a tag or digest.
    pub(super) fn find(&self, reference: &str) -> Option<(&str, &Manifest)> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.manifests.get_key_value(digest).map(|(digest, manifest)| (digest.as_str(), manifest))
    }
}

impl Repositories {
    /// Hashes a piece of an upload instead of keeping it, if pushed content is not kept.
    pub(super) fn discards(&mut self, path: &str, piece: &[u8]) -> bool {
        let Target::Upload(_, id) = Target::of(path) else { return false };
        let Some(upload) = self.uploads.get_mut(id).filter(|_| self.push.discards) else {
            return false;
        };
        upload.discarded.0.update(piece);
        upload.discarded.1 += piece.len() as u64;
        true
    }

    /// Keeps a piece of an upload that was cut.
    pub(super) fn keep(&mut self, path: &str, piece: &[u8]) {
        let Target::Upload(_, id) = Target::of(path) else { return };
        if let Some(upload) = self.uploads.get_mut(id) {
            upload.bytes.extend_from_slice(piece);
        }
    }

    pub(super) fn named(&mut self, name: &str) -> &mut Repository {
        self.by_name.entry(name.to_owned()).or_default()
    }

    /// The answer to a request; `body` is what came with it.
    pub(super) fn serve(&mut self, head: &Head, body: Vec<u8>) -> Answer {
        let target = Target::of(&head.path);
        let reads = head.method == "GET" || head.method == "HEAD";
        match target {
            Target::Base if reads => Answer::json(200, &json!({})),
            Target::Manifest(name, reference) if reads => self.manifest(name, reference),
            Target::Blob(name, digest) if reads => self.blob(name, digest).narrowed_to_range(head),
            Target::Tags(name) if reads => self.tags(name, head),
            Target::Other if reads => match self.files.get(&head.path) {
                Some(content) => Answer::new(200, content)
                    .header("Content-Type", "application/octet-stream")
                    .narrowed_to_range(head),
                None => Answer::error(404, "NOT_FOUND", "page not found"),
            },
            Target::Upload(name, id) => self.serve_upload(head, name, id, body),
            Target::Manifest(name, reference) if head.method == "PUT" => {
                self.put_manifest(head, name, reference, body)
            }
            Target::Manifest(name, reference) if head.method == "DELETE" => {
                self.delete_manifest(name, reference)
            }
            Target::Blob(name, digest) if head.method == "DELETE" => {
                match self.named(name).blobs.remove(digest) {
                    Some(_) => Answer::empty(202),
                    None => Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
                }
            }
            _ => Answer::error(405, "UNSUPPORTED", "the operation is unsupported"),
        }
    }

    fn manifest(&self, name: &str, reference: &str) -> Answer {
        let Some(repository) = self.by_name.get(name) else {
            return Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let Some((digest, manifest)) = repository.find(reference) else {
            return Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
        };
        Answer::new(200, &manifest.bytes)
            .header("Content-Type", &manifest.media_type)
            .header("Docker-Content-Digest", digest)
    }

    fn blob(&self, name: &str, digest: &str) -> Answer {
        let blob = self.by_name.get(name).and_then(|repository| repository.blobs.get(digest));
        let Some(content) = blob else {
            return Answer::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        Answer::new(200, content)
            .header("Content-Type", "application/octet-stream")
            .header("Docker-Content-Digest", digest)
    }

    fn tags(&self, name: &str, head: &Head) -> Answer {
        let Some(repository) = self.by_name.get(name) else {
            return Answer::error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let asked = head.query_value("n").and_then(|number| number.parse().ok());
        let most = asked.unwrap_or(usize::MAX).min(self.page.unwrap_or(usize::MAX));
        let last = head.query_value("last").unwrap_or_default();
        let mut rest = repository.tags.keys().filter(|tag| **tag > last);
        let tags: Vec<&String> = rest.by_ref().take(most).collect();
        let answer = Answer::json(200, &json!({ "name": name, "tags": tags }));
        match (tags.last(), rest.next()) {
            (Some(last), Some(_)) => {
                let link = format!("</v2/{name}/tags/list?n={most}&last={last}>; rel=\"next\"");
                answer.header("Link", link)
            }
            _ => answer,
        }
    }

    fn put_manifest(&mut self, head: &Head, name: &str, reference: &str, body: Vec<u8>) -> Answer {
        let Ok(document) = serde_json::from_slice::<Value>(&body) else {
            return Answer::error(400, "MANIFEST_INVALID", "manifest invalid");
        };
        let missing = missing_content(&document, self.named(name));
        if let Some(digest) = missing {
            let detail = json!({ "digest": digest });
            let error = json!({
                "code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": detail
            });
            return Answer::json(404, &json!({ "errors": [error] }));
        }
        let bytes = Content::from(body);
        let by_digest = reference.contains(':');
        if by_digest && !bytes.is(reference) {
            return Answer::error(400, "DIGEST_INVALID", "digest does not match the content");
        }
        let digest = if by_digest { reference.to_owned() } else { bytes.digest() };
        let media_type = head.header("content-type").unwrap_or_default().to_owned();
        let repository = self.named(name);
        repository.manifests.insert(digest.clone(), Manifest { media_type, bytes });
        if !by_digest {
            repository.tags.insert(reference.to_owned(), digest.clone());
        }
        let answer =
            Answer::empty(201).header("Location", format!("/v2/{name}/manifests/{digest}"));
        let answer = answer.header("Docker-Content-Digest", digest);
        match document["subject"]["digest"].as_str() {
            Some(subject) => answer.header("OCI-Subject", subject),
            None => answer,
        }
    }

    fn delete_manifest(&mut self, name: &str, reference: &str) -> Answer {
        let repository = self.named(name);
        let existed = if reference.contains(':') {
            repository.tags.retain(|_, digest| digest != reference);
            repository.manifests.remove(reference).is_some()
        } else {
            repository.tags.remove(reference).is_some()
        };
        if existed {
            return Answer::empty(202);
        }
        Answer::error(404, "MANIFEST_UNKNOWN", "manifest unknown")
    }
}

/// What a manifest needs and the repository lacks. Layers with `urls` may be elsewhere.
fn missing_content(document: &Value, repository: &Repository) -> Option<String> {
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let config = document.get("config").cloned();
    let layers = list("layers").into_iter().filter(|layer| layer.get("urls").is_none());
    let blobs = config.into_iter().chain(layers).map(|blob| blob["digest"].clone());
    let known = |digest: &Value| repository.blobs.contains_key(digest.as_str().unwrap_or_default());
    let mut missing: Vec<Value> = blobs.filter(|digest| !known(digest)).collect();
    let children = list("manifests").into_iter().map(|child| child["digest"].clone());
    missing.extend(
        children.filter(|digest| {
            !repository.manifests.contains_key(digest.as_str().unwrap_or_default())
        }),
    );
    missing.first().map(|digest| digest.as_str().unwrap_or_default().to_owned())
}
