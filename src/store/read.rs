use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::names::{Entry, Names};
use super::{Store, file};
use crate::endpoint::Source;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Config, Descriptor, Digest, Document, MANIFEST_LIMIT, Manifest, Platform};
use crate::reference::Reference;
use crate::stream::Verify;

/// How deep indexes may lie in indexes.
const DEPTH_LIMIT: u32 = 8;

/// What a name in the store comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The platforms that are stored; none for an artifact.
    pub platforms: Vec<Platform>,
    /// Bytes of manifests, configs and layers, each blob once.
    pub size: u64,
    /// When the image was made, RFC 3339, as its config says; of an index the first image's.
    pub created: Option<String>,
}

impl Summary {
    fn add(&mut self, platform: Platform) {
        if !self.platforms.contains(&platform) {
            self.platforms.push(platform);
        }
    }
}

impl Store {
    /// All names, in alphabetical order, then what has no name.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        Ok(Names::read(&self.layout)?.entries())
    }

    /// The entry that `text` names: a name as it stands in the index, what means the same with
    /// Docker's defaults, either with a digest, or a digest alone.
    ///
    /// A digest finds what is stored under it and what it was resolved from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], with the names that are nearest.
    pub fn find(&self, text: &str) -> Result<Entry> {
        let entries = self.entries()?;
        let has = |entry: &Entry, digest: Digest| {
            entry.descriptor.digest == digest || entry.resolved() == digest
        };
        let (name, digest) = match text.rsplit_once('@') {
            Some((name, digest)) => (Some(name), digest.parse().ok()),
            None => match text.parse::<Digest>() {
                Ok(digest) => (None, Some(digest)),
                Err(_) => (Some(text), None),
            },
        };
        let reference = text.parse::<Reference>().ok();
        let full_name = reference.as_ref().map(Reference::name);
        let full_repository = reference.as_ref().map(|it| it.repository().to_string());
        let fits = |entry: &&Entry| {
            if let Some(digest) = digest
                && !has(entry, digest)
            {
                return false;
            }
            let Some(name) = name else { return true };
            entry.name == text
                || entry.name == name
                || full_name.as_ref().is_some_and(|full| *full == entry.name)
                // `NAME@DIGEST` as `pull` prints it, for an entry whose tag was left out.
                || digest.is_some()
                    && reference.as_ref().is_some_and(|it| it.tag().is_none())
                    && full_repository.as_deref() == Some(repository_of(&entry.name))
        };
        match entries.iter().find(fits) {
            Some(entry) => Ok(entry.clone()),
            None => Err(Error::not_found(not_found(text, &entries))),
        }
    }

    /// What `entry` comes to.
    pub fn summary(&self, entry: &Entry) -> Result<Summary> {
        if let (Some(size), Some(platform)) = (entry.size(), &entry.descriptor.platform) {
            let created = entry.created().map(str::to_owned);
            return Ok(Summary { platforms: vec![platform.clone()], size, created });
        }
        self.summary_of(&entry.descriptor)
    }

    pub(super) fn summary_of(&self, descriptor: &Descriptor) -> Result<Summary> {
        let mut summary = Summary::default();
        self.summarize(descriptor, &mut summary, &mut HashSet::new(), 0)?;
        Ok(summary)
    }

    fn summarize(
        &self,
        descriptor: &Descriptor,
        summary: &mut Summary,
        seen: &mut HashSet<Digest>,
        depth: u32,
    ) -> Result<()> {
        if let Some(platform) = &descriptor.platform
            && !descriptor.is_attestation()
            && descriptor.media_type.is_image()
        {
            summary.add(platform.clone());
        }
        if !seen.insert(descriptor.digest) || depth > DEPTH_LIMIT {
            return Ok(());
        }
        summary.size = summary.size.saturating_add(descriptor.size);
        let kind = &descriptor.media_type;
        if !kind.is_manifest() && !kind.as_str().is_empty() {
            return Ok(()); // An index may list anything.
        }
        let manifest = self.manifest(descriptor)?;
        let image = match manifest.document() {
            Document::Index(index) => {
                return index
                    .manifests
                    .iter()
                    .try_for_each(|child| self.summarize(child, summary, seen, depth + 1));
            }
            Document::Image(image) => image,
        };
        for blob in std::iter::once(&image.config).chain(&image.layers) {
            if seen.insert(blob.digest) {
                summary.size = summary.size.saturating_add(blob.size);
            }
        }
        if image.config.media_type.is_config() && !descriptor.is_attestation() {
            let config = self.config(&image.config)?;
            if let Some(platform) = descriptor.platform.clone().or_else(|| config.platform()) {
                summary.add(platform);
            }
            if summary.created.is_none() {
                summary.created = config.created;
            }
        }
        Ok(())
    }

    /// The image config that `descriptor` leads to.
    pub fn config(&self, descriptor: &Descriptor) -> Result<Config> {
        let bytes = self.read(descriptor)?;
        Config::from_slice(&bytes)
            .map_err(|error| Error::content(format!("malformed config: {error}")))
            .context(|| format!("reading config {}", descriptor.digest))
    }

    /// The verified bytes of a manifest or a config.
    ///
    /// # Errors
    ///
    /// When it is larger than [`MANIFEST_LIMIT`], is not there or is not as described.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let reading = || format!("reading {} from the store", descriptor.digest);
        if descriptor.size > MANIFEST_LIMIT {
            let message =
                format!("expected at most {MANIFEST_LIMIT} bytes, got {}", descriptor.size);
            return Err(Error::content(message)).context(reading);
        }
        let file = self.blob_file(descriptor).context(reading)?;
        let mut bytes = Vec::new();
        Verify::new(file, descriptor).read_to_end(&mut bytes).context(reading)?;
        Ok(bytes)
    }

    /// The file of a blob that a name leads to; so it is wrong if it is not there.
    fn blob_file(&self, descriptor: &Descriptor) -> Result<File> {
        let path = self.layout.blob(descriptor.digest);
        file::open(&path)?.ok_or_else(|| {
            Error::content(format!("`{}` is missing: the store is not complete", path.display()))
        })
    }
}

