use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Durability;
use super::file;
use super::locked::Locked;
use crate::error::{Context, Result, lacking};

/// A file being written under a name of its own; if it is dropped before
/// [`commit`](Temporary::commit), it is removed.
///
/// It is locked as long as its process lives, so that collecting garbage can tell it from one
/// that was left behind.
pub(super) struct Temporary {
    pub(super) file: Locked,
    path: PathBuf,
    committed: bool,
}

impl Temporary {
    /// An empty file, into which `needed` bytes are to be written.
    pub(super) fn create(folder: &Path, needed: u64) -> Result<Temporary> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{count}", std::process::id()));
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let file = Locked::exclusive(file)
                        .context(|| format!("locking `{}`", path.display()))?;
                    let metadata =
                        file.metadata().context(|| format!("reading `{}`", path.display()))?;
                    // Between creating and locking it looked as if nobody owned it.
                    if metadata.nlink() > 0 {
                        return Ok(Temporary { file, path, committed: false });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(lacking(error, needed))
                        .context(|| format!("creating `{}`", path.display()));
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file with that content. The folder is not synced.
    pub(super) fn with(folder: &Path, content: &[u8]) -> Result<Temporary> {
        let needed = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let mut temporary = Temporary::create(folder, needed)?;
        temporary
            .file
            .write_all(content)
            .map_err(|error| lacking(error, needed))
            .context(|| format!("writing `{}`", temporary.path.display()))?;
        Ok(temporary)
    }

    /// Gives the file its final name, replacing what has it. The folder is not synced.
    pub(super) fn commit(mut self, target: &Path, durability: Durability) -> Result<()> {
        file::finish(&self.file, &self.path, durability)?;
        file::publish(&self.path, target)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::debug!("removing `{}`: {error}", self.path.display());
        }
    }
}

/// Replaces a small file as a whole.
pub(super) fn replace(
    folder: &Path,
    target: &Path,
    content: &[u8],
    durability: Durability,
) -> Result<()> {
    let temporary = Temporary::with(folder, content)?;
    // As it was before; a new one is for all to read and for nobody else to write.
    let mode = match fs::metadata(target) {
        Ok(metadata) => metadata.mode() & 0o777,
        Err(_) => temporary.file.metadata().map_or(0o600, |it| it.mode() & 0o644),
    };
    temporary
        .file
        .set_permissions(fs::Permissions::from_mode(mode))
        .context(|| format!("protecting `{}`", temporary.path().display()))?;
    temporary.commit(target, durability)?;
    if let Some(parent) = target.parent() {
        file::sync_folder(parent, durability)?;
    }
    Ok(())
}
