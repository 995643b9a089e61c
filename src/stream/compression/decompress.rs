use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::{FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Unzstd, Operation};

use super::Compression;
use crate::error::{Context, Error, Result};

/// How many bytes are read at a time.
const BUFFER: usize = 64 * 1024;

/// Windows of zstd may have two to the power of this bytes: 128 MiB, what its own tool takes
/// unless told otherwise.
const WINDOW_LOG_LIMIT: u32 = 27;

/// Reads what is gzip, zstd or neither, and gives what is in it.
///
/// Reads to the end of what is inside: all gzip members and zstd frames, one after the other.
/// Zeros after the last gzip member are passed over, as real layers have them. Anything else that
/// follows, truncated streams and wrong checksums are errors, [content](crate::error::ErrorKind)
/// that is wrong. Errors of what it reads from come out as they went in.
///
/// It holds 64 KiB and what the format needs: 32 KiB of gzip, and a window of zstd, which has
/// 128 MiB at the most. Large reads of what is not compressed are not copied.
pub struct Decompress<R> {
    inner: BufReader<Chain<Cursor<Vec<u8>>, R>>,
    compression: Compression,
    decoder: Decoder,
    state: State,
}

enum Decoder {
    None,
    Gzip(flate2::Decompress),
    Zstd(Unzstd<'static>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Inside a member or frame.
    Inside,
    /// Before the first, or after one.
    Between,
    /// In the zeros after the last gzip member.
    Zeros,
    Ended,
    Failed,
}

/// What one call of a decoder did.
struct Step {
    consumed: usize,
    produced: usize,
    /// A member or frame is complete.
    is_end: bool,
}

impl<R: Read> Decompress<R> {
    /// Reads the first bytes of `inner` to see what it is.
    ///
    /// Fails if it is compressed in a way that is recognised and not read, such as xz.
    pub fn new(mut inner: R) -> Result<Decompress<R>> {
        let mut head = Vec::with_capacity(Compression::SNIFFED);
        (&mut inner).take(Compression::SNIFFED as u64).read_to_end(&mut head)?;
        let compression = Compression::sniff(&head)?;
        let decoder = match compression {
            Compression::None => Decoder::None,
            Compression::Gzip => Decoder::gzip(),
            Compression::Zstd => Decoder::zstd()?,
        };
        let inner = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(inner));
        Ok(Decompress { inner, compression, decoder, state: State::Between })
    }

    /// What was found.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Decompresses something into `buf`, which is not empty; nothing only at the end.
    fn inflate(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.state {
            State::Ended => return Ok(0),
            State::Failed => return Err(self.wrong("it is malformed before this")),
            State::Inside | State::Between | State::Zeros => {}
        }
        loop {
            let input = self.inner.fill_buf()?;
            let is_over = input.is_empty();
            match (self.state, &self.decoder) {
                (State::Between | State::Zeros, _) if is_over => {
                    self.state = State::Ended;
                    return Ok(0);
                }
                (State::Between | State::Zeros, Decoder::Gzip(_)) if input[0] == 0 => {
                    let zeros = input.iter().take_while(|&&byte| byte == 0).count();
                    self.inner.consume(zeros);
                    self.state = State::Zeros;
                    continue;
                }
                (State::Zeros, _) => return Err(self.fail("bytes follow that do not belong to it")),
                (State::Between, Decoder::Gzip(_)) if input[0] != 0x1f => {
                    return Err(self.fail("bytes follow that do not belong to it"));
                }
                (State::Between, Decoder::Gzip(_)) => self.decoder = Decoder::gzip(),
                _ => {}
            }
            self.state = State::Inside;
            let step = match self.decoder.step(self.inner.buffer(), buf) {
                Ok(step) => step,
                Err(what) => return Err(self.fail(&what)),
            };
            self.inner.consume(step.consumed);
            if step.is_end {
                self.state = State::Between;
            } else if is_over && step.produced == 0 {
                return Err(self.fail("it is truncated"));
            } else if step.consumed == 0 && step.produced == 0 {
                return Err(self.fail("it leads nowhere"));
            }
            if step.produced > 0 {
                return Ok(step.produced);
            }
        }
    }

    fn fail(&mut self, what: &str) -> io::Error {
        self.state = State::Failed;
        self.wrong(what)
    }

