use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};

use crate::endpoint::Durability;
use crate::error::{Context, Error, ErrorKind, Result};

/// How many files may be written at once that are to have the same name.
const TWINS: u32 = 100;

/// Most bytes of a file's name that the name of the unfinished file repeats.
const NAME_LIMIT: usize = 200;

/// A file being written beside the one that it will replace. If it is dropped before
/// [`commit`](NewFile::commit), nothing has changed and nothing is left; what a process that was
/// killed has left is removed by the next that writes there.
#[derive(Debug)]
pub struct NewFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    target: PathBuf,
    leftover: Leftover,
}

/// The unfinished file by its name, for who must remove it when the process is about to end.
/// Clones are the same.
#[derive(Clone, Debug)]
pub struct Leftover(Arc<Mutex<Option<PathBuf>>>);

impl Leftover {
    /// Removes it, if it is still unfinished; then it can no longer be committed.
    pub fn remove(&self) {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(path) = path
            && let Err(error) = fs::remove_file(&path)
        {
            log::debug!("removing `{}`: {error}", path.display());
        }
    }
}

impl NewFile {
    /// Begins a file that will be at `target`, a link or a file that is there by then replaced.
    ///
    /// # Errors
    ///
    /// When there is something else at `target`, or no room for `size` bytes.
    pub fn create(target: &Path, size: u64) -> Result<NewFile> {
        let creating = || format!("creating `{}`", target.display());
        let name = target.file_name().ok_or_else(|| {
            Error::usage(format!("expected the name of a file, got `{}`", target.display()))
        })?;
        let is_other =
            fs::symlink_metadata(target).is_ok_and(|it| !it.is_file() && !it.is_symlink());
        if is_other {
            return Err(Error::new(ErrorKind::Local("there is something else".into())))
                .context(creating);
        }
        room(folder_of(target), size).context(creating)?;
        let mut hidden = OsString::from(".");
        let name = name.as_bytes();
        hidden.push(OsString::from_vec(name[..name.len().min(NAME_LIMIT)].into()));
        for twin in 0..TWINS {
            let mut name = hidden.clone();
            name.push(format!(".windlass-{twin}"));
            let path = target.with_file_name(name);
            if let Some(file) = claim(&path).context(creating)? {
                let leftover = Leftover(Arc::new(Mutex::new(Some(path.clone()))));
                return Ok(NewFile { file, path, target: target.into(), leftover });
            }
        }
        let message = format!("`{}` is being written {TWINS} times", target.display());
        Err(ErrorKind::Local(message).into())
    }

    /// What would be left of it if the process ended now.
    pub fn leftover(&self) -> Leftover {
        self.leftover.clone()
    }

    /// Gives it its name.
    pub fn commit(self, durability: Durability) -> Result<()> {
        let target = &self.target;
        let creating = || format!("creating `{}`", target.display());
        if durability == Durability::Synced {
            self.file.sync_all().context(|| format!("syncing `{}`", self.path.display()))?;
        }
        let mut leftover = self.leftover.0.lock().unwrap_or_else(PoisonError::into_inner);
        match leftover.as_deref() {
            Some(path) => fs::rename(path, target).context(creating)?,
            None => return Err(Error::new(ErrorKind::Interrupted)).context(creating),
        }
        *leftover = None;
        drop(leftover);
        if durability == Durability::Synced {
            let folder = folder_of(target);
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .context(|| format!("syncing `{}`", folder.display()))?;
        }
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        self.leftover.remove();
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Fails unless there is room for so many bytes.
fn room(folder: &Path, size: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(folder).map_err(io::Error::from)?;
    let room = stat.f_bavail.saturating_mul(stat.f_frsize);
    match size.checked_sub(room) {
        None | Some(0) => Ok(()),
        Some(lacking) => Err(ErrorKind::Local(format!(
            "expected room for {size} bytes, there is room for {room}: {lacking} are lacking"
        ))
        .into()),
    }
}

/// Makes a file of that name and locks it; none if a live process has it, or it is not ours to
/// take. What a dead one has left is removed.
fn claim(path: &Path) -> io::Result<Option<File>> {
    loop {
        match File::options().read(true).write(true).create_new(true).open(path) {
            Ok(file) => match file.try_lock() {
                // Before it was locked it looked as if nobody owned it.
                Ok(()) if file.metadata()?.nlink() > 0 => return Ok(Some(file)),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                // There are file systems without locks, and there nobody removes anything.
                Err(TryLockError::Error(_)) => return Ok(Some(file)),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !remove_abandoned(path) {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// Removes the unfinished file of a process that is no more. Says whether the name is free.
fn remove_abandoned(path: &Path) -> bool {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(error) => return error == rustix::io::Errno::NOENT,
    };
    // Whoever is at it has locked it; once it is ours, nobody else may put another in its place.
    let is_abandoned =
        file.try_lock().is_ok() && file.metadata().is_ok_and(|it| it.is_file() && it.nlink() > 0);
    is_abandoned && fs::remove_file(path).is_ok()
}
