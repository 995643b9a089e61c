use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Store;
use super::file;
use super::layout::Layout;
use super::locked::Locked;
use crate::endpoint::{Note, Notes};
use crate::error::{Context, Result};

/// A note is a URL and little more; longer ones are not ours.
const NOTE_LIMIT: u64 = 64 * 1024;

/// Most characters of the subject of a note, which names its file.
const SUBJECT_LIMIT: usize = 128;

/// Where a store keeps what is to be remembered of uploads: in files that nobody else can read.
#[derive(Clone, Debug)]
pub struct UploadNotes {
    layout: Layout,
}

/// One of the files, locked.
struct File {
    file: Locked,
    path: PathBuf,
}

impl Store {
    /// What is remembered of uploads; none where nothing can be written, or where there was never
    /// a store.
    pub fn upload_notes(&self) -> Option<UploadNotes> {
        let is_store = self.layout.private().is_dir();
        let usable = is_store && self.writable().is_ok() && self.prepare().is_ok();
        usable.then(|| UploadNotes { layout: self.layout.clone() })
    }
}

impl Notes for UploadNotes {
    fn open(&self, subject: &str) -> Option<Box<dyn Note>> {
        let is_plain = subject.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_plain || subject.is_empty() || subject.len() > SUBJECT_LIMIT {
            return None;
        }
        let opened = open(&self.layout.upload(subject));
        let note = opened.inspect_err(|error| log::debug!("nothing is remembered: {error}"));
        Some(Box::new(note.ok()??))
    }
}

/// The file, unless somebody else has it or is just removing it.
fn open(path: &Path) -> Result<Option<File>> {
    let file = file::open_own(path, NOTE_LIMIT)?;
    let locked = Locked::try_exclusive(file).context(|| format!("locking `{}`", path.display()))?;
    match locked {
        Ok(file) if file::is_same(&file, path)? => Ok(Some(File { file, path: path.to_owned() })),
        _ => Ok(None),
    }
}

impl Note for File {
    fn text(&self) -> Option<String> {
        let mut text = String::new();
        let read = (&*self.file).take(NOTE_LIMIT).read_to_string(&mut text);
        read.is_ok_and(|len| len > 0).then_some(text)
    }

    /// What is left of a longer note is covered with white space first or last: whatever a
    /// process that dies leaves behind is this note, the one before, or none.
    fn write(&self, text: &str) -> Result<()> {
        let writing = || format!("writing `{}`", self.path.display());
        let before = usize::try_from(self.file.metadata().context(writing)?.len()).unwrap_or(0);
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().max(before), b' ');
        self.file.write_all_at(&bytes, 0).context(writing)
    }

    fn remove(self: Box<Self>) {
        if let Err(error) = file::remove(&self.path) {
            log::debug!("{error}");
        }
    }
}

/// An empty note that was never written is no use to anybody.
impl Drop for File {
    fn drop(&mut self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == 0)
            && file::is_same(&self.file, &self.path).unwrap_or(false)
            && let Err(error) = file::remove(&self.path)
        {
            log::debug!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::store::Durability;

    #[test]
    fn note_is_kept_from_others_and_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Durability::Unsynced).unwrap();
        assert!(store.upload_notes().is_none(), "it is no store yet");
        store.prepare().unwrap();
        let notes = store.upload_notes().unwrap();
        for odd in ["", "../x", "a/b", "."] {
            assert!(notes.open(odd).is_none(), "{odd}");
        }
        let note = notes.open("a1").unwrap();
        assert_eq!(note.text(), None);
        assert!(notes.open("a1").is_none(), "somebody has it");
        note.write("a long secret").unwrap();
        note.write("secret").unwrap();
        drop(note);
        let path = folder.path().join(".windlass/upload/a1");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let note = notes.open("a1").unwrap();
        assert_eq!(note.text().unwrap().trim_end(), "secret");
        note.remove();
        assert!(!path.exists());
        drop(notes.open("a2"));
        assert!(!folder.path().join(".windlass/upload/a2").exists());
    }
}