    fn wrong(&self, what: &str) -> io::Error {
        Error::content(format!("malformed {}: {what}", self.compression.name())).into()
    }
}

impl<R: Read> Read for Decompress<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.decoder {
            Decoder::None => self.inner.read(buf),
            _ if buf.is_empty() => Ok(0),
            _ => self.inflate(buf),
        }
    }
}

impl Decoder {
    fn gzip() -> Decoder {
        // The largest window that there is.
        Decoder::Gzip(flate2::Decompress::new_gzip(15))
    }

    fn zstd() -> Result<Decoder> {
        let mut decoder = Unzstd::new().context(|| "preparing to read zstd")?;
        decoder
            .set_parameter(DParameter::WindowLogMax(WINDOW_LOG_LIMIT))
            .context(|| "preparing to read zstd")?;
        Ok(Decoder::Zstd(decoder))
    }

    /// Takes from `input` and gives to `output` as much as it can; on failure says why.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match self {
            Decoder::None => Ok(Step { consumed: 0, produced: 0, is_end: true }),
            Decoder::Gzip(decoder) => {
                let (taken, given) = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(input, output, FlushDecompress::None);
                let status = status.map_err(|error| match error.message() {
                    Some("incorrect data check") => "wrong checksum".to_owned(),
                    Some("incorrect length check") => "wrong length".to_owned(),
                    other => other.unwrap_or("corrupt data").to_owned(),
                })?;
                let since = |now: u64, before| usize::try_from(now - before).unwrap_or(usize::MAX);
                Ok(Step {
                    consumed: since(decoder.total_in(), taken),
                    produced: since(decoder.total_out(), given),
                    is_end: status == Status::StreamEnd,
                })
            }
            Decoder::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output);
                let status = status.map_err(|error| error.to_string().to_ascii_lowercase())?;
                Ok(Step {
                    consumed: status.bytes_read,
                    produced: status.bytes_written,
                    is_end: status.remaining == 0,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::error::{ErrorKind, Fault};
    use crate::stream::compression::Compress;

    fn compressed(content: &[u8], compression: Compression) -> Vec<u8> {
        let mut compress = Compress::new(Vec::new(), compression).unwrap();
        compress.write_all(content).unwrap();
        compress.finish().unwrap()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        compressed(content, Compression::Gzip)
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        compressed(content, Compression::Zstd)
    }

    /// A frame with that window and one raw block, as its specification has it.
    fn frame(window_log: u8, content: &[u8]) -> Vec<u8> {
        let header = u32::try_from(content.len()).unwrap() << 3 | 1;
        let mut frame = b"\x28\xb5\x2f\xfd\0".to_vec();
        frame.push((window_log - 10) << 3);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(content);
        frame
    }

    /// Reads it with buffers of that size from what gives as many bytes at a time.
    fn read_by(bytes: &[u8], size: usize) -> Result<Vec<u8>> {
        struct Dribble<'a>(&'a [u8], usize);
        impl Read for Dribble<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let len = self.1.min(buf.len());
                self.0.read(&mut buf[..len])
            }
        }
        let mut decompress = Decompress::new(Dribble(bytes, size))?;
        let (mut content, mut buf) = (Vec::new(), vec![0; size]);
        loop {
            match decompress.read(&mut buf)? {
                0 => return Ok(content),
                len => content.extend(&buf[..len]),
            }
        }
    }

    #[track_caller]
    fn gives(bytes: &[u8], expected: &[u8]) {
        for size in [1, 7, 100_000] {
            assert_eq!(
                read_by(bytes, size).unwrap().escape_ascii().to_string(),
                expected.escape_ascii().to_string()
            );
        }
    }

    #[track_caller]
    fn fails(bytes: &[u8], expected: &str) {
        for size in [1, 7, 100_000] {
            let error = read_by(bytes, size).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Content(_)));
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn what_is_not_compressed_comes_as_it_is() {
        for content in [&b""[..], b"a", b"hello hello hello", &[7; 200_000]] {
            gives(content, content);
        }
    }

    #[test]
    fn gzip_members_are_read_one_after_the_other() {
        let members = [gzip(b"hello "), gzip(b""), gzip(b"world"), gzip(&[b'!'; 3])].concat();
        gives(&members, b"hello world!!!");
        gives(&[members, vec![0; 1000]].concat(), b"hello world!!!");
    }

    #[test]
    fn gzip_headers_with_name_and_comment_are_passed_over() {
        let mut encoder = flate2::GzBuilder::new()
            .filename("a.tar")
            .comment("b")
            .extra(*b"cc")
            .mtime(1)
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"hello").unwrap();
        gives(&encoder.finish().unwrap(), b"hello");
    }

    #[test]
    fn bytes_after_gzip_are_refused() {
        let zeros = [gzip(b"a"), vec![0; 9], gzip(b"b")].concat();
        fails(&zeros, "malformed gzip: bytes follow that do not belong to it");
        let junk = [gzip(b"a"), b"junk".to_vec()].concat();
        fails(&junk, "malformed gzip: bytes follow that do not belong to it");
        let other = [gzip(b"a"), b"\x1fjunk".to_vec()].concat();
        fails(&other, "malformed gzip: incorrect header check");
    }

    #[test]
    fn gzip_is_checked() {
        let good = gzip(b"hello hello");
        let flip = |from_end: usize| {
            let mut bad = good.clone();
            let at = bad.len() - from_end;
            bad[at] ^= 1;
            bad
        };
        fails(&flip(8), "malformed gzip: wrong checksum");
        fails(&flip(1), "malformed gzip: wrong length");
        // A type of block that is not defined.
        fails(&[&good[..10], &[7]].concat(), "malformed gzip: invalid block type");
    }

    #[test]
    fn gzip_that_is_cut_anywhere_is_truncated() {
        let good = [gzip(b"hello"), gzip(&Vec::from_iter(0..=255))].concat();
        let first = gzip(b"hello").len();
        for len in 3..good.len() {
            match len == first {
                true => gives(&good[..len], b"hello"),
                false => fails(&good[..len], "malformed gzip: it is truncated"),
            }
        }
    }

    #[test]
    fn zstd_frames_are_read_one_after_the_other() {
        let skippable = b"\x5a\x2a\x4d\x18\x03\0\0\0abc";
        let frames =
            [&skippable[..], &zstd(b"hello "), &zstd(b""), skippable, &zstd(b"world"), skippable];
        gives(&frames.concat(), b"hello world");
        gives(skippable, b"");
    }

    #[test]
    fn zstd_is_checked() {
        let mut bad = zstd(b"hello");
        *bad.last_mut().unwrap() ^= 1;
        fails(&bad, "malformed zstd: restored data doesn't match checksum");
        let junk = [zstd(b"a"), b"junk junk".to_vec()].concat();
        fails(&junk, "malformed zstd: unknown frame descriptor");
    }

    #[test]
    fn zstd_that_is_cut_anywhere_is_truncated() {
        let good = [zstd(b"hello"), zstd(&Vec::from_iter(0..=255))].concat();
        let first = zstd(b"hello").len();
        for len in 4..good.len() {
            match len == first {
                true => gives(&good[..len], b"hello"),
                false => fails(&good[..len], "malformed zstd: it is truncated"),
            }
        }
    }

    #[test]
    fn zstd_windows_of_more_than_128_mib_are_refused() {
        gives(&frame(27, b"hello"), b"hello");
        fails(&frame(28, b"hello"), "malformed zstd: frame requires too much memory for decoding");
    }

    #[test]
    fn nothing_is_read_after_an_error() {
        let junk = [gzip(b"a"), b"junk".to_vec()].concat();
        let mut decompress = Decompress::new(&junk[..]).unwrap();
        assert!(decompress.read_to_end(&mut Vec::new()).is_err());
        assert!(decompress.read(&mut [0; 1]).is_err());
    }

    #[test]
    fn errors_from_below_come_out_as_they_went_in() {
        struct Cut<'a>(&'a [u8]);
        impl Read for Cut<'_> {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                match self.0.read(buf)? {
                    0 => Err(Error::network(Fault::Cut, "the connection was cut").into()),
                    len => Ok(len),
                }
            }
        }
        for bytes in [gzip(b"hello"), zstd(b"hello"), b"hello hello".to_vec()] {
            let mut decompress = Decompress::new(Cut(&bytes[..bytes.len()])).unwrap();
            let error = Error::from(decompress.read_to_end(&mut Vec::new()).unwrap_err());
            assert!(
                matches!(error.kind(), ErrorKind::Network { fault: Fault::Cut, .. }),
                "{error}"
            );
        }
    }
}