impl Source for Store {
    fn resolve(&self, reference: &Reference) -> Result<Manifest> {
        let entry = self.find(&reference.to_string())?;
        self.manifest(&entry.descriptor)
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        let bytes = self.read(descriptor)?;
        Manifest::parse(bytes, descriptor.digest.algorithm(), Some(&descriptor.media_type))
            .context(|| format!("reading manifest {} from the store", descriptor.digest))
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let mut content = Verify::new(self.blob_file(blob)?, blob);
        let skipped = std::io::copy(&mut (&mut content).take(offset), &mut std::io::sink())
            .context(|| format!("reading {} from the store", blob.digest))?;
        if skipped == offset {
            Ok(Box::new(content))
        } else {
            Err(ErrorKind::Size { expected: blob.size, got: skipped }.into())
        }
    }

    fn open_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let mut file = self.blob_file(blob)?;
        file.seek(SeekFrom::Start(range.start))
            .context(|| format!("reading {} from the store", blob.digest))?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    fn takes_ranges(&self, _blob: &Descriptor) -> bool {
        false // One stream verifies what leaves; several could not.
    }
}

/// What stands before the tag or the digest of a name.
fn repository_of(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last_part = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last_part..].find(':').map_or(name, |colon| &name[..last_part + colon])
}

fn not_found(text: &str, entries: &[Entry]) -> String {
    let repository = text.parse::<Reference>().map(|it| it.repository().path().to_owned());
    let wanted = repository.as_deref().unwrap_or(text);
    let last_part = wanted.rsplit('/').next().unwrap_or(wanted);
    let near: Vec<&str> = entries
        .iter()
        .map(|entry| entry.name.as_str())
        .filter(|name| !last_part.is_empty() && name.contains(last_part))
        .take(3)
        .collect();
    let text = text.escape_debug();
    if near.is_empty() {
        format!("`{text}` is not in the store")
    } else {
        format!("`{text}` is not in the store: there are {}", near.join(", "))
    }
}
