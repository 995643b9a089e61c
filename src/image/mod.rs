//! The values of the [image-spec][spec]: what they say and whether they may be believed. No I/O.
//!
//! [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/spec.md

mod config;
mod descriptor;
mod digest;
pub(crate) mod json;
mod manifest;
mod media_type;
mod platform;

pub use config::{Config, History, RuntimeConfig};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher, ParseDigestError};
pub use manifest::{
    Document, INDEX_DEPTH_LIMIT, ImageManifest, Index, MANIFEST_LIMIT, Manifest, ManifestError,
};
pub use media_type::MediaType;
pub use platform::{ParsePlatformError, Platform};
