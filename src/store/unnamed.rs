use super::temporary::Temporary;
use super::{Store, file, partial};
use crate::endpoint::{Intake, Unnamed};
use crate::error::Result;
use crate::image::{Algorithm, Descriptor, Digest, MediaType};
use crate::stream::Assembly;
use crate::stream::ranges::Ranges;

/// Content of which nobody has said what it is: a temporary file, hashed while it comes.
struct Stray<'a> {
    store: &'a Store,
    temporary: Temporary,
    assembly: Assembly,
    at: u64,
    digest: Option<Digest>,
}

impl Intake for Store {
    fn take_in(&self, algorithm: Algorithm, size: u64) -> Result<Box<dyn Unnamed + '_>> {
        let temporary = Temporary::create(&self.layout.temporary(), size)?;
        let path = temporary.path().to_owned();
        let file = partial::clone(&temporary.file, &path)?;
        // Of the digest only the algorithm is looked at.
        let blob = Descriptor::new(MediaType::default(), algorithm.hasher().finish(), size);
        let assembly = Assembly::start((file, path, 0), &blob, Ranges::default())?;
        Ok(Box::new(Stray { store: self, temporary, assembly, at: 0, digest: None }))
    }
}

impl Unnamed for Stray<'_> {
    fn take(&mut self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>> {
        let buffer = self.assembly.take(self.at, buffer, len, |_| Ok(()))?;
        self.at = self.at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(buffer)
    }

    fn digest(&mut self) -> Result<Digest> {
        match self.digest {
            Some(digest) => Ok(digest),
            None => Ok(*self.digest.insert(self.assembly.finish()?)),
        }
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let digest = self.digest()?;
        let Stray { store, temporary, .. } = *self;
        store.prepare_algorithm(digest.algorithm())?;
        file::protect(&temporary.file, temporary.path())?;
        temporary.commit(&store.layout.blob(digest), store.durability)
    }
}
