use std::collections::BTreeMap;

use super::layer::Facts;
use crate::error::{Context, Error, Result};
use crate::image::Digest;
use crate::printable::printable;

/// Most members of an archive. The biggest ones known, whole stores of hundreds of images, have
/// some ten thousand.
const MEMBERS_LIMIT: usize = 100_000;

/// Most bytes of their names in all.
const NAMES_LIMIT: usize = 16 * 1024 * 1024;

/// Most links on the way to one member.
const LINKS_LIMIT: usize = 16;

/// What an archive holds, by clean names: without `./`, `//` and a slash at the end.
#[derive(Debug, Default)]
pub(super) struct Members {
    entries: BTreeMap<Vec<u8>, Entry>,
    names_len: usize,
}

/// What has a name in an archive.
#[derive(Debug)]
pub(super) enum Entry {
    File(Held),
    /// A symbolic or hard link to the member of that clean name, there or not.
    Link(Vec<u8>),
    /// Something that no image is made of: a device, a fifo.
    Other,
}

/// The content of a member.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) size: u64,
    pub(super) place: Place,
}

/// Where the content of a member is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In the file of the archive, from there on.
    At(u64),
    /// In the file of that name, below the folder that the archive is.
    InFolder,
    /// In the store that takes the images in, as this blob.
    Blob(Digest),
    /// In memory: it is small.
    Bytes(Vec<u8>),
    /// Nowhere any more: it was read in passing.
    Passed(Facts),
}

impl Members {
    /// Takes note of a member under its clean name.
    ///
    /// # Errors
    ///
    /// When there is one of that name: readers disagree on which one counts.
    pub(super) fn insert(&mut self, name: Vec<u8>, entry: Entry) -> Result<()> {
        self.names_len = self.names_len.saturating_add(name.len());
        if self.entries.len() == MEMBERS_LIMIT || self.names_len > NAMES_LIMIT {
            let message = format!(
                "expected at most {MEMBERS_LIMIT} members with {NAMES_LIMIT} bytes of names, got more"
            );
            return Err(Error::content(message));
        }
        if self.entries.contains_key(&name) {
            return Err(Error::content("it is in the archive twice"))
                .context(|| reading_member(&name));
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    /// The file of that name and what it holds, links followed; the name is then that of the file.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<(&[u8], &Held)>> {
        let mut at = name;
        for _ in 0..LINKS_LIMIT {
            match self.entries.get_key_value(at) {
                None => return Ok(None),
                Some((name, Entry::File(held))) => return Ok(Some((name, held))),
                Some((_, Entry::Link(target))) => at = target,
                Some((name, Entry::Other)) => {
                    return Err(Error::content("expected a file, got something else"))
                        .context(|| reading_member(name));
                }
            }
        }
        Err(Error::content("its links lead in circles")).context(|| reading_member(name))
    }

    /// Fails if the links of a member lead in circles.
    pub(super) fn check_links(&self) -> Result<()> {
        let links = self.entries.iter().filter(|(_, entry)| matches!(entry, Entry::Link(_)));
        for (name, _) in links {
            let mut at = name;
            let mut count = 0;
            while let Some(Entry::Link(target)) = self.entries.get(at) {
                at = target;
                count += 1;
                if count > LINKS_LIMIT {
                    return Err(Error::content("its links lead in circles"))
                        .context(|| reading_member(name));
                }
            }
        }
        Ok(())
    }

    /// All files, by name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&[u8], &Held)> {
        self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::File(held) => Some((name.as_slice(), held)),
            _ => None,
        })
    }

    /// The first names, to show what there is.
    pub(super) fn some_names(&self) -> Vec<String> {
        self.entries.keys().take(5).map(|name| shown(name)).collect()
    }

    /// Whether something has that name, whatever it is.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.entries.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The step in which something is wrong with a member.
pub(super) fn reading_member(name: &[u8]) -> String {
    format!("reading member `{}`", shown(name))
}

/// The name of a member as it may be shown.
pub(super) fn shown(name: &[u8]) -> String {
    printable(&String::from_utf8_lossy(name))
}

