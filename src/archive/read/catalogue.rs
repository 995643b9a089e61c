use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::contents::Contents;
use super::members::{Members, reading_member};
use super::{docker, oci};
use crate::error::{Context, Error, Result};
use crate::image::{Descriptor, Digest, Manifest};
use crate::printable::printable;
use crate::reference::{Reference, is_tag};

/// An image in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the archive calls it.
    pub name: Name,
    /// What is to be stored for it: its manifest or index, with the platform if only that one of
    /// an index is there.
    pub target: Descriptor,
}

/// What an archive calls an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// By a full name.
    Full(Reference),
    /// By a tag alone.
    Tag(String),
    /// By nothing, or by something that is no name.
    None,
}

/// What an archive holds.
#[derive(Default)]
pub(super) struct Catalogue {
    /// Each name once.
    pub(super) images: Vec<Listed>,
    /// Which of them has a name, by its key.
    places: HashMap<String, usize>,
    /// Manifests that are not in the archive: made for images without one, or narrowed to what is
    /// there.
    pub(super) made: HashMap<Digest, Manifest>,
    /// The members with the content of those digests, where they are not named as blobs.
    pub(super) aliases: HashMap<Digest, Vec<u8>>,
    /// Which images, by their targets, have a config.
    pub(super) configs: HashMap<Digest, Vec<Digest>>,
}

/// Told how many more bytes were read; an error from it ends the work.
pub(super) type Watch<'a> = &'a dyn Fn(u64) -> Result<()>;

/// Finds out what images are in an archive, by what its members say.
pub(super) fn read(contents: &Contents<'_>, watch: Watch<'_>) -> Result<Catalogue> {
    expect_lists(&contents.members)?;
    if let Some(bytes) = contents.read_small(b"oci-layout")? {
        check_marker(&bytes).context(|| reading_member(b"oci-layout"))?;
    }
    let mut catalogue = Catalogue::default();
    let index = contents.read_small(b"index.json")?;
    let saved = contents.read_small(b"manifest.json")?;
    if let Some(bytes) = &index {
        oci::read(contents, bytes, &mut catalogue)?;
    }
    if let Some(bytes) = &saved {
        docker::read(contents, bytes, &mut catalogue, watch)?;
    }
    catalogue.drop_what_is_named_elsewhere();
    match catalogue.images.is_empty() {
        true => Err(Error::content("there is no image in it")),
        false => Ok(catalogue),
    }
}

/// Fails unless there is something that says what images there are.
pub(super) fn expect_lists(members: &Members) -> Result<()> {
    if members.is_empty() {
        return Err(Error::content("expected an image archive, got an empty tar"));
    }
    if members.has(b"index.json") || members.has(b"manifest.json") {
        return Ok(());
    }
    Err(Error::content(match members.has(b"repositories") {
        true => "it has only a `repositories` file, the form of docker before 1.10, which nobody \
                 reads any more: load and save it with a docker before 25"
            .to_owned(),
        false => format!(
            "expected `index.json` or `manifest.json`, got {}: it is no image archive",
            members.some_names().join(", ")
        ),
    }))
}

/// Fails unless an `oci-layout` file is of a version that is known.
pub(super) fn check_marker(bytes: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let marker: Marker = serde_json::from_slice(bytes)
        .map_err(|error| Error::content(format!("malformed `oci-layout`: {error}")))?;
    match marker.version.split('.').next() {
        Some("1") => Ok(()),
        _ => {
            let version = printable(&marker.version);
            Err(Error::content(format!("expected version 1 of image layouts, got `{version}`")))
        }
    }
}

impl Catalogue {
    /// Adds an image; of several with one name the last counts.
    pub(super) fn add(&mut self, image: Listed) {
        let Some(key) = image.name.key() else {
            self.images.push(image);
            return;
        };
        match self.places.get(&key) {
            Some(place) => {
                let known = &mut self.images[*place];
                if known.target.digest != image.target.digest {
                    log::warn!("{} is in the archive twice: the last counts", image.name);
                }
                known.target = image.target;
            }
            None => {
                self.places.insert(key, self.images.len());
                self.images.push(image);
            }
        }
    }

