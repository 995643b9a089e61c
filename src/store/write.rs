use std::path::Path;

use rustix::fs::Access;
use rustix::io::Errno;

use super::entry::Note;
use super::lock::{IndexLock, Lease};
use super::marker;
use super::names::{self, Index, Names};
use super::partial::{Claimed, Partial};
use super::temporary::{self, Temporary};
use super::{Durability, Store, file};
use crate::endpoint::{Guard, Meaning, Naming, Origin, Receipt, Sink, Source};
use crate::error::{Context, Result};
use crate::image::{Algorithm, Descriptor, Digest, MANIFEST_LIMIT, Manifest};
use crate::printable::printable;
use crate::reference::Reference;

impl Store {
    /// Fails if nothing can be written here, before anything is begun that ends in writing. Makes
    /// nothing.
    pub fn writable(&self) -> Result<()> {
        let writing = || format!("writing to the store `{}`", self.layout.root().display());
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        let algorithm = self.layout.blobs_of(Algorithm::Sha256);
        for folder in [self.nearest_folder(), &algorithm, &self.layout.private()] {
            match rustix::fs::access(folder, wanted) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(std::io::Error::from(error)).context(writing),
            }
        }
        // Nothing is worth bringing if it cannot be named.
        self.entries().map(drop).context(writing)
    }

    /// The folder of the store, or the nearest above that is there already.
    fn nearest_folder(&self) -> &Path {
        let mut folder = self.layout.root();
        while matches!(rustix::fs::access(folder, Access::EXISTS), Err(Errno::NOENT)) {
            match folder.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => folder = parent,
                _ => return Path::new("."),
            }
        }
        folder
    }

    /// Makes the folders, where they are not there yet.
    pub(super) fn prepare(&self) -> Result<()> {
        let layout = &self.layout;
        let preparing = || format!("preparing the store `{}`", layout.root().display());
        let is_marked = file::open(&layout.marker())?.is_some();
        let is_new = !is_marked || file::open(&layout.index())?.is_none();
        let blobs = layout.blobs_of(Algorithm::Sha256);
        if !is_new && blobs.is_dir() && layout.private_folders().iter().all(|it| it.is_dir()) {
            return Ok(());
        }
        if is_new {
            // Not where an index is lost: to make an empty one would say that nobody needs the blobs.
            Index::read(layout).context(preparing)?;
        }
        let is_foreign = is_marked && !layout.private().is_dir();
        file::create_folder(&blobs, 0o755, self.durability).context(preparing)?;
        for folder in layout.private_folders() {
            file::create_folder(&folder, 0o700, Durability::Unsynced).context(preparing)?;
        }
        if is_foreign {
            // Nobody knows what another tool has synced.
            self.note_unsynced()?;
        }
        if is_new {
            self.sync_blobs().context(preparing)?;
            file::sync_path(layout.root(), self.durability).context(preparing)?;
            // The marker comes last: without it the next one does all this again.
            let _lock = IndexLock::take(layout)?;
            if file::open(&layout.index())?.is_none() {
                self.replace(&layout.index(), names::EMPTY).context(preparing)?;
            }
            if !is_marked {
                self.replace(&layout.marker(), marker::MARKER).context(preparing)?;
            }
        }
        Ok(())
    }

    /// Writes what a layout must have and this one has lost: folders, and the file that says what it
    /// is. No names: nobody knows them.
    pub fn complete_layout(&self) -> Result<()> {
        self.prepare()
    }

    /// Replaces a small file as a whole.
    pub(super) fn replace(&self, target: &Path, content: &[u8]) -> Result<()> {
        temporary::replace(&self.layout.temporary(), target, content, self.durability)
    }

    /// The folder for blobs of `algorithm` is made when the first one comes.
    pub(super) fn prepare_algorithm(&self, algorithm: Algorithm) -> Result<()> {
        let folder = self.layout.blobs_of(algorithm);
        if folder.is_dir() { Ok(()) } else { file::create_folder(&folder, 0o755, self.durability) }
    }

    /// Begins to receive `blob`, which counts as there if `is_there` says so.
    pub(super) fn claim(
        &self,
        blob: &Descriptor,
        is_there: impl FnOnce() -> Result<bool>,
    ) -> Result<Receipt<'_>> {
        self.prepare_algorithm(blob.digest.algorithm())?;
        match Partial::claim(&self.layout, blob, self.durability)? {
            Claimed::Theirs(progress) => Ok(Receipt::Busy(progress)),
            // Whoever had it may have finished it since we looked.
            Claimed::Ours(partial) if is_there()? => {
                partial.remove()?;
                Ok(Receipt::Present)
            }
            Claimed::Ours(partial) => Ok(Receipt::Draft(partial)),
        }
    }

    /// The same beside somebody who is stuck.
    pub(super) fn claim_beside(
        &self,
        blob: &Descriptor,
        is_there: impl FnOnce() -> Result<bool>,
    ) -> Result<Receipt<'_>> {
        self.prepare_algorithm(blob.digest.algorithm())?;
        if is_there()? {
            return Ok(Receipt::Present);
        }
        let partial = Partial::beside(&self.layout, blob, self.durability, &self.distrusted)?;
        Ok(Receipt::Draft(Box::new(partial)))
    }

    /// Makes what was renamed into the blobs' folders survive a power cut.
    pub(super) fn sync_blobs(&self) -> Result<()> {
        let folders = [Algorithm::Sha256, Algorithm::Sha512].map(|it| self.layout.blobs_of(it));
        for folder in folders.iter().filter(|it| it.is_dir()).chain([&self.layout.blobs()]) {
            file::sync_folder(folder, self.durability)?;
        }
        Ok(())
    }
}

