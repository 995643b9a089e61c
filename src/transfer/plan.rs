use std::collections::{BTreeMap, HashSet};

use crate::endpoint::Sink;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{
    Config, Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, MANIFEST_LIMIT, Manifest, Platform,
};

/// Most blobs and manifests of one image with all its platforms.
const CONTENT_LIMIT: usize = 10_000;

/// What an image is made of, in an order that is safe to write in.
#[derive(Debug)]
pub struct Plan {
    pub(super) resolved: Digest,
    pub(super) target: Descriptor,
    pub(super) blobs: Vec<Descriptor>,
    pub(super) manifests: Vec<Manifest>,
    /// The config, if it had to be read to make the plan.
    pub(super) config: Option<(Descriptor, Vec<u8>)>,
}

/// What of a plan is not there yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// How many blobs and manifests.
    pub blobs: usize,
    /// Bytes of them, less what is there in part.
    pub size: u64,
}

impl Plan {
    /// The digest that the name has where it comes from.
    pub fn resolved(&self) -> Digest {
        self.resolved
    }

    /// What the name will lead to: with the platform, if that was chosen from an index.
    pub fn target(&self) -> &Descriptor {
        &self.target
    }

    /// The platforms that the image is for, as far as the plan knows.
    pub fn platforms(&self) -> Vec<Platform> {
        if let Some(platform) = &self.target.platform {
            return vec![platform.clone()];
        }
        let config = self.config.as_ref().and_then(|(_, bytes)| Config::from_slice(bytes).ok());
        if let Some(platform) = config.and_then(|config| config.platform()) {
            return vec![platform];
        }
        let mut platforms = Vec::new();
        for manifest in &self.manifests {
            let Document::Index(index) = manifest.document() else { continue };
            let images = index.manifests.iter().filter(|child| !child.is_attestation());
            for platform in images.filter_map(|child| child.platform.clone()) {
                if !platforms.contains(&platform) {
                    platforms.push(platform);
                }
            }
        }
        platforms
    }

    /// Configs and layers, each once.
    pub fn blobs(&self) -> &[Descriptor] {
        &self.blobs
    }

    /// Manifests, each after those it lists.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// Bytes of all blobs and manifests.
    pub fn size(&self) -> u64 {
        let blobs = self.blobs.iter().map(|blob| blob.size);
        let manifests = self.manifests.iter().map(|manifest| manifest.descriptor().size);
        blobs.chain(manifests).fold(0, u64::saturating_add)
    }

    /// What `sink` lacks.
    pub fn missing(&self, sink: &dyn Sink) -> Result<Missing> {
        let mut missing = Missing::default();
        let mut add = |size: u64| {
            missing.blobs += 1;
            missing.size = missing.size.saturating_add(size);
        };
        for blob in &self.blobs {
            if !sink.contains(blob)? {
                add(blob.size.saturating_sub(sink.partial_len(blob)?));
            }
        }
        for manifest in &self.manifests {
            let descriptor = manifest.descriptor();
            if !sink.contains(&descriptor)? {
                add(descriptor.size);
            }
        }
        Ok(missing)
    }
}

/// Collects what manifests lead to, each blob and manifest once.
pub(super) struct Collector<'a> {
    /// Fetches the manifest that a descriptor of an index leads to.
    fetch: &'a dyn Fn(&Descriptor) -> Result<Manifest>,
    sizes: BTreeMap<Digest, u64>,
    done: HashSet<Digest>,
    blobs: Vec<Descriptor>,
    manifests: Vec<Manifest>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(fetch: &'a dyn Fn(&Descriptor) -> Result<Manifest>) -> Collector<'a> {
        Collector {
            fetch,
            sizes: BTreeMap::new(),
            done: HashSet::new(),
            blobs: Vec::new(),
            manifests: Vec::new(),
        }
    }

    /// Adds `manifest` after all that it leads to.
    pub(super) fn add(&mut self, manifest: Manifest, depth: u32) -> Result<()> {
        if !self.done.insert(manifest.digest()) {
            return Ok(());
        }
        self.note(&manifest.descriptor())?;
        if depth > INDEX_DEPTH_LIMIT {
            let message =
                format!("expected at most {INDEX_DEPTH_LIMIT} indexes in each other, got more");
            return Err(Error::content(message));
        }
        match manifest.document() {
            Document::Image(image) => {
                if image.config.media_type.is_config() && image.config.size > MANIFEST_LIMIT {
                    let size = image.config.size;
                    let message = format!("expected at most {MANIFEST_LIMIT} bytes, got {size}");
                    return Err(Error::content(message))
                        .context(|| format!("reading config {}", image.config.digest));
                }
                for blob in std::iter::once(&image.config).chain(&image.layers) {
                    self.add_blob(blob)?;
                }
            }
            Document::Index(index) => {
                for child in &index.manifests {
                    if child.media_type.is_schema1() {
                        let message = "it is of Docker schema 1, which is not supported";
                        return Err(Error::content(message))
                            .context(|| format!("reading manifest {}", child.digest));
                    }
                    let known = child.media_type.is_manifest() || child.media_type.as_str() == "";
                    if !known {
                        self.add_blob(child)?;
                    } else if !self.done.contains(&child.digest) {
                        self.note(child)?;
                        let child = (self.fetch)(child)?;
                        self.add(child, depth + 1)?;
                    }
                }
            }
        }
        self.manifests.push(manifest);
        Ok(())
    }

    fn add_blob(&mut self, blob: &Descriptor) -> Result<()> {
        self.note(blob)?;
        if self.done.insert(blob.digest) {
            self.blobs.push(blob.clone());
        }
        Ok(())
    }

    /// One digest is one content, so it has one size.
    fn note(&mut self, descriptor: &Descriptor) -> Result<()> {
        let size = *self.sizes.entry(descriptor.digest).or_insert(descriptor.size);
        if size != descriptor.size {
            return Err(Error::new(ErrorKind::Content(format!(
                "{} is described with {size} and with {} bytes",
                descriptor.digest, descriptor.size
            ))));
        }
        if self.sizes.len() > CONTENT_LIMIT {
            let message = format!("expected at most {CONTENT_LIMIT} blobs and manifests, got more");
            return Err(Error::content(message));
        }
        Ok(())
    }

    pub(super) fn finish(self, resolved: Digest, target: Descriptor) -> Plan {
        Plan { resolved, target, blobs: self.blobs, manifests: self.manifests, config: None }
    }
}
