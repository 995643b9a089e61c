use std::collections::HashSet;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contents::{Content, Contents};
use super::header::END;
use super::new_file::{Leftover, NewFile};
use crate::endpoint::{Draft, Durability, Guard, Origin, Receipt, Sink};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Manifest};
use crate::reference::Reference;
use crate::stream::Assembly;
use crate::stream::ranges::Ranges;

/// An archive being written to a file: a [`Sink`] for the images that it is to hold, whose blobs
/// may come at once and in any order.
///
/// Nobody sees it before [`commit`](FileWriter::commit); if it is dropped before that, nothing is
/// left.
#[derive(Debug)]
pub struct FileWriter {
    contents: Contents,
    file: NewFile,
    done: Done,
}

/// What is there and verified.
type Done = Arc<Mutex<HashSet<Digest>>>;

impl FileWriter {
    /// Begins the archive that will be at `path`, with all but the blobs.
    ///
    /// # Errors
    ///
    /// When there is something at `path` that is no file, or no room for the whole archive.
    pub fn create(path: &Path, contents: Contents) -> Result<FileWriter> {
        let file = NewFile::create(path, contents.size())?;
        let writing = || format!("writing `{}`", file.path.display());
        for member in &contents.members {
            file.file.write_all_at(&member.header, member.offset).context(writing)?;
            if let Content::Bytes(bytes) = &member.content {
                file.file.write_all_at(bytes, member.start()).context(writing)?;
            }
        }
        Ok(FileWriter { contents, file, done: Done::default() })
    }

    /// What would be left if the process ended now.
    pub fn leftover(&self) -> Leftover {
        self.file.leftover()
    }

    /// Ends the archive and gives it its name.
    ///
    /// # Errors
    ///
    /// When a blob has not come.
    pub fn commit(self, durability: Durability) -> Result<()> {
        let done = lock(&self.done);
        if let Some(blob) = self.contents.blobs().find(|blob| !done.contains(&blob.digest)) {
            return Err(Error::content(format!("{} has not come", blob.digest)));
        }
        drop(done);
        let end = self.contents.size() - u64::try_from(END.len()).unwrap_or(0);
        self.file
            .file
            .write_all_at(&END, end)
            .context(|| format!("writing `{}`", self.file.path.display()))?;
        self.file.commit(durability)
    }
}

impl Sink for FileWriter {
    fn protect(&self, _content: &[Digest]) -> Result<Box<dyn Guard>> {
        Ok(Box::new(Unfinished)) // Nobody collects garbage in it.
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        let known = self.contents.find(descriptor.digest).map(|member| &member.content);
        Ok(match known {
            Some(Content::Bytes(_)) => true,
            Some(Content::Blob(_)) => lock(&self.done).contains(&descriptor.digest),
            None => false,
        })
    }

    fn room(&self) -> Result<Option<u64>> {
        Ok(None) // It was asked for when the file was begun.
    }

    fn partial_len(&self, _blob: &Descriptor) -> Result<u64> {
        Ok(0)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt> {
        if self.contains(blob)? {
            return Ok(Receipt::Present);
        }
        let member = self.contents.find(blob.digest).ok_or_else(|| unexpected(blob.digest))?;
        let file = self.file.file.try_clone();
        let path = self.file.path.clone();
        let file = file.context(|| format!("opening `{}`", path.display()))?;
        let place = Place { file, path, start: member.start() };
        Ok(Receipt::Draft(Box::new(Part::start(place, blob, &self.done)?)))
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        match self.contains(&manifest.descriptor())? {
            true => Ok(()),
            false => Err(unexpected(manifest.digest())),
        }
    }

    fn name(&self, _reference: &Reference, target: &Descriptor, _origin: &Origin) -> Result<()> {
        match self.contains(target)? {
            true => Ok(()),
            false => Err(unexpected(target.digest)),
        }
    }
}

/// There is nothing to hold on to: the whole archive is unfinished.
struct Unfinished;

impl Guard for Unfinished {}

/// Where in which file.
struct Place {
    file: File,
    path: PathBuf,
    start: u64,
}

/// A blob being written at its place.
struct Part {
    assembly: Assembly,
    digest: Digest,
    done: Done,
}

impl Part {
    fn start(place: Place, blob: &Descriptor, done: &Done) -> Result<Part> {
        let place = (place.file, place.path, place.start);
        let assembly = Assembly::start(place, blob, Ranges::default())?;
        Ok(Part { assembly, digest: blob.digest, done: Arc::clone(done) })
    }
}

impl Draft for Part {
    fn missing(&self) -> Vec<Range<u64>> {
        self.assembly.missing()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.assembly.write(offset, bytes, |_| Ok(()))
    }

    fn take_at(&self, offset: u64, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>> {
        self.assembly.take(offset, buffer, len, |_| Ok(()))
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let got = self.assembly.finish()?;
        if got != self.digest {
            return Err(ErrorKind::Digest { expected: self.digest, got }.into());
        }
        lock(&self.done).insert(self.digest);
        Ok(())
    }

    fn discard(self: Box<Self>) -> Result<()> {
        Ok(()) // The next attempt writes over it.
    }
}

fn unexpected(digest: Digest) -> Error {
    Error::content(format!("{digest} has no place in the archive"))
}

fn lock(done: &Done) -> MutexGuard<'_, HashSet<Digest>> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}
