use std::io::{self, Read};

use crate::error::{Error, ErrorKind};
use crate::image::{Descriptor, Digest, Hasher};

/// Reads content and fails, instead of ending, unless size and digest are as described.
///
/// Never yields a byte more than the descriptor promises.
pub struct Verify<R> {
    inner: R,
    digest: Digest,
    expected_size: u64,
    size: u64,
    /// Gone once the content has proved right.
    hasher: Option<Hasher>,
}

impl<R: Read> Verify<R> {
    /// Reads what `descriptor` describes from `inner`.
    pub fn new(inner: R, descriptor: &Descriptor) -> Verify<R> {
        Verify {
            inner,
            digest: descriptor.digest,
            expected_size: descriptor.size,
            size: 0,
            hasher: Some(descriptor.digest.algorithm().hasher()),
        }
    }

    fn wrong_size(&self) -> io::Error {
        Error::new(ErrorKind::Size { expected: self.expected_size, got: self.size }).into()
    }
}

impl<R: Read> Read for Verify<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        // One byte more than is left shows content that is too long.
        let left = self.expected_size.saturating_sub(self.size).saturating_add(1);
        let max = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        if max == 0 {
            return Ok(0);
        }
        let len = self.inner.read(&mut buf[..max])?;
        self.size = self.size.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if self.size > self.expected_size || (len == 0 && self.size < self.expected_size) {
            return Err(self.wrong_size());
        }
        hasher.update(&buf[..len]);
        if len == 0
            && let Some(hasher) = self.hasher.take()
        {
            let got = hasher.finish();
            if got != self.digest {
                let expected = self.digest;
                return Err(Error::new(ErrorKind::Digest { expected, got }).into());
            }
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MediaType;

    fn read(content: &[u8], of: &[u8], size: u64) -> crate::error::Result<Vec<u8>> {
        let descriptor = Descriptor::new(MediaType::default(), Digest::of(of), size);
        let mut out = Vec::new();
        Verify::new(content, &descriptor).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn verify_passes_only_what_was_described() {
        assert_eq!(read(b"hello", b"hello", 5).unwrap(), b"hello");
        assert!(matches!(
            read(b"hellO", b"hello", 5).unwrap_err().kind(),
            ErrorKind::Digest { .. }
        ));
        for (content, size) in [(&b"hell"[..], 5), (b"hello!", 5), (b"", 1), (b"a", 0)] {
            let error = read(content, b"hello", size).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Size { .. }), "{error}");
        }
    }

    #[test]
    fn verify_survives_an_absurd_promised_size() {
        assert!(read(b"hello", b"hello", u64::MAX).is_err());
    }
}
