use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::partial;
use crate::error::{Context, Error, ErrorKind, Result, lacking};
use crate::stream::ranges::{Ranges, Record};

/// A record has at most some dozen ranges; more bytes than this are not one.
const RECORD_LIMIT: usize = 64 * 1024;

/// What a record takes on the disk.
const RECORD_SIZE: u64 = 4096;

/// The file beside an unfinished blob that says which ranges of it are there.
pub(super) struct RecordFile {
    file: File,
    path: PathBuf,
    len: Mutex<usize>,
}

impl RecordFile {
    /// Opens the record of the unfinished blob in `content`, of which `size` bytes are to come,
    /// and says what of it is there. Without a record, nothing is known to be.
    pub(super) fn open(path: PathBuf, content: &File, size: u64) -> Result<(RecordFile, Ranges)> {
        let file = partial::open(&path, RECORD_SIZE)?;
        let (ranges, len) =
            parse(&file, content, size).context(|| format!("reading `{}`", path.display()))?;
        Ok((RecordFile { file, path, len: Mutex::new(len) }, ranges))
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Writes down what is there. The one `pwrite` is small enough to be there whole or not at
    /// all when the process dies; after a power cut the digest finds what is wrong.
    pub(super) fn write(&self, ranges: &Ranges, size: u64) -> Result<()> {
        let mut text = serde_json::to_vec(&ranges.to_record(size))
            .map_err(|error| Error::new(ErrorKind::Other(error.to_string())))?;
        let mut len = self.len.lock().unwrap_or_else(PoisonError::into_inner);
        if *len > RECORD_LIMIT {
            self.file.set_len(0).context(|| format!("emptying `{}`", self.path.display()))?;
            *len = 0;
        }
        // White space covers what is left of a longer record.
        text.resize(text.len().max(*len), b' ');
        *len = text.len();
        self.file
            .write_all_at(&text, 0)
            .map_err(|error| lacking(error, RECORD_SIZE))
            .context(|| format!("writing `{}`", self.path.display()))
    }
}

/// What the record in `file` says that is there of `content`, as far as it can be true, and how
/// long the record is.
pub(super) fn parse(file: &File, content: &File, size: u64) -> std::io::Result<(Ranges, usize)> {
    let len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let there = content.metadata()?.len();
    if len > RECORD_LIMIT {
        return Ok((Ranges::default(), len));
    }
    let mut text = vec![0; len];
    file.read_exact_at(&mut text, 0)?;
    let ranges = match serde_json::from_slice::<Record>(&text) {
        Ok(record) => Ranges::from_record(&record, size),
        Err(_) => Ranges::default(),
    };
    // A file that is shorter than its record is not the one that was recorded.
    let plausible = ranges.end() <= there;
    Ok((if plausible { ranges } else { Ranges::default() }, len))
}
