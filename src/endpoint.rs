//! What a place is: a [`Source`] of images, a [`Sink`] for them, or both.

use std::io::Read;
use std::ops::Range;

use crate::error::Result;
use crate::image::{Descriptor, Digest, Manifest};
use crate::reference::{Reference, Repository};

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

    /// Exactly those bytes of `blob`, beside other streams of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Range`](crate::error::ErrorKind::Range) when the place cannot; whoever asks
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
}

/// A place that images can be written to.
pub trait Sink: Sync {
    /// Keeps `content`, whether it is there yet or not, from being collected as garbage until
    /// the guard is dropped.
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>>;

    /// Whether the content of `descriptor` is there, with its size.
    fn contains(&self, descriptor: &Descriptor) -> Result<bool>;

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
    fn receive(&self, blob: &Descriptor) -> Result<Receipt>;

    /// Begins to receive `blob` beside whoever else is at it and stopped making progress.
    fn receive_alone(&self, blob: &Descriptor) -> Result<Receipt> {
        self.receive(blob)
    }

    /// Stores `manifest` under its digest.
    fn put_manifest(&self, manifest: &Manifest) -> Result<()>;

    /// Lets `reference` mean the content of `target`, all of which is there.
    fn name(&self, reference: &Reference, target: &Descriptor, origin: &Origin) -> Result<()>;
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
pub trait Guard: Send + Sync {}

impl Guard for () {}

/// The answer to [`Sink::receive`].
pub enum Receipt {
    /// It is there by now.
    Present,
    /// Somebody else is receiving it. The number changes while they make progress.
    Busy(u64),
    /// It may be written.
    Draft(Box<dyn Draft>),
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
