//! Tars made by hand, so that anything can be wrong with them.

use std::ops::Range;

const BLOCK: usize = 512;

/// A tar in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(Vec<u8>);

impl Tar {
    pub(crate) fn new() -> Tar {
        Tar::default()
    }

    /// A file, 0644 and root's.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Tar {
        self.member(&Header::new(name, b'0'), content)
    }

    /// A folder, 0755 and root's.
    pub(crate) fn folder(self, name: &str) -> Tar {
        self.header(&Header::new(name, b'5').mode(0o755))
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Tar {
        self.header(&Header::new(name, b'1').link(target))
    }

    pub(crate) fn symbolic_link(self, name: &str, target: &str) -> Tar {
        self.header(&Header::new(name, b'2').mode(0o777).link(target))
    }

    /// An extended header for the member that follows.
    pub(crate) fn pax<V: AsRef<[u8]>>(self, records: &[(&str, V)]) -> Tar {
        self.member(&Header::new("PaxHeaders/x", b'x'), pax_records(records))
    }

    /// An extended header for all members that follow.
    pub(crate) fn global<V: AsRef<[u8]>>(self, records: &[(&str, V)]) -> Tar {
        self.member(&Header::new("pax_global_header", b'g'), pax_records(records))
    }

    /// GNU's long name for the member that follows.
    pub(crate) fn long_name(self, name: impl AsRef<[u8]>) -> Tar {
        self.member(&Header::gnu("././@LongLink", b'L'), [name.as_ref(), b"\0"].concat())
    }

    /// GNU's long link target for the member that follows.
    pub(crate) fn long_link(self, target: impl AsRef<[u8]>) -> Tar {
        self.member(&Header::gnu("././@LongLink", b'K'), [target.as_ref(), b"\0"].concat())
    }

    /// Any header with its content, and with that content's size.
    pub(crate) fn member(self, header: &Header, content: impl AsRef<[u8]>) -> Tar {
        let content = content.as_ref();
        let mut tar = self.header(&header.clone().size(content.len() as u64)).raw(content);
        tar.0.resize(tar.0.len().next_multiple_of(BLOCK), 0);
        tar
    }

    /// A header as it is, with whatever size it states.
    pub(crate) fn header(self, header: &Header) -> Tar {
        self.raw(header.bytes())
    }

    pub(crate) fn raw(mut self, bytes: impl AsRef<[u8]>) -> Tar {
        self.0.extend(bytes.as_ref());
        self
    }

    /// What there is, without an end.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.0
    }

    /// The tar with its two end blocks.
    pub(crate) fn end(self) -> Vec<u8> {
        self.raw([0; 2 * BLOCK]).0
    }
}

/// `LENGTH KEY=VALUE` for each of them, where the length counts itself.
pub(crate) fn pax_records<V: AsRef<[u8]>>(records: &[(&str, V)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        let value = value.as_ref();
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length += 1;
        }
        bytes.extend(format!("{length} {key}=").as_bytes());
        bytes.extend(value);
        bytes.push(b'\n');
    }
    bytes
}

/// A header of any form. Its checksum is made when it is written.
#[derive(Clone)]
pub(crate) struct Header([u8; BLOCK]);

impl Header {
    pub(crate) const NAME: Range<usize> = 0..100;
    pub(crate) const MODE: Range<usize> = 100..108;
    pub(crate) const UID: Range<usize> = 108..116;
    pub(crate) const GID: Range<usize> = 116..124;
    pub(crate) const SIZE: Range<usize> = 124..136;
    pub(crate) const MTIME: Range<usize> = 136..148;
    pub(crate) const CHECKSUM: Range<usize> = 148..156;
    pub(crate) const TYPE: Range<usize> = 156..157;
    pub(crate) const LINK: Range<usize> = 157..257;
    pub(crate) const MAGIC: Range<usize> = 257..265;
    pub(crate) const MAJOR: Range<usize> = 329..337;
    pub(crate) const MINOR: Range<usize> = 337..345;
    pub(crate) const PREFIX: Range<usize> = 345..500;

    /// POSIX's form, `ustar`.
    pub(crate) fn new(name: impl AsRef<[u8]>, type_flag: u8) -> Header {
        Header::old(name, type_flag)
            .field(Header::MAGIC, b"ustar\x0000")
            .number(Header::MAJOR, 0)
            .number(Header::MINOR, 0)
    }

    /// GNU's form.
    pub(crate) fn gnu(name: impl AsRef<[u8]>, type_flag: u8) -> Header {
        Header::old(name, type_flag).field(Header::MAGIC, b"ustar  \0")
    }

    /// The form of 1979.
    pub(crate) fn old(name: impl AsRef<[u8]>, type_flag: u8) -> Header {
        Header([0; BLOCK])
            .field(Header::NAME, name)
            .field(Header::TYPE, [type_flag])
            .mode(0o644)
            .uid(0)
            .gid(0)
            .size(0)
            .mtime(0)
    }

    pub(crate) fn mode(self, mode: i64) -> Header {
        self.number(Header::MODE, mode)
    }

    pub(crate) fn uid(self, uid: i64) -> Header {
        self.number(Header::UID, uid)
    }

    pub(crate) fn gid(self, gid: i64) -> Header {
        self.number(Header::GID, gid)
    }

    /// In base 256 where octal digits do not hold it, so that it can be anything.
    pub(crate) fn size(self, size: u64) -> Header {
        match i64::try_from(size) {
            Ok(size) => self.number(Header::SIZE, size),
            Err(_) => {
                let field = [&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat();
                self.field(Header::SIZE, field)
            }
        }
    }

    pub(crate) fn mtime(self, seconds: i64) -> Header {
        self.number(Header::MTIME, seconds)
    }

    pub(crate) fn link(self, target: impl AsRef<[u8]>) -> Header {
        self.field(Header::LINK, target)
    }

    /// What stands before the name, in POSIX's form.
    pub(crate) fn prefix(self, prefix: impl AsRef<[u8]>) -> Header {
        self.field(Header::PREFIX, prefix)
    }

    pub(crate) fn device(self, major: i64, minor: i64) -> Header {
        self.number(Header::MAJOR, major).number(Header::MINOR, minor)
    }

    /// Octal digits and a NUL; base 256 for what does not fit.
    pub(crate) fn number(self, field: Range<usize>, number: i64) -> Header {
        let width = field.len();
        let digits = format!("{number:0digits$o}", digits = width - 1);
        if number >= 0 && digits.len() < width {
            return self.field(field, digits + "\0");
        }
        let sign = if number < 0 { 0xff } else { 0 };
        let mut bytes = vec![sign; width.saturating_sub(8)];
        bytes.extend(&number.to_be_bytes()[8_usize.saturating_sub(width)..]);
        bytes[0] = if number < 0 { 0xff } else { 0x80 };
        self.field(field, bytes)
    }

    /// Puts anything into a field; what is left of it is NUL.
    pub(crate) fn field(mut self, field: Range<usize>, bytes: impl AsRef<[u8]>) -> Header {
        let bytes = bytes.as_ref();
        let field = &mut self.0[field];
        field.fill(0);
        field[..bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The header with a checksum that is right.
    pub(crate) fn bytes(&self) -> [u8; BLOCK] {
        let mut bytes = self.0;
        bytes[Header::CHECKSUM].fill(b' ');
        let sum: u32 = bytes.iter().copied().map(u32::from).sum();
        bytes[Header::CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        bytes
    }

    /// Any 512 bytes as a header, to be changed.
    pub(crate) fn of(bytes: &[u8]) -> Header {
        Header(bytes.try_into().unwrap())
    }
}
