use std::io::{BufReader, Cursor, Read};

use super::catalogue::Watch;
use super::file::{START, check_start, insert, no_tar};
use super::layer::Watched;
use super::members::{Entry, Held, Members, Place, blob_digest, clean, reading_member};
use crate::endpoint::{Guard, Intake};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Descriptor, MANIFEST_LIMIT, MediaType};
use crate::stream::compression::Decompress;
use crate::stream::tar::{Kind, Reader};

/// How many bytes are moved at a time.
const BUFFER: usize = 64 * 1024;

/// What only says what else there is.
pub(super) const LISTS: [&[u8]; 4] =
    [b"oci-layout", b"index.json", b"manifest.json", b"repositories"];

/// Takes the content of an archive into `store`, each blob once, and says where it is. It stays as
/// long as the guard lives.
pub(super) fn take_in(
    content: impl Read,
    store: &dyn Intake,
    watch: Watch<'_>,
) -> Result<(Members, Box<dyn Guard>)> {
    let guard = store.protect(&[])?;
    let content = BufReader::with_capacity(BUFFER, Watched { inner: content, watch });
    let mut content = Decompress::new(content)?;
    let mut start = Vec::new();
    content.by_ref().take(START).read_to_end(&mut start).context(|| "reading the archive")?;
    check_start(&start)?;
    let whole = Cursor::new(start.clone()).chain(content);
    let mut reader = Reader::new(BufReader::with_capacity(BUFFER, whole));
    let mut taking = Taking { store, guard: &*guard, buffer: vec![0; BUFFER] };
    let mut members = Members::default();
    loop {
        let next = reader.next_member();
        let Some(member) = next.map_err(|error| no_tar(error, &start, members.is_empty()))? else {
            break;
        };
        let mut entry = Entry::Other;
        if member.kind == Kind::File {
            let name = clean(&member.path)?;
            if is_of_docker_1(&name) {
                continue;
            }
            let place = taking.take(&mut reader, &name, member.size)?;
            entry = Entry::File(Held { size: member.size, place });
        }
        insert(&mut members, &member, entry)?;
    }
    members.check_links()?;
    // Who writes the pipe shall not find that nobody reads it.
    reader.finish()?;
    Ok((members, guard))
}

/// Whether this is what `docker save` has said of a layer since its first version, and nobody reads.
pub(super) fn is_of_docker_1(name: &[u8]) -> bool {
    name.ends_with(b"/VERSION") || name.ends_with(b"/json")
}

/// What is needed to take members in.
struct Taking<'a> {
    store: &'a dyn Intake,
    guard: &'a dyn Guard,
    buffer: Vec<u8>,
}

impl Taking<'_> {
    /// Takes the content of a member, and says where it is then.
    fn take(&mut self, content: &mut dyn Read, name: &[u8], size: u64) -> Result<Place> {
        if LISTS.contains(&name) && size <= MANIFEST_LIMIT {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            return Ok(Place::Bytes(bytes));
        }
        let expected = blob_digest(name);
        if let Some(digest) = expected {
            self.guard.extend(&[digest])?;
            if self.store.contains(&Descriptor::new(MediaType::default(), digest, size))? {
                return Ok(Place::Blob(digest));
            }
        }
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let mut unnamed = self.store.take_in(algorithm, size)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(BUFFER, 0);
        loop {
            match content.read(&mut buffer)? {
                0 => break,
                len => buffer = unnamed.take(buffer, len)?,
            }
        }
        self.buffer = buffer;
        let got = unnamed.digest()?;
        match expected {
            Some(expected) if got != expected => {
                return Err(Error::new(ErrorKind::Digest { expected, got }))
                    .context(|| reading_member(name));
            }
            Some(_) => {}
            None => self.guard.extend(&[got])?,
        }
        // It may be there under its digest, which its name did not tell.
        if !self.store.contains(&Descriptor::new(MediaType::default(), got, size))? {
            unnamed.commit()?;
        }
        Ok(Place::Blob(got))
    }
}
