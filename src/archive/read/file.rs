use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use super::contents::{Contents, Holder};
use super::members::{Entry, Held, LinkKind, Members, Place, clean, link_target};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::stream::compression::Compression;
use crate::stream::tar::{Kind, Member, Reader};

/// How many bytes are read at a time between one header and the next.
const BUFFER: usize = 4096;

/// As many first bytes as tell what something is.
pub(super) const START: u64 = 512;

/// What a file is.
pub(super) enum Indexed {
    /// A tar, and where in it everything is.
    Plain(Contents<'static>),
    /// Compressed as a whole, so that it can only be read from its start.
    Compressed(File),
}

/// Goes through the headers of the archive in `file`.
pub(super) fn index(mut file: File) -> Result<Indexed> {
    let mut start = Vec::new();
    let read = (&file).take(START).read_to_end(&mut start);
    read.context(|| "reading the archive")?;
    file.seek(SeekFrom::Start(0)).context(|| "reading the archive")?;
    check_start(&start)?;
    if Compression::sniff(&start)? != Compression::None {
        return Ok(Indexed::Compressed(file));
    }
    let mut members = Members::default();
    let mut reader = Reader::seeking(BufReader::with_capacity(BUFFER, &file));
    loop {
        let next = reader.next_member();
        let Some(member) = next.map_err(|error| no_tar(error, &start, members.is_empty()))? else {
            break;
        };
        let place = Place::At(member.offset);
        let size = member.size;
        insert(&mut members, &member, Entry::File(Held { size, place }))?;
    }
    members.check_links()?;
    Ok(Indexed::Plain(Contents { members, holder: Holder::File(Arc::new(file)) }))
}

/// Takes note of a member; `content` is what it holds if it is a file.
pub(super) fn insert(members: &mut Members, member: &Member, content: Entry) -> Result<()> {
    let name = clean(&member.path)?;
    let entry = match member.kind {
        Kind::Folder => return Ok(()),
        Kind::File => content,
        Kind::SymbolicLink => Entry::Link(link_target(&name, &member.link, LinkKind::Symbolic)?),
        Kind::HardLink => Entry::Link(link_target(&name, &member.link, LinkKind::Hard)?),
        _ => Entry::Other,
    };
    members.insert(name, entry)
}

/// Fails if there is nothing at all.
pub(super) fn check_start(start: &[u8]) -> Result<()> {
    match start.is_empty() {
        true => Err(Error::content("expected an image archive, it is empty")),
        false => Ok(()),
    }
}

/// Says of an error in the first header what there is instead of a tar.
pub(super) fn no_tar(error: Error, start: &[u8], is_first: bool) -> Error {
    if !is_first || !matches!(error.kind(), ErrorKind::Content(_)) {
        return error;
    }
    let looks_like_tar = start.get(257..262) == Some(b"ustar");
    match looks_like_tar {
        true => error,
        false => Error::content(format!("expected a tar, got {}", kind_of(start))),
    }
}

/// What begins with these bytes.
fn kind_of(start: &[u8]) -> String {
    let known: [(&[u8], &str); 7] = [
        (b"\x7fELF", "a program"),
        (b"PK\x03\x04", "a zip"),
        (b"hsqs", "a squashfs"),
        (b"{", "JSON"),
        (b"[", "JSON"),
        (b"<", "HTML or XML"),
        (b"070701", "a cpio"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| start.starts_with(magic)) {
        return (*name).to_owned();
    }
    if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return "text".to_owned();
    }
    format!("something that begins with the bytes {}", hex::encode(&start[..start.len().min(8)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tar_is_said() {
        let said = |start: &[u8]| no_tar(Error::content("x"), start, true).to_string();
        assert_eq!(said(b"hello\n"), "expected a tar, got text");
        assert_eq!(said(b"\x7fELF\0"), "expected a tar, got a program");
        assert_eq!(
            said(b"\x01\x02\xff"),
            "expected a tar, got something that begins with the bytes 0102ff"
        );
        assert_eq!(no_tar(Error::content("x"), b"", false).to_string(), "x");
    }
}
