use std::io::Write;

use super::Store;
use super::file::{self, Temporary};
use crate::endpoint::{Intake, Unnamed};
use crate::error::{Context, ErrorKind, Result};
use crate::image::{Algorithm, Digest, Hasher};

/// Content of which nobody has said what it is: a temporary file, hashed while it comes.
struct Stray<'a> {
    store: &'a Store,
    temporary: Temporary,
    hasher: Hasher,
    left: u64,
}

impl Intake for Store {
    fn take_in(&self, algorithm: Algorithm, size: u64) -> Result<Box<dyn Unnamed + '_>> {
        let temporary = Temporary::create(&self.layout.temporary())?;
        Ok(Box::new(Stray { store: self, temporary, hasher: algorithm.hasher(), left: size }))
    }
}

impl Unnamed for Stray<'_> {
    fn take(&mut self, buffer: Vec<u8>, len: usize) -> Result<Vec<u8>> {
        let bytes = &buffer[..len];
        self.hasher.update(bytes);
        let path = self.temporary.path().to_owned();
        (&*self.temporary.file)
            .write_all(bytes)
            .context(|| format!("writing `{}`", path.display()))?;
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(len).ok_or(ErrorKind::Size { expected: 0, got: len })?;
        Ok(buffer)
    }

    fn digest(&mut self) -> Result<Digest> {
        Ok(self.hasher.clone().finish())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        let digest = self.digest()?;
        let Stray { store, temporary, .. } = *self;
        store.prepare_algorithm(digest.algorithm())?;
        file::protect(&temporary.file, temporary.path())?;
        temporary.commit(&store.layout.blob(digest), store.durability)
    }
}
