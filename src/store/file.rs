use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

use super::Durability;
use crate::error::{Context, Error, Result};

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

/// Opens a file of our own to read and write; makes it if it is not there.
///
/// A link is not followed here either: a store may have been made by anyone.
pub(super) fn open_own(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => return Err(not_regular(path)),
        Err(error) => {
            return Err(io::Error::from(error)).context(|| format!("opening `{}`", path.display()));
        }
    };
    let metadata = file.metadata().context(|| format!("reading `{}`", path.display()))?;
    if metadata.is_file() { Ok(file) } else { Err(not_regular(path)) }
}

/// Whether `path` still leads to `file`, and not to another or to none.
pub(super) fn is_same(file: &File, path: &Path) -> Result<bool> {
    let reading = || format!("reading `{}`", path.display());
    let ours = file.metadata().context(reading)?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(reading),
    }
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(|| format!("removing `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes a folder and those above it, each so that it survives a power cut.
pub(super) fn create_folder(path: &Path, mode: u32, durability: Durability) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let creating = || format!("creating `{}`", path.display());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let make = || fs::DirBuilder::new().mode(mode).create(path);
    let made = match (make(), parent) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(parent, mode, durability)?;
            make()
        }
        (made, _) => made,
    };
    match made {
        Ok(()) => sync_folder(parent.unwrap_or(Path::new(".")), durability),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error).context(creating),
    }
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

/// How long somebody may hold a lock. They hold it for one small write, or to collect garbage;
/// who holds it longer is stopped or stuck.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// How long we wait for a lock before the user hears of it.
const LOCK_TELL: Duration = Duration::from_secs(2);

/// How often we look whether it is free.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// A file that this process has locked. Let go when dropped, even if a child that is being started
/// has the file too.
pub(super) struct Locked(File);

impl Locked {
    /// Waits for whoever has it, some minutes at the most.
    pub(super) fn exclusive(file: File) -> io::Result<Locked> {
        Locked::wait(file, File::try_lock)
    }

    /// Waits for whoever has it exclusive, some minutes at the most.
    pub(super) fn shared(file: File) -> io::Result<Locked> {
        Locked::wait(file, File::try_lock_shared)
    }

    fn wait(file: File, lock: fn(&File) -> Result<(), TryLockError>) -> io::Result<Locked> {
        let began = Instant::now();
        let mut told = false;
        loop {
            match lock(&file) {
                Ok(()) => return Ok(Locked(file)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let waited = began.elapsed();
            if waited > LOCK_WAIT {
                let seconds = LOCK_WAIT.as_secs();
                let message = format!("another process has held it for {seconds} s");
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            if waited > LOCK_TELL && !std::mem::replace(&mut told, true) {
                log::warn!("waiting for another process that holds a lock of the store");
            }
            std::thread::park_timeout(LOCK_LOOK);
        }
    }

    /// Gives the file back if somebody else has it.
    pub(super) fn try_exclusive(file: File) -> io::Result<Result<Locked, File>> {
        match file.try_lock() {
            Ok(()) => Ok(Ok(Locked(file))),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl std::ops::Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            log::debug!("unlocking: {error}");
        }
    }
}

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
    pub(super) fn create(folder: &Path) -> Result<Temporary> {
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
        sync(&self.file, &self.path, durability)?;
        publish(&self.path, target)?;
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

/// Makes the content of a file survive a power cut.
pub(super) fn sync(file: &File, path: &Path, durability: Durability) -> Result<()> {
    match durability {
        Durability::Unsynced => Ok(()),
        Durability::Synced => file.sync_all().context(|| format!("syncing `{}`", path.display())),
    }
}

/// Gives a complete file its final name.
pub(super) fn publish(path: &Path, target: &Path) -> Result<()> {
    let creating = || format!("creating `{}`", target.display());
    match fs::rename(path, target) {
        // No tool puts a folder there. An empty one is in nobody's way.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            fs::remove_dir(target).context(creating)?;
            fs::rename(path, target).context(creating)
        }
        renamed => renamed.context(creating),
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
        sync_folder(parent, durability)?;
    }
    Ok(())
}
