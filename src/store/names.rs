use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Read;
use std::path::PathBuf;

use serde_json::value::RawValue;

use super::entry::{self, Entry, Note, Odd, Parsed};
use super::layout::Layout;
use super::{file, rewrite, sweep};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::json::{Bounded, Ordered};
use crate::image::{Descriptor, Digest};

/// Most bytes of an `index.json`: names and descriptors of some 100,000 images.
const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// Most entries of an `index.json`: small ones take more memory than bytes.
const ENTRIES_LIMIT: usize = 200_000;

/// An index without entries.
pub(super) const EMPTY: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// The bytes of an `index.json`.
pub(super) struct Index {
    bytes: Vec<u8>,
    path: PathBuf,
}

impl Index {
    /// Reads the index; one that is not there is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Content`] if it is not there and blobs are: to take it for empty would say that
    /// nobody needs them.
    pub(super) fn read(layout: &Layout) -> Result<Index> {
        let path = layout.index();
        let reading = || format!("reading `{}`", path.display());
        let mut bytes = Vec::new();
        match file::open(&path)? {
            None if Index::is_lost(layout)? => {
                let message = format!("`{}` is missing, and there are blobs", path.display());
                return Err(Error::content(message));
            }
            None => bytes.extend(EMPTY),
            Some(file) => {
                let size = file.metadata().context(reading)?.len().min(INDEX_LIMIT);
                bytes.reserve(usize::try_from(size).unwrap_or(0) + 1);
                file.take(INDEX_LIMIT + 1).read_to_end(&mut bytes).context(reading)?;
            }
        }
        if as_u64(bytes.len()) > INDEX_LIMIT {
            let message = format!("expected at most {INDEX_LIMIT} bytes, there are more");
            return Err(Error::content(message)).context(reading);
        }
        Ok(Index { bytes, path })
    }

    /// Whether it is not there although there are blobs. A new store has its index before its
    /// first blob.
    pub(super) fn is_lost(layout: &Layout) -> Result<bool> {
        Ok(!sweep::blobs(layout)?.is_empty() && file::open(&layout.index())?.is_none())
    }

    /// What it says.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Content`] if it does not parse. Then it must not be written either.
    pub(super) fn names(&self) -> Result<Names<'_>> {
        Names::parse(&self.bytes).context(|| format!("reading `{}`", self.path.display()))
    }
}

/// What an `index.json` says, with everything in it that is not ours as it was.
pub(super) struct Names<'a> {
    /// The fields before, at and after `manifests`, in their order.
    fields: Vec<(String, &'a RawValue)>,
    elements: Vec<Element<'a>>,
}

/// One element of `manifests`.
struct Element<'a> {
    json: Cow<'a, str>,
    parsed: Parsed,
}

impl Element<'_> {
    fn entry(&self) -> Option<&Entry> {
        match &self.parsed {
            Parsed::Entry(entry) => Some(entry),
            Parsed::Odd(_) => None,
        }
    }
}

