use std::io;

use super::lock::Lease;
use super::{Durability, Store};
use crate::endpoint::Guard;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Digest;

impl Store {
    /// Holds `content` for somebody who reads it, as far as something can be written here.
    pub(super) fn lease(&self, content: &[Digest]) -> Result<Box<dyn Guard>> {
        if !self.layout.leases().is_dir() {
            return Ok(Box::new(()));
        }
        match Lease::take(&self.layout, content, Durability::Synced) {
            Ok(lease) => Ok(Box::new(lease)),
            Err(error) if is_refused(&error) => Ok(Box::new(())),
            Err(error) => Err(error),
        }
    }
}

/// Whether it is somebody else's store, or a file system that is read-only.
fn is_refused(error: &Error) -> bool {
    let refused = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    matches!(error.kind(), ErrorKind::Io(error) if refused.contains(&error.kind()))
}
