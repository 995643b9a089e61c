use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use super::Store;
use super::entry::Entry;
use super::finding::Finding;
use crate::endpoint::{Guard, Origin, Receipt, Sink, Source};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Document, Manifest};
use crate::reference::Reference;

/// One image of a store as both ends of a transfer that fetches again what of it is bad.
///
/// As a source it is what the entry leads to: manifests that are good as they are stored, all else
/// from where the image came from. As a sink it is the store, in which what was found to be bad
/// counts as not there; it stays until what replaces it is verified. The name stays as it is.
pub struct Repair<'a> {
    store: &'a Store,
    entry: &'a Entry,
    source: &'a dyn Source,
    /// What was found to be bad, and which file that was.
    bad: HashMap<Digest, Option<(u64, u64)>>,
}

impl Store {
    /// Prepares to fetch again from `source` what of `entry` is bad by `findings`.
    pub fn repair<'a>(
        &'a self,
        entry: &'a Entry,
        findings: &[Finding],
        source: &'a dyn Source,
    ) -> Repair<'a> {
        let bad = findings.iter().filter(|finding| finding.problem.is_of_content());
        let digests = bad.filter_map(|finding| finding.digest);
        let bad = digests.map(|digest| (digest, self.file_of(digest))).collect();
        Repair { store: self, entry, source, bad }
    }

    /// Which file a blob is; another one that has replaced it is another.
    fn file_of(&self, digest: Digest) -> Option<(u64, u64)> {
        let metadata = fs::symlink_metadata(self.layout.blob(digest)).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
}

impl Repair<'_> {
    fn is_bad(&self, digest: Digest) -> bool {
        self.bad.get(&digest).is_some_and(|file| *file == self.store.file_of(digest))
    }

    /// The index of several platforms that was made here, of an index that has more: the source
    /// has only that one. The children that are stored tell which were chosen.
    fn narrowed_again(&self, reference: &Reference) -> Result<Manifest> {
        let expected = self.entry.descriptor.digest;
        let whole = self.source.resolve(&reference.with_digest(self.entry.resolved()))?;
        let Document::Index(index) = whole.document() else {
            return Err(ErrorKind::Digest { expected, got: whole.digest() }.into());
        };
        let children = index.manifests.iter().map(|child| child.digest);
        let stored: Vec<Digest> =
            children.filter(|digest| self.store.is_there(*digest).is_ok()).collect();
        match whole.narrowed(&stored) {
            Some(narrowed) if narrowed.digest() == expected => Ok(narrowed),
            _ => Err(Error::not_found(format!("{expected} cannot be made again"))),
        }
    }
}

impl Source for Repair<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Manifest> {
        let root = Descriptor { annotations: Default::default(), ..self.entry.descriptor.clone() };
        match self.manifest(&root) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound(_) | ErrorKind::Registry { status: 404, .. }
                ) && self.entry.resolved() != root.digest =>
            {
                self.narrowed_again(reference)
                    .context(|| format!("making index {} again", root.digest))
            }
            manifest => manifest,
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        if !self.is_bad(descriptor.digest)
            && let Ok(manifest) = self.store.manifest(descriptor)
        {
            return Ok(manifest);
        }
        self.source.manifest(descriptor)
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        self.source.open(blob, offset)
    }

    fn open_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        self.source.open_range(blob, range)
    }

    fn open_afresh(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        self.source.open_afresh(blob)
    }

    fn takes_ranges(&self, blob: &Descriptor) -> bool {
        self.source.takes_ranges(blob)
    }
}

impl Sink for Repair<'_> {
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        self.store.protect(content)
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(!self.is_bad(descriptor.digest) && self.store.contains(descriptor)?)
    }

    fn room(&self) -> Result<Option<u64>> {
        self.store.room()
    }

    fn partial_len(&self, blob: &Descriptor) -> Result<u64> {
        self.store.partial_len(blob)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        self.store.claim(blob, || self.contains(blob))
    }

    fn receive_alone(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        self.store.claim_beside(blob, || self.contains(blob))
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.store.put_manifest(manifest)
    }

    fn name(&self, _: &Reference, _: &Descriptor, _: &Origin) -> Result<()> {
        self.store.settle()?;
        self.store.sync_blobs()
    }
}
