use std::borrow::Cow;
use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::file;
use super::layout::Layout;
use super::read::Summary;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::json::{Bounded, Ordered};
use crate::image::{Descriptor, Digest, Platform};

/// The name of an entry.
///
/// Spec: [Annotation keys][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md#pre-defined-annotation-keys
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The digest that the name has where it came from.
const RESOLVED: &str = "io.windlass.resolved";
/// The repository that it came from.
const ORIGIN: &str = "io.windlass.origin";
/// Bytes of all that the entry leads to.
const SIZE: &str = "io.windlass.size";
/// When the image was made, as its config says.
const CREATED: &str = "io.windlass.created";
/// The platforms that are stored, separated by commas.
const PLATFORMS: &str = "io.windlass.platforms";
/// The name that containerd gives it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Most bytes of an `index.json`: names and descriptors of some 100,000 images.
const INDEX_LIMIT: u64 = 64 * 1024 * 1024;

/// Most entries of an `index.json`: small ones take more memory than bytes.
const ENTRIES_LIMIT: usize = 200_000;

/// A name in the store and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, as it is written in the index; the full name if it was windlass who wrote it.
    /// Empty if the entry has none.
    pub name: String,
    /// What the name leads to, with the platform if it is one image, and all annotations.
    pub descriptor: Descriptor,
}

impl Entry {
    /// The digest that the name had where the image came from: an index's, of which perhaps only
    /// one platform is stored. The stored digest, where nothing else is known.
    pub fn resolved(&self) -> Digest {
        self.annotation(RESOLVED)
            .and_then(|text| text.parse().ok())
            .unwrap_or(self.descriptor.digest)
    }

    /// The name that containerd and docker know it by, if they or their like have written it: then
    /// [`name`](Entry::name) is perhaps only a tag.
    pub fn full_name(&self) -> Option<&str> {
        self.annotation(CONTAINERD_NAME)
    }

    /// The repository that the image came from, if that is known.
    pub fn origin(&self) -> Option<&str> {
        self.annotation(ORIGIN)
    }

    /// What the entry says of what it leads to, if it was windlass who wrote it.
    pub(super) fn noted(&self) -> Option<Summary> {
        let size = self.annotation(SIZE)?.parse().ok()?;
        let created = self.annotation(CREATED).map(str::to_owned);
        let platforms = match (&self.descriptor.platform, self.annotation(PLATFORMS)) {
            (Some(platform), _) => vec![platform.clone()],
            (None, Some("")) => Vec::new(),
            (None, Some(list)) => {
                list.split(',').map(|it| it.parse().ok()).collect::<Option<_>>()?
            }
            (None, None) => return None,
        };
        Some(Summary { platforms, size, created })
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.descriptor.annotations.get(key).map(String::as_str)
    }
}

/// What is said of an entry beside its descriptor when it is written.
pub(super) struct Note {
    pub(super) resolved: Digest,
    pub(super) origin: Option<String>,
    pub(super) summary: Summary,
}

/// The bytes of an `index.json`.
pub(super) struct Index {
    bytes: Vec<u8>,
    path: PathBuf,
}

impl Index {
    /// Reads the index; one that is not there is empty.
    pub(super) fn read(layout: &Layout) -> Result<Index> {
        let path = layout.index();
        let reading = || format!("reading `{}`", path.display());
        let mut bytes = Vec::new();
        match file::open(&path)? {
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
    /// What it is, if it can be understood.
    entry: Option<Box<Entry>>,
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
        let element = |raw: &'a RawValue| {
            let json = raw.get();
            Element { json: json.into(), entry: parse_entry(json).map(Box::new) }
        };
        let elements =
            manifests.map_or_else(Vec::new, |list| list.0.into_iter().map(element).collect());
        Ok(Names { fields, elements })
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
        last_of_each_name(
            self.elements.iter().filter_map(|it| it.entry.as_deref().cloned()).collect(),
        )
    }

