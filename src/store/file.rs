use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::Durability;
use crate::error::{Context, Error, Result, lacking};

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

/// How our own files are opened. A link is not followed here either: a store may have been made by
/// anyone.
const OWN: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens a file of our own to read and write; makes it if it is not there. `needed` bytes are to be
/// written to it.
pub(super) fn open_own(path: &Path, needed: u64) -> Result<File> {
    let flags = OWN | OFlags::RDWR | OFlags::CREATE;
    let file = match rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => return Err(not_regular(path)),
        Err(error) => {
            return Err(lacking(error.into(), needed))
                .context(|| format!("opening `{}`", path.display()));
        }
    };
    let metadata = file.metadata().context(|| format!("reading `{}`", path.display()))?;
    if metadata.is_file() { Ok(file) } else { Err(not_regular(path)) }
}

/// Opens a file of our own to lock it; makes it if it is not there. A folder or a fifo in its place
/// can be locked as well, by all who come.
pub(super) fn open_lock(path: &Path) -> Result<File> {
    let error = match open_own(path, BLOCK) {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(_) => return Err(error),
    };
    let mode = match (kind.is_dir(), kind.is_fifo()) {
        (true, _) => OFlags::RDONLY | OFlags::DIRECTORY,
        (_, true) => OFlags::RDWR,
        _ => return Err(error),
    };
    log::warn!("`{}` is not a regular file: it is locked all the same", path.display());
    rustix::fs::open(path, OWN | mode, Mode::empty())
        .map(File::from)
        .map_err(io::Error::from)
        .context(|| format!("opening `{}`", path.display()))
}

/// Whether there is something that cannot even be locked.
pub(super) fn is_obstacle(path: &Path) -> bool {
    let kind = fs::symlink_metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir() && !kind.is_fifo())
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

/// Removes what is ours alone, whatever is in its place.
pub(super) fn clear(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            fs::remove_dir_all(path).context(|| format!("removing `{}`", path.display()))
        }
        _ => remove(path),
    }
}

/// What a folder may grow by when it takes one more name.
const BLOCK: u64 = 4096;

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
        Err(error) => Err(lacking(error, BLOCK)).context(creating),
    }
}

/// Makes a folder and all above it survive a power cut, whoever has made them: a run that was
/// killed may have made some and synced none.
pub(super) fn sync_path(path: &Path, durability: Durability) -> Result<()> {
    if durability == Durability::Unsynced {
        return Ok(());
    }
    let whole = fs::canonicalize(path).context(|| format!("reading `{}`", path.display()))?;
    for folder in whole.ancestors() {
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Those were not made by us: we may not look into them, or nothing is written there.
            Err(error)
                if [
                    io::ErrorKind::PermissionDenied,
                    io::ErrorKind::ReadOnlyFilesystem,
                    io::ErrorKind::InvalidInput,
                ]
                .contains(&error.kind()) => {}
            synced => synced.context(|| format!("syncing `{}`", folder.display()))?,
        }
    }
    Ok(())
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

/// Lets nobody write to a file that is complete.
pub(super) fn protect(file: &File, path: &Path) -> Result<()> {
    file.set_permissions(fs::Permissions::from_mode(0o444))
        .context(|| format!("protecting `{}`", path.display()))
}

/// Makes the content of a file survive a power cut.
pub(super) fn sync(file: &File, path: &Path, durability: Durability) -> Result<()> {
    match durability {
        Durability::Unsynced => Ok(()),
        Durability::Synced => {
            let size = file.metadata().map_or(0, |metadata| metadata.len());
            file.sync_all()
                .map_err(|error| lacking(error, size))
                .context(|| format!("syncing `{}`", path.display()))
        }
    }
}

/// The same of a file that is complete, and hears what the file system says when it is closed:
/// where the disk is far away, only then it says that something was not written.
pub(super) fn finish(file: &File, path: &Path, durability: Durability) -> Result<()> {
    sync(file, path, durability)?;
    // Of two handles each is told; the lock stays with the other.
    let closing = || format!("closing `{}`", path.display());
    let handle = file.try_clone().context(closing)?;
    nix::unistd::close(handle).map_err(io::Error::from).context(closing)
}

/// Gets a folder out of the way; what is in it is not lost.
pub(super) fn move_aside(folder: &Path) -> io::Result<()> {
    if fs::remove_dir(folder).is_ok() {
        return Ok(());
    }
    let aside = free_beside(folder);
    fs::rename(folder, &aside)?;
    log::warn!("`{}` was a folder: it is `{}` now", folder.display(), aside.display());
    Ok(())
}

/// A name beside `path`, with `.old` and if need be a number, that nothing has.
fn free_beside(path: &Path) -> PathBuf {
    let named = |end: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let mut aside = named(".old".into());
    let mut count = 1_u64;
    while fs::symlink_metadata(&aside).is_ok() {
        count += 1;
        aside = named(format!(".old{count}"));
    }
    aside
}

/// Gives a complete file its final name.
pub(super) fn publish(path: &Path, target: &Path) -> Result<()> {
    let creating = || format!("creating `{}`", target.display());
    match fs::rename(path, target) {
        // No tool puts a folder there.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            move_aside(target).context(creating)?;
            fs::rename(path, target).context(creating)
        }
        renamed => renamed.map_err(|error| lacking(error, BLOCK)).context(creating),
    }
}
