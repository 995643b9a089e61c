use std::io::{self, Read};

use super::catalogue::Watch;
use super::contents::Contents;
use super::members::{Held, Place};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Descriptor, Digest, Hasher, MediaType};
use crate::stream::compression::{Compression, Decompress};

/// Most bytes that a layer may have when it is inflated: 64 GiB, more than any image has.
const INFLATED_LIMIT: u64 = 64 * 1024 * 1024 * 1024;

/// How many bytes are hashed at a time.
const BUFFER: usize = 64 * 1024;

/// What the bytes of a layer come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The digest of the layer as it is.
    pub(super) digest: Digest,
    pub(super) compression: Compression,
    /// The digest of what it is when it is inflated, if somebody has looked.
    pub(super) diff_id: Option<Digest>,
}

/// Describes the layer that is in that member and must have that diff id, by its first bytes.
///
/// Of a layer that is not compressed, the digest is the diff id; whoever stores it verifies that.
/// One that is compressed is read and inflated.
pub(super) fn describe(
    contents: &Contents<'_>,
    (name, held): (&[u8], &Held),
    diff_id: Digest,
    watch: Watch<'_>,
) -> Result<Descriptor> {
    let got = match &held.place {
        Place::Passed(facts) => *facts,
        _ => {
            let compression = sniff(contents, name, held)?;
            let known = match held.place {
                Place::At(_) | Place::InFolder => Some(diff_id),
                Place::Blob(digest) if digest.algorithm() == diff_id.algorithm() => Some(digest),
                _ => None,
            };
            match (compression, known) {
                (Compression::None, Some(digest)) => {
                    Facts { digest, compression, diff_id: Some(digest) }
                }
                _ => {
                    let content = contents.open(name, held, 0..held.size)?;
                    let algorithms = (Algorithm::Sha256, diff_id.algorithm());
                    look(Box::new(Watched { inner: content, watch }), algorithms)?
                }
            }
        }
    };
    if let Some(got) = got.diff_id
        && got != diff_id
    {
        let expected = diff_id;
        return Err(Error::new(ErrorKind::Digest { expected, got })).context(|| "inflating it");
    }
    Ok(Descriptor::new(MediaType::new(media_type(got.compression)), got.digest, held.size))
}

fn sniff(contents: &Contents<'_>, name: &[u8], held: &Held) -> Result<Compression> {
    let mut start = Vec::new();
    contents.open(name, held, 0..Compression::SNIFFED as u64)?.read_to_end(&mut start)?;
    Compression::sniff(&start)
}

/// Reads a layer to its end, hashing it as it is and inflated.
pub(super) fn look<R: Read>(content: R, algorithms: (Algorithm, Algorithm)) -> Result<Facts> {
    let mut raw = Hashed { inner: content, hasher: algorithms.0.hasher() };
    let mut inflated = Decompress::new(&mut raw)?;
    let compression = inflated.compression();
    let mut hasher = algorithms.1.hasher();
    let mut buffer = vec![0; BUFFER];
    let mut size: u64 = 0;
    loop {
        let len = match inflated.read(&mut buffer) {
            Ok(0) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        size = size.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if size > INFLATED_LIMIT {
            let message = format!("expected at most {INFLATED_LIMIT} bytes inflated, got more");
            return Err(Error::content(message));
        }
        hasher.update(&buffer[..len]);
    }
    drop(inflated);
    io::copy(&mut raw, &mut io::sink())?;
    let diff_id = Some(hasher.finish());
    Ok(Facts { digest: raw.hasher.finish(), compression, diff_id })
}

/// The same without inflating it.
pub(super) fn hash<R: Read>(mut content: R, algorithm: Algorithm) -> Result<Facts> {
    let mut buffer = vec![0; BUFFER];
    let mut start = Vec::new();
    content.by_ref().take(Compression::SNIFFED as u64).read_to_end(&mut start)?;
    let mut hasher = algorithm.hasher();
    hasher.update(&start);
    // What is compressed in another way is no layer, and that may be right.
    let compression = Compression::sniff(&start).unwrap_or(Compression::None);
    loop {
        match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => hasher.update(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let digest = hasher.finish();
    let diff_id = (compression == Compression::None).then_some(digest);
    Ok(Facts { digest, compression, diff_id })
}

fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// Hashes what is read.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hasher.update(&buf[..len]);
        Ok(len)
    }
}

/// Tells how much is read, and ends when told to.
pub(super) struct Watched<'a, R> {
    pub(super) inner: R,
    pub(super) watch: Watch<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        (self.watch)(u64::try_from(len).unwrap_or(u64::MAX))?;
        Ok(len)
    }
}
