use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use super::entry::{Entry, Odd};
use super::names::Index;
use super::tree::Links;
use super::{Store, file};
use crate::endpoint::{Extent, Guard, Source};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{
    Config, Descriptor, Digest, Document, INDEX_DEPTH_LIMIT, MANIFEST_LIMIT, Manifest, Platform,
};
use crate::reference::Reference;
use crate::stream::Verify;

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
        Ok(Index::read(&self.layout)?.names()?.into_entries())
    }

    /// The same, and what of the index cannot be understood.
    pub fn entries_and_odd(&self) -> Result<(Vec<Entry>, Vec<Odd>)> {
        let index = Index::read(&self.layout)?;
        let names = index.names()?;
        let odd = names.odd().cloned().collect();
        Ok((names.into_entries(), odd))
    }

    /// What `entry` comes to.
    pub fn summary(&self, entry: &Entry) -> Result<Summary> {
        match entry.noted() {
            Some(summary) => Ok(summary),
            None => self.summary_of(&entry.descriptor),
        }
    }

    /// What each of `entries` comes to; what several lead to is read once.
    pub fn summaries(&self, entries: &[Entry]) -> Vec<Result<Summary>> {
        let mut known: HashMap<Digest, Summary> = HashMap::new();
        let mut summary = |entry: &Entry| {
            let digest = entry.descriptor.digest;
            match (entry.noted(), known.get(&digest)) {
                (Some(summary), _) => Ok(summary),
                (None, Some(summary)) => Ok(summary.clone()),
                (None, None) => {
                    let summary = self.summary_of(&entry.descriptor)?;
                    known.insert(digest, summary.clone());
                    Ok(summary)
                }
            }
        };
        entries.iter().map(&mut summary).collect()
    }

    /// The configs and layers that `entry` leads to, each once.
    pub fn blobs_of(&self, entry: &Entry) -> Result<Vec<Digest>> {
        let mut waiting = vec![(entry.descriptor.clone(), 0)];
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        while let Some((descriptor, depth)) = waiting.pop() {
            if !seen.insert(descriptor.digest) || depth > INDEX_DEPTH_LIMIT {
                continue;
            }
            let links = Links::of(&self.manifest(&descriptor)?);
            waiting.extend(links.manifests.into_iter().map(|child| (child, depth + 1)));
            let digests = links.blobs.iter().chain(&links.others).map(|blob| blob.digest);
            blobs.extend(digests.filter(|digest| seen.insert(*digest)));
        }
        Ok(blobs)
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
        if !seen.insert(descriptor.digest) || depth > INDEX_DEPTH_LIMIT {
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
        let file = self.sized_file(descriptor).context(reading)?;
        let mut bytes = Vec::new();
        Verify::new(file, descriptor).read_to_end(&mut bytes).context(reading)?;
        Ok(bytes)
    }

    /// The same, if it has the size that is said. Reading it would only tell that there is too
    /// much.
    fn sized_file(&self, descriptor: &Descriptor) -> Result<File> {
        let file = self.blob_file(descriptor)?;
        let (expected, got) = (descriptor.size, file.metadata()?.len());
        if got == expected { Ok(file) } else { Err(ErrorKind::Size { expected, got }.into()) }
    }

    /// The file of a blob that a name leads to; so it is wrong if it is not there.
    pub(super) fn blob_file(&self, descriptor: &Descriptor) -> Result<File> {
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
        let file =
            self.sized_file(blob).context(|| format!("reading {} from the store", blob.digest))?;
        let mut content = Verify::new(file, blob);
        let skipped = std::io::copy(&mut (&mut content).take(offset), &mut std::io::sink())
            .context(|| format!("reading {} from the store", blob.digest))?;
        if skipped == offset {
            Ok(Box::new(content))
        } else {
            Err(ErrorKind::Size { expected: blob.size, got: skipped }.into())
        }
    }

    fn extent(&self, blob: &Descriptor) -> Result<Option<Extent>> {
        let file = self.blob_file(blob)?;
        let reading = || format!("reading {} from the store", blob.digest);
        let size = file.metadata().context(reading)?.len();
        if size != blob.size {
            // It would not be right the second time either.
            let message = format!("expected {} bytes, got {size}", blob.size);
            return Err(Error::content(message)).context(reading);
        }
        Ok(Some(Extent { file, offset: 0 }))
    }

    fn open_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let mut file = self.blob_file(blob)?;
        file.seek(SeekFrom::Start(range.start))
            .context(|| format!("reading {} from the store", blob.digest))?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }

    /// Keeps `content` from being collected as garbage, even if its names are removed meanwhile.
    ///
    /// What was collected before this returns is gone: whoever holds content looks after that
    /// whether it is there. Where nothing can be written, and in a layout in which windlass has
    /// never written, nothing is held and nothing made.
    fn hold(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        self.lease(content)
    }

    fn takes_ranges(&self, _blob: &Descriptor) -> bool {
        false // One stream verifies what leaves; several could not.
    }

    fn verifies(&self) -> bool {
        true
    }
}
