//! What a place is: a [`Source`] of images, a [`Sink`] for them, or both.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crate::error::{Error, ErrorKind, Result};
use crate::image::{Algorithm, Descriptor, Digest, Manifest};
use crate::reference::{ParseReferenceError, Reference, Repository};

/// A place that images can be read from.
///
/// What it hands out is not verified unless the method says so: the sink verifies.
pub trait Source: Sync {
    /// The manifest that `reference` means here. One answer decides: everything after goes by
    /// the digest of what came. If `reference` has a digest, the manifest has it too.
    fn resolve(&self, reference: &Reference) -> Result<Manifest>;

    /// The digest of what [`resolve`](Source::resolve) would give, if that can be told for less:
    /// registries count manifests against quotas.
    fn digest(&self, _reference: &Reference) -> Result<Option<Digest>> {
        Ok(None)
    }

    /// The manifest that `descriptor` leads to, verified against its digest and size.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest>;

    /// The content of `blob` from `offset` to its end, in one stream.
    ///
    /// `offset` is less than the blob's size.
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>>;

    /// Where the content of `blob` lies, if that is in a file: whoever verifies reads it there
    /// without having it verified twice. Of the size that `blob` says; nothing else is known of it.
    fn extent(&self, _blob: &Descriptor) -> Result<Option<Extent>> {
        Ok(None)
    }

    /// Exactly those bytes of `blob`, beside other streams of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Range`] when the place cannot; whoever asks
    /// then keeps to [`open`](Source::open).
    fn open_range(&self, blob: &Descriptor, range: Range<u64>) -> Result<Box<dyn Read + Send>>;

    /// All of `blob` from its start, past whatever has given wrong content before: caches,
    /// connections, labels.
    fn open_afresh(&self, blob: &Descriptor) -> Result<Box<dyn Read + Send>> {
        self.open(blob, 0)
    }

    /// Keeps `content` from going away while it is read, until the guard is dropped, as far as
    /// that is in the place's power.
    fn hold(&self, _content: &[Digest]) -> Result<Box<dyn Guard>> {
        Ok(Box::new(()))
    }

    /// Whether it makes sense to ask for several ranges of `blob` at once. Asked again before each.
    fn takes_ranges(&self, blob: &Descriptor) -> bool;

    /// Whether [`open`](Source::open) fails, instead of ending, unless all of the blob, what comes
    /// before the offset included, is as described. To ask again is then of no use.
    fn verifies(&self) -> bool {
        false
    }

    /// The repository that its images are in, if it is one of a registry.
    fn repository(&self) -> Option<&Repository> {
        None
    }
}

/// A part of a file that is the content of a blob.
#[derive(Debug)]
pub struct Extent {
    /// Open for reading.
    pub file: File,
    /// Where in the file the content begins.
    pub offset: u64,
}

impl Extent {
    /// The content of `blob`, which lies here, from `offset` to its end. Fails if the file ends
    /// before that.
    pub fn content(self, blob: &Descriptor, offset: u64) -> impl Read + Send {
        InPlace { extent: self, at: offset, size: blob.size }
    }
}

/// Reads a blob where it lies.
struct InPlace {
    extent: Extent,
    at: u64,
    size: u64,
}

impl Read for InPlace {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let part = left.min(buffer.len());
        let place = self.extent.offset.saturating_add(self.at);
        let len = self.extent.file.read_at(&mut buffer[..part], place)?;
        if len == 0 && part > 0 {
            let (expected, got) = (self.size, self.at);
            return Err(Error::new(ErrorKind::Size { expected, got }).into());
        }
        self.at = self.at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(len)
    }
}

/// Whether what is written survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Everything is on the disk before a name says that it is there.
    Synced,
    /// The system writes when it likes. A process that dies still does no harm.
    Unsynced,
}

/// A place that images can be written to.
pub trait Sink: Sync {
    /// Keeps `content`, whether it is there yet or not, from being collected as garbage until
    /// the guard is dropped.
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>>;

    /// Whether the content of `descriptor` is there, with its size.
    fn contains(&self, descriptor: &Descriptor) -> Result<bool>;

