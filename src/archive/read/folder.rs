use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::members::{Entry, Held, LinkKind, Members, Place, link_target};
use crate::error::{Context, Error, Result};

/// How deep a file of an image may lie: `blobs/sha256/HEX` is the deepest that tools write.
const DEPTH_LIMIT: usize = 8;

/// The files below `folder`, as the members of the archive that it would be in a tar.
///
/// What begins with a dot is some tool's own, and left out.
pub(super) fn members(folder: &Path) -> Result<Members> {
    let mut members = Members::default();
    let mut waiting = vec![Vec::new()];
    while let Some(parent) = waiting.pop() {
        let path = folder.join(OsStr::from_bytes(&parent));
        let reading = || format!("reading `{}`", path.display());
        for entry in fs::read_dir(&path).context(reading)? {
            let entry = entry.context(reading)?;
            let own = entry.file_name().into_vec();
            if own.starts_with(b".") {
                continue;
            }
            let name = match parent.is_empty() {
                true => own,
                false => [&parent, &b"/"[..], &own].concat(),
            };
            let kind = entry.file_type().context(reading)?;
            if kind.is_dir() {
                if name.split(|byte| *byte == b'/').count() < DEPTH_LIMIT {
                    waiting.push(name);
                }
                continue;
            }
            let found = if kind.is_symlink() {
                let target = fs::read_link(entry.path()).context(reading)?;
                Entry::Link(link_target(&name, target.as_os_str().as_bytes(), LinkKind::Symbolic)?)
            } else if kind.is_file() {
                let size = entry.metadata().context(reading)?.len();
                Entry::File(Held { size, place: Place::InFolder })
            } else {
                Entry::Other
            };
            members.insert(name, found)?;
        }
    }
    members.check_links()?;
    Ok(members)
}

/// Opens the file of that clean name below `folder`. No link is followed on the way, and what is
/// no file does not block.
pub(super) fn open(folder: &Path, name: &[u8]) -> Result<File> {
    let mut parts = name.split(|byte| *byte == b'/').peekable();
    let mut at = File::open(folder).context(|| format!("opening `{}`", folder.display()))?;
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let kind = if is_last { OFlags::NONBLOCK } else { OFlags::DIRECTORY };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
        let opened = rustix::fs::openat(&at, OsStr::from_bytes(part), flags, Mode::empty());
        at = File::from(opened.map_err(io::Error::from)?);
    }
    match at.metadata()?.is_file() {
        true => Ok(at),
        false => Err(Error::content("expected a file, got something else")),
    }
}
