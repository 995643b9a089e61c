use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of content a descriptor leads to.
///
/// Any text is kept as it is; the methods tell what is known of it.
///
/// Spec: [Media types][spec], and Docker's [schema 2][docker].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/media-types.md
/// [docker]: https://github.com/distribution/distribution/blob/v2.8.3/docs/spec/manifest-v2-2.md
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

impl MediaType {
    /// An OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// An OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image config.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// A Docker manifest list.
    pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// A Docker schema 2 manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

    /// The type that is written so.
    pub fn new(text: impl Into<String>) -> MediaType {
        MediaType(text.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an index or manifest list.
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), Self::OCI_INDEX | Self::DOCKER_INDEX)
    }

    /// Whether this is the manifest of one image.
    pub fn is_image(&self) -> bool {
        matches!(self.as_str(), Self::OCI_MANIFEST | Self::DOCKER_MANIFEST)
    }

    /// Whether this is a manifest or an index, so that it leads to more.
    pub fn is_manifest(&self) -> bool {
        self.is_index() || self.is_image()
    }

    /// Whether this is Docker's schema 1, which has no digests of what it shows.
    pub fn is_schema1(&self) -> bool {
        self.as_str().starts_with("application/vnd.docker.distribution.manifest.v1+")
    }

    /// Whether this is an image config that says for which platform the image is.
    pub fn is_config(&self) -> bool {
        matches!(self.as_str(), Self::OCI_CONFIG | Self::DOCKER_CONFIG)
    }

    /// Whether the content may stay where it is by its licence (a foreign layer), so that a
    /// registry may not have it.
    pub fn is_nondistributable(&self) -> bool {
        self.0.starts_with("application/vnd.oci.image.layer.nondistributable.")
            || self.0.starts_with("application/vnd.docker.image.rootfs.foreign.")
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
