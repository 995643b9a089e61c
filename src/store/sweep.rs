use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

use super::file;
use super::layout::Layout;
use super::lock::UNSYNCED;
use super::locked::Locked;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Digest};

/// Most bytes of a lease: digests of 100,000 blobs, as many as an archive may hold, each of at most
/// 136 bytes.
const LEASE_LIMIT: u64 = 16 * 1024 * 1024;

/// What is in a folder; nothing if it is not there.
///
/// Not by [`std::fs::read_dir`], which panics if closing the folder fails.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("reading `{}`", folder.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(folder, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        opened => opened.map_err(io::Error::from).context(reading)?,
    };
    let mut paths = Vec::new();
    for entry in Dir::new(opened).map_err(io::Error::from).context(reading)? {
        let entry = entry.map_err(io::Error::from).context(reading)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            paths.push(folder.join(name));
        }
    }
    Ok(paths)
}

/// The blobs, whatever is there under their digests. What has another name is not ours.
pub(super) fn blobs(layout: &Layout) -> Result<Vec<Digest>> {
    let mut digests = Vec::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let names = list(&layout.blobs_of(algorithm))?;
        digests.extend(names.iter().filter_map(|path| {
            format!("{}:{}", algorithm.as_str(), path.file_name()?.to_str()?).parse::<Digest>().ok()
        }));
    }
    Ok(digests)
}

/// The blobs of which there is a partial file or a record.
pub(super) fn partials(layout: &Layout) -> Result<BTreeSet<Digest>> {
    let digest = |path: &PathBuf| {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".json").unwrap_or(name);
        name.replacen('-', ":", 1).parse().ok()
    };
    Ok(list(&layout.partials())?.iter().filter_map(digest).collect())
}

/// The file at `path`. What is no file was not put there by us, and nobody has locked it.
fn ours(path: &Path) -> Result<Option<File>> {
    match file::open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::Content(_)) => {
            log::warn!("{error}: it is left alone");
            Ok(None)
        }
        opened => opened,
    }
}

/// The file at `path`, locked, if nobody else has it locked.
pub(super) fn abandoned(path: &Path) -> Result<Option<Locked>> {
    let Some(file) = ours(path)? else { return Ok(None) };
    let locked = Locked::try_exclusive(file).context(|| format!("locking `{}`", path.display()))?;
    match locked {
        Ok(locked) if file::is_same(&locked, path)? => Ok(Some(locked)),
        _ => Ok(None),
    }
}

/// What live processes work on, and the leases of dead ones.
#[derive(Default)]
pub(super) struct Leases {
    pub(super) content: HashSet<Digest>,
    pub(super) dead: Vec<PathBuf>,
    /// Whether one of the live ones does not sync what it writes.
    pub(super) unsynced: bool,
}

impl Leases {
    pub(super) fn read(layout: &Layout) -> Result<Leases> {
        let mut leases = Leases::default();
        for path in list(&layout.leases())? {
            let reading = || format!("reading `{}`", path.display());
            let Some(file) = ours(&path)? else { continue };
            match Locked::try_exclusive(file).context(reading)? {
                Ok(_) => leases.dead.push(path),
                Err(file) => {
                    let mut text = String::new();
                    file.take(LEASE_LIMIT).read_to_string(&mut text).context(reading)?;
                    for line in text.lines() {
                        if line == UNSYNCED {
                            leases.unsynced = true;
                            continue;
                        }
                        let digest = line.parse().map_err(|error| {
                            Error::content(format!("expected a list of digests: {error}"))
                        });
                        leases.content.insert(digest.context(reading)?);
                    }
                }
            }
        }
        Ok(leases)
    }
}