/// The clean form of a member's name; empty for the folder that all is in.
///
/// # Errors
///
/// When it is absolute or leads upwards.
pub(super) fn clean(name: &[u8]) -> Result<Vec<u8>> {
    if name.first() == Some(&b'/') {
        return Err(Error::content("its name is absolute")).context(|| reading_member(name));
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                return Err(Error::content("its name leads upwards"))
                    .context(|| reading_member(name));
            }
            part if part.contains(&0) => {
                return Err(Error::content("its name has a NUL")).context(|| reading_member(name));
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// From where the target of a link is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// From the folder of the link.
    Symbolic,
    /// From the start of the archive.
    Hard,
}

/// The clean name that a link of the clean name `member` to `target` leads to.
///
/// # Errors
///
/// When that is not in the archive.
pub(super) fn link_target(member: &[u8], target: &[u8], kind: LinkKind) -> Result<Vec<u8>> {
    let out = || {
        let message = format!("its link to `{}` leads out of the archive", shown(target));
        Err(Error::content(message)).context(|| reading_member(member))
    };
    if target.is_empty() || target[0] == b'/' {
        return out();
    }
    let mut parts: Vec<&[u8]> = match kind {
        LinkKind::Hard => Vec::new(),
        LinkKind::Symbolic => member.split(|byte| *byte == b'/').collect(),
    };
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return out();
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// The digest that a member of this clean name must have, if it is named as the blobs of an image
/// layout are.
pub(super) fn blob_digest(name: &[u8]) -> Option<Digest> {
    let text = std::str::from_utf8(name).ok()?.strip_prefix("blobs/")?;
    let (algorithm, hex) = text.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// The name of the member that the blob of that digest is in an image layout.
pub(super) fn blob_name(digest: Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_clean_or_refused() {
        let check = |name: &str, expected: &str| {
            assert_eq!(clean(name.as_bytes()).unwrap(), expected.as_bytes(), "{name}");
        };
        check("a/b", "a/b");
        check("./a//b/", "a/b");
        check("./", "");
        check("a/.../b", "a/.../b");
        for name in ["/a", "..", "a/../b", "../a", "a/..", "//a", "a\0b"] {
            let error = clean(name.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("reading member `"), "{error}");
        }
    }

    #[test]
    fn link_stays_in_the_archive_or_is_refused() {
        let check_as = |kind, member: &str, target: &str, expected: Option<&str>| {
            let got = link_target(member.as_bytes(), target.as_bytes(), kind).ok();
            assert_eq!(got, expected.map(|it| it.as_bytes().to_vec()), "{member} -> {target}");
        };
        let check = |member: &str, target: &str, expected| {
            check_as(LinkKind::Symbolic, member, target, expected);
        };
        check_as(LinkKind::Hard, "a/b", "./c//d", Some("c/d"));
        check_as(LinkKind::Hard, "a/b", "../c", None);
        check("a/layer.tar", "../b/layer.tar", Some("b/layer.tar"));
        check("a/layer.tar", "./x//y", Some("a/x/y"));
        check("layer.tar", "b", Some("b"));
        check("a/b/c", "../../d", Some("d"));
        check("a/b", "../../d", None);
        check("b", "../b", None);
        check("b", "/etc/passwd", None);
        check("b", "", None);
    }

    #[test]
    fn links_are_followed_and_end() {
        let mut members = Members::default();
        let held = Held { size: 1, place: Place::At(512) };
        members.insert(b"file".to_vec(), Entry::File(held)).unwrap();
        members.insert(b"one".to_vec(), Entry::Link(b"file".to_vec())).unwrap();
        members.insert(b"two".to_vec(), Entry::Link(b"one".to_vec())).unwrap();
        members.insert(b"none".to_vec(), Entry::Link(b"nowhere".to_vec())).unwrap();
        members.check_links().unwrap();
        assert_eq!(members.find(b"two").unwrap().unwrap().0, b"file");
        assert!(members.find(b"none").unwrap().is_none());
        assert!(members.insert(b"file".to_vec(), Entry::Other).is_err(), "twice");
        members.insert(b"a".to_vec(), Entry::Link(b"b".to_vec())).unwrap();
        members.insert(b"b".to_vec(), Entry::Link(b"a".to_vec())).unwrap();
        assert!(members.find(b"a").unwrap_err().to_string().contains("circles"));
        assert!(members.check_links().is_err());
    }

    #[test]
    fn only_what_is_named_as_a_blob_is_one() {
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let name = format!("blobs/sha256/{hex}");
        let digest = blob_digest(name.as_bytes()).unwrap();
        assert_eq!(blob_name(digest), name);
        for other in [format!("blobs/{hex}"), format!("x/{name}"), format!("blobs/md5/{hex}")] {
            assert_eq!(blob_digest(other.as_bytes()), None);
        }
    }
}
