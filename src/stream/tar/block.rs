use std::ops::Range;

use super::number;

/// What a tar is made of: everything begins at a multiple of it.
pub(super) const SIZE: usize = 512;

/// Where the fields are, in all of the forms: of 1979, POSIX's `ustar`, and GNU's.
///
/// Spec: [ustar interchange format][spec].
///
/// [spec]: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const LENGTH: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;

/// A block that should be a header.
pub(super) struct Block(pub(super) [u8; SIZE]);

impl Block {
    /// Whether it is one of those that end a tar.
    pub(super) fn is_zero(&self) -> bool {
        self.0.iter().all(|&byte| byte == 0)
    }

    /// Whether the header's checksum is right: the sum of its bytes, the checksum itself taken as
    /// spaces. Some old tars have added up signed bytes.
    pub(super) fn is_whole(&self) -> bool {
        let byte = |(index, &byte)| if CHECKSUM.contains(&index) { b' ' } else { byte };
        let bytes = || self.0.iter().enumerate().map(byte);
        let unsigned: i64 = bytes().map(i64::from).sum();
        let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
        let stated = number::field(&self.0[CHECKSUM]);
        stated == Some(unsigned) || stated == Some(signed)
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[TYPE]
    }

    /// The name; of POSIX's form with what stands before it, which GNU's uses for something else.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[NAME]);
        match text(&self.0[PREFIX]) {
            prefix if !prefix.is_empty() && &self.0[MAGIC] == b"ustar\0" => {
                [prefix, b"/", name].concat()
            }
            _ => name.to_vec(),
        }
    }

    pub(super) fn link(&self) -> &[u8] {
        text(&self.0[LINK])
    }

    pub(super) fn size(&self) -> Result<u64, &'static str> {
        unsigned(&self.0[LENGTH]).ok_or("malformed size")
    }

    /// The twelve bits of permissions; some tars have the type above them.
    pub(super) fn mode(&self) -> Result<u32, &'static str> {
        let mode = unsigned(&self.0[MODE]).map(|mode| mode & 0o7777);
        mode.and_then(|mode| u32::try_from(mode).ok()).ok_or("malformed mode")
    }

    pub(super) fn uid(&self) -> Result<u64, &'static str> {
        unsigned(&self.0[UID]).ok_or("malformed owner")
    }

    pub(super) fn gid(&self) -> Result<u64, &'static str> {
        unsigned(&self.0[GID]).ok_or("malformed group")
    }

    /// Seconds since 1970.
    pub(super) fn mtime(&self) -> Result<i64, &'static str> {
        number::field(&self.0[MTIME]).ok_or("malformed time")
    }

    /// Major and minor number, which the oldest form has no fields for.
    pub(super) fn device(&self) -> Result<(u32, u32), &'static str> {
        if !self.0[MAGIC].starts_with(b"ustar") {
            return Ok((0, 0));
        }
        let number = |field: Range<usize>| u32::try_from(number::field(&self.0[field])?).ok();
        number(MAJOR).zip(number(MINOR)).ok_or("malformed device number")
    }
}

/// What is in a field before the first NUL, if there is one.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn unsigned(field: &[u8]) -> Option<u64> {
    u64::try_from(number::field(field)?).ok()
}
