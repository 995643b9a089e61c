use std::collections::{HashMap, HashSet};

use super::{Finding, Problem};
use crate::archive::read::catalogue::{Name, check_marker};
use crate::archive::read::contents::Contents;
use crate::archive::read::docker::{self, Saved};
use crate::archive::read::intake::LISTS;
use crate::archive::read::layer;
use crate::archive::read::members::{blob_digest, blob_name, shown};
use crate::archive::read::oci::listed;
use crate::error::{Error, ErrorKind};
use crate::image::{Config, Descriptor, Digest, Document, Manifest};

/// How deep indexes may lie in indexes.
const DEPTH_LIMIT: u32 = 8;

/// What the lists of an archive lead to.
pub(super) struct Walked {
    pub(super) images: Vec<(Name, Digest)>,
    pub(super) unreferenced: Vec<String>,
}

/// Follows what the lists of an archive lead to, and finds what is missing or not as described.
pub(super) fn walk(contents: &Contents<'_>, findings: &mut Vec<Finding>) -> Walked {
    let mut walk = Walk {
        contents,
        bad: findings.iter().map(|finding| finding.member.clone()).collect(),
        findings,
        images: Vec::new(),
        referenced: HashSet::new(),
        seen: HashMap::new(),
    };
    if let Some(bytes) = walk.list(b"oci-layout")
        && let Err(error) = check_marker(&bytes)
    {
        walk.malformed("oci-layout", &error);
    }
    if let Some(bytes) = walk.list(b"index.json") {
        walk.index(&bytes);
    }
    if let Some(bytes) = walk.list(b"manifest.json") {
        walk.saved(&bytes);
    }
    if walk.images.is_empty() && walk.findings.is_empty() {
        walk.malformed("index.json", &Error::content("it lists no image"));
    }
    let Walk { images, referenced, .. } = walk;
    let is_needed = |name: &[u8]| LISTS.contains(&name) || referenced.contains(name);
    let files = contents.members.files().filter(|(name, _)| !is_needed(name));
    Walked { images, unreferenced: files.map(|(name, _)| shown(name)).collect() }
}

struct Walk<'a> {
    contents: &'a Contents<'a>,
    findings: &'a mut Vec<Finding>,
    /// The members that something was found of.
    bad: HashSet<String>,
    images: Vec<(Name, Digest)>,
    /// Files that something leads to, by their own names.
    referenced: HashSet<Vec<u8>>,
    /// Blobs that were looked at, and the size that they were said to have.
    seen: HashMap<Digest, u64>,
}

