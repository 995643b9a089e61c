use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use sha2::Digest as _;

/// A hash function that names content.
///
/// Spec: [Registered algorithms][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#registered-algorithms
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// `sha256`, which everybody uses.
    Sha256,
    /// `sha512`, which the spec allows.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// How many bytes a hash of this algorithm has.
    fn len(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }

    /// A hasher that has seen no byte yet.
    pub fn hasher(self) -> Hasher {
        match self {
            Algorithm::Sha256 => Hasher::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(sha2::Sha512::new()),
        }
    }
}

/// The name of content: an algorithm and the hash that it gives for it.
///
/// Can only be made from a valid text or by hashing, so it is safe to use in a path or a URL.
///
/// Spec: [Digests][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#digests
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Those after the algorithm's length are zero.
    bytes: [u8; 64],
}

impl Digest {
    /// The sha256 digest of `content`.
    pub fn of(content: &[u8]) -> Digest {
        let mut hasher = Algorithm::Sha256.hasher();
        hasher.update(content);
        hasher.finish()
    }

    /// The algorithm, which also names the folder of a blob in an image layout.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash in lowercase hex digits.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes[..self.algorithm.len()])
    }

    fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Digest {
        let mut bytes = [0; 64];
        bytes[..hash.len()].copy_from_slice(hash);
        Digest { algorithm, bytes }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        let invalid = || ParseDigestError(text.chars().take(160).collect());
        let (algorithm, digits) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match algorithm {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid()),
        };
        let lowercase_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() != algorithm.len() * 2 || !digits.bytes().all(lowercase_hex) {
            return Err(invalid());
        }
        let mut bytes = [0; 64];
        hex::decode_to_slice(digits, &mut bytes[..algorithm.len()]).map_err(|_| invalid())?;
        Ok(Digest { algorithm, bytes })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The text is not `sha256:` and 64, or `sha512:` and 128, lowercase hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseDigestError(String);

impl fmt::Display for ParseDigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "invalid digest `{}`: expected `sha256:` and 64 lowercase hex digits, or `sha512:` and 128",
            self.0
        )
    }
}

impl std::error::Error for ParseDigestError {}

/// Computes a [`Digest`] piece by piece.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// Gives a sha256 digest.
    Sha256(sha2::Sha256),
    /// Gives a sha512 digest.
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// Goes on with `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all that was given to [`update`](Hasher::update).
    pub fn finish(self) -> Digest {
        match self {
            Hasher::Sha256(hasher) => Digest::from_hash(Algorithm::Sha256, &hasher.finalize()),
            Hasher::Sha512(hasher) => Digest::from_hash(Algorithm::Sha512, &hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_survives_the_round_trip() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut hasher = algorithm.hasher();
            hasher.update(b"hello");
            let digest = hasher.finish();
            assert_eq!(digest.to_string().parse(), Ok(digest));
        }
        assert_eq!(
            Digest::of(b"").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn digest_rejects_anything_that_could_name_another_file() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let bad = [
            String::new(),
            hex.into(),
            "sha256:".into(),
            "sha256:../../../../etc/passwd".into(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha512:{hex}"),
            format!("sha384:{hex}"),
            format!("md5:{hex}"),
            format!("sha256+b64:{hex}"),
            format!("sha256:{hex}\0"),
            format!(" sha256:{hex}"),
            format!("sha256:{hex}\n"),
            format!("sha256:%2e{}", &hex[3..]),
            format!("sha256:/{}", &hex[1..]),
            format!("sha256:{}é", &hex[2..]),
            format!("sha256:{}", hex.replace('e', "g")),
        ];
        for text in bad {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }
}
