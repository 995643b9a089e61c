use std::io::{self, Read};

use super::message::Content;
use crate::error::Error;

/// What is being uploaded, request after request.
///
/// Its last byte is not given before the end behind it was seen: content that verifies itself fails
/// there, and then no request is ever complete.
pub(super) struct Outgoing<'a> {
    content: &'a mut dyn Read,
    /// Bytes that have not been given yet.
    left: u64,
    /// Of these, those of the request under way.
    part: u64,
    len: u64,
}

impl<'a> Outgoing<'a> {
    /// `content`, of which `left` bytes are to come.
    pub(super) fn new(content: &'a mut dyn Read, left: u64) -> Outgoing<'a> {
        Outgoing { content, left, part: 0, len: 0 }
    }

    /// Bytes that have not been given yet.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Begins with a request that takes the next `len` bytes, or all that are left.
    pub(super) fn begin(&mut self, len: u64) -> u64 {
        self.part = len.min(self.left);
        self.len = self.part;
        self.part
    }

    /// Fails unless the content ends here, and ends well.
    pub(super) fn check_end(&mut self) -> io::Result<()> {
        match self.content.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(Error::content("there is more of it than expected").into()),
        }
    }
}

/// What the request under way takes.
impl Content for Outgoing<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn is_untouched(&self) -> bool {
        self.part == self.len
    }
}

impl Read for Outgoing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.part == 0 || buf.is_empty() {
            return Ok(0);
        }
        let ready = if self.left > 1 { self.left - 1 } else { 1 };
        let max = usize::try_from(self.part.min(ready)).unwrap_or(usize::MAX).min(buf.len());
        let count = self.content.read(&mut buf[..max])?;
        if count == 0 {
            let message = format!("it ends {} bytes too soon", self.left);
            return Err(Error::content(message).into());
        }
        let given = u64::try_from(count).unwrap_or(self.part);
        self.part -= given;
        self.left -= given;
        if self.left == 0 {
            self.check_end()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Descriptor, Digest, MediaType};
    use crate::stream::Verify;

    fn verified(content: &'static [u8], of: &[u8]) -> Verify<&'static [u8]> {
        let size = u64::try_from(of.len()).unwrap();
        Verify::new(content, &Descriptor::new(MediaType::default(), Digest::of(of), size))
    }

    #[test]
    fn content_is_given_in_parts_and_whole() {
        let mut content = verified(b"hello", b"hello");
        let mut content = Outgoing::new(&mut content, 5);
        let mut parts = Vec::new();
        while content.left() > 0 {
            assert_eq!(content.begin(2), content.len());
            assert!(content.is_untouched());
            let mut part = Vec::new();
            content.read_to_end(&mut part).unwrap();
            assert!(!content.is_untouched());
            parts.push(part);
        }
        assert_eq!(parts, [&b"he"[..], b"ll", b"o"]);
    }

    #[test]
    fn last_byte_of_what_is_wrong_is_never_given() {
        for (content, given) in [(&b"hellO"[..], 4), (b"hell", 4), (b"hello!", 4), (b"", 0)] {
            let mut wrong = verified(content, b"hello");
            let mut wrong = Outgoing::new(&mut wrong, 5);
            wrong.begin(u64::MAX);
            let mut read = Vec::new();
            assert!(wrong.read_to_end(&mut read).is_err());
            assert_eq!(read.len(), given, "{content:?}");
        }
        assert!(Outgoing::new(&mut verified(b"", b""), 0).check_end().is_ok());
        assert!(Outgoing::new(&mut verified(b"a", b""), 0).check_end().is_err());
    }
}
