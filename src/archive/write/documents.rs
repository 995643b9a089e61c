use std::collections::BTreeMap;

use serde::Serialize;

use super::contents::Image;
use crate::error::{Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Document, ImageManifest, Manifest, MediaType, Platform};

/// Says that this is an image layout, and of which version.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The annotations that hold a name: containerd's, and the layout's own. Both hold all of it: a
/// tag alone would not say whose.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// How deep indexes may lie in indexes.
const DEPTH_LIMIT: u32 = 8;

/// Where a blob is.
pub(super) fn path(digest: Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

/// The layout's `index.json`.
pub(super) fn index(images: &[&Image<'_>]) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index {
        schema_version: u8,
        media_type: &'static str,
        manifests: Vec<Descriptor>,
    }
    let named = |image: &&Image<'_>| {
        let name = image.full_name();
        let annotations = NAMES.map(|key| (key.to_owned(), name.clone()));
        Descriptor { annotations: BTreeMap::from(annotations), ..image.target.clone() }
    };
    let manifests = images.iter().map(named).collect();
    to_json(&Index { schema_version: 2, media_type: MediaType::OCI_INDEX, manifests })
}

/// Docker's `manifest.json`: an entry for each image with all its names, of an index for one of
/// its images. What is no image to run has none.
pub(super) fn docker(images: &[&Image<'_>], preferred: &[Platform]) -> Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry {
        config: String,
        /// Null where there is none, as docker writes it.
        repo_tags: Option<Vec<String>>,
        layers: Vec<String>,
    }
    let mut entries: Vec<Entry> = Vec::new();
    for image in images {
        let Some(offered) = offered(image, preferred) else { continue };
        let config = path(offered.config.digest);
        let layers: Vec<String> = offered.layers.iter().map(|layer| path(layer.digest)).collect();
        let known = entries.iter().position(|it| it.config == config && it.layers == layers);
        let place = known.unwrap_or(entries.len());
        if place == entries.len() {
            entries.push(Entry { config, repo_tags: None, layers });
        }
        if image.name.tag().is_some() {
            entries[place].repo_tags.get_or_insert_default().push(image.full_name());
        }
    }
    to_json(&entries)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(ErrorKind::Other(error.to_string())))
}

/// The image that is offered to who can take only one: that for the first of the `preferred`
/// platforms that is there, else the first.
fn offered<'a>(image: &Image<'a>, preferred: &[Platform]) -> Option<&'a ImageManifest> {
    let known: BTreeMap<Digest, &Manifest> =
        image.manifests.iter().map(|manifest| (manifest.digest(), manifest)).collect();
    let mut there = Vec::new();
    collect(image.target, &known, 0, &mut there);
    let best = |wanted: &Platform| {
        let distance = |(platform, _): &&(Option<&Platform>, &'a ImageManifest)| {
            platform.and_then(|platform| wanted.distance(platform))
        };
        there.iter().filter(|it| distance(it).is_some()).min_by_key(distance)
    };
    preferred.iter().find_map(best).or(there.first()).map(|(_, manifest)| *manifest)
}

/// All images that `descriptor` leads to, in order, with the platform that their index names.
fn collect<'m: 'd, 'd>(
    descriptor: &'d Descriptor,
    known: &BTreeMap<Digest, &'m Manifest>,
    depth: u32,
    there: &mut Vec<(Option<&'d Platform>, &'m ImageManifest)>,
) {
    if descriptor.is_attestation() || depth > DEPTH_LIMIT {
        return;
    }
    match known.get(&descriptor.digest).map(|manifest| manifest.document()) {
        Some(Document::Image(image)) if image.config.media_type.is_config() => {
            there.push((descriptor.platform.as_ref(), image));
        }
        Some(Document::Index(index)) => {
            index.manifests.iter().for_each(|child| collect(child, known, depth + 1, there));
        }
        _ => {}
    }
}
