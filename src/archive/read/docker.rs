use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::catalogue::{Catalogue, Listed, Name, Watch};
use super::contents::Contents;
use super::layer;
use super::members::{Held, blob_digest, clean, reading_member};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::json::{Bounded, Object, nullable_list};
use crate::image::{Algorithm, Config, Descriptor, Digest, Manifest, MediaType};
use crate::printable::printable;

/// An image, as `docker save` lists it in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", remote = "Self")]
pub(super) struct Saved {
    /// The member with the config.
    pub(super) config: String,
    /// Its names; `null` for none.
    #[serde(default, deserialize_with = "nullable_list")]
    pub(super) repo_tags: Vec<String>,
    /// The members with the layers, the lowest first.
    #[serde(default, deserialize_with = "nullable_list")]
    pub(super) layers: Vec<String>,
}

impl<'de> Deserialize<'de> for Saved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Saved, D::Error> {
        Saved::deserialize(Object(deserializer))
    }
}

impl Saved {
    /// Reads a `manifest.json`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Saved>> {
        serde_json::from_slice::<Bounded<Saved>>(bytes)
            .map(|list| list.0)
            .map_err(|error| Error::content(format!("malformed list of images: {error}")))
            .context(|| reading_member(b"manifest.json"))
    }

    /// What it is called, each name once.
    pub(super) fn names(&self) -> Vec<Name> {
        let mut names = Vec::new();
        for tag in &self.repo_tags {
            let name = match tag.parse() {
                Ok(full) => Name::Full(full),
                Err(_) => {
                    log::warn!("`{}` is no name of an image", printable(tag));
                    Name::None
                }
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.iter().any(|name| *name != Name::None) {
            names.retain(|name| *name != Name::None);
        }
        if names.is_empty() {
            names.push(Name::None);
        }
        names
    }
}

/// Adds the images that a `manifest.json` lists and that the catalogue lacks, and the names that
/// it has for those that are there.
pub(super) fn read(
    contents: &Contents<'_>,
    bytes: &[u8],
    catalogue: &mut Catalogue,
    watch: Watch<'_>,
) -> Result<()> {
    let mut layers = HashMap::new();
    let mut configs: HashMap<Vec<u8>, KnownConfig> = HashMap::new();
    for saved in Saved::parse(bytes)? {
        let names = saved.names();
        let is_new = |name: &Name| match name {
            Name::Full(full) => !catalogue.knows(full),
            _ => true,
        };
        let new: Vec<Name> = names.into_iter().filter(is_new).collect();
        if new.is_empty() {
            continue;
        }
        let reading = || match &new[0] {
            Name::Full(full) => format!("reading {full}"),
            _ => format!("reading the image of `{}`", printable(&saved.config)),
        };
        let (name, held) = expect(contents, &saved.config).context(reading)?;
        if !configs.contains_key(&name) {
            let bytes = contents.read_small(&name).context(reading)?.unwrap_or_default();
            configs.insert(name.clone(), KnownConfig::of(&name, held.size, &bytes));
        }
        let config = &configs[&name];
        if let Some(targets) = catalogue.configs.get(&config.digest).cloned() {
            for name in new {
                if let (Name::Full(full), Some(target)) = (name, targets.first()) {
                    catalogue.call(*target, full);
                }
            }
            continue;
        }
        let manifest = Made { contents, catalogue, layers: &mut layers, watch }
            .manifest(&saved, &name, config)
            .context(reading)?;
        let target = manifest.descriptor();
        catalogue.made.insert(target.digest, manifest);
        for name in new {
            catalogue.add(Listed { name, target: target.clone() });
        }
    }
    Ok(())
}

/// A file in an archive: its own name, and what it holds.
pub(super) type Found = (Vec<u8>, Held);

/// The file that `manifest.json` calls so; `None` if it is not there.
pub(super) fn member(contents: &Contents<'_>, name: &str) -> Result<Option<Found>> {
    let clean = clean(name.as_bytes())?;
    let found = contents.members.find(&clean)?;
    Ok(found.map(|(name, held)| (name.to_vec(), held.clone())))
}

/// The same of one that must be there.
fn expect(contents: &Contents<'_>, name: &str) -> Result<Found> {
    let missing = || Error::content(format!("`{}` is not in the archive", printable(name)));
    member(contents, name)?.ok_or_else(missing)
}

/// A config that was read. Many images may have it.
struct KnownConfig {
    digest: Digest,
    size: u64,
    /// Or why it cannot be understood.
    diff_ids: std::result::Result<Vec<Digest>, String>,
}

impl KnownConfig {
    fn of(name: &[u8], size: u64, bytes: &[u8]) -> KnownConfig {
        let diff_ids = Config::from_slice(bytes)
            .map(|config| config.diff_ids().to_vec())
            .map_err(|error| format!("malformed config: {error}"));
        KnownConfig { digest: config_digest(name, bytes), size, diff_ids }
    }
}

/// The digest of a config: that of its name, if it is named as a blob.
fn config_digest(name: &[u8], bytes: &[u8]) -> Digest {
    blob_digest(name).unwrap_or_else(|| Digest::of(bytes))
}

/// A manifest, as it is written for an image that has none: always with the same bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// The making of a manifest for an image that has none.
struct Made<'a> {
    contents: &'a Contents<'a>,
    catalogue: &'a mut Catalogue,
    /// Layers that were looked at, by member and by diff id.
    layers: &'a mut HashMap<(Vec<u8>, Digest), Descriptor>,
    watch: Watch<'a>,
}

impl Made<'_> {
    /// An OCI manifest over config and layers as they are. The same content gives the same one.
    fn manifest(&mut self, saved: &Saved, name: &[u8], config: &KnownConfig) -> Result<Manifest> {
        let diff_ids = match &config.diff_ids {
            Ok(diff_ids) => diff_ids,
            Err(error) => return Err(Error::content(error)).context(|| reading_member(name)),
        };
        let (count, expected) = (saved.layers.len(), diff_ids.len());
        if count != expected {
            let message = format!("expected {expected} layers as its config says, got {count}");
            return Err(Error::content(message));
        }
        let kind = MediaType::new(MediaType::OCI_CONFIG);
        let config = Descriptor::new(kind, config.digest, config.size);
        self.alias(config.digest, name);
        let mut layers = Vec::new();
        for (layer, diff_id) in std::iter::zip(&saved.layers, diff_ids) {
            layers.push(self.layer(layer, *diff_id)?);
        }
        let document =
            Document { schema_version: 2, media_type: MediaType::OCI_MANIFEST, config, layers };
        let bytes = serde_json::to_vec(&document)
            .map_err(|error| Error::new(ErrorKind::Other(error.to_string())))?;
        Ok(Manifest::parse(bytes, Algorithm::Sha256, None)?)
    }

    fn layer(&mut self, layer: &str, diff_id: Digest) -> Result<Descriptor> {
        let (name, held) = expect(self.contents, layer)?;
        let key = (name, diff_id);
        let descriptor = match self.layers.get(&key) {
            Some(known) => known.clone(),
            None => layer::describe(self.contents, (&key.0, &held), diff_id, self.watch)
                .context(|| reading_member(&key.0))?,
        };
        self.alias(descriptor.digest, &key.0);
        self.layers.insert(key, descriptor.clone());
        Ok(descriptor)
    }

    /// Notes where the content of a digest is.
    fn alias(&mut self, digest: Digest, name: &[u8]) {
        self.catalogue.aliases.entry(digest).or_insert_with(|| name.to_vec());
    }
}
