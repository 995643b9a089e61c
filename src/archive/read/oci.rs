use std::collections::HashMap;

use serde::Deserialize;

use super::catalogue::{Catalogue, Listed, Name};
use super::contents::Contents;
use super::members::reading_member;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Descriptor, Digest, Document, Manifest};

/// How deep indexes may lie in indexes.
const DEPTH_LIMIT: u32 = 8;

/// Most manifests of an archive.
const MANIFESTS_LIMIT: usize = 20_000;

/// Adds the images that an `index.json` lists.
pub(super) fn read(contents: &Contents<'_>, bytes: &[u8], catalogue: &mut Catalogue) -> Result<()> {
    let listed = listed(bytes).context(|| reading_member(b"index.json"))?;
    let mut walk = Walk { contents, seen: HashMap::new(), catalogue };
    let mut roots: HashMap<Digest, Descriptor> = HashMap::new();
    for descriptor in &listed {
        let digest = descriptor.digest;
        let kind = &descriptor.media_type;
        if !kind.is_manifest() && !kind.is_schema1() && !kind.as_str().is_empty() {
            log::warn!("{digest} is left out: it is of the type {kind}, and no image");
            continue;
        }
        let name = Name::of(descriptor);
        if name == Name::None && is_about_another(descriptor) {
            log::warn!("{digest} is left out: it says something about another image");
            continue;
        }
        let target = match roots.get(&digest) {
            Some(target) => target.clone(),
            None => walk.root(descriptor).context(|| format!("reading {name}, {digest}"))?,
        };
        roots.insert(digest, target.clone());
        walk.catalogue.add(Listed { name, target });
    }
    Ok(())
}

/// What an `index.json` lists. Docker 25.0.0 writes `null` where no image has a name.
pub(super) fn listed(bytes: &[u8]) -> Result<Vec<Descriptor>> {
    #[derive(Deserialize)]
    struct Nothing {
        #[serde(rename = "manifests")]
        _null: (),
    }
    if serde_json::from_slice::<Nothing>(bytes).is_ok() {
        return Ok(Vec::new());
    }
    match Manifest::parse(bytes.to_vec(), Algorithm::Sha256, None)?.document() {
        Document::Index(index) => Ok(index.manifests.clone()),
        Document::Image(_) => Err(Error::content("expected an index, got an image")),
    }
}

/// Whether this is a signature, an attestation or the like that nobody has named.
fn is_about_another(descriptor: &Descriptor) -> bool {
    descriptor.is_attestation()
        || descriptor.annotations.contains_key("io.containerd.manifest.subject")
}

/// The way through what the index leads to.
struct Walk<'a> {
    contents: &'a Contents<'a>,
    /// How much of each manifest is there.
    seen: HashMap<Digest, Presence>,
    catalogue: &'a mut Catalogue,
}

/// How much of what a manifest leads to is in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Whole,
    /// It is there, and not all of its children are.
    Part,
    Missing,
}

impl Walk<'_> {
    /// What there is to be stored of an image that `index.json` lists.
    fn root(&mut self, descriptor: &Descriptor) -> Result<Descriptor> {
        let Some(manifest) = self.contents.manifest(descriptor)? else {
            return Err(Error::content("its manifest is not in the archive"));
        };
        let mut configs = Vec::new();
        let target = match self.look(&manifest, 1, &mut configs)? {
            Presence::Whole => manifest.descriptor(),
            _ => self.narrowed(&manifest)?,
        };
        for config in configs {
            self.catalogue.configs.entry(config).or_default().push(target.digest);
        }
        Ok(target)
    }

    /// What is left of an index of which not all children are there.
    fn narrowed(&mut self, index: &Manifest) -> Result<Descriptor> {
        let Document::Index(document) = index.document() else {
            return Err(Error::new(ErrorKind::Other("only an index can be narrowed".into())));
        };
        let is_whole = |child: &&Descriptor| self.seen.get(&child.digest) == Some(&Presence::Whole);
        let kept: Vec<&Descriptor> = document.manifests.iter().filter(is_whole).collect();
        if kept.iter().all(|child| child.is_attestation()) {
            return Err(Error::content("none of the images that it lists is in the archive"));
        }
        for left_out in document.manifests.iter().filter(|child| !is_whole(child)) {
            let what = match &left_out.platform {
                Some(platform) => platform.to_string(),
                None => "a child".to_owned(),
            };
            log::warn!("{what}, {}, is left out: it is not in the archive", left_out.digest);
        }
        if let [only] = kept.as_slice() {
            let manifest = self.contents.manifest(only)?;
            let manifest = manifest.ok_or_else(|| Error::content("its manifest is gone"))?;
            return Ok(Descriptor { platform: only.platform.clone(), ..manifest.descriptor() });
        }
        let digests: Vec<Digest> = kept.iter().map(|child| child.digest).collect();
        let narrowed = index.narrowed(&digests);
        let narrowed = narrowed.ok_or_else(|| Error::content("malformed index"))?;
        let target = narrowed.descriptor();
        self.catalogue.made.insert(target.digest, narrowed);
        Ok(target)
    }

    /// How much of what `manifest` leads to is there.
    ///
    /// # Errors
    ///
    /// When a manifest is there and its config or a layer is not.
    fn look(
        &mut self,
        manifest: &Manifest,
        depth: u32,
        configs: &mut Vec<Digest>,
    ) -> Result<Presence> {
        if depth > DEPTH_LIMIT || self.seen.len() > MANIFESTS_LIMIT {
            return Err(Error::content("the index leads to too many others"));
        }
        let index = match manifest.document() {
            Document::Image(image) => {
                configs.push(image.config.digest);
                for blob in std::iter::once(&image.config).chain(&image.layers) {
                    self.expect(blob)
                        .context(|| format!("reading manifest {}", manifest.digest()))?;
                }
                return Ok(Presence::Whole);
            }
            Document::Index(index) => index,
        };
        let mut presence = Presence::Whole;
        for child in &index.manifests {
            if self.child(child, depth, configs)? != Presence::Whole {
                presence = Presence::Part;
            }
        }
        Ok(presence)
    }

    fn child(
        &mut self,
        child: &Descriptor,
        depth: u32,
        configs: &mut Vec<Digest>,
    ) -> Result<Presence> {
        if let Some(known) = self.seen.get(&child.digest) {
            return Ok(*known);
        }
        let kind = &child.media_type;
        let presence = if !kind.is_manifest() && !kind.as_str().is_empty() {
            match self.contents.blob(child.digest)? {
                Some(_) => Presence::Whole,
                None => Presence::Missing,
            }
        } else {
            match self.contents.manifest(child)? {
                Some(manifest) => self.look(&manifest, depth + 1, configs)?,
                None => Presence::Missing,
            }
        };
        self.seen.insert(child.digest, presence);
        Ok(presence)
    }

    /// Fails unless the blob is there with its size.
    fn expect(&self, blob: &Descriptor) -> Result<()> {
        match self.contents.blob(blob.digest)? {
            Some((_, held)) if held.size == blob.size => Ok(()),
            Some((name, held)) => {
                let (expected, got) = (blob.size, held.size);
                Err(Error::new(ErrorKind::Size { expected, got })).context(|| reading_member(name))
            }
            None => Err(Error::content(format!("{} is not in the archive", blob.digest))),
        }
    }
}
