use std::fmt;

use super::entry::{Entry, Odd};
use crate::error::{Error, ErrorKind};
use crate::image::Digest;

/// What was found in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many names were followed.
    pub names: usize,
    /// How many entries without a name.
    pub nameless: usize,
    /// How many blobs and manifests were read.
    pub blobs: usize,
    /// Bytes of them.
    pub size: u64,
    /// What is wrong, in the order of the digests.
    pub findings: Vec<Finding>,
}

/// Something that is wrong in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The blob; without one it is the index or the layout that is wrong.
    pub digest: Option<Digest>,
    /// What is wrong with it.
    pub problem: Problem,
    /// The entries that lead to it; none if nothing does.
    pub entries: Vec<Entry>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// There is a link, a folder or a device in its place.
    NotAFile,
    /// It has another size than what leads to it says.
    Size {
        /// What is said, in bytes.
        expected: u64,
        /// What is there, in bytes.
        got: u64,
    },
    /// Its content has this digest instead.
    Digest(Digest),
    /// Its digest is right, and it is no manifest.
    Malformed(String),
    /// This machine cannot read it.
    Unreadable(String),
    /// It is as its digest says, and what leads to it says another size.
    Claim {
        /// What is said, in bytes.
        said: u64,
        /// What is true, in bytes.
        size: u64,
    },
    /// The index has an entry that leads nowhere.
    Entry(Odd),
    /// There is no `oci-layout`, so that other tools do not take the folder for a layout.
    Unmarked,
}

impl Problem {
    /// What is wrong in one word, for programs. Stable.
    pub fn word(&self) -> &'static str {
        match self {
            Problem::Missing => "missing",
            Problem::NotAFile => "not_a_file",
            Problem::Size { .. } => "size",
            Problem::Digest(_) => "digest",
            Problem::Malformed(_) => "malformed",
            Problem::Unreadable(_) => "unreadable",
            Problem::Claim { .. } => "claim",
            Problem::Entry(_) => "index",
            Problem::Unmarked => "layout",
        }
    }

    /// Whether it is gone once the blob is there again as its digest says.
    pub fn is_of_content(&self) -> bool {
        match self {
            Problem::Missing
            | Problem::NotAFile
            | Problem::Size { .. }
            | Problem::Digest(_)
            | Problem::Unreadable(_) => true,
            Problem::Malformed(_)
            | Problem::Claim { .. }
            | Problem::Entry(_)
            | Problem::Unmarked => false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing | Problem::Unmarked => f.write_str("it is missing"),
            Problem::NotAFile => f.write_str("it is not a regular file"),
            Problem::Size { expected, got } => write!(f, "expected {expected} bytes, got {got}"),
            Problem::Digest(got) => write!(f, "its content is {got}"),
            Problem::Malformed(why) | Problem::Unreadable(why) => f.write_str(why),
            Problem::Claim { said, size } => {
                write!(f, "it has {size} bytes, and is said to have {said}")
            }
            Problem::Entry(odd) => odd.fmt(f),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error.kind() {
            ErrorKind::Size { expected, got } => Problem::Size { expected: *expected, got: *got },
            ErrorKind::Digest { got, .. } => Problem::Digest(*got),
            ErrorKind::Content(why) => Problem::Malformed(why.clone()),
            _ => Problem::Unreadable(error.kind().to_string()),
        }
    }
}

/// How far a check has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Bytes that were read.
    pub done: u64,
    /// Bytes to read in all.
    pub total: u64,
}
