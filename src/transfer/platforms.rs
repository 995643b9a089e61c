use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::image::{Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, Manifest, Platform};

/// Most manifests that are read to find one.
const READ_LIMIT: usize = 1000;

/// Most platforms that are named where the wanted one is not there.
const NAMED: usize = 64;

/// Which platforms of an image are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platforms {
    /// The one that runs here. An image without an index is taken as it is.
    Host,
    /// Exactly these.
    Only(Vec<Platform>),
    /// All that there are, and whatever else the index lists.
    All,
}

impl Platforms {
    /// Whether `target` is for certain what these come to, of an image that resolves to
    /// `resolved`: then nothing need be asked to know it.
    pub(super) fn come_to(&self, target: &Descriptor, resolved: Digest) -> bool {
        let is_whole = target.digest == resolved;
        let is_exactly = |wanted: &Platform| {
            let platform = target.platform.as_ref();
            platform.is_some_and(|platform| wanted.distance(platform) == Some(0))
        };
        match self {
            Platforms::All => is_whole,
            _ if !target.media_type.is_image() => false,
            Platforms::Host => is_whole || is_exactly(&Platform::host()),
            Platforms::Only(wanted) => matches!(&wanted[..], [only] if is_exactly(only)),
        }
    }
}

/// An image in an index, or in an index in it.
pub(super) struct Candidate {
    pub(super) descriptor: Descriptor,
    pub(super) platform: Platform,
    /// Which child of the outermost index leads to it.
    pub(super) through: Digest,
}

/// All images that `index` leads to, in order, except attestations.
///
/// `fetch` reads a nested index, `platform_of` asks an image whose descriptor does not say for
/// which platform it is.
pub(super) fn candidates(
    index: &Manifest,
    fetch: &dyn Fn(&Descriptor) -> Result<Manifest>,
    platform_of: &dyn Fn(&Manifest) -> Result<Option<Platform>>,
) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    // The same image may be listed for several platforms.
    let mut seen = HashSet::new();
    let Document::Index(outermost) = index.document() else { return Ok(found) };
    for child in &outermost.manifests {
        let through = child.digest;
        let mut waiting = vec![(child.clone(), 1)];
        while let Some((descriptor, depth)) = waiting.pop() {
            let place = (descriptor.digest, descriptor.platform.clone());
            if descriptor.is_attestation() || !seen.insert(place) {
                continue;
            }
            if depth > INDEX_DEPTH_LIMIT || seen.len() > READ_LIMIT * 10 {
                return Err(Error::content("the index leads to too many others"));
            }
            let kind = &descriptor.media_type;
            if !kind.is_manifest() && !kind.as_str().is_empty() {
                continue;
            }
            if kind.is_image()
                && let Some(platform) = descriptor.platform.clone()
            {
                found.push(Candidate { descriptor, platform, through });
                continue;
            }
            if seen.len() > READ_LIMIT {
                return Err(Error::content("the index leads to too many others"));
            }
            let manifest = fetch(&descriptor)?;
            match manifest.document() {
                Document::Index(nested) => {
                    let children = nested.manifests.iter().rev();
                    waiting.extend(children.map(|child| (child.clone(), depth + 1)));
                }
                Document::Image(_) => {
                    let platform = match descriptor.platform.clone() {
                        Some(platform) => Some(platform),
                        None => platform_of(&manifest)?,
                    };
                    if let Some(platform) = platform {
                        found.push(Candidate { descriptor, platform, through });
                    }
                }
            }
        }
    }
    Ok(found)
}

/// The candidate that serves who asks for `wanted` best; of equals the first.
///
/// # Errors
///
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound), with the platforms there are.
pub(super) fn choose<'a>(candidates: &'a [Candidate], wanted: &Platform) -> Result<&'a Candidate> {
    let distance = |candidate: &&Candidate| wanted.distance(&candidate.platform);
    let fitting = candidates.iter().filter(|candidate| distance(candidate).is_some());
    fitting
        .min_by_key(distance)
        .ok_or_else(|| none_for(wanted, candidates.iter().map(|it| &it.platform)))
}

pub(super) fn none_for<'a>(wanted: &Platform, there: impl Iterator<Item = &'a Platform>) -> Error {
    let mut names: Vec<String> = Vec::new();
    for name in there.map(ToString::to_string) {
        if names.len() == NAMED {
            names.push("more".to_owned());
            break;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Error::not_found(format!("no image for {wanted}: there are {there}"))
}
