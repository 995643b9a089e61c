//! What commands say of an image.

use serde::Serialize;
use windlass::error::Result;
use windlass::image::{Descriptor, Digest, MediaType, Platform};
use windlass::store::{Entry, Store, Summary};
use windlass::transfer::Plan;

/// An image in the store, or on its way there: the object of `--json`. Stable.
#[derive(Debug, Serialize)]
pub(crate) struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// What the name has where it came from.
    pub(crate) digest: Digest,
    /// What is stored under it.
    pub(crate) stored: Digest,
    /// If it is for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
    /// If it is for several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) platforms: Vec<String>,
    /// Bytes of manifests, configs and layers, each blob once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    pub(crate) media_type: MediaType,
}

impl Image {
    /// What can be said of `entry` without reading what it leads to.
    pub(crate) fn bare(entry: &Entry) -> Image {
        Image {
            name: Some(entry.name.clone()).filter(|name| !name.is_empty()),
            digest: entry.resolved(),
            ..Image::of_target(&entry.descriptor)
        }
    }

    /// All that can be said of `entry`.
    pub(crate) fn stored(store: &Store, entry: &Entry) -> Result<Image> {
        Ok(Image::summed(entry, store.summary(entry)?))
    }

    /// The same, of what is known already.
    pub(crate) fn summed(entry: &Entry, summary: Summary) -> Image {
        let Summary { platforms, size, created } = summary;
        let image = Image { size: Some(size), created, ..Image::bare(entry) };
        image.for_platforms(&platforms)
    }

    /// What will be stored under `name` when `plan` is carried out.
    pub(crate) fn planned(name: String, plan: &Plan) -> Image {
        Image {
            name: Some(name),
            digest: plan.resolved(),
            size: Some(plan.size()),
            ..Image::of_target(plan.target())
        }
        .for_platforms(&plan.platforms())
    }

    fn of_target(target: &Descriptor) -> Image {
        Image {
            name: None,
            digest: target.digest,
            stored: target.digest,
            platform: target.platform.as_ref().map(Platform::to_string),
            platforms: Vec::new(),
            size: None,
            created: None,
            media_type: target.media_type.clone(),
        }
    }

    fn for_platforms(mut self, platforms: &[Platform]) -> Image {
        match platforms {
            [] => {}
            [only] => self.platform = Some(only.to_string()),
            several => {
                self.platform = None;
                self.platforms = several.iter().map(Platform::to_string).collect();
            }
        }
        self
    }

    /// All its platforms in one word; `-` if that is not known.
    pub(crate) fn shown_platforms(&self) -> String {
        match (&self.platform, self.platforms.as_slice()) {
            (Some(platform), _) => platform.clone(),
            (None, []) => "-".into(),
            (None, several) => several.join(","),
        }
    }
}
