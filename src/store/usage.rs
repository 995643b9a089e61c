use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;

use super::Store;
use super::collect::{Amount, Collected, Collection, taken};
use super::sweep;
use super::tree::Links;
use crate::endpoint::Source;
use crate::error::Result;
use crate::image::{Descriptor, Digest};

/// What a store takes on the disk.
#[derive(Debug)]
pub struct Usage {
    /// How many names there are.
    pub names: usize,
    /// How many entries have none.
    pub nameless: usize,
    /// How many images they lead to, or indexes.
    pub images: usize,
    /// Blobs and manifests.
    pub blobs: Amount,
    /// Those of them that two images or more lead to, each counted once.
    pub shared: Amount,
    /// Unfinished blobs.
    pub partials: Amount,
    /// What collecting garbage would free, or why it would remove nothing.
    pub collectable: Result<Collected>,
}

impl Store {
    /// What the store takes on the disk. What cannot be read leads to nothing.
    pub fn usage(&self) -> Result<Usage> {
        let entries = self.entries()?;
        let roots: BTreeSet<Digest> = entries.iter().map(|it| it.descriptor.digest).collect();
        let names = entries.iter().filter(|entry| !entry.name.is_empty()).count();
        let mut users: HashMap<Digest, usize> = HashMap::new();
        let mut links = HashMap::new();
        let mut counted = HashSet::new();
        for entry in &entries {
            if counted.insert(entry.descriptor.digest) {
                for digest in self.content(&entry.descriptor, &mut links) {
                    *users.entry(digest).or_default() += 1;
                }
            }
        }
        let mut usage = Usage {
            names,
            nameless: entries.len() - names,
            images: roots.len(),
            blobs: Amount::default(),
            shared: Amount::default(),
            partials: Amount::default(),
            collectable: self.collect(&Collection { dry_run: true, partials: None }),
        };
        for digest in sweep::blobs(&self.layout)? {
            let Ok(metadata) = fs::symlink_metadata(self.layout.blob(digest)) else { continue };
            if metadata.is_file() {
                usage.blobs.add(metadata.len());
                if users.get(&digest).is_some_and(|users| *users > 1) {
                    usage.shared.add(metadata.len());
                }
            }
        }
        let partials = match self.sees_private_folder() {
            true => sweep::partials(&self.layout)?,
            false => BTreeSet::new(),
        };
        for digest in partials {
            if let Ok(metadata) = fs::symlink_metadata(self.layout.partial(digest))
                && metadata.len() > 0
            {
                usage.partials.add(taken(&metadata));
            }
        }
        Ok(usage)
    }

    /// Everything that `root` leads to, itself included.
    fn content(
        &self,
        root: &Descriptor,
        links: &mut HashMap<Digest, Option<Links>>,
    ) -> HashSet<Digest> {
        let mut content = HashSet::new();
        let mut waiting = vec![root.clone()];
        while let Some(descriptor) = waiting.pop() {
            if !content.insert(descriptor.digest) {
                continue;
            }
            let links = links.entry(descriptor.digest).or_insert_with(|| {
                self.manifest(&descriptor).ok().map(|manifest| Links::of(&manifest))
            });
            if let Some(links) = links {
                waiting.extend(links.manifests.iter().cloned());
                content.extend(links.blobs.iter().chain(&links.others).map(|blob| blob.digest));
            }
        }
        content
    }
}
