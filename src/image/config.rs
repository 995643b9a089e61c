use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::{Object, annotations, nullable_list};
use super::{Digest, Platform};

/// What an image config says: for whom the image is, how it was made, what it runs.
///
/// Spec: [Image configuration][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// When the image was made, RFC 3339, as its author wrote it.
    #[serde(default)]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default)]
    pub author: Option<String>,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default, rename = "os.version")]
    os_version: Option<String>,
    /// How a container of it is run.
    #[serde(default)]
    pub config: Option<RuntimeConfig>,
    #[serde(default)]
    rootfs: RootFs,
    /// What each step of the build did.
    #[serde(default, deserialize_with = "nullable_list")]
    pub history: Vec<History>,
}

/// How a container of an image is run. What is not set here is left to the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuntimeConfig {
    /// `user[:group]`, by name or number.
    #[serde(default)]
    pub user: Option<String>,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "nullable_list")]
    pub env: Vec<String>,
    /// The command and its first arguments.
    #[serde(default, deserialize_with = "nullable_list")]
    pub entrypoint: Vec<String>,
    /// The default arguments.
    #[serde(default, deserialize_with = "nullable_list")]
    pub cmd: Vec<String>,
    /// Where the command starts.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// What else its author says of it.
    #[serde(default, deserialize_with = "annotations")]
    pub labels: BTreeMap<String, String>,
}

/// One step of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct History {
    /// When it was done, RFC 3339.
    #[serde(default)]
    pub created: Option<String>,
    /// The command that did it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// Whether it made no layer.
    #[serde(default)]
    pub empty_layer: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "nullable_list")]
    diff_ids: Vec<Digest>,
}

impl Config {
    /// Reads a config from its bytes.
    ///
    /// # Errors
    ///
    /// When the bytes are not one JSON object of this form.
    pub fn from_slice(bytes: &[u8]) -> Result<Config, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let config = Config::deserialize(Object(&mut deserializer))?;
        deserializer.end()?;
        Ok(config)
    }

    /// The platform, if the config names one. An artifact's config does not.
    pub fn platform(&self) -> Option<Platform> {
        if self.os.is_empty() || self.architecture.is_empty() {
            return None;
        }
        Some(Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
            os_version: self.os_version.clone(),
            os_features: Vec::new(),
        })
    }

    /// The digest of each layer's uncompressed bytes, the lowest layer first.
    pub fn diff_ids(&self) -> &[Digest] {
        &self.rootfs.diff_ids
    }
}
