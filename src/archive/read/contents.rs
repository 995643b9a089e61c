use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::folder;
use super::members::{Held, Members, Place, blob_name, reading_member, shown};
use crate::endpoint::{Extent, Guard, Source};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, MANIFEST_LIMIT, Manifest, MediaType};
use crate::stream::Verify;

/// The members of an archive, and how to get at what they hold.
pub(super) struct Contents<'a> {
    pub(super) members: Members,
    pub(super) holder: Holder<'a>,
}

/// Who has what the members hold, unless it is in memory.
pub(super) enum Holder<'a> {
    File(Arc<File>),
    Folder(PathBuf),
    /// And keeps it from being collected as garbage.
    Store(
        &'a dyn Source,
        #[expect(dead_code, reason = "it holds as long as it lives")] Box<dyn Guard>,
    ),
    /// Nobody any more: it was looked at in passing.
    Nobody,
}

impl Contents<'_> {
    /// Those bytes of a file in the archive.
    pub(super) fn open(
        &self,
        name: &[u8],
        held: &Held,
        range: Range<u64>,
    ) -> Result<Box<dyn Read + Send>> {
        let range = range.start.min(held.size)..range.end.min(held.size);
        let len = range.end - range.start;
        match (&held.place, &self.holder) {
            (Place::Bytes(bytes), _) => {
                let mut content = io::Cursor::new(bytes.clone());
                content.set_position(range.start);
                Ok(Box::new(content.take(len)))
            }
            (Place::At(offset), Holder::File(file)) => {
                let at = offset.saturating_add(range.start);
                let name = name.to_vec();
                Ok(Box::new(Section { file: Arc::clone(file), name, at, left: len }))
            }
            (Place::InFolder, Holder::Folder(folder)) => {
                let file = folder::open(folder, name).context(|| reading_member(name))?;
                let name = name.to_vec();
                Ok(Box::new(Section { file: Arc::new(file), name, at: range.start, left: len }))
            }
            (Place::Blob(digest), Holder::Store(store, _)) => {
                let blob = Descriptor::new(MediaType::default(), *digest, held.size);
                if len == 0 {
                    return Ok(Box::new(io::empty()));
                }
                Ok(Box::new(store.open(&blob, range.start)?.take(len)))
            }
            _ => Err(Error::new(ErrorKind::Other("its content is not kept".into())))
                .context(|| reading_member(name)),
        }
    }

    /// Where in a file the content of a member is, if it is in one as it is.
    pub(super) fn extent(&self, name: &[u8], held: &Held) -> Result<Option<Extent>> {
        match (&held.place, &self.holder) {
            (Place::At(offset), Holder::File(file)) => {
                let file = file.try_clone().context(|| "opening the archive again")?;
                Ok(Some(Extent { file, offset: *offset }))
            }
            (Place::InFolder, Holder::Folder(folder)) => {
                let file = folder::open(folder, name).context(|| reading_member(name))?;
                Ok(Some(Extent { file, offset: 0 }))
            }
            _ => Ok(None),
        }
    }

    /// The bytes of a member that is read as a whole, if it is there.
    ///
    /// # Errors
    ///
    /// When it has more than [`MANIFEST_LIMIT`].
    pub(super) fn read_small(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let Some((name, held)) = self.members.find(name)? else { return Ok(None) };
        if held.size > MANIFEST_LIMIT {
            let message = format!("expected at most {MANIFEST_LIMIT} bytes, got {}", held.size);
            return Err(Error::content(message)).context(|| reading_member(name));
        }
        let mut bytes = Vec::new();
        let content = self.open(name, held, 0..held.size)?;
        content.take(held.size).read_to_end(&mut bytes).context(|| reading_member(name))?;
        Ok(Some(bytes))
    }

    /// The file that is the blob of that digest, by its name in the layout.
    pub(super) fn blob(&self, digest: Digest) -> Result<Option<(&[u8], &Held)>> {
        self.members.find(blob_name(digest).as_bytes())
    }

    /// The verified manifest of `descriptor`, if it is there.
    pub(super) fn manifest(&self, descriptor: &Descriptor) -> Result<Option<Manifest>> {
        let Some((name, held)) = self.blob(descriptor.digest)? else { return Ok(None) };
        let reading = || reading_member(name);
        if held.size != descriptor.size {
            let (expected, got) = (descriptor.size, held.size);
            return Err(Error::new(ErrorKind::Size { expected, got })).context(reading);
        }
        if held.size > MANIFEST_LIMIT {
            let message = format!("expected at most {MANIFEST_LIMIT} bytes, got {}", held.size);
            return Err(Error::content(message)).context(reading);
        }
        let mut bytes = Vec::new();
        let content = self.open(name, held, 0..held.size)?;
        Verify::new(content, descriptor).read_to_end(&mut bytes).context(reading)?;
        let algorithm = descriptor.digest.algorithm();
        let manifest = Manifest::parse(bytes, algorithm, Some(&descriptor.media_type));
        manifest.context(reading).map(Some)
    }
}

/// A part of a file, read without moving anybody else's place in it.
struct Section {
    file: Arc<File>,
    name: Vec<u8>,
    at: u64,
    left: u64,
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let max = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if max == 0 {
            return Ok(0);
        }
        let len = self.file.read_at(&mut buf[..max], self.at)?;
        if len == 0 {
            let message = format!("the archive ends in member `{}`", shown(&self.name));
            return Err(Error::content(message).into());
        }
        let count = u64::try_from(len).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(count);
        self.left = self.left.saturating_sub(count);
        Ok(len)
    }
}
