//! Bytes of any size: held in memory, or made up at any offset so that gigabytes need none.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256, Sha512};

/// Length after which made-up content repeats itself, but for a stamp of eight bytes.
const BLOCK: usize = 1 << 20;

/// What a blob or file consists of. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Content(Kind);

#[derive(Clone)]
enum Kind {
    Bytes(Arc<Vec<u8>>),
    /// Zeros in place of what was not kept.
    Discarded {
        size: u64,
    },
    Random {
        block: Arc<[u8]>,
        size: u64,
    },
}

impl Content {
    /// `size` bytes that no compressor shrinks; the same for the same seed.
    pub(crate) fn random(seed: u64, size: u64) -> Content {
        let length = usize::try_from(size).map_or(BLOCK, |size| size.min(BLOCK));
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        let mut block = Vec::with_capacity(length + 8);
        while block.len() < length {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            block.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
        }
        block.truncate(length);
        Content(Kind::Random { block: block.into(), size })
    }

    /// Stands for content of that size that was right and is not kept; reads as zeros.
    pub(crate) fn discarded(size: u64) -> Content {
        Content(Kind::Discarded { size })
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.0 {
            Kind::Bytes(bytes) => bytes.len() as u64,
            Kind::Random { size, .. } | Kind::Discarded { size } => *size,
        }
    }

    /// Fills `buffer` with what is at `offset`, which must be within the content.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) {
        match &self.0 {
            Kind::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap();
                buffer.copy_from_slice(&bytes[start..start + buffer.len()]);
            }
            Kind::Discarded { .. } => buffer.fill(0),
            Kind::Random { block, .. } => {
                let mut done = 0;
                while done < buffer.len() {
                    let position = offset + done as u64;
                    let within = usize::try_from(position % BLOCK as u64).unwrap();
                    let length = (block.len() - within).min(buffer.len() - done);
                    let piece = &mut buffer[done..done + length];
                    piece.copy_from_slice(&block[within..within + length]);
                    let stamp = (position / BLOCK as u64).to_le_bytes();
                    for (byte, stamp) in piece.iter_mut().zip(stamp.iter().skip(within)) {
                        *byte ^= stamp;
                    }
                    done += length;
                }
            }
        }
    }

    /// The bytes of `range`, in memory.
    pub(crate) fn range(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        self.read_at(range.start, &mut bytes);
        bytes
    }

    /// All bytes, in memory.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.range(0..self.size())
    }

    /// `sha256:` and the hex digits.
    pub(crate) fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        self.each(|piece| hasher.update(piece));
        format!("sha256:{}", hex::encode(hasher.finalize()))
    }

    /// `sha512:` and the hex digits.
    pub(crate) fn sha512(&self) -> String {
        let mut hasher = Sha512::new();
        self.each(|piece| hasher.update(piece));
        format!("sha512:{}", hex::encode(hasher.finalize()))
    }

    /// Whether `digest`, sha256 or sha512, is the content's.
    pub(crate) fn is(&self, digest: &str) -> bool {
        if digest.starts_with("sha512:") {
            digest == self.sha512()
        } else {
            digest == self.digest()
        }
    }

    fn each(&self, mut take: impl FnMut(&[u8])) {
        if let Kind::Bytes(bytes) = &self.0 {
            return take(bytes);
        }
        let mut buffer = vec![0; BLOCK];
        let mut offset = 0;
        while offset < self.size() {
            let left = self.size() - offset;
            let length = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
            self.read_at(offset, &mut buffer[..length]);
            take(&buffer[..length]);
            offset += length as u64;
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content(Kind::Bytes(Arc::new(bytes)))
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Content {
        Content::from(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Content {
    fn from(bytes: &[u8; N]) -> Content {
        Content::from(bytes.as_slice())
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::from(text.as_bytes())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::from(text.into_bytes())
    }
}

impl From<&Content> for Content {
    fn from(content: &Content) -> Content {
        content.clone()
    }
}