    /// The same, if nothing else is of interest.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        last_of_each_name(
            self.elements.into_iter().filter_map(|it| it.entry.map(|entry| *entry)).collect(),
        )
    }

    /// Lets `name` mean `target` and nothing else. Says whether that changes anything.
    pub(super) fn set(&mut self, name: &str, target: &Descriptor, note: &Note) -> Result<bool> {
        let mut descriptor = Descriptor {
            platform: target.platform.clone(),
            ..Descriptor::new(target.media_type.clone(), target.digest, target.size)
        };
        let Summary { platforms, size, created } = &note.summary;
        if note.origin.is_none() && self.says_already(name, &descriptor, note.resolved) {
            return Ok(false);
        }
        let platforms: Vec<String> = platforms.iter().map(Platform::to_string).collect();
        let notes = [
            (RESOLVED, Some(note.resolved.to_string())),
            (ORIGIN, note.origin.clone()),
            (SIZE, Some(size.to_string())),
            (CREATED, created.clone()),
            (PLATFORMS, Some(platforms.join(",")).filter(|_| target.platform.is_none())),
        ];
        for (key, value) in notes {
            if let Some(value) = value {
                descriptor.annotations.insert(key.into(), value);
            }
        }
        self.put(name, descriptor)
    }

    /// Whether `name` leads to that content, and nowhere else, by the entry of another tool: what
    /// that says beside is not ours to change.
    fn says_already(&self, name: &str, content: &Descriptor, resolved: Digest) -> bool {
        let entries = self.elements.iter().filter_map(|it| it.entry.as_deref());
        let mut of_name = entries.filter(|entry| entry.name == name);
        let Some(entry) = of_name.next() else { return false };
        let Descriptor { digest, size, media_type, .. } = &entry.descriptor;
        let is_same = (*digest, *size) == (content.digest, content.size)
            && *media_type == content.media_type
            && resolved == content.digest;
        of_name.next().is_none() && is_same && entry.annotation(RESOLVED).is_none()
    }

    /// Lets `name` mean what `entry` does, with all that is known of it. Says whether that changes
    /// anything.
    pub(super) fn copy(&mut self, entry: &Entry, name: &str) -> Result<bool> {
        let mut descriptor = entry.descriptor.clone();
        descriptor.annotations.remove(CONTAINERD_NAME);
        self.put(name, descriptor)
    }

    fn put(&mut self, name: &str, mut descriptor: Descriptor) -> Result<bool> {
        descriptor.annotations.insert(REF_NAME.into(), name.into());
        let json = serde_json::to_string(&descriptor)
            .map_err(|error| Error::new(ErrorKind::Other(error.to_string())))?;
        let is_it = |it: &Element| it.entry.as_ref().is_some_and(|entry| entry.name == name);
        let mut same_name = self.elements.iter().filter(|it| is_it(it));
        if let (Some(only), None) = (same_name.next(), same_name.next())
            && only.json == json
        {
            return Ok(false);
        }
        self.elements.retain(|it| !is_it(it));
        let entry = Some(Box::new(Entry { name: name.into(), descriptor }));
        self.elements.push(Element { json: json.into(), entry });
        Ok(true)
    }

    /// Removes every entry that `goes` says.
    pub(super) fn remove(&mut self, goes: impl Fn(&Entry) -> bool) {
        self.elements.retain(|it| !it.entry.as_deref().is_some_and(&goes));
    }

    /// What all entries lead to, those of a repeated name too: other tools may take the first.
    pub(super) fn roots(&self) -> impl Iterator<Item = Root<'_>> {
        self.elements.iter().map(|it| match &it.entry {
            Some(entry) => Root::Entry(entry),
            None => Root::Unknown(&it.json),
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
    /// The JSON of something that we do not understand.
    Unknown(&'a str),
}

/// An index without entries.
pub(super) const EMPTY: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn parse_entry(json: &str) -> Option<Entry> {
    let descriptor: Descriptor = serde_json::from_str(json).ok()?;
    let name = descriptor.annotations.get(REF_NAME).cloned().unwrap_or_default();
    Some(Entry { name, descriptor })
}

/// The content of `oci-layout`.
///
/// Spec: [oci-layout file][spec].
///
/// [spec]: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md#oci-layout-file
pub(super) const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Refuses a layout of a version that we do not know.
pub(super) fn check_marker(bytes: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let marker: Marker = serde_json::from_slice(bytes)
        .map_err(|error| Error::content(format!("expected the version of a layout: {error}")))?;
    match marker.image_layout_version.strip_prefix("1.") {
        Some(_) => Ok(()),
        None => Err(Error::content(format!(
            "expected image layout version 1, got `{}`",
            marker.image_layout_version.escape_debug()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::MediaType;

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
            format!(r#"{{"digest":"{DIGEST}","size":{size},"annotations":{{"{REF_NAME}":"n"}}}}"#)
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
