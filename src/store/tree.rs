use crate::image::{Descriptor, Document, Manifest};

/// What a manifest leads to, as far as all of it must be there.
pub(super) struct Links {
    /// What leads to more.
    pub(super) manifests: Vec<Descriptor>,
    /// What a manifest of one image leads to: config and layers.
    pub(super) blobs: Vec<Descriptor>,
    /// What an index leads to that is neither an image nor an index.
    pub(super) others: Vec<Descriptor>,
}

impl Links {
    pub(super) fn of(manifest: &Manifest) -> Links {
        let mut links = Links { manifests: Vec::new(), blobs: Vec::new(), others: Vec::new() };
        match manifest.document() {
            Document::Image(image) => {
                links.blobs.push(image.config.clone());
                links.blobs.extend(image.layers.iter().cloned());
            }
            Document::Index(index) => {
                let children = index.manifests.iter().cloned();
                (links.manifests, links.others) = children.partition(leads_on);
            }
        }
        links
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Descriptor> {
        self.manifests.iter().chain(&self.blobs).chain(&self.others)
    }
}

/// Whether `descriptor`, of an index, is of a manifest; where nothing is said it is taken for one.
pub(super) fn leads_on(descriptor: &Descriptor) -> bool {
    descriptor.media_type.is_manifest() || descriptor.media_type.as_str().is_empty()
}
