mod catalogue;
mod check;
mod contents;
mod docker;
mod file;
mod folder;
mod intake;
mod layer;
mod members;
mod oci;

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use catalogue::Catalogue;
use contents::{Contents, Holder};
use members::{Held, shown};

use crate::endpoint::{Extent, Intake, Source};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, Manifest};
use crate::reference::Reference;

pub use catalogue::{Listed, Name};
pub use check::{Finding, Problem, Report, check};

/// The images in one archive: a tar of any form that tools write, or the folder that it would be
/// unpacked to.
pub struct Archive<'a> {
    contents: Contents<'a>,
    catalogue: Box<Catalogue>,
}

/// What was found at a path.
pub enum Found {
    /// An archive that is read where it lies, by any number of threads.
    Archive(Box<Archive<'static>>),
    /// A file that can only be read from its start to its end: it is compressed as a whole, or no
    /// regular file.
    Stream(File),
}

impl Archive<'static> {
    /// The archive in the file or folder at `path`.
    ///
    /// A file is gone through once, from header to header. `watch` is told of bytes that are read
    /// beyond that: of images without a manifest the compressed layers are inflated, to see
    /// whether they are what their config says. An error from it ends the work.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Content`] when it is no archive or not complete.
    pub fn open(path: &Path, watch: &dyn Fn(u64) -> Result<()>) -> Result<Found> {
        let opening = || format!("opening `{}`", path.display());
        let file = File::open(path).context(opening)?;
        let metadata = file.metadata().context(opening)?;
        let contents = if metadata.is_dir() {
            let members = folder::members(path)?;
            Contents { members, holder: Holder::Folder(path.to_owned()) }
        } else if !metadata.is_file() {
            return Ok(Found::Stream(file));
        } else {
            match file::index(file)? {
                file::Indexed::Plain(contents) => contents,
                file::Indexed::Compressed(file) => return Ok(Found::Stream(file)),
            }
        };
        Ok(Found::Archive(Box::new(Archive::of(contents, watch)?)))
    }
}

impl<'a> Archive<'a> {
    /// Takes in an archive in one pass, from a pipe for example, compressed by gzip or zstd or not
    /// at all. Its blobs are in `store` then, without a name; they are kept from being collected
    /// as garbage as long as this lives.
    ///
    /// `watch` is told of the bytes that are read. An error from it ends the work.
    pub fn take_in(
        content: impl Read,
        store: &'a dyn Intake,
        watch: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Archive<'a>> {
        let (members, guard) = intake::take_in(content, store, watch)?;
        let contents = Contents { members, holder: Holder::Store(store, guard) };
        Archive::of(contents, &|_| watch(0))
    }

    fn of(contents: Contents<'a>, watch: &dyn Fn(u64) -> Result<()>) -> Result<Archive<'a>> {
        let catalogue = Box::new(catalogue::read(&contents, watch)?);
        Ok(Archive { contents, catalogue })
    }

    /// All images, each under each of its names.
    pub fn images(&self) -> &[Listed] {
        &self.catalogue.images
    }

    /// `image` as what can be moved: whatever name is asked for, it is that image.
    pub fn source<'b>(&'b self, image: &'b Listed) -> impl Source + 'b {
        Chosen { archive: self, image }
    }

    /// The name of the member with the content of that digest, as it may be shown.
    pub fn member(&self, digest: Digest) -> Option<String> {
        self.find(digest).ok().map(|(name, _)| shown(name))
    }

    /// The file with the content of that digest.
    fn find(&self, digest: Digest) -> Result<(&[u8], &Held)> {
        let named = match self.catalogue.aliases.get(&digest) {
            Some(name) => self.contents.members.find(name)?,
            None => self.contents.blob(digest)?,
        };
        named.ok_or_else(|| Error::content(format!("{digest} is not in the archive")))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        match self.catalogue.made.get(&descriptor.digest) {
            Some(made) => Ok(made.clone()),
            None => self.contents.manifest(descriptor)?.ok_or_else(|| {
                Error::content(format!("{} is not in the archive", descriptor.digest))
            }),
        }
    }
}

/// One image of an archive.
struct Chosen<'a> {
    archive: &'a Archive<'a>,
    image: &'a Listed,
}

impl Chosen<'_> {
    /// The file with the content of `blob`, which has its size.
    fn held(&self, blob: &Descriptor) -> Result<(&[u8], &Held)> {
        let (name, held) = self.archive.find(blob.digest)?;
        match held.size == blob.size {
            true => Ok((name, held)),
            false => Err(ErrorKind::Size { expected: blob.size, got: held.size }.into()),
        }
    }
}

impl Source for Chosen<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Manifest> {
        let got = self.image.target.digest;
        match reference.digest() {
            Some(expected) if expected != got => Err(ErrorKind::Digest { expected, got }.into()),
            _ => self.archive.manifest(&self.image.target),
        }
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        self.archive.manifest(descriptor)
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        self.open_range(blob, offset..blob.size)
    }

    fn extent(&self, blob: &Descriptor) -> Result<Option<Extent>> {
        let (name, held) = self.held(blob)?;
        self.archive.contents.extent(name, held)
    }

    fn open_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Box<dyn Read + Send>> {
        let (name, held) = self.held(blob)?;
        self.archive.contents.open(name, held, range)
    }

    fn takes_ranges(&self, _: &Descriptor) -> bool {
        false // One stream is as fast as the disk.
    }
}