    /// Whether there is an image of that name.
    pub(super) fn knows(&self, reference: &Reference) -> bool {
        self.places.contains_key(&reference.name())
    }

    /// Gives what is at `target` a full name, in place of a tag or nothing if it had no more.
    pub(super) fn call(&mut self, target: Digest, reference: Reference) {
        let less = |image: &Listed| {
            image.target.digest == target
                && match &image.name {
                    Name::None => true,
                    Name::Tag(tag) => reference.tag() == Some(tag),
                    Name::Full(_) => false,
                }
        };
        if let Some(place) = self.images.iter().position(less) {
            self.places.insert(reference.name(), place);
            let before =
                std::mem::replace(&mut self.images[place].name, Name::Full(reference)).key();
            self.places.remove(&before.unwrap_or_default());
        } else if let Some(image) = self.images.iter().find(|it| it.target.digest == target) {
            let target = image.target.clone();
            self.add(Listed { name: Name::Full(reference), target });
        }
    }

    /// What has a name needs no entry without one, and what has none one entry.
    fn drop_what_is_named_elsewhere(&mut self) {
        let named = self.images.iter().filter(|image| image.name != Name::None);
        let mut seen: HashSet<Digest> = named.map(|image| image.target.digest).collect();
        self.images.retain(|image| image.name != Name::None || seen.insert(image.target.digest));
        self.places.clear();
    }
}

impl Name {
    /// The same for names that mean the same: a digest beside a tag changes nothing. A tag is no
    /// full name, which has a slash.
    fn key(&self) -> Option<String> {
        match self {
            Name::Full(reference) => Some(reference.name()),
            Name::Tag(tag) => Some(tag.clone()),
            Name::None => None,
        }
    }

    /// What the annotations of a descriptor in `index.json` call it.
    pub(super) fn of(descriptor: &Descriptor) -> Name {
        let annotation = |key: &str| descriptor.annotations.get(key);
        if let Some(full) = annotation("io.containerd.image.name").and_then(|it| it.parse().ok()) {
            return Name::Full(full);
        }
        match annotation("org.opencontainers.image.ref.name") {
            Some(text) => Name::parse(text),
            None => Name::None,
        }
    }

    /// What `text` means: a full name has a `/`, a `:` or an `@`.
    pub(super) fn parse(text: &str) -> Name {
        if !text.contains(['/', ':', '@']) && is_tag(text) {
            return Name::Tag(text.to_owned());
        }
        match text.parse() {
            Ok(full) if text.contains(['/', ':', '@']) => Name::Full(full),
            _ => {
                log::warn!("`{}` is no name of an image", printable(text));
                Name::None
            }
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Name::Full(reference) => f.write_str(&reference.name()),
            Name::Tag(tag) => write!(f, "the tag {tag}"),
            Name::None => f.write_str("an image without a name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_word_is_a_tag_and_anything_with_a_separator_a_name() {
        let tag = |text: &str| Name::Tag(text.to_owned());
        let full = |text: &str| Name::Full(text.parse().unwrap());
        assert_eq!(Name::parse("latest"), tag("latest"));
        assert_eq!(Name::parse("3.20_a"), tag("3.20_a"));
        assert_eq!(Name::parse("alpine:3"), full("docker.io/library/alpine:3"));
        assert_eq!(Name::parse("quay.io/a/b"), full("quay.io/a/b:latest"));
        for text in ["", "../x", "a b", "-rf", "a:b:c", "x\n", &"a".repeat(70_000)] {
            assert_eq!(Name::parse(text), Name::None, "{text}");
        }
    }

    #[test]
    fn newer_layouts_are_refused() {
        assert!(check_marker(br#"{"imageLayoutVersion": "1.0.0"}"#).is_ok());
        assert!(check_marker(br#"{"imageLayoutVersion":"1.1.0","more":1}"#).is_ok());
        for bad in [&b"{}"[..], b"", b"[]", br#"{"imageLayoutVersion":"2.0.0"}"#] {
            assert!(check_marker(bad).is_err());
        }
    }
}
