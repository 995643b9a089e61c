//! Uploads: begun by POST, continued by PATCH, committed by PUT.

use super::http::{Answer, Head};
use super::repositories::{Repositories, Upload};

/// How a registry takes uploads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Push {
    pub(crate) location: Location,
    /// What it says in `OCI-Chunk-Min-Length`.
    pub(crate) chunk_min_length: Option<u64>,
    /// Longer bodies of PATCH get a 416.
    pub(crate) patch_limit: Option<usize>,
    /// Longer bodies of PATCH and PUT get a 413.
    pub(crate) body_limit: Option<usize>,
    /// Every mount becomes an upload.
    pub(crate) no_mount: bool,
    /// The status of an accepted PATCH, if not 202.
    pub(crate) patch_status: Option<u16>,
    /// Bodies of later PATCHes are dropped, though accepted.
    pub(crate) drops_later_chunks: bool,
    /// Content is hashed in passing and not kept, for gigabytes; sha256 only, by POST then PUT or
    /// PATCH, and limits are not looked at.
    pub(crate) discards: bool,
}

/// What the header `Location` of an upload looks like.
#[derive(Clone, Debug, Default)]
pub(crate) enum Location {
    #[default]
    Path,
    /// A path with a query that must come back.
    PathWithQuery,
    /// Below this URL, such as `http://127.0.0.1:80`.
    At(String),
}

impl Repositories {
    pub(super) fn serve_upload(
        &mut self,
        head: &Head,
        name: &str,
        id: &str,
        body: Vec<u8>,
    ) -> Answer {
        if head.method == "POST" {
            return self.begin_upload(head, name, body);
        }
        let known = self.uploads.get(id).is_some_and(|upload| upload.repository == name);
        let asks_back = matches!(self.push.location, Location::PathWithQuery);
        if !known || (asks_back && head.query_value("_state").is_none()) {
            return Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
        }
        if self.push.body_limit.is_some_and(|limit| body.len() > limit) {
            return Answer::error(413, "SIZE_INVALID", "body too large");
        }
        match head.method.as_str() {
            "PATCH" => self.patch(head, name, id, body),
            "PUT" => {
                let upload = self.uploads.get_mut(id).expect("it is known");
                if upload.bytes.is_empty() {
                    upload.bytes = body;
                } else {
                    upload.bytes.extend(body);
                }
                self.commit(head, id)
            }
            "GET" => self.progress(Answer::empty(204), name, id),
            "DELETE" => {
                self.uploads.remove(id);
                Answer::empty(204)
            }
            _ => Answer::error(405, "UNSUPPORTED", "the operation is unsupported"),
        }
    }

    fn begin_upload(&mut self, head: &Head, name: &str, body: Vec<u8>) -> Answer {
        if let (Some(digest), Some(from)) = (head.query_value("mount"), head.query_value("from")) {
            let source = self.by_name.get(&from);
            let blob = source.and_then(|source| source.blobs.get(&digest)).cloned();
            if let (Some(blob), false) = (blob, self.push.no_mount) {
                self.named(name).blobs.insert(digest.clone(), blob);
                return committed(name, &digest);
            }
        }
        self.uploads_begun += 1;
        let id = format!("upload-{}", self.uploads_begun);
        self.uploads.insert(id.clone(), Upload::new(name, body));
        if head.query_value("digest").is_some() {
            return self.commit(head, &id);
        }
        let mut answer = self.progress(Answer::empty(202), name, &id);
        if let Some(length) = self.push.chunk_min_length {
            answer.set("OCI-Chunk-Min-Length", length.to_string());
        }
        answer
    }

    fn patch(&mut self, head: &Head, name: &str, id: &str, body: Vec<u8>) -> Answer {
        let status = self.push.patch_status.unwrap_or(202);
        let drops = self.push.drops_later_chunks;
        let discards = self.push.discards;
        let too_long = self.push.patch_limit.is_some_and(|limit| body.len() > limit);
        let upload = self.uploads.get_mut(id).expect("it is known");
        let start = head.header("content-range").and_then(|range| {
            let (first, _) = range.trim_start_matches("bytes ").split_once('-')?;
            first.parse::<u64>().ok()
        });
        if too_long || start.is_some_and(|start| !discards && start != upload.size()) {
            let answer = Answer::error(416, "BLOB_UPLOAD_INVALID", "range or size of the chunk");
            return self.progress(answer, name, id);
        }
        if upload.bytes.is_empty() {
            upload.bytes = body;
        } else if !drops {
            upload.bytes.extend(body);
        }
        self.progress(Answer::empty(status), name, id)
    }

    fn commit(&mut self, head: &Head, id: &str) -> Answer {
        let digest = head.query_value("digest").unwrap_or_default();
        let upload = self.uploads.remove(id).expect("it is known");
        let repository = upload.repository.clone();
        let Some(content) = upload.content(&digest) else {
            return Answer::error(400, "DIGEST_INVALID", "digest does not match the content");
        };
        self.named(&repository).blobs.insert(digest.clone(), content);
        committed(&repository, &digest)
    }

    /// Says where to go on and how much there is.
    fn progress(&self, mut answer: Answer, name: &str, id: &str) -> Answer {
        let path = format!("/v2/{name}/blobs/uploads/{id}");
        let location = match &self.push.location {
            Location::Path => path,
            Location::PathWithQuery => format!("{path}?_state=a%2Fb%3D"),
            Location::At(url) => format!("{url}{path}"),
        };
        let last = self.uploads[id].size().saturating_sub(1);
        answer.set("Location", location);
        answer.set("Range", format!("0-{last}"));
        answer.set("Docker-Upload-UUID", id.to_owned());
        answer
    }
}

fn committed(name: &str, digest: &str) -> Answer {
    Answer::empty(201)
        .header("Location", format!("/v2/{name}/blobs/{digest}"))
        .header("Docker-Content-Digest", digest)
}