impl Walk<'_> {
    fn find(&mut self, member: String, problem: Problem) {
        self.bad.insert(member.clone());
        self.findings.push(Finding { member, problem });
    }

    fn malformed(&mut self, member: &str, error: &Error) {
        self.find(member.to_owned(), Problem::Malformed(error.kind().to_string()));
    }

    /// The bytes of a list, if it is there and can be read.
    fn list(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        match self.contents.read_small(name) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.malformed(&shown(name), &error);
                None
            }
        }
    }

    fn image(&mut self, name: Name, digest: Digest) {
        let is_known = match name {
            Name::None => self.images.iter().any(|(_, known)| *known == digest),
            _ => self.images.iter().any(|(known, _)| *known == name),
        };
        if !is_known {
            self.images.push((name, digest));
        }
    }

    fn index(&mut self, bytes: &[u8]) {
        let listed = match listed(bytes) {
            Ok(listed) => listed,
            Err(error) => return self.malformed("index.json", &error),
        };
        for descriptor in &listed {
            self.image(Name::of(descriptor), descriptor.digest);
            self.visit(descriptor, "index.json", 0);
        }
    }

    /// Looks for what `descriptor` in `by` describes, and for all that it leads to.
    fn visit(&mut self, descriptor: &Descriptor, by: &str, depth: u32) {
        let Descriptor { digest, size, media_type, .. } = descriptor;
        let member = blob_name(*digest);
        if let Some(known) = self.seen.insert(*digest, *size) {
            if known != *size {
                self.find(member, Problem::Size { expected: *size, got: known });
            }
            return;
        }
        let held = match self.contents.blob(*digest) {
            Ok(Some((name, held))) => {
                self.referenced.insert(name.to_vec());
                held
            }
            Ok(None) => return self.find(member, Problem::Missing(by.to_owned())),
            Err(error) => return self.malformed(&member, &error),
        };
        if held.size != *size {
            return self.find(member, Problem::Size { expected: *size, got: held.size });
        }
        let leads_on = media_type.is_manifest() || media_type.as_str().is_empty();
        if !leads_on || self.bad.contains(&member) {
            return;
        }
        if depth > DEPTH_LIMIT {
            return self.malformed(&member, &Error::content("indexes lie too deep in indexes"));
        }
        match self.contents.manifest(descriptor) {
            Ok(Some(manifest)) => self.children(&manifest, &member, depth),
            Ok(None) => {}
            Err(error) => self.malformed(&member, &error),
        }
    }

    fn children(&mut self, manifest: &Manifest, member: &str, depth: u32) {
        match manifest.document() {
            Document::Index(index) => {
                index.manifests.iter().for_each(|child| self.visit(child, member, depth + 1));
            }
            Document::Image(image) => {
                for blob in std::iter::once(&image.config).chain(&image.layers) {
                    self.visit(blob, member, depth + 1);
                }
            }
        }
    }

    fn saved(&mut self, bytes: &[u8]) {
        let list = match Saved::parse(bytes) {
            Ok(list) => list,
            Err(error) => return self.malformed("manifest.json", &error),
        };
        for saved in list {
            if let Some(config) = self.saved_config(&saved) {
                self.saved_layers(&saved, &config);
            }
        }
    }

    /// The config of an image in `manifest.json`, if it is there.
    fn saved_config(&mut self, saved: &Saved) -> Option<Config> {
        let (name, _) = self.member(&saved.config)?;
        let bytes = match self.contents.read_small(&name) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                self.malformed(&shown(&name), &error);
                return None;
            }
        };
        let digest = blob_digest(&name).unwrap_or_else(|| Digest::of(&bytes));
        // One that `index.json` has too is known by its manifest.
        if !self.seen.contains_key(&digest) {
            saved.names().into_iter().for_each(|name| self.image(name, digest));
        }
        match Config::from_slice(&bytes) {
            Ok(config) => Some(config),
            Err(error) => {
                let error = Error::content(format!("malformed config: {error}"));
                self.malformed(&shown(&name), &error);
                None
            }
        }
    }

    fn saved_layers(&mut self, saved: &Saved, config: &Config) {
        let (count, expected) = (saved.layers.len(), config.diff_ids().len());
        if count != expected {
            let message = format!("expected {expected} layers as the config says, got {count}");
            self.malformed(&shown(saved.config.as_bytes()), &Error::content(message));
        }
        for (layer, diff_id) in std::iter::zip(&saved.layers, config.diff_ids()) {
            let Some((name, held)) = self.member(layer) else { continue };
            let member = shown(&name);
            if self.bad.contains(&member) {
                continue;
            }
            let described = layer::describe(self.contents, (&name, &held), *diff_id, &|_| Ok(()));
            if let Err(error) = described {
                match error.kind() {
                    ErrorKind::Digest { expected, got } => {
                        let (expected, got) = (*expected, *got);
                        self.find(member, Problem::Digest { expected, got });
                    }
                    _ => self.malformed(&member, &error),
                }
            }
        }
    }

    /// The file that `manifest.json` calls so, if it is there.
    fn member(&mut self, name: &str) -> Option<docker::Found> {
        match docker::member(self.contents, name) {
            Ok(Some((name, held))) => {
                self.referenced.insert(name.clone());
                Some((name, held))
            }
            Ok(None) => {
                let by = "manifest.json".to_owned();
                self.find(shown(name.as_bytes()), Problem::Missing(by));
                None
            }
            Err(error) => {
                self.malformed(&shown(name.as_bytes()), &error);
                None
            }
        }
    }
}
