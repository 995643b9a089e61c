//! What layers and archives are wrapped in: found by their first bytes, never by a name or media
//! type, which are often wrong.

mod compress;
mod decompress;

pub use compress::Compress;
pub use decompress::Decompress;

use crate::error::{Error, Result};

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, or in no way that is known.
    None,
    /// One or more gzip members.
    Gzip,
    /// One or more zstd frames.
    Zstd,
}

impl Compression {
    /// So many of the first bytes are enough to tell.
    pub const SNIFFED: usize = 10;

    /// How what begins with `head` is compressed.
    ///
    /// # Errors
    ///
    /// bzip2 and xz are recognised to be refused by their names.
    pub fn sniff(head: &[u8]) -> Result<Compression> {
        const BLOCK: &[u8] = b"1AY&SY";
        const END: &[u8] = b"\x17\x72\x45\x38\x50\x90";
        let refused = |name| {
            Err(Error::content(format!(
                "it is compressed with {name}; only gzip and zstd are read"
            )))
        };
        match head {
            [0x1f, 0x8b, 0x08, ..] => Ok(Compression::Gzip),
            // The second is a frame to skip, with which some tools begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                Ok(Compression::Zstd)
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => refused("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', rest @ ..]
                if rest.starts_with(BLOCK) || rest.starts_with(END) =>
            {
                refused("bzip2")
            }
            _ => Ok(Compression::None),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_found_by_the_first_bytes() {
        let check = |head: &[u8], expected| {
            assert_eq!(Compression::sniff(head).unwrap(), expected, "{}", head.escape_ascii());
        };
        check(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", Compression::Gzip);
        check(b"\x28\xb5\x2f\xfd\x24\0", Compression::Zstd);
        check(b"\x50\x2a\x4d\x18\x04\0\0\0", Compression::Zstd);
        check(b"\x5f\x2a\x4d\x18\x04\0\0\0", Compression::Zstd);
        for plain in [&b""[..], b"\x1f\x8b", b"\x1f\x8b\x07", b"./", b"BZh9.tar", b"\xfd7zXZ."] {
            check(plain, Compression::None);
        }
    }

    #[test]
    fn what_is_not_read_is_refused_by_its_name() {
        for (head, name) in [
            (&b"\xfd7zXZ\0\0\x04"[..], "xz"),
            (b"BZh91AY&SY", "bzip2"),
            (b"BZh1\x17\x72\x45\x38\x50\x90", "bzip2"),
        ] {
            let text = Compression::sniff(head).unwrap_err().to_string();
            assert_eq!(text, format!("it is compressed with {name}; only gzip and zstd are read"));
        }
    }
}