impl<'a> Names<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Names<'a>> {
        let malformed = |error: serde_json::Error| {
            Error::content(format!("expected the index of an image layout: {error}"))
        };
        let Ordered(fields) =
            serde_json::from_slice::<Ordered<&RawValue>>(bytes).map_err(malformed)?;
        let manifests = match fields.iter().find(|(key, _)| key == "manifests") {
            Some((_, raw)) => {
                serde_json::from_str::<Option<Bounded<&RawValue, ENTRIES_LIMIT>>>(raw.get())
                    .map_err(malformed)?
            }
            None => None,
        };
        let element = |(index, raw): (usize, &'a RawValue)| {
            let json = raw.get();
            Element { json: json.into(), parsed: Parsed::of(json, index + 1) }
        };
        let manifests = manifests.map_or_else(Vec::new, |list| list.0);
        Ok(Names { fields, elements: manifests.into_iter().enumerate().map(element).collect() })
    }

    /// The index as it is to be written.
    ///
    /// # Errors
    ///
    /// If it were larger than what is ever read again.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let list: Vec<&str> = self.elements.iter().map(|element| &*element.json).collect();
        let list = format!("[{}]", list.join(","));
        let mut fields: Vec<String> = Vec::new();
        for (key, value) in &self.fields {
            let value = if key == "manifests" { list.as_str() } else { value.get() };
            fields.push(format!("{}:{value}", serde_json::Value::from(key.as_str())));
        }
        if !self.fields.iter().any(|(key, _)| key == "manifests") {
            fields.push(format!("\"manifests\":{list}"));
        }
        let bytes = format!("{{{}}}", fields.join(",")).into_bytes();
        if as_u64(bytes.len()) > INDEX_LIMIT {
            let message =
                format!("expected an index of at most {INDEX_LIMIT} bytes, it grows larger");
            return Err(ErrorKind::Local(message).into());
        }
        Ok(bytes)
    }

    /// The entries that can be understood; of several with one name the last. Those without a
    /// name are all there, at the end.
    pub(super) fn entries(&self) -> Vec<Entry> {
        last_of_each_name(self.elements.iter().filter_map(|it| it.entry().cloned()).collect())
    }

    /// The same, if nothing else is of interest.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        let entry = |element: Element<'_>| match element.parsed {
            Parsed::Entry(entry) => Some(*entry),
            Parsed::Odd(_) => None,
        };
        last_of_each_name(self.elements.into_iter().filter_map(entry).collect())
    }

    /// Those that cannot be understood.
    pub(super) fn odd(&self) -> impl Iterator<Item = &Odd> {
        self.elements.iter().filter_map(|it| match &it.parsed {
            Parsed::Entry(_) => None,
            Parsed::Odd(odd) => Some(&**odd),
        })
    }

    /// Lets `name` mean `target` and nothing else. Says whether that changes anything.
    ///
    /// What the entry says that is not ours it goes on saying, if it meant that before.
    pub(super) fn set(&mut self, name: &str, target: &Descriptor, note: &Note) -> Result<bool> {
        let named = self.elements.iter().rev().find(|it| it.parsed.name() == name);
        let before = named.and_then(Element::entry);
        let before = before.filter(|it| it.descriptor.digest == target.digest).cloned();
        if note.origin.is_none() && self.says_already(name, target, note.resolved) {
            return Ok(false);
        }
        self.put(name, note.descriptor(target, before.as_ref()), before.as_ref())
    }

    /// Whether `name` leads to that content, and nowhere else, by the entry of another tool: what
    /// that says beside is not ours to change.
    fn says_already(&self, name: &str, content: &Descriptor, resolved: Digest) -> bool {
        let mut of_name = self.elements.iter().filter(|it| it.parsed.name() == name);
        let Some(entry) = of_name.next().and_then(Element::entry) else { return false };
        let Descriptor { digest, size, media_type, .. } = &entry.descriptor;
        let is_same = (*digest, *size) == (content.digest, content.size)
            && *media_type == content.media_type
            && resolved == content.digest;
        of_name.next().is_none() && is_same && !entry.is_ours()
    }

    /// Lets `name` mean what `entry` does, with all that is known of it. Says whether that changes
    /// anything.
    pub(super) fn copy(&mut self, entry: &Entry, name: &str) -> Result<bool> {
        if entry.name == name {
            return Ok(false);
        }
        self.put(name, entry.descriptor.clone(), Some(entry))
    }

    /// Replaces the entries called `name` by one with `descriptor`, written as `like` is.
    fn put(
        &mut self,
        name: &str,
        mut descriptor: Descriptor,
        like: Option<&Entry>,
    ) -> Result<bool> {
        entry::rename(&mut descriptor, name);
        let like = like.and_then(|entry| {
            let element = self.elements.get(entry.position.checked_sub(1)?)?;
            Some((&*element.json, &entry.descriptor))
        });
        let json = rewrite::descriptor(&descriptor, like)?;
        let is_it = |it: &Element<'_>| it.parsed.name() == name;
        let mut same_name = self.elements.iter().filter(|it| is_it(it));
        if let (Some(only), None) = (same_name.next(), same_name.next())
            && only.json == json
        {
            return Ok(false);
        }
        self.elements.retain(|it| !is_it(it));
        let position = self.elements.len() + 1;
        let entry = Entry { name: name.into(), descriptor, position };
        self.elements.push(Element { json: json.into(), parsed: Parsed::Entry(Box::new(entry)) });
        Ok(true)
    }

    /// Removes what is called `names`, and what stands at `positions`.
    pub(super) fn remove(&mut self, names: &HashSet<&str>, positions: &HashSet<usize>) {
        let mut position = 0;
        self.elements.retain(|it| {
            position += 1;
            !names.contains(it.parsed.name()) && !positions.contains(&position)
        });
    }

    /// What all entries lead to, those of a repeated name too: other tools may take the first.
    pub(super) fn roots(&self) -> impl Iterator<Item = Root<'_>> {
        self.elements.iter().map(|it| match &it.parsed {
            Parsed::Entry(entry) => Root::Entry(entry),
            Parsed::Odd(odd) => Root::Odd(odd, &it.json),
        })
    }
}

