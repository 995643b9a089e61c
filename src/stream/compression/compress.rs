use std::io::{self, Write};

use flate2::{FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder as Zstd, InBuffer, Operation, OutBuffer};

use super::Compression;
use crate::error::{Context, Result};

/// How many bytes are written at a time.
const BUFFER: usize = 64 * 1024;

/// What both tools take unless told otherwise. Fixed: the same content gives the same bytes.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// Compresses what is written to it. The same content gives the same bytes at any time: neither a
/// time nor a name is in them.
///
/// What is not [finished](Compress::finish) stays recognisably incomplete.
pub struct Compress<W> {
    inner: W,
    encoder: Encoder,
    buffer: Vec<u8>,
}

enum Encoder {
    None,
    Gzip(flate2::Compress),
    Zstd(Zstd<'static>),
}

/// What one call of an encoder did.
struct Step {
    consumed: usize,
    produced: usize,
    is_end: bool,
}

impl<W: Write> Compress<W> {
    /// Writes to `inner` what is compressed that way.
    pub fn new(inner: W, compression: Compression) -> Result<Compress<W>> {
        let (encoder, size) = match compression {
            Compression::None => (Encoder::None, 0),
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                (Encoder::Gzip(flate2::Compress::new_gzip(level, 15)), BUFFER)
            }
            Compression::Zstd => {
                let step = || "preparing to write zstd";
                let mut encoder = Zstd::new(ZSTD_LEVEL).context(step)?;
                encoder.set_parameter(CParameter::ChecksumFlag(true)).context(step)?;
                (Encoder::Zstd(encoder), BUFFER)
            }
        };
        Ok(Compress { inner, encoder, buffer: vec![0; size] })
    }

    /// Writes the end, and gives back what was written to.
    pub fn finish(mut self) -> Result<W> {
        loop {
            let step = self.encoder.finish(&mut self.buffer)?;
            self.inner.write_all(&self.buffer[..step.produced])?;
            if step.is_end {
                return Ok(self.inner);
            }
        }
    }
}

impl<W: Write> Write for Compress<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if let Encoder::None = self.encoder {
            return self.inner.write(buf);
        }
        while !buf.is_empty() {
            let step = self.encoder.step(buf, &mut self.buffer)?;
            self.inner.write_all(&self.buffer[..step.produced])?;
            if step.consumed > 0 {
                return Ok(step.consumed);
            }
        }
        Ok(0)
    }

    /// Passes on what has been compressed so far; the rest waits for more.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Encoder {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<Step> {
        match self {
            Encoder::None => Ok(Step { consumed: 0, produced: 0, is_end: true }),
            Encoder::Gzip(encoder) => gzip(encoder, input, output, FlushCompress::None),
            Encoder::Zstd(encoder) => {
                let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(output));
                encoder.run(&mut input, &mut output)?;
                Ok(Step { consumed: input.pos(), produced: output.pos(), is_end: false })
            }
        }
    }

    fn finish(&mut self, output: &mut [u8]) -> io::Result<Step> {
        match self {
            Encoder::None => Ok(Step { consumed: 0, produced: 0, is_end: true }),
            Encoder::Gzip(encoder) => gzip(encoder, &[], output, FlushCompress::Finish),
            Encoder::Zstd(encoder) => {
                let mut output = OutBuffer::around(output);
                let left = encoder.finish(&mut output, false)?;
                Ok(Step { consumed: 0, produced: output.pos(), is_end: left == 0 })
            }
        }
    }
}

fn gzip(
    encoder: &mut flate2::Compress,
    input: &[u8],
    output: &mut [u8],
    flush: FlushCompress,
) -> io::Result<Step> {
    let (taken, given) = (encoder.total_in(), encoder.total_out());
    let status = encoder.compress(input, output, flush)?;
    let since = |now: u64, before| usize::try_from(now - before).unwrap_or(usize::MAX);
    Ok(Step {
        consumed: since(encoder.total_in(), taken),
        produced: since(encoder.total_out(), given),
        is_end: status == Status::StreamEnd,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::stream::compression::Decompress;

    const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

    /// Something with repetitions, that is bigger than any buffer.
    fn content() -> Vec<u8> {
        (0..300_000_u32)
            .flat_map(|number| (number.wrapping_mul(number) / 1000).to_le_bytes())
            .collect()
    }

    fn written(content: &[u8], compression: Compression, piece: usize) -> Vec<u8> {
        let mut compress = Compress::new(Vec::new(), compression).unwrap();
        for piece in content.chunks(piece) {
            compress.write_all(piece).unwrap();
        }
        compress.flush().unwrap();
        compress.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_can_be_read_again() {
        for compression in ALL {
            for content in [&b""[..], b"hello", &content()] {
                let bytes = written(content, compression, 10_000);
                let mut read = Vec::new();
                let mut decompress = Decompress::new(&bytes[..]).unwrap();
                assert_eq!(decompress.compression(), compression);
                decompress.read_to_end(&mut read).unwrap();
                assert!(read == content, "{compression:?}");
            }
        }
    }

    #[test]
    fn the_same_content_gives_the_same_bytes_however_it_is_written() {
        for compression in ALL {
            let whole = written(&content(), compression, usize::MAX);
            for piece in [1, 511, 65_536, 100_001] {
                let pieces = written(&content(), compression, piece);
                assert!(pieces == whole, "{compression:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn gzip_has_neither_time_nor_name() {
        let bytes = written(b"hello", Compression::Gzip, 5);
        assert_eq!(bytes[..10], *b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    }

    #[test]
    fn what_is_not_finished_is_recognisably_incomplete() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let mut bytes = Vec::new();
            let mut compress = Compress::new(&mut bytes, compression).unwrap();
            compress.write_all(&content()).unwrap();
            drop(compress);
            assert!(!bytes.is_empty());
            let mut decompress = Decompress::new(&bytes[..]).unwrap();
            let error = decompress.read_to_end(&mut Vec::new()).unwrap_err();
            assert!(error.to_string().ends_with("it is truncated"), "{error}");
        }
    }
}
