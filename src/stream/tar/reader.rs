use std::io::{self, Read, Seek, SeekFrom};

use super::Member;
use super::block::{self, Block, SIZE};
use super::extended::Extended;
use super::pax::Pax;
use crate::error::{Context, Error, Result};
use crate::printable::printable;

/// Most bytes of a long name: sixteen times what Linux takes for a path.
const NAME_LIMIT: u64 = 64 * 1024;

/// Most bytes of one extended header: room for sixteen attributes of the 64 KiB that Linux takes.
const PAX_LIMIT: u64 = 1024 * 1024;

/// Reads a tar in one pass: its members one after the other, and of each the content.
///
/// A member's content is read through [`Read`]: all of its bytes, or an error that names it. What
/// of it is not read is skipped. An error ends it: nothing more is read after that.
pub struct Reader<R> {
    inner: R,
    forward: Forward<R>,
    /// Position in the tar.
    offset: u64,
    /// Bytes of content that are left of the current member, and bytes after it up to the next
    /// block.
    left: u64,
    padding: u64,
    /// The last member, and the offset of its header.
    path: Vec<u8>,
    header: u64,
    global: Pax,
    state: State,
}

/// How to get past what is not wanted.
struct Forward<R> {
    /// Skips so many bytes, which are more than none; false if there are not so many.
    skip: fn(&mut R, u64) -> io::Result<bool>,
    /// Goes to the end, and says how many bytes that were.
    finish: fn(&mut R) -> io::Result<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// At the end, which has its two blocks or not.
    Ended {
        is_marked: bool,
    },
    Failed,
}

impl<R: Read> Reader<R> {
    /// Reads a tar from anything, such as a pipe.
    pub fn new(inner: R) -> Reader<R> {
        let skip =
            |inner: &mut R, size| Ok(io::copy(&mut inner.take(size), &mut io::sink())? == size);
        let finish = |inner: &mut R| io::copy(inner, &mut io::sink());
        Reader::with(inner, Forward { skip, finish })
    }

    /// Reads a tar from a file: content that is not wanted is not read.
    pub fn seeking(inner: R) -> Reader<R>
    where
        R: Seek,
    {
        Reader::with(inner, Forward { skip: seek_past, finish: seek_end })
    }

    fn with(inner: R, forward: Forward<R>) -> Reader<R> {
        Reader {
            inner,
            forward,
            offset: 0,
            left: 0,
            padding: 0,
            path: Vec::new(),
            header: 0,
            global: Pax::default(),
            state: State::Reading,
        }
    }