impl Sink for Store {
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        self.prepare()?;
        let lease = Lease::take(&self.layout, content, self.durability)?;
        if self.durability == Durability::Unsynced {
            self.note_unsynced()?;
        }
        Ok(Box::new(lease))
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

    fn meaning(&self, reference: &Reference) -> Result<Option<Meaning>> {
        let name = reference.name();
        let entry = self.entries()?.into_iter().find(|entry| entry.name == name);
        Ok(entry.map(|entry| Meaning { resolved: entry.resolved(), target: entry.descriptor }))
    }

    fn stored(&self, descriptor: &Descriptor) -> Option<Manifest> {
        self.manifest(descriptor).ok()
    }

    fn room(&self) -> Result<Option<u64>> {
        let folder = self.nearest_folder();
        let stat = rustix::fs::statvfs(folder)
            .map_err(std::io::Error::from)
            .context(|| format!("asking `{}` for its space", folder.display()))?;
        Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    fn partial_len(&self, blob: &Descriptor) -> Result<u64> {
        Partial::partial_len(&self.layout, blob)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        self.claim(blob, || self.contains(blob))
    }

    fn receive_alone(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        self.claim_beside(blob, || self.contains(blob))
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        let digest = manifest.digest();
        self.prepare_algorithm(digest.algorithm())?;
        let writing = || format!("writing manifest {digest}");
        let temporary =
            Temporary::with(&self.layout.temporary(), manifest.bytes()).context(writing)?;
        file::protect(&temporary.file, temporary.path())?;
        temporary.commit(&self.layout.blob(digest), self.durability).context(writing)
    }

    fn name(&self, reference: &Reference, target: &Descriptor, origin: &Origin) -> Result<()> {
        self.name_as(&reference.name(), target, origin)
    }

    fn name_as(&self, name: &str, target: &Descriptor, origin: &Origin) -> Result<()> {
        let (name, target, origin) = (name.to_owned(), target.clone(), origin.clone());
        self.name_all(&[Naming { name, target, origin }])
    }

    fn name_all(&self, names: &[Naming]) -> Result<()> {
        let Some(first) = names.first() else { return Ok(()) };
        let naming = || match names.len() {
            1 => format!("naming {}", printable(&first.name)),
            count => format!("naming {count} images"),
        };
        self.sync_blobs().context(naming)?;
        let noted = names.iter().map(|naming| self.note(naming).map(|it| (naming, it)));
        let noted = noted.collect::<Result<Vec<_>>>().context(naming)?;
        let set = |index: &mut Names<'_>| {
            let mut changed = false;
            for (naming, (target, note)) in &noted {
                changed |= index.set(&naming.name, target, note)?;
            }
            Ok(changed)
        };
        self.change_names(set).context(naming)
    }
}

impl Store {
    /// What is to be said of an image beside its name.
    fn note(&self, naming: &Naming) -> Result<(Descriptor, Note)> {
        let Naming { target, origin, .. } = naming;
        let summary = self.summary_of(target)?;
        let mut target = target.clone();
        if !target.media_type.is_index() {
            target.platform = summary.platforms.first().cloned();
        }
        let note = Note {
            resolved: origin.resolved,
            origin: origin.repository.as_ref().map(ToString::to_string),
            summary,
        };
        Ok((target, note))
    }
}
