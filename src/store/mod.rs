//! The local store: an OCI image layout that other tools can read, plus one private folder.
//!
//! Every blob is complete and verified before it is visible, and a name is written after all that
//! it leads to, so whatever dies at whatever moment, what a name leads to is there.

mod change;
mod check;
mod collect;
mod defect;
mod entry;
mod file;
mod find;
mod finding;
mod folder;
mod hold;
mod layout;
mod lock;
mod locked;
mod marker;
mod names;
mod need;
mod notes;
mod partial;
mod read;
mod record;
mod repair;
mod rewrite;
mod scan;
mod scrub;
mod settle;
mod sweep;
mod temporary;
mod tree;
mod unnamed;
mod usage;
mod write;

use std::path::Path;

use layout::Layout;
use partial::Distrusted;

use crate::error::{Context, Error, ErrorKind, Result};

pub use crate::endpoint::Durability;
pub use change::Removal;
pub use collect::{Amount, Collected, Collection};
pub use defect::Defect;
pub use entry::{Entry, Odd};
pub use finding::{Checked, Finding, Problem, Report};
pub use notes::UploadNotes;
pub use read::Summary;
pub use repair::Repair;
pub use usage::Usage;

/// Images in a folder, for any number of processes at once.
///
/// Content that no name leads to goes when somebody collects garbage, unless a live process holds
/// it: who writes [protects](crate::endpoint::Sink::protect) what it writes until it is named, who
/// reads for long [holds](crate::endpoint::Source::hold) what it reads. A store that cannot be written is read
/// without any of that.
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
            // Nothing can be made where a link is.
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound
                    && std::fs::symlink_metadata(root).is_ok() =>
            {
                let message = "it is a link that leads nowhere";
                return Err(Error::new(ErrorKind::Local(message.into()))).context(opening);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(store),
            Err(error) => return Err(error).context(opening),
            Ok(metadata) if !metadata.is_dir() => {
                return Err(Error::new(ErrorKind::Local("it is not a folder".into())))
                    .context(opening);
            }
            Ok(_) => {}
        }
        if let Some(path) = store.layout.obstacle() {
            let message = format!("`{}` is not a folder", path.display());
            return Err(Error::content(message)).context(opening);
        }
        marker::check(&store.layout)?;
        Ok(store)
    }
}
