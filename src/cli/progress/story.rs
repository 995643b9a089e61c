use std::collections::{HashMap, HashSet};

use windlass::image::{Descriptor, Digest, Document};
use windlass::transfer::{Event, Observer, Plan};

/// Tells image by image of blobs that come in the order of an archive: all configs, then the
/// layers, each for the first image that has it.
pub(crate) struct Story<'a> {
    observer: &'a dyn Observer,
    images: Vec<(String, &'a Plan)>,
    /// Which image a blob is told of with.
    owners: HashMap<Digest, usize>,
    configs: HashSet<Digest>,
    /// How many images were begun.
    begun: usize,
}

impl<'a> Story<'a> {
    /// Of `images` in the order of the archive.
    pub(crate) fn new(observer: &'a dyn Observer, images: Vec<(String, &'a Plan)>) -> Story<'a> {
        let (mut owners, mut configs) = (HashMap::new(), HashSet::new());
        for (index, (_, plan)) in images.iter().enumerate() {
            for blob in plan.blobs() {
                owners.entry(blob.digest).or_insert(index);
            }
            configs.extend(plan.manifests().iter().filter_map(|it| match it.document() {
                Document::Image(image) => Some(image.config.digest),
                Document::Index(_) => None,
            }));
        }
        Story { observer, images, owners, configs, begun: 0 }
    }

    /// The image that `blob` is told of with.
    pub(crate) fn image(&self, blob: &Descriptor) -> &str {
        &self.images[self.owner(blob)].0
    }

    /// Who is told how `blob`, which is next, moves. Configs are small and come before their
    /// images: nobody.
    pub(crate) fn about(&mut self, blob: &Descriptor) -> &'a dyn Observer {
        if self.configs.contains(&blob.digest) {
            return &();
        }
        self.until(self.owner(blob) + 1);
        self.observer
    }

    /// `blob` is there.
    pub(crate) fn sent(&self, blob: &Descriptor) {
        if !self.configs.contains(&blob.digest) {
            self.there(self.owner(blob), blob, false);
        }
    }

    /// All is there.
    pub(crate) fn end(mut self) {
        self.until(self.images.len());
        self.done();
    }

    /// Which of the images that is.
    pub(crate) fn owner(&self, blob: &Descriptor) -> usize {
        self.owners.get(&blob.digest).copied().unwrap_or(0)
    }

    /// Begins images until so many are, each after the one before is done.
    fn until(&mut self, count: usize) {
        while self.begun < count {
            self.done();
            self.begin(self.begun);
            self.begun += 1;
        }
    }

    fn begin(&self, index: usize) {
        let (image, plan) = &self.images[index];
        let (blobs, size) = (plan.blobs().len() + plan.manifests().len(), plan.size());
        let shared: Vec<&Descriptor> =
            plan.blobs().iter().filter(|blob| self.owner(blob) < index).collect();
        let present = shared.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size));
        self.observer.event(&Event::Start { image, blobs, size, present });
        shared.iter().for_each(|blob| self.there(index, blob, true));
        for manifest in plan.manifests() {
            self.there(index, &manifest.descriptor(), false);
        }
        let is_own_config =
            |it: &&Descriptor| self.configs.contains(&it.digest) && self.owner(it) == index;
        plan.blobs().iter().filter(is_own_config).for_each(|it| self.there(index, it, false));
    }

    fn there(&self, index: usize, blob: &Descriptor, present: bool) {
        let (image, _) = &self.images[index];
        self.observer.event(&Event::Blob { image, blob, present });
    }

    fn done(&self) {
        if let Some((image, plan)) = self.begun.checked_sub(1).map(|last| &self.images[last]) {
            self.observer.event(&Event::Done { image, digest: plan.resolved() });
        }
    }
}
