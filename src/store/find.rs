use super::Store;
use super::entry::{Entry, Odd};
use super::names::{Index, Names};
use crate::error::{Error, Result};
use crate::image::Digest;
use crate::printable::printable;
use crate::reference::Reference;

impl Store {
    /// The entry that `text` names: a name as it stands in the index, what means the same with
    /// Docker's defaults, either with a digest, or a digest alone.
    ///
    /// A digest finds what is stored under it and what it was resolved from.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) if it names nothing;
    /// [`ErrorKind::Content`](crate::error::ErrorKind::Content) if what it names cannot be
    /// understood.
    pub fn find(&self, text: &str) -> Result<Entry> {
        let index = Index::read(&self.layout)?;
        find_in(&index.names()?, text)
    }
}

/// The entry that `text` names.
pub(super) fn find_in(names: &Names<'_>, text: &str) -> Result<Entry> {
    let (wanted, entries) = (Wanted::parse(text), names.entries());
    if let Some(entry) = wanted.select(&entries).first() {
        return Ok((*entry).clone());
    }
    match names.odd().find(|odd| wanted.is_odd(odd)) {
        Some(odd) => Err(Error::content(format!("in the index of the store, {odd}"))),
        None => Err(not_found(text)),
    }
}

/// Says that `text` names nothing here.
pub(super) fn not_found(text: &str) -> Error {
    Error::not_found(format!("`{}` is not in the store", printable(text)))
}

/// What somebody means who names something in the store.
pub(super) struct Wanted<'a> {
    text: &'a str,
    /// What stands before the digest.
    name: Option<&'a str>,
    digest: Option<Digest>,
    reference: Option<Reference>,
    /// `#3` is the third entry of the index.
    position: Option<usize>,
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
        let position = text.strip_prefix('#').and_then(|number| number.parse().ok());
        Wanted { text, name, digest, reference: text.parse().ok(), position }
    }

    /// The entries that are meant, of `entries` as [`Names::entries`] orders them: those of that very name; else those that it means with
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
        let named = |names: &[&str]| -> Vec<&'e Entry> {
            let found = names.iter().filter_map(|name| called(entries, name));
            found.filter(|entry| has_digest(entry)).collect()
        };
        let exact = if name == self.text { named(&[name]) } else { named(&[self.text, name]) };
        if !exact.is_empty() {
            return exact;
        }
        if let Some(position) = self.position {
            // What has a name is called by it: what stands where may change.
            return of(&|entry| entry.name.is_empty() && entry.position == position);
        }
        let Some(reference) = &self.reference else { return Vec::new() };
        let full = named(&[&reference.name()]);
        if !full.is_empty() || self.digest.is_none() || reference.tag().is_some() {
            return full;
        }
        let repository = reference.repository().to_string();
        of(&|entry| repository_of(&entry.name) == repository)
    }

    /// Whether an entry that cannot be understood is meant: by what stands in it, or where it
    /// stands.
    pub(super) fn is_odd(&self, odd: &Odd) -> bool {
        let Odd { position, name, digest, .. } = odd;
        let is_named = |it: &str| !name.is_empty() && name == it;
        let full_name = || self.reference.as_ref().map(Reference::name);
        self.position == Some(*position)
            || is_named(self.text)
            || !digest.is_empty()
                && (self.text == digest || self.text == format!("{name}@{digest}"))
            || self.digest.is_none() && full_name().is_some_and(|it| is_named(&it))
    }
}

/// The entry of that name.
fn called<'e>(entries: &'e [Entry], name: &str) -> Option<&'e Entry> {
    let index = entries
        .binary_search_by(|entry| (entry.name.is_empty(), entry.name.as_str()).cmp(&(false, name)));
    index.ok().and_then(|index| entries.get(index))
}

/// What stands before the tag or the digest of a name.
fn repository_of(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last_part = name.rfind('/').map_or(0, |slash| slash + 1);
    name[last_part..].find(':').map_or(name, |colon| &name[..last_part + colon])
}
