use std::path::Path;

use super::{Durability, Store, file, sweep};
use crate::error::{Context, Error, ErrorKind, Result};

impl Store {
    /// The image layout in the folder `root`, whatever tool has written it. Whoever only reads
    /// from it changes nothing there.
    ///
    /// # Errors
    ///
    /// When the folder is not there, or is no image layout.
    pub fn existing_layout(root: &Path, durability: Durability) -> Result<Store> {
        let opening = || format!("opening the image layout `{}`", root.display());
        std::fs::metadata(root).context(opening)?;
        let store = Store::open(root, durability)?;
        if file::open(&store.layout.index())?.is_none() {
            let message = "there is no `index.json`: it is no image layout";
            return Err(Error::content(message)).context(opening);
        }
        Ok(store)
    }

    /// The image layout in the folder `root`, or the one that is made there when something is
    /// written. Beside it there is then one folder, `.windlass`, for locks and for what has come of
    /// unfinished blobs; other tools leave it be.
    ///
    /// # Errors
    ///
    /// When the folder has something else in it, or is no folder.
    pub fn layout(root: &Path, durability: Durability) -> Result<Store> {
        let store = Store::open(root, durability)?;
        let layout = &store.layout;
        let own = [layout.marker(), layout.index(), layout.blobs(), layout.private()];
        let is_layout = || Ok::<_, Error>(file::open(&layout.index())?.is_some());
        if sweep::list(&layout.content())?.iter().any(|path| !own.contains(path)) && !is_layout()? {
            let message = "it is neither empty nor an image layout".to_owned();
            return Err(Error::new(ErrorKind::Local(message)))
                .context(|| format!("opening the image layout `{}`", root.display()));
        }
        Ok(store)
    }
}