fn last_of_each_name(mut entries: Vec<Entry>) -> Vec<Entry> {
    let nameless = |entry: &Entry| entry.name.is_empty();
    // A stable sort, so that of one name the last is the last.
    entries.sort_by(|a, b| (nameless(a), &a.name).cmp(&(nameless(b), &b.name)));
    let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        match kept.last_mut() {
            Some(last) if last.name == entry.name && !nameless(last) => *last = entry,
            _ => kept.push(entry),
        }
    }
    kept
}

/// One element of the index.
pub(super) enum Root<'a> {
    Entry(&'a Entry),
    /// Something that we do not understand, and its JSON.
    Odd(&'a Odd, &'a str),
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MediaType;
    use crate::store::Summary;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn note() -> Note {
        let summary = Summary { platforms: Vec::new(), size: 5, created: None };
        Note { resolved: DIGEST.parse().unwrap(), origin: None, summary }
    }

    fn target() -> Descriptor {
        Descriptor::new(MediaType::new(MediaType::OCI_MANIFEST), DIGEST.parse().unwrap(), 2)
    }

    #[test]
    fn index_keeps_what_is_not_ours() {
        let text = r#"{ "x":[1, 2],"manifests":[ {"odd":true}, 7 ],"schemaVersion":2,"annotations":{"a":"b"}}"#;
        let mut names = Names::parse(text.as_bytes()).unwrap();
        assert!(names.set("a/b:c", &target(), &note()).unwrap());
        assert!(!names.set("a/b:c", &target(), &note()).unwrap(), "nothing changes");
        let text = String::from_utf8(names.to_bytes().unwrap()).unwrap();
        assert!(
            text.starts_with(r#"{"x":[1, 2],"manifests":[{"odd":true},7,{"mediaType":"#),
            "{text}"
        );
        assert!(text.ends_with(r#"],"schemaVersion":2,"annotations":{"a":"b"}}"#), "{text}");
        assert_eq!(Names::parse(text.as_bytes()).unwrap().entries()[0].name, "a/b:c");
    }

    #[test]
    fn of_several_entries_of_one_name_the_last_counts_and_writing_replaces_all() {
        let entry = |size: u64| {
            format!(
                r#"{{"digest":"{DIGEST}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"n"}}}}"#
            )
        };
        let text = format!(r#"{{"manifests":[{},{}]}}"#, entry(1), entry(2));
        let mut names = Names::parse(text.as_bytes()).unwrap();
        assert_eq!(
            names.entries().iter().map(|entry| entry.descriptor.size).collect::<Vec<_>>(),
            [2]
        );
        names.set("n", &target(), &note()).unwrap();
        assert_eq!(names.elements.len(), 1);
    }

    #[test]
    fn index_that_does_not_parse_is_an_error_not_an_empty_store() {
        for text in ["", "{", "[]", "null", r#"{"manifests":{}}"#, r#"{"a":1,"a":2}"#, "{} {}"] {
            assert!(Names::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Names::parse(br#"{"manifests":null}"#).unwrap().entries().is_empty());
    }
}
