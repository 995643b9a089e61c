mod pass;
mod walk;
mod whole;

use std::fmt;
use std::io::Read;

use super::catalogue::{self, Name, Watch};
use super::contents::{Contents, Holder};
use crate::error::Result;
use crate::image::Digest;

/// What came of reading an archive to see whether all of it is there and right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The sha256 digest of the archive itself, as it is.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// What images it lists, each name once, and the digests that it has for them: those of
    /// manifests, where it has one, else of configs.
    pub images: Vec<(Name, Digest)>,
    /// How many files are in it.
    pub files: usize,
    /// Whether the blocks of zeros that end a tar are there. Readers do without.
    pub is_ended: bool,
    /// What is wrong or missing.
    pub findings: Vec<Finding>,
    /// Files that no image needs, as they may be shown.
    pub unreferenced: Vec<String>,
}

/// Something that is wrong with an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The member, as it may be shown; of a blob that is missing, where it should be.
    pub member: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a member of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It is not there; who lists it.
    Missing(String),
    /// Its content has another digest than it must have.
    Digest {
        /// What it must have.
        expected: Digest,
        /// What it has.
        got: Digest,
    },
    /// It has another size than somebody says who lists it.
    Size {
        /// What is said.
        expected: u64,
        /// What it has.
        got: u64,
    },
    /// It is there again.
    Twice,
    /// It does not say what it must, or leads to where nothing is.
    Malformed(String),
}

impl Problem {
    /// The kind of problem in one word, for programs. Stable.
    pub fn word(&self) -> &'static str {
        match self {
            Problem::Missing(_) => "missing",
            Problem::Digest { .. } => "digest",
            Problem::Size { .. } => "size",
            Problem::Twice => "twice",
            Problem::Malformed(_) => "malformed",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing(by) => write!(f, "it is missing; {by} lists it"),
            Problem::Digest { expected, got } => write!(f, "expected {expected}, got {got}"),
            Problem::Size { expected, got } => write!(f, "expected {expected} bytes, got {got}"),
            Problem::Twice => f.write_str("it is there twice"),
            Problem::Malformed(why) => f.write_str(why),
        }
    }
}

/// Reads an archive to its end, in one pass, to see whether everything that it lists is there and
/// right, with all children of every index. `watch` is told of the bytes that are read; an error
/// from it ends the work.
///
/// # Errors
///
/// When it is no archive of images, or a tar that cannot be read to its end.
pub fn check(content: impl Read, watch: Watch<'_>) -> Result<Report> {
    let (passed, digest, size) = whole::hash_beside(content, watch, pass::go)?;
    let pass::Passed { members, mut findings, is_ended } = passed;
    catalogue::expect_lists(&members)?;
    let files = members.files().count();
    let contents = Contents { members, holder: Holder::Nobody };
    let walked = walk::walk(&contents, &mut findings);
    Ok(Report {
        digest,
        size,
        images: walked.images,
        files,
        is_ended,
        unreferenced: walked.unreferenced,
        findings,
    })
}