    /// The next member, or `None` at the end. What is left of the content of the one before is
    /// skipped.
    ///
    /// A tar ends where its end blocks begin, or where it stops between two members.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        match self.state {
            State::Ended { .. } => return Ok(None),
            State::Failed => return Err(failed()),
            State::Reading => {}
        }
        let member = self.leave().and_then(|()| self.enter());
        if member.is_err() {
            self.state = State::Failed;
        }
        member
    }

    /// Whether both blocks that end a tar were there, once [`next_member`](Reader::next_member)
    /// has come to the end. A tar that is cut off between two members lacks them.
    pub fn is_ended(&self) -> bool {
        self.state == State::Ended { is_marked: true }
    }

    /// Goes to the end of what it reads from, and says how many bytes that were in all. What comes
    /// after the end blocks, or after the last member that was asked for, is not looked at.
    pub fn finish(mut self) -> Result<u64> {
        let rest = (self.forward.finish)(&mut self.inner);
        Ok(self.offset.saturating_add(rest.context(|| "reading the end of the archive")?))
    }

    /// Goes past the current member.
    fn leave(&mut self) -> Result<()> {
        // Neither can overflow: `enter` has checked where the member ends.
        let rest = self.left + self.padding;
        if rest > 0 {
            match (self.forward.skip)(&mut self.inner, rest) {
                Ok(true) => {}
                Ok(false) => return Err(self.in_member(Error::content("the archive ends in it"))),
                Err(error) => return Err(self.in_member(error.into())),
            }
        }
        self.offset += rest;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads headers up to and with that of the next member.
    fn enter(&mut self) -> Result<Option<Member>> {
        let mut extended = Extended::default();
        loop {
            let at = self.offset;
            let block = self.block().map_err(|error| self.in_header(at, error))?;
            let Some(block) = block.filter(|block| !block.is_zero()) else {
                if !extended.is_empty() {
                    let error = Error::content("no member follows an extended header");
                    return Err(self.in_header(at, error));
                }
                // The first of the end blocks, or nothing any more.
                let is_marked = self.offset > at
                    && self.is_marked().context(|| "reading the end of the archive")?;
                self.state = State::Ended { is_marked };
                return Ok(None);
            };
            if !block.is_whole() {
                return Err(self.in_header(at, Error::content("its checksum is wrong")));
            }
            if !self.extend(&block, &mut extended).context(|| about(at))? {
                return self.member(&block, extended, at).map(Some);
            }
        }
    }

    /// Whether a second block of zeros follows the first. What else does is no member either.
    fn is_marked(&mut self) -> Result<bool> {
        let mut second = Vec::with_capacity(SIZE);
        (&mut self.inner).take(SIZE as u64).read_to_end(&mut second)?;
        self.offset += second.len() as u64;
        Ok(second == [0; SIZE])
    }

    /// Takes over what a header says that is about another, if `block` is one.
    fn extend(&mut self, block: &Block, extended: &mut Extended) -> Result<bool> {
        match block.type_flag() {
            b'L' => self.name(block, &mut extended.long_name)?,
            b'K' => self.name(block, &mut extended.long_link)?,
            b'x' if extended.pax.is_some() => return Err(Error::content("a second one in a row")),
            b'x' => {
                let mut pax = self.global.clone();
                pax.update(&self.meta(block, PAX_LIMIT)?).map_err(Error::content)?;
                extended.pax = Some(pax);
            }
            b'g' if !extended.is_empty() => {
                return Err(Error::content("it stands between another and its member"));
            }
            b'g' => {
                let records = self.meta(block, PAX_LIMIT)?;
                self.global.update(&records).map_err(Error::content)?;
                if !self.global.may_be_global() {
                    return Err(Error::content("a name, size or attribute for all members"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn member(&mut self, block: &Block, extended: Extended, at: u64) -> Result<Member> {
        self.path = extended.name(block);
        self.header = at;
        let member = extended.member(block, &self.global, self.offset);
        let member = member.map_err(|what| self.in_member(Error::content(what)))?;
        let padding = padding(member.size);
        let end = member.size.checked_add(padding).and_then(|size| size.checked_add(self.offset));
        if end.is_none_or(|end| i64::try_from(end).is_err()) {
            let what = format!("{} bytes are more than any file has", member.size);
            return Err(self.in_member(Error::content(what)));
        }
        (self.left, self.padding) = (member.size, padding);
        Ok(member)
    }

    /// The next block; `None` if there is nothing more.
    fn block(&mut self) -> Result<Option<Block>> {
        let mut block = Block([0; SIZE]);
        let mut len = 0;
        while len < SIZE {
            match self.inner.read(&mut block.0[len..]) {
                Ok(0) if len == 0 => return Ok(None),
                Ok(0) => return Err(Error::content("the archive ends in it")),
                Ok(more) => len += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.offset += SIZE as u64;
        Ok(Some(block))
    }

    /// A long name or link target, up to its first NUL.
    fn name(&mut self, block: &Block, into: &mut Option<Vec<u8>>) -> Result<()> {
        if into.is_some() {
            return Err(Error::content("a second long name"));
        }
        let content = self.meta(block, NAME_LIMIT)?;
        let name = block::text(&content);
        if name.is_empty() {
            return Err(Error::content("an empty long name"));
        }
        *into = Some(name.to_vec());
        Ok(())
    }

    /// The content of a header that is about another: at most `limit` bytes, in memory.
    fn meta(&mut self, block: &Block, limit: u64) -> Result<Vec<u8>> {
        let size = block.size().map_err(Error::content)?;
        if size > limit {
            return Err(Error::content(format!("expected at most {limit} bytes, got {size}")));
        }
        let padding = padding(size);
        let mut content = Vec::new();
        (&mut self.inner).take(size + padding).read_to_end(&mut content)?;
        let len = content.len() as u64;
        self.offset += len;
        if len < size + padding {
            return Err(Error::content("the archive ends in it"));
        }
        content.truncate(content.len().saturating_sub(usize::try_from(padding).unwrap_or(0)));
        Ok(content)
    }

    /// The error with what header it arose in; headers have no name before they are understood.
    fn in_header(&self, at: u64, error: Error) -> Error {
        error.context(match &self.path[..] {
            [] => format!("reading the header at offset {at}"),
            path => format!("reading the header at offset {at}, after member `{}`", shown(path)),
        })
    }

    /// The error with the current member's name.
    fn in_member(&self, error: Error) -> Error {
        let path = shown(&self.path);
        error.context(format!("reading member `{path}` at offset {}", self.header))
    }
}

impl<R: Read> Read for Reader<R> {
    /// Reads the content of the current member.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.state == State::Failed {
            return Err(failed().into());
        }
        let max = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if max == 0 {
            return Ok(0);
        }
        let error = match self.inner.read(&mut buf[..max]) {
            Ok(0) => {
                Error::content(format!("the archive ends, {} bytes of it are missing", self.left))
            }
            Ok(len) => {
                let read = len as u64;
                self.left -= read;
                self.offset += read;
                return Ok(len);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error.into(),
        };
        self.state = State::Failed;
        Err(self.in_member(error).into())
    }
}

/// How many bytes there are between content of that size and the next block.
fn padding(size: u64) -> u64 {
    let block = SIZE as u64;
    (block - size % block) % block
}

/// What stops a reader for good was told before.
fn failed() -> Error {
    Error::content("the archive is malformed before this")
}

fn about(offset: u64) -> String {
    format!("reading the extended header at offset {offset}")
}

fn shown(path: &[u8]) -> String {
    printable(&String::from_utf8_lossy(path))
}

/// Reads the last of the bytes that are skipped: seeking alone goes beyond the end of a file.
fn seek_past<R: Read + Seek>(inner: &mut R, size: u64) -> io::Result<bool> {
    inner.seek_relative(i64::try_from(size - 1).map_err(io::Error::other)?)?;
    Ok(io::copy(&mut inner.take(1), &mut io::sink())? == 1)
}

fn seek_end<R: Read + Seek>(inner: &mut R) -> io::Result<u64> {
    let here = inner.stream_position()?;
    Ok(inner.seek(SeekFrom::End(0))?.saturating_sub(here))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::error::ErrorKind;
    use crate::stream::tar::{Kind, Time};

    /// A header with a right checksum.
    fn header(name: &str, type_flag: u8, size: u64) -> [u8; SIZE] {
        let mut block = [0; SIZE];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..108].copy_from_slice(b"0000644\0");
        block[108..116].copy_from_slice(b"0001750\0");
        block[116..124].copy_from_slice(b"0000144\0");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[136..148].copy_from_slice(b"14000000000\0");
        block[156] = type_flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        sum(block)
    }

    fn sum(mut block: [u8; SIZE]) -> [u8; SIZE] {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    /// A header with its content.
    fn entry(name: &str, type_flag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = header(name, type_flag, content.len() as u64).to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(SIZE), 0);
        bytes
    }

    fn all(tar: &[u8]) -> Result<Vec<(Member, Vec<u8>)>> {
        let mut reader = Reader::new(tar);
        let mut members = Vec::new();
        while let Some(member) = reader.next_member()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            members.push((member, content));
        }
        Ok(members)
    }

    #[test]
    fn members_come_with_their_content() {
        let tar = [entry("a", b'0', b"hello"), entry("b/", b'5', b""), vec![0; 1024]].concat();
        let members = all(&tar).unwrap();
        assert_eq!(members.len(), 2);
        let (member, content) = &members[0];
        assert_eq!(content, b"hello");
        let expected = Member {
            path: b"a".to_vec(),
            kind: Kind::File,
            size: 5,
            mode: 0o644,
            uid: 1000,
            gid: 100,
            mtime: Time { seconds: 0o14_000_000_000, nanos: 0 },
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            offset: 512,
        };
        assert_eq!(*member, expected);
        assert_eq!((members[1].0.kind, members[1].0.offset), (Kind::Folder, 1536));
    }

    #[test]
    fn content_that_is_not_read_is_skipped_and_counted() {
        let tar =
            [entry("a", b'0', &[1; 1000]), entry("b", b'0', b"second"), vec![0; 1024], vec![7; 99]]
                .concat();
        for mut reader in [Reader::new(Cursor::new(&tar)), Reader::seeking(Cursor::new(&tar))] {
            reader.next_member().unwrap().unwrap();
            reader.read_exact(&mut [0; 10]).unwrap();
            let second = reader.next_member().unwrap().unwrap();
            assert_eq!((&second.path[..], second.offset), (&b"b"[..], 2048));
            let mut content = String::new();
            reader.read_to_string(&mut content).unwrap();
            assert_eq!(content, "second");
            assert!(reader.next_member().unwrap().is_none());
            assert!(reader.is_ended());
            assert_eq!(reader.finish().unwrap(), tar.len() as u64);
        }
    }

    #[test]
    fn truncated_content_is_an_error_that_names_the_member() {
        let tar = entry("etc/motd\x1b", b'0', &[1; 1000]);
        for len in [513, 1000, 1511, 1512, 1535] {
            let mut by_skipping = Reader::new(&tar[..len]);
            by_skipping.next_member().unwrap().unwrap();
            let mut by_seeking = Reader::seeking(Cursor::new(&tar[..len]));
            by_seeking.next_member().unwrap().unwrap();
            let errors = [
                all(&tar[..len]).unwrap_err(),
                by_skipping.next_member().unwrap_err(),
                by_seeking.next_member().unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error.kind(), ErrorKind::Content(_)), "{error}");
                let text = error.to_string();
                assert!(text.starts_with(r"reading member `etc/motd\x1b` at offset 0: "), "{text}");
            }
        }
    }

    #[test]
    fn nothing_is_read_after_an_error() {
        let mut tar = [entry("a", b'0', b""), entry("b", b'0', b""), vec![0; 1024]].concat();
        tar[0] = b'x';
        let mut reader = Reader::new(&tar[..]);
        assert!(reader.next_member().is_err());
        assert!(reader.next_member().is_err());
        assert!(reader.read(&mut [0; 1]).is_err());
    }
}
