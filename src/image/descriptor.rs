use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json::{Object, annotations, optional_list, size};
use super::{Digest, MediaType, Platform};

/// What leads to content: its type, digest and size, and what else is said of it.
///
/// Spec: [Descriptors][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct Descriptor {
    /// What kind of content it is; empty if nobody says.
    #[serde(default)]
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// Bytes of the content; at most `i64::MAX`.
    #[serde(deserialize_with = "size")]
    pub size: u64,
    /// Where else the content may be had. Never followed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "optional_list")]
    pub urls: Option<Vec<String>>,
    /// What else its author says of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "annotations")]
    pub annotations: BTreeMap<String, String>,
    /// The content itself, base64. Kept, never used: the content is small where it is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The platform that an image in an index is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// The type of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Descriptor, D::Error> {
        Descriptor::deserialize(Object(deserializer))
    }
}

impl Serialize for Descriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Descriptor::serialize(self, serializer)
    }
}

impl Descriptor {
    /// A descriptor that says no more than it must.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type,
            digest,
            size,
            urls: None,
            annotations: BTreeMap::new(),
            data: None,
            platform: None,
            artifact_type: None,
        }
    }

    /// Whether this is a statement about another image (provenance, SBOM), not an image.
    ///
    /// Docker's buildkit lists these in the index as `unknown/unknown`
    /// ([attestation storage][spec]).
    ///
    /// [spec]: https://github.com/moby/buildkit/blob/v0.13.0/docs/attestations/attestation-storage.md
    pub fn is_attestation(&self) -> bool {
        self.annotations.contains_key("vnd.docker.reference.type")
            || self.platform.as_ref().is_some_and(Platform::is_unknown)
    }
}
