use std::fs;
use std::path::{Path, PathBuf};

use crate::image::{Algorithm, Digest};

/// Where everything in a store is. No other file of this module joins paths.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Layout {
        Layout { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// What to list for all that is in it, even if a link leads to it.
    pub(super) fn content(&self) -> PathBuf {
        self.root.join(".")
    }

    /// Says that this is an image layout, and of which version.
    pub(super) fn marker(&self) -> PathBuf {
        self.root.join("oci-layout")
    }

    /// The names.
    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index.json")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(super) fn blobs_of(&self, algorithm: Algorithm) -> PathBuf {
        self.blobs().join(algorithm.as_str())
    }

    pub(super) fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs_of(digest.algorithm()).join(digest.hex())
    }

    /// The folders that are ours alone, each after the one that it is in.
    pub(super) fn private_folders(&self) -> [PathBuf; 5] {
        [self.private(), self.partials(), self.temporary(), self.locks(), self.leases()]
    }

    /// All folders, of which none may be anything else.
    fn folders(&self) -> Vec<PathBuf> {
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512].map(|it| self.blobs_of(it));
        let shared = std::iter::once(self.blobs()).chain(algorithms);
        shared.chain(self.private_folders()).collect()
    }

    /// What stands where a folder is expected. A link would lead what is written out of the store.
    pub(super) fn obstacle(&self) -> Option<PathBuf> {
        let is_other = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|it| !it.is_dir());
        self.folders().into_iter().find(is_other)
    }

    /// What is ours alone; other tools leave it be.
    pub(super) fn private(&self) -> PathBuf {
        self.root.join(".windlass")
    }

    /// Unfinished blobs.
    pub(super) fn partials(&self) -> PathBuf {
        self.private().join("partial")
    }

    pub(super) fn partial(&self, digest: Digest) -> PathBuf {
        self.partials().join(format!("{}-{}", digest.algorithm().as_str(), digest.hex()))
    }

    /// Which ranges of an unfinished blob are there.
    pub(super) fn partial_record(&self, digest: Digest) -> PathBuf {
        self.partials().join(format!("{}-{}.json", digest.algorithm().as_str(), digest.hex()))
    }

    /// Files being written, on the same file system as the blobs so that renaming is atomic.
    pub(super) fn temporary(&self) -> PathBuf {
        self.private().join("tmp")
    }

    pub(super) fn locks(&self) -> PathBuf {
        self.private().join("lock")
    }

    /// Held while names are read, changed and replaced.
    pub(super) fn index_lock(&self) -> PathBuf {
        self.locks().join("index")
    }

    /// Held shared while a lease is written, exclusive while garbage is collected.
    pub(super) fn sweep_lock(&self) -> PathBuf {
        self.locks().join("sweep")
    }

    /// There as long as there may be content that nobody has synced.
    pub(super) fn unsynced(&self) -> PathBuf {
        self.locks().join("unsynced")
    }

    /// Leases: what live processes work on.
    pub(super) fn leases(&self) -> PathBuf {
        self.locks().join("lease")
    }
}
