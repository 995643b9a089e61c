use std::time::Duration;

use crate::error::Error;
use crate::image::{Descriptor, Digest};

/// What happens during a transfer. New variants may come.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An image is planned and begins to move.
    Start {
        /// The image's name.
        image: &'a str,
        /// How many blobs and manifests it has, each counted once.
        blobs: usize,
        /// Bytes of all of them.
        size: u64,
        /// Bytes of those that are there already, whole or in part.
        present: u64,
    },
    /// More of a blob has come.
    Progress {
        /// The name of the image that it belongs to.
        image: &'a str,
        /// The blob.
        blob: &'a Descriptor,
        /// Bytes of it that are there now.
        offset: u64,
    },
    /// A blob or a manifest is complete.
    Blob {
        /// The name of the image that it belongs to.
        image: &'a str,
        /// The blob.
        blob: &'a Descriptor,
        /// Whether it was there before, so that nothing moved.
        present: bool,
    },
    /// Something failed and is tried again.
    Retry {
        /// The name of the image that it belongs to.
        image: &'a str,
        /// The blob, unless it is the name that is being resolved.
        blob: Option<&'a Descriptor>,
        /// Why.
        error: &'a Error,
        /// How many attempts have failed since the last progress.
        attempt: u32,
        /// How long until the next.
        wait: Duration,
    },
    /// The image is complete and named.
    Done {
        /// The image's name.
        image: &'a str,
        /// The digest that the name has where it came from.
        digest: Digest,
    },
}

/// Who wants to know what happens. Called from several threads, often: it should return at once.
pub trait Observer: Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Does not want to know.
impl Observer for () {
    fn event(&self, _event: &Event<'_>) {}
}
