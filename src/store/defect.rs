use std::path::{Path, PathBuf};

use super::layout::Layout;
use super::names::Index;
use super::{file, marker};
use crate::error::{ErrorKind, Result};

/// What keeps all of a store from being read, so that somebody has to decide about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defect {
    /// It is a link that leads nowhere.
    Link(PathBuf),
    /// There is something else where a folder or a file of our own is expected.
    Obstacle(PathBuf),
    /// `oci-layout` does not say which version of a layout this is.
    Marker(PathBuf),
    /// The layout is of a version that we do not know.
    Newer(PathBuf),
    /// There are blobs, and no `index.json` that says what they belong to.
    IndexMissing(PathBuf),
    /// `index.json` cannot be understood.
    Index(PathBuf),
}

impl Defect {
    /// What is wrong with the store in the folder `root`, if it is that. Reads the names, and
    /// nothing of what they lead to.
    pub fn of(root: &Path) -> Option<Defect> {
        let layout = Layout::new(root);
        if !root.is_dir() {
            let is_link = !root.exists() && root.is_symlink();
            return is_link.then(|| Defect::Link(root.to_owned()));
        }
        if let Some(path) = layout.obstacle() {
            return Some(Defect::Obstacle(path));
        }
        let mut own = [layout.index_lock(), layout.sweep_lock()].into_iter();
        if let Some(path) = own.find(|path| file::is_obstacle(path)) {
            return Some(Defect::Obstacle(path));
        }
        match marker::version(&layout) {
            Ok(Some(version)) if !marker::is_known(&version) => {
                return Some(Defect::Newer(layout.marker()));
            }
            Err(error) if matches!(error.kind(), ErrorKind::Content(_)) => {
                return Some(Defect::Marker(layout.marker()));
            }
            _ => {}
        }
        let read = || -> Result<()> { Index::read(&layout)?.names().map(drop) };
        match read() {
            Err(error) if matches!(error.kind(), ErrorKind::Content(_)) => {
                match file::open(&layout.index()) {
                    Ok(None) => Some(Defect::IndexMissing(layout.index())),
                    _ => Some(Defect::Index(layout.index())),
                }
            }
            _ => None,
        }
    }
}
