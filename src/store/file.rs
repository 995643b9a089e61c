use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};

use super::Durability;
use crate::error::{Context, Error, ErrorKind, Result};

/// Opens a regular file to read, or says that there is none.
///
/// A link is not followed and a fifo does not block: a layout may come from anyone.
pub(super) fn open(path: &Path) -> Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(rustix::io::Errno::LOOP) => return Err(not_regular(path)),
        Err(error) => {
            return Err(io::Error::from(error)).context(|| format!("opening `{}`", path.display()));
        }
    };
    let metadata = file.metadata().context(|| format!("reading `{}`", path.display()))?;
    if metadata.is_file() { Ok(Some(file)) } else { Err(not_regular(path)) }
}

fn not_regular(path: &Path) -> Error {
    Error::content(format!("`{}` is not a regular file", path.display()))
}

/// Makes a folder and those above it.
pub(super) fn create_folder(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .context(|| format!("creating `{}`", path.display()))
}

/// Makes what was renamed or created in a folder survive a power cut.
pub(super) fn sync_folder(path: &Path, durability: Durability) -> Result<()> {
    match durability {
        Durability::Unsynced => Ok(()),
        Durability::Synced => File::open(path)
            .and_then(|folder| folder.sync_all())
            .context(|| format!("syncing `{}`", path.display())),
    }
}

/// A file being written under a name of its own; if it is dropped before
/// [`commit`](Temporary::commit), it is removed.
///
/// It is locked as long as its process lives, so that collecting garbage can tell it from one
/// that was left behind.
pub(super) struct Temporary {
    pub(super) file: File,
    path: PathBuf,
    committed: bool,
}

impl Temporary {
    pub(super) fn create(folder: &Path) -> Result<Temporary> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{count}", std::process::id()));
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => {
                    file.lock().context(|| format!("locking `{}`", path.display()))?;
                    let metadata =
                        file.metadata().context(|| format!("reading `{}`", path.display()))?;
                    // Between creating and locking it looked as if nobody owned it.
                    if metadata.nlink() > 0 {
                        return Ok(Temporary { file, path, committed: false });
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).context(|| format!("creating `{}`", path.display()));
                }
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its final name, replacing what has it. The folder is not synced.
    pub(super) fn commit(mut self, target: &Path, durability: Durability) -> Result<()> {
        finish(&self.file, &self.path, target, durability)?;
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

/// Lets nobody write to a file that is complete.
pub(super) fn protect(file: &File, path: &Path) -> Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o444))
        .context(|| format!("protecting `{}`", path.display()))
}

/// Syncs a complete file and gives it its final name.
pub(super) fn finish(
    file: &File,
    path: &Path,
    target: &Path,
    durability: Durability,
) -> Result<()> {
    if durability == Durability::Synced {
        file.sync_all().context(|| format!("syncing `{}`", path.display()))?;
    }
    match fs::rename(path, target) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            Err(ErrorKind::Local(format!("`{}` is a folder", target.display())).into())
        }
        renamed => renamed.context(|| format!("creating `{}`", target.display())),
    }
}

/// Replaces a small file as a whole.
pub(super) fn replace(
    folder: &Path,
    target: &Path,
    content: &[u8],
    durability: Durability,
) -> Result<()> {
    let mut temporary = Temporary::create(folder)?;
    temporary
        .file
        .write_all(content)
        .context(|| format!("writing `{}`", temporary.path().display()))?;
    temporary.commit(target, durability)?;
    if let Some(parent) = target.parent() {
        sync_folder(parent, durability)?;
    }
    Ok(())
}