    /// Whether it takes a request to know what is there. Several are made at once then, and small
    /// blobs are sent before big ones, so that what is not allowed is known early.
    fn is_far(&self) -> bool {
        false
    }

    /// Whether the place vouches that `reference` means `root` by now, with all that this leads
    /// to, so that nothing is to be done.
    fn is_done(&self, _reference: &Reference, _root: &Descriptor) -> Result<bool> {
        Ok(false)
    }

    /// What `reference` means here by now.
    fn meaning(&self, _reference: &Reference) -> Result<Option<Meaning>> {
        Ok(None)
    }

    /// The manifest of `descriptor`, if it is there and as described.
    fn stored(&self, _descriptor: &Descriptor) -> Option<Manifest> {
        None
    }

    /// How many bytes there is room for, if the place knows.
    fn room(&self) -> Result<Option<u64>>;

    /// How many bytes of `blob` are there from an earlier attempt.
    fn partial_len(&self, blob: &Descriptor) -> Result<u64>;

    /// Begins or continues to receive `blob`.
    fn receive(&self, blob: &Descriptor) -> Result<Receipt<'_>>;

    /// Begins to receive `blob` beside whoever else is at it and stopped making progress.
    fn receive_alone(&self, blob: &Descriptor) -> Result<Receipt<'_>> {
        self.receive(blob)
    }

    /// Stores `manifest` under its digest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Lacking`] when the place says that it lacks
    /// what this leads to.
    fn put_manifest(&self, manifest: &Manifest) -> Result<()>;

    /// Stores `root`, all that it leads to being there, and lets `reference` mean it: `target` is
    /// its descriptor, with the platform if that was chosen. Places that store a manifest by
    /// naming it do both at once.
    ///
    /// # Errors
    ///
    /// As [`put_manifest`](Sink::put_manifest).
    fn put_named(
        &self,
        reference: &Reference,
        root: &Manifest,
        target: &Descriptor,
        origin: &Origin,
    ) -> Result<()> {
        if !self.contains(&root.descriptor())? {
            self.put_manifest(root)?;
        }
        self.name(reference, target, origin)
    }

    /// Lets `reference` mean the content of `target`, all of which is there.
    fn name(&self, reference: &Reference, target: &Descriptor, origin: &Origin) -> Result<()>;

    /// The same for a name that is kept as it stands. Not every place takes names that are no
    /// references.
    fn name_as(&self, name: &str, target: &Descriptor, origin: &Origin) -> Result<()> {
        let reference: Reference =
            name.parse().map_err(|error: ParseReferenceError| Error::usage(error.to_string()))?;
        self.name(&reference, target, origin)
    }

    /// Does that for each of `names`; where the place can, for all of them or none.
    fn name_all(&self, names: &[Naming]) -> Result<()> {
        names.iter().try_for_each(|it| self.name_as(&it.name, &it.target, &it.origin))
    }
}

/// A name that is to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The name, as it stands.
    pub name: String,
    /// What it is to mean.
    pub target: Descriptor,
    /// Where that came from.
    pub origin: Origin,
}

/// Where an image came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The digest that its name has there: of a multi-platform image that of the index, whatever
    /// part of it is kept.
    pub resolved: Digest,
    /// The repository, if it came from a registry.
    pub repository: Option<Repository>,
}

/// What a name means in a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What it leads to, with the platform if that was chosen.
    pub target: Descriptor,
    /// The digest that it had where it came from.
    pub resolved: Digest,
}

/// What is held as long as it lives.
pub trait Guard: Send + Sync {
    /// Holds that content too.
    fn extend(&self, _content: &[Digest]) -> Result<()> {
        Ok(())
    }
}

/// A place that also takes content of which only its own bytes tell what it is.
pub trait Intake: Source + Sink {
    /// Begins to take `size` bytes that are to be named by their digest of `algorithm`.
    fn take_in(&self, algorithm: Algorithm, size: u64) -> Result<Box<dyn Unnamed + '_>>;
}

