use std::io::{Cursor, Read};

use super::{Finding, Problem};
use crate::archive::read::file::{START, check_start, insert, no_tar};
use crate::archive::read::intake::{LISTS, is_of_docker_1};
use crate::archive::read::layer;
use crate::archive::read::members::{Entry, Held, Members, Place, blob_digest, clean, shown};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Algorithm, Config, MANIFEST_LIMIT, Manifest};
use crate::stream::compression::Decompress;
use crate::stream::tar::{Kind, Member, Reader};

/// Most bytes of manifests and configs that are kept until all has come.
const KEPT_LIMIT: u64 = 64 * 1024 * 1024;

/// What was seen in passing.
pub(super) struct Passed {
    pub(super) members: Members,
    pub(super) findings: Vec<Finding>,
    pub(super) is_ended: bool,
}

/// Reads all members: hashes what is big, and keeps what says what else there must be.
pub(super) fn go(content: &mut dyn Read) -> Result<Passed> {
    let mut content = Decompress::new(content)?;
    let mut start = Vec::new();
    content.by_ref().take(START).read_to_end(&mut start).context(|| "reading the archive")?;
    check_start(&start)?;
    let mut reader = Reader::new(Cursor::new(start.clone()).chain(content));
    let mut passing = Passing { members: Members::default(), findings: Vec::new(), kept: 0 };
    let mut trouble = None;
    loop {
        let is_first = passing.members.is_empty();
        let member = match reader.next_member() {
            Ok(Some(member)) => member,
            Ok(None) => break,
            // What was wrong with the content of the member before may be why there is no next.
            Err(error) => return Err(trouble.unwrap_or_else(|| no_tar(error, &start, is_first))),
        };
        trouble = None;
        if let Err(error) = passing.member(&member, &mut reader) {
            if !matches!(error.kind(), ErrorKind::Content(_)) {
                return Err(error);
            }
            passing.find(&member.path, Problem::Malformed(error.kind().to_string()));
            trouble = Some(error);
        }
    }
    passing.members.check_links()?;
    let is_ended = reader.is_ended();
    reader.finish()?;
    let Passing { members, findings, .. } = passing;
    Ok(Passed { members, findings, is_ended })
}

struct Passing {
    members: Members,
    findings: Vec<Finding>,
    /// Bytes that are kept.
    kept: u64,
}

impl Passing {
    fn find(&mut self, name: &[u8], problem: Problem) {
        self.findings.push(Finding { member: shown(name), problem });
    }

    fn member(&mut self, member: &Member, content: &mut dyn Read) -> Result<()> {
        let name = clean(&member.path)?;
        if member.kind != Kind::Folder && self.members.has(&name) {
            self.find(&name, Problem::Twice);
            return Ok(());
        }
        let mut entry = Entry::Other;
        if member.kind == Kind::File {
            if is_of_docker_1(&name) {
                return Ok(());
            }
            let place = self.take(content, &name, member.size)?;
            entry = Entry::File(Held { size: member.size, place });
        }
        insert(&mut self.members, member, entry)
    }

    /// Reads the content of a member, compares it with its name, and keeps what is needed of it.
    fn take(&mut self, content: &mut dyn Read, name: &[u8], size: u64) -> Result<Place> {
        let expected = blob_digest(name);
        let mut bytes = Vec::new();
        if size <= MANIFEST_LIMIT {
            content.read_to_end(&mut bytes)?;
        }
        let whole = Cursor::new(&bytes).chain(content);
        let facts = match expected {
            Some(digest) => layer::hash(whole, digest.algorithm())?,
            None => layer::look(whole, (Algorithm::Sha256, Algorithm::Sha256))?,
        };
        if let Some(expected) = expected
            && expected != facts.digest
        {
            self.find(name, Problem::Digest { expected, got: facts.digest });
        } else if LISTS.contains(&name) || says_what_else(&bytes) {
            self.kept = self.kept.saturating_add(size);
            if self.kept <= KEPT_LIMIT {
                return Ok(Place::Bytes(bytes));
            }
            let message =
                format!("expected at most {KEPT_LIMIT} bytes of manifests and configs, got more");
            return Err(Error::content(message));
        }
        Ok(Place::Passed(facts))
    }
}

/// Whether these are the bytes of a manifest or of an image config.
fn says_what_else(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
        && (Manifest::parse(bytes.to_vec(), Algorithm::Sha256, None).is_ok()
            || Config::from_slice(bytes).is_ok_and(|config| config.platform().is_some()))
}
