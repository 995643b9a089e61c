use std::io::Write;
use std::path::Path;

use super::lock::{IndexLock, Lease};
use super::names::{self, Names, Note};
use super::partial::{Claimed, Partial};
use super::{Store, file};
use crate::endpoint::{Guard, Origin, Receipt, Sink};
use crate::error::{Context, Result};
use crate::image::{Algorithm, Descriptor, Digest, MANIFEST_LIMIT, Manifest};
use crate::reference::Reference;

impl Store {
    /// Makes the folders, where they are not there yet.
    fn prepare(&self) -> Result<()> {
        let layout = &self.layout;
        let preparing = || format!("preparing the store `{}`", layout.root().display());
        if layout.leases().is_dir() && layout.marker().is_file() {
            return Ok(());
        }
        file::create_folder(layout.root(), 0o755).context(preparing)?;
        file::create_folder(&layout.blobs_of(Algorithm::Sha256), 0o755).context(preparing)?;
        for folder in [layout.private(), layout.partials(), layout.temporary(), layout.leases()] {
            file::create_folder(&folder, 0o700).context(preparing)?;
        }
        if let Some(parent) = layout.root().parent().filter(|it| !it.as_os_str().is_empty()) {
            file::sync_folder(parent, self.durability).context(preparing)?;
        }
        if file::open(&layout.marker())?.is_none() {
            file::replace(&layout.temporary(), &layout.marker(), names::MARKER, self.durability)
                .context(preparing)?;
        }
        Ok(())
    }

    /// The folder for blobs of `algorithm` is made when the first one comes.
    fn prepare_algorithm(&self, algorithm: Algorithm) -> Result<()> {
        let folder = self.layout.blobs_of(algorithm);
        if folder.is_dir() { Ok(()) } else { file::create_folder(&folder, 0o755) }
    }
}

impl Sink for Store {
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        self.prepare()?;
        Ok(Box::new(Lease::take(&self.layout, content)?))
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        // What is no file, or not readable, is replaced.
        let Ok(Some(file)) = file::open(&self.layout.blob(descriptor.digest)) else {
            return Ok(false);
        };
        let metadata = file.metadata().context(|| format!("reading {}", descriptor.digest))?;
        if metadata.len() != descriptor.size {
            return Ok(false);
        }
        // What says what else is needed is read again: it is small, and everything hangs on it.
        let kind = &descriptor.media_type;
        let leads_on =
            (kind.is_manifest() || kind.is_config()) && descriptor.size <= MANIFEST_LIMIT;
        Ok(!leads_on || self.read(descriptor).is_ok())
    }

    fn room(&self) -> Result<Option<u64>> {
        // The nearest folder above that is there already.
        let mut folder = self.layout.root();
        let stat = loop {
            match rustix::fs::statvfs(folder) {
                Err(rustix::io::Errno::NOENT) => match folder.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => folder = parent,
                    _ => folder = Path::new("."),
                },
                other => {
                    break other
                        .map_err(std::io::Error::from)
                        .context(|| format!("asking `{}` for its space", folder.display()))?;
                }
            }
        };
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    fn partial_len(&self, blob: &Descriptor) -> Result<u64> {
        Partial::partial_len(&self.layout, blob)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt> {
        self.prepare_algorithm(blob.digest.algorithm())?;
        match Partial::claim(&self.layout, blob, self.durability)? {
            Claimed::Theirs(progress) => Ok(Receipt::Busy(progress)),
            // Whoever had it may have finished it since we looked.
            Claimed::Ours(partial) if self.contains(blob)? => {
                partial.remove()?;
                Ok(Receipt::Present)
            }
            Claimed::Ours(partial) => Ok(Receipt::Draft(partial)),
        }
    }

    fn receive_alone(&self, blob: &Descriptor) -> Result<Receipt> {
        if self.contains(blob)? {
            return Ok(Receipt::Present);
        }
        let partial = Partial::temporary(&self.layout, blob, self.durability)?;
        Ok(Receipt::Draft(Box::new(partial)))
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        let digest = manifest.digest();
        self.prepare_algorithm(digest.algorithm())?;
        let writing = || format!("writing manifest {digest}");
        let mut temporary = file::Temporary::create(&self.layout.temporary())?;
        temporary.file.write_all(manifest.bytes()).context(writing)?;
        file::protect(&temporary.file, temporary.path())?;
        temporary.commit(&self.layout.blob(digest), self.durability).context(writing)
    }

    fn name(&self, reference: &Reference, target: &Descriptor, origin: &Origin) -> Result<()> {
        let naming = || format!("naming {reference}");
        let folders = [Algorithm::Sha256, Algorithm::Sha512].map(|it| self.layout.blobs_of(it));
        for folder in folders.iter().filter(|it| it.is_dir()).chain([&self.layout.blobs()]) {
            file::sync_folder(folder, self.durability).context(naming)?;
        }
        let summary = self.summary_of(target).context(naming)?;
        let mut target = target.clone();
        if !target.media_type.is_index() {
            target.platform = summary.platforms.into_iter().next();
        }
        let note = Note {
            resolved: origin.resolved,
            origin: origin.repository.as_ref().map(ToString::to_string),
            size: summary.size,
            created: summary.created,
        };
        let _lock = IndexLock::take(&self.layout)?;
        let mut names = Names::read(&self.layout).context(naming)?;
        if names.set(&reference.name(), &target, &note)? {
            file::replace(
                &self.layout.temporary(),
                &self.layout.index(),
                &names.to_bytes(),
                self.durability,
            )
            .context(naming)?;
        }
        Ok(())
    }
}