/// Content being received from its start to its end. Nobody sees it before
/// [`commit`](Unnamed::commit); dropped before that, nothing is kept.
pub trait Unnamed {
    /// Takes the first `len` bytes of `buffer`, and gives a buffer of the same size to go on with.
    /// Refuses more bytes than were announced.
    fn take(&mut self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>>;

    /// The digest of the content, all of which has come.
    fn digest(&mut self) -> Result<Digest>;

    /// Makes it visible under its digest.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// Holds nothing.
impl Guard for () {}

/// The answer to [`Sink::receive`].
pub enum Receipt<'a> {
    /// It is there by now.
    Present,
    /// Somebody else is receiving it. The number changes while they make progress.
    Busy(u64),
    /// It may be written.
    Draft(Box<dyn Draft>),
    /// It may be sent, in one stream.
    Upload(Box<dyn Upload + 'a>),
}

/// A blob that is sent in one stream. Nobody sees it before all of it is there; what was taken of
/// it when sending fails is kept for the next time, where the place does that.
pub trait Upload: Send {
    /// How many bytes of it are there: where the content has to go on.
    fn offset(&self) -> u64;

    /// Sends `content`, which is the blob from the offset on, and makes the blob visible.
    ///
    /// Its last byte is sent, or the upload ended, only after `content` has ended well: what fails
    /// at its end because it is not as described never becomes visible.
    fn send(self: Box<Self>, content: &mut dyn Read) -> Result<()>;
}

/// Remembers from one run to the next, in secret, how to go on with what was begun.
pub trait Notes: Send + Sync {
    /// The note about `subject`, for nobody else meanwhile; none if somebody else has it, or where
    /// nothing can be remembered.
    fn open(&self, subject: &str) -> Option<Box<dyn Note>>;
}

/// What is remembered about one subject.
pub trait Note: Send {
    /// What it says; none if it is new.
    fn text(&self) -> Option<String>;

    /// Lets it say `text`, also if this process dies.
    fn write(&self, text: &str) -> Result<()>;

    /// Forgets it.
    fn remove(self: Box<Self>);
}

/// A blob being received, by several threads at any offsets. Nobody sees it before
/// [`commit`](Draft::commit); dropped before that, what has come is kept for the next time.
pub trait Draft: Send + Sync {
    /// The ranges that have not come yet, in order.
    fn missing(&self) -> Vec<Range<u64>>;

    /// Takes `bytes` for `offset`. Refuses what would go beyond the blob's size.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Takes the first `len` bytes of `buffer` for `offset`, and gives a buffer of the same size
    /// to go on with: this one, or another while this one is still looked at.
    ///
    /// The buffer is lost when this fails.
    fn take_at(&self, offset: u64, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>> {
        self.write_at(offset, &buffer[..len])?;
        Ok(buffer)
    }

    /// Makes the blob, all of which has come, visible under its digest.
    ///
    /// Fails, and keeps nothing, unless the content is as described.
    fn commit(self: Box<Self>) -> Result<()>;

    /// Forgets all that has come.
    fn discard(self: Box<Self>) -> Result<()>;
}

/// Has nothing and takes nothing: for who only plans.
impl Sink for () {
    fn protect(&self, _content: &[Digest]) -> Result<Box<dyn Guard>> {
        Err(ErrorKind::Local(NOWHERE.into()).into())
    }

    fn contains(&self, _descriptor: &Descriptor) -> Result<bool> {
        Ok(false)
    }

    fn room(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn partial_len(&self, _blob: &Descriptor) -> Result<u64> {
        Ok(0)
    }

    fn receive(&self, _blob: &Descriptor) -> Result<Receipt<'_>> {
        Err(ErrorKind::Local(NOWHERE.into()).into())
    }

    fn put_manifest(&self, _manifest: &Manifest) -> Result<()> {
        Err(ErrorKind::Local(NOWHERE.into()).into())
    }

    fn name(&self, _reference: &Reference, _target: &Descriptor, _origin: &Origin) -> Result<()> {
        Err(ErrorKind::Local(NOWHERE.into()).into())
    }
}

const NOWHERE: &str = "there is no place to write to";
