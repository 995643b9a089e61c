use serde::Deserialize;
use serde_json::value::RawValue;

use super::read::Summary;
use crate::image::{Descriptor, Digest, Platform};
use crate::printable::printable;

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

/// A name in the store and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, as it is written in the index; the full name if it was windlass who wrote it.
    /// Empty if the entry has none.
    pub name: String,
    /// What the name leads to, with the platform if it is one image, and all annotations.
    pub descriptor: Descriptor,
    /// Which it is in the index, counted from 1; 0 if it is in none.
    pub position: usize,
}

impl Entry {
    /// The digest that the name had where the image came from: an index's, of which perhaps only
    /// one platform is stored. The stored digest, where nothing else is known.
    pub fn resolved(&self) -> Digest {
        self.annotation(RESOLVED)
            .and_then(|text| text.parse().ok())
            .unwrap_or(self.descriptor.digest)
    }

    /// The platforms that were chosen from the index that the name had where the image came from,
    /// if what is stored is an index of those.
    pub fn chosen(&self) -> Option<Vec<Platform>> {
        let is_narrowed =
            self.descriptor.media_type.is_index() && self.resolved() != self.descriptor.digest;
        let list = self.annotation(PLATFORMS).filter(|_| is_narrowed)?;
        let platforms: Vec<Platform> = list.split(',').filter_map(|it| it.parse().ok()).collect();
        Some(platforms).filter(|platforms| !platforms.is_empty())
    }

    /// The name that containerd and docker know it by, if they or their like have written it: then
    /// [`name`](Entry::name) is perhaps only a tag.
    pub fn full_name(&self) -> Option<&str> {
        self.annotation(CONTAINERD_NAME)
    }

    /// Whether it was windlass who wrote it.
    pub(super) fn is_ours(&self) -> bool {
        self.annotation(RESOLVED).is_some()
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

impl Note {
    /// What an entry for `target` is to say. Of `before`, which meant the same, it goes on saying
    /// what windlass does not know.
    pub(super) fn descriptor(&self, target: &Descriptor, before: Option<&Entry>) -> Descriptor {
        let plain = Descriptor::new(target.media_type.clone(), target.digest, target.size);
        let mut descriptor = match before {
            Some(entry) => Descriptor {
                media_type: plain.media_type,
                digest: plain.digest,
                size: plain.size,
                ..entry.descriptor.clone()
            },
            None => plain,
        };
        descriptor.platform = target.platform.clone();
        let Summary { platforms, size, created } = &self.summary;
        let platforms: Vec<String> = platforms.iter().map(Platform::to_string).collect();
        let notes = [
            (RESOLVED, Some(self.resolved.to_string())),
            (ORIGIN, self.origin.clone()),
            (SIZE, Some(size.to_string())),
            (CREATED, created.clone()),
            (PLATFORMS, Some(platforms.join(",")).filter(|_| target.platform.is_none())),
        ];
        for (key, value) in notes {
            match value {
                Some(value) => descriptor.annotations.insert(key.into(), value),
                None => descriptor.annotations.remove(key),
            };
        }
        descriptor
    }
}

/// Gives a descriptor the name of its entry, in place of any that it had.
pub(super) fn rename(descriptor: &mut Descriptor, name: &str) {
    let before = descriptor.annotations.insert(REF_NAME.into(), name.into());
    if before.is_none_or(|before| before != name) {
        // It was containerd's for the old name.
        descriptor.annotations.remove(CONTAINERD_NAME);
    }
}

/// An entry of the index that cannot be understood: nobody knows what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Odd {
    /// Which it is in the index, counted from 1.
    pub position: usize,
    /// The name that it has there; empty if it has none.
    pub name: String,
    /// The digest that it has there, of whatever kind; empty if it has none.
    pub digest: String,
    /// What it lacks to be understood.
    pub reason: String,
}

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {}", self.position)?;
        if !self.name.is_empty() {
            write!(f, ", `{}`", printable(&self.name))?;
        }
        write!(f, ", cannot be understood: {}", self.reason)
    }
}

/// One element of the index: an entry, if it can be understood.
pub(super) enum Parsed {
    Entry(Box<Entry>),
    Odd(Box<Odd>),
}

impl Parsed {
    pub(super) fn of(json: &str, position: usize) -> Parsed {
        match serde_json::from_str::<Descriptor>(json) {
            Ok(descriptor) => {
                let name = descriptor.annotations.get(REF_NAME).cloned().unwrap_or_default();
                Parsed::Entry(Box::new(Entry { name, descriptor, position }))
            }
            Err(error) => {
                let (name, digest) = said(json).unwrap_or_default();
                let reason = error.to_string();
                Parsed::Odd(Box::new(Odd { position, name, digest, reason }))
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Parsed::Entry(entry) => &entry.name,
            Parsed::Odd(odd) => &odd.name,
        }
    }
}

/// Name and digest of what is no descriptor, as far as it has them.
fn said(json: &str) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow, default)]
        digest: Option<&'a RawValue>,
        #[serde(borrow, default)]
        annotations: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Annotations {
        #[serde(rename = "org.opencontainers.image.ref.name", default)]
        name: Option<String>,
    }
    // serde would take an array of the values for a struct.
    let said: Said<'_> = serde_json::from_str(Some(json).filter(|it| it.starts_with('{'))?).ok()?;
    let digest = said.digest.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let annotations =
        said.annotations.and_then(|raw| serde_json::from_str::<Annotations>(raw.get()).ok());
    let name = annotations.and_then(|it| it.name);
    Some((name.unwrap_or_default(), digest.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_entry_says_what_can_be_said_of_it() {
        let check = |json: &str, name: &str, digest: &str, reason: &str| match Parsed::of(json, 3) {
            Parsed::Odd(odd) => {
                assert_eq!((odd.name.as_str(), odd.digest.as_str()), (name, digest), "{json}");
                assert!(odd.reason.contains(reason), "{odd}");
                assert!(odd.to_string().starts_with("entry 3, "), "{odd}");
            }
            Parsed::Entry(_) => panic!("{json} is an entry"),
        };
        let annotations = format!(r#""annotations":{{"{REF_NAME}":"n","x":[1]}}"#);
        check(r#"{"digest":"sha384:00","size":1}"#, "", "sha384:00", "`sha384:00`");
        check(&format!(r#"{{"digest":7,{annotations}}}"#), "n", "", "invalid type");
        check(&format!(r#"{{{annotations}}}"#), "n", "", "a string");
        check("7", "", "", "invalid type");
        check(r#"{"odd":true}"#, "", "", "missing field `digest`");
        check(r#"["a","b"]"#, "", "", "invalid type");
    }
}
