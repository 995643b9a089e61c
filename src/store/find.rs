use super::Store;
use super::names::Entry;
use crate::error::{Error, Result};
use crate::image::Digest;
use crate::reference::Reference;

impl Store {
    /// The entry that `text` names: a name as it stands in the index, what means the same with
    /// Docker's defaults, either with a digest, or a digest alone.
    ///
    /// A digest finds what is stored under it and what it was resolved from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound), with the names that are nearest.
    pub fn find(&self, text: &str) -> Result<Entry> {
        let entries = self.entries()?;
        match Wanted::parse(text).select(&entries).first() {
            Some(entry) => Ok((*entry).clone()),
            None => Err(Error::not_found(not_found(text, &entries))),
        }
    }
}

/// What somebody means who names something in the store.
pub(super) struct Wanted<'a> {
    text: &'a str,
    /// What stands before the digest.
    name: Option<&'a str>,
    digest: Option<Digest>,
    reference: Option<Reference>,
}

impl<'a> Wanted<'a> {
    pub(super) fn parse(text: &'a str) -> Wanted<'a> {
        let named =
            text.rsplit_once('@').and_then(|(name, digest)| Some((name, digest.parse().ok()?)));
        let (name, digest) = match (named, text.parse::<Digest>()) {
            (Some((name, digest)), _) => (Some(name), Some(digest)),
            (None, Ok(digest)) => (None, Some(digest)),
            (None, Err(_)) => (Some(text), None),
        };
        Wanted { text, name, digest, reference: text.parse().ok() }
    }

    /// The entries that are meant: those of that very name; else those that it means with
    /// Docker's defaults; else, of a repository and a digest, all of that repository.
    pub(super) fn select<'e>(&self, entries: &'e [Entry]) -> Vec<&'e Entry> {
        let has_digest = |entry: &Entry| {
            self.digest.is_none_or(|digest| {
                entry.descriptor.digest == digest || entry.resolved() == digest
            })
        };
        let of = |is_it: &dyn Fn(&Entry) -> bool| -> Vec<&'e Entry> {
            entries.iter().filter(|entry| is_it(entry) && has_digest(entry)).collect()
        };
        let Some(name) = self.name else { return of(&|_| true) };
        if name.is_empty() {
            return Vec::new();
        }
        let exact = of(&|entry| entry.name == self.text || entry.name == name);
        if !exact.is_empty() {
            return exact;
        }
        let Some(reference) = &self.reference else { return Vec::new() };
        let full_name = reference.name();
        let full = of(&|entry| entry.name == full_name);
        if !full.is_empty() || self.digest.is_none() || reference.tag().is_some() {
            return full;
        }
        let repository = reference.repository().to_string();
        of(&|entry| repository_of(&entry.name) == repository)
    }
}

/// What stands before the tag or the digest of a name.
fn repository_of(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last_part = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last_part..].find(':').map_or(name, |colon| &name[..last_part + colon])
}

/// Says that `text` is not in the store, and what is that it may mean.
pub(super) fn not_found(text: &str, entries: &[Entry]) -> String {
    let repository = text.parse::<Reference>().map(|it| it.repository().path().to_owned());
    let wanted = repository.as_deref().unwrap_or(text);
    let last_part = wanted.rsplit('/').next().unwrap_or(wanted);
    let near: Vec<&str> = entries
        .iter()
        .map(|entry| entry.name.as_str())
        .filter(|name| !last_part.is_empty() && name.contains(last_part))
        .take(3)
        .collect();
    let text = text.escape_debug();
    if near.is_empty() {
        format!("`{text}` is not in the store")
    } else {
        format!("`{text}` is not in the store: there are {}", near.join(", "))
    }
}
