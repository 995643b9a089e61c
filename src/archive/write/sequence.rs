use std::io::{self, Write};

use super::contents::{Content, Contents};
use super::header::{END, padding};
use crate::error::{Context, ErrorKind, Result};
use crate::image::Descriptor;

impl Contents {
    /// Writes the archive to `out`, from its first to its last byte. `send` writes the content of
    /// a blob; errors of writing name `place`.
    ///
    /// When anything fails, the archive has no end: no reader takes it for complete.
    pub fn write(
        &self,
        out: &mut dyn Write,
        place: &str,
        mut send: impl FnMut(&Descriptor, &mut dyn Write) -> Result<()>,
    ) -> Result<()> {
        let mut out = Counted { inner: out, place, count: 0 };
        for member in &self.members {
            out.write_all(&member.header)?;
            let size = member.content.size();
            match &member.content {
                Content::Bytes(bytes) => out.write_all(bytes)?,
                Content::Blob(blob) => {
                    let before = out.count;
                    send(blob, &mut out)?;
                    let got = out.count - before;
                    if got != size {
                        return Err(ErrorKind::Size { expected: size, got }.into());
                    }
                }
            }
            let padding = usize::try_from(padding(size)).unwrap_or(0);
            out.write_all(&END[..padding])?;
        }
        out.write_all(&END)?;
        Ok(out.flush()?)
    }
}

/// Counts what is written, and says where when that fails.
struct Counted<'a> {
    inner: &'a mut dyn Write,
    place: &'a str,
    count: u64,
}

impl Counted<'_> {
    fn told<T>(&self, written: io::Result<T>) -> io::Result<T> {
        // Who interrupts a write asks for it again.
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            written => Ok(written.context(|| format!("writing {}", self.place))?),
        }
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        let written = self.told(written)?;
        self.count = self.count.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.told(flushed)
    }
}
