use std::sync::{Mutex, PoisonError};

use crate::endpoint::{Guard, Meaning, Naming, Origin, Receipt, Sink};
use crate::error::Result;
use crate::image::{Descriptor, Digest, Manifest};
use crate::reference::Reference;

/// A sink whose images get their names at the end, all at once: when one of them fails, no name is
/// new.
pub struct Together<'a> {
    sink: &'a dyn Sink,
    /// Keeps what has no name yet.
    guard: Box<dyn Guard>,
    names: Mutex<Vec<Naming>>,
}

impl<'a> Together<'a> {
    /// The same sink, in which nothing gets a name before [`finish`](Together::finish).
    pub fn new(sink: &'a dyn Sink) -> Result<Together<'a>> {
        Ok(Together { sink, guard: sink.protect(&[])?, names: Mutex::default() })
    }

    /// Gives all the names.
    pub fn finish(self) -> Result<()> {
        let names = self.names.into_inner().unwrap_or_else(PoisonError::into_inner);
        let named = self.sink.name_all(&names);
        drop(self.guard);
        named
    }
}

/// What is held is held to the end.
struct Held;

impl Guard for Held {}

impl Sink for Together<'_> {
    fn protect(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        self.guard.extend(content)?;
        Ok(Box::new(Held))
    }

    fn contains(&self, descriptor: &Descriptor) -> Result<bool> {
        self.sink.contains(descriptor)
    }

    fn meaning(&self, reference: &Reference) -> Result<Option<Meaning>> {
        self.sink.meaning(reference)
    }

    fn stored(&self, descriptor: &Descriptor) -> Option<Manifest> {
        self.sink.stored(descriptor)
    }

    fn room(&self) -> Result<Option<u64>> {
        self.sink.room()
    }

    fn partial_len(&self, blob: &Descriptor) -> Result<u64> {
        self.sink.partial_len(blob)
    }

    fn receive(&self, blob: &Descriptor) -> Result<Receipt> {
        self.sink.receive(blob)
    }

    fn receive_alone(&self, blob: &Descriptor) -> Result<Receipt> {
        self.sink.receive_alone(blob)
    }

    fn put_manifest(&self, manifest: &Manifest) -> Result<()> {
        self.sink.put_manifest(manifest)
    }

    fn name(&self, reference: &Reference, target: &Descriptor, origin: &Origin) -> Result<()> {
        self.name_as(&reference.name(), target, origin)
    }

    fn name_as(&self, name: &str, target: &Descriptor, origin: &Origin) -> Result<()> {
        let naming =
            Naming { name: name.to_owned(), target: target.clone(), origin: origin.clone() };
        self.names.lock().unwrap_or_else(PoisonError::into_inner).push(naming);
        Ok(())
    }
}
