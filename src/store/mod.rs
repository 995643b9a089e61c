//! The local store: an OCI image layout that other tools can read, plus one private folder.
//!
//! Every blob is complete and verified before it is visible, and a name is written after all that
//! it leads to, so whatever dies at whatever moment, what a name leads to is there.

mod change;
mod check;
mod collect;
mod file;
mod find;
mod finding;
mod folder;
mod layout;
mod lock;
mod names;
mod partial;
mod read;
mod record;
mod repair;
mod scan;
mod scrub;
mod settle;
mod sweep;
mod tree;
mod unnamed;
mod usage;
mod write;

use std::io::Read;
use std::path::Path;

use layout::Layout;
use partial::Distrusted;

use crate::error::{Context, Error, ErrorKind, Result};

pub use crate::endpoint::Durability;
pub use change::Removal;
pub use collect::{Amount, Collected, Collection};
pub use finding::{Checked, Finding, Problem, Report};
pub use names::Entry;
pub use read::Summary;
pub use repair::Repair;
pub use usage::Usage;

/// Images in a folder, for any number of processes at once.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    durability: Durability,
    distrusted: Distrusted,
}

impl Store {
    /// The store in the folder `root`.
    ///
    /// One that is not there reads as empty, and is made when something is written.
    ///
    /// # Errors
    ///
    /// When there is something else at `root`, or a layout of a version that is not known.
    pub fn open(root: &Path, durability: Durability) -> Result<Store> {
        let opening = || format!("opening the store `{}`", root.display());
        let store =
            Store { layout: Layout::new(root), durability, distrusted: Distrusted::default() };
        match std::fs::metadata(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(store),
            Err(error) => return Err(error).context(opening),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::new(ErrorKind::Local("it is not a folder".into())))
                    .context(opening);
            }
            Ok(_) => {}
        }
        for folder in store.layout.folders() {
            // A link would lead what is written out of the store.
            let other = std::fs::symlink_metadata(&folder).is_ok_and(|it| !it.is_dir());
            if other {
                let message = format!("`{}` is not a folder", folder.display());
                return Err(Error::content(message)).context(opening);
            }
        }
        if let Some(file) = file::open(&store.layout.marker())? {
            let mut bytes = Vec::new();
            file.take(4096).read_to_end(&mut bytes).context(opening)?;
            let path = store.layout.marker();
            names::check_marker(&bytes).context(|| format!("reading `{}`", path.display()))?;
        }
        Ok(store)
    }
}
