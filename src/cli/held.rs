//! The images that a place of several holds, and which of them is meant.

use windlass::error::Error;
use windlass::image::{Descriptor, Digest};
use windlass::printable::printable;
use windlass::reference::Reference;
use windlass::store::Entry;

use crate::cli::failure::Failure;
use crate::cli::near::nearest;

/// Most names that an error lists.
const LISTED: usize = 20;

/// An image that is in a layout or in the store.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// What it is called, the fullest name first; nothing if it has no name.
    pub(crate) names: Vec<String>,
    /// What it is.
    pub(crate) descriptor: Descriptor,
    /// The digest that it had where it came from.
    resolved: Digest,
}

impl Held {
    /// What is said of itself by an entry of an image layout.
    pub(crate) fn of_entry(entry: &Entry) -> Held {
        let names = [entry.full_name().unwrap_or_default(), entry.name.as_str()];
        let mut names: Vec<String> =
            names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect();
        names.dedup();
        Held { names, descriptor: entry.descriptor.clone(), resolved: entry.resolved() }
    }

    /// What is known by `names`, the fullest first.
    pub(crate) fn new(names: Vec<String>, descriptor: Descriptor) -> Held {
        Held { names, resolved: descriptor.digest, descriptor }
    }

    /// The fullest name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.names.first().map(String::as_str)
    }

    /// How it is listed.
    fn shown(&self) -> String {
        self.name().map_or_else(|| self.descriptor.digest.to_string(), printable)
    }

    fn has(&self, digest: Digest) -> bool {
        self.descriptor.digest == digest || self.resolved == digest
    }
}

/// Whether a name is but a tag, of which nobody knows the image.
pub(crate) fn is_tag(name: &str) -> bool {
    !name.contains(['/', ':', '@'])
}

/// The images of a place of which none is named: those that have a name; if none has, all that
/// are there.
pub(crate) fn all(held: Vec<Held>) -> Vec<Held> {
    let (named, mut nameless) = named_and_not(held);
    if !named.is_empty() {
        return named;
    }
    let mut seen = Vec::new();
    nameless.retain(|it| {
        let is_new = !seen.contains(&it.descriptor.digest);
        seen.push(it.descriptor.digest);
        is_new
    });
    nameless
}

fn named_and_not(held: Vec<Held>) -> (Vec<Held>, Vec<Held>) {
    held.into_iter().partition(|it| it.name().is_some())
}

/// How many images [`all`] leaves out, because others have names. Tools that list every manifest
/// list those of the named ones twice, which are none.
pub(crate) fn left_out(held: &[Held]) -> usize {
    let (named, nameless) = named_and_not(held.to_vec());
    let is_named =
        |it: &&Held| named.iter().any(|other| other.descriptor.digest == it.descriptor.digest);
    if named.is_empty() { 0 } else { nameless.iter().filter(|it| !is_named(it)).count() }
}

/// The one image that `place` holds.
///
/// # Errors
///
/// If it holds none, or several: then they are listed.
pub(crate) fn only(held: Vec<Held>, place: &str) -> Result<Held, Failure> {
    let mut held = all(held);
    match (held.pop(), held.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Error::not_found(format!("there is no image in `{place}`")).into()),
        (Some(last), false) => {
            held.push(last);
            let list = list(&held);
            Err(Failure::usage(format!("`{place}` holds several images: {list}"))
                .help(format!("name one: {place}:NAME")))
        }
    }
}

/// The image that `wanted` means of those that `place` holds: that of this very name, else that
/// which it means with Docker's defaults, else the only one with that tag; any of it with a digest,
/// or a digest alone.
///
/// # Errors
///
/// If there is none, with the names that are nearest; if it may be several.
pub(crate) fn choose(held: Vec<Held>, wanted: &str, place: &str) -> Result<Held, Failure> {
    let (name, digest) = match wanted.rsplit_once('@') {
        Some((name, digest)) => match digest.parse::<Digest>() {
            Ok(digest) => (Some(name), Some(digest)),
            Err(_) => (Some(wanted), None),
        },
        None => match wanted.parse::<Digest>() {
            Ok(digest) => (None, Some(digest)),
            Err(_) => (Some(wanted), None),
        },
    };
    let full = |text: &str| text.parse::<Reference>().ok().map(|it| it.name());
    let wanted_full = name.and_then(full);
    let is_exactly = |it: &str| it == wanted || Some(it) == name;
    let means = |it: &str| !is_tag(it) && wanted_full.is_some() && full(it) == wanted_full;
    let has_tag = |it: &str| name.is_some_and(is_tag) && tag_of(it) == name;
    let passes: [&dyn Fn(&Held) -> bool; 4] = [
        &|it| name.is_none() && digest.is_some_and(|digest| it.has(digest)),
        &|it| it.names.iter().any(|it| is_exactly(it)),
        &|it| it.names.iter().any(|it| means(it)),
        &|it| it.names.iter().any(|it| has_tag(it)),
    ];
    for pass in passes {
        let is_it = |it: &&Held| pass(it) && digest.is_none_or(|digest| it.has(digest));
        let found: Vec<&Held> = held.iter().filter(is_it).collect();
        match found.as_slice() {
            [] => {}
            [first, others @ ..]
                if others.iter().all(|it| it.descriptor.digest == first.descriptor.digest) =>
            {
                return Ok((*first).clone());
            }
            several => {
                let several: Vec<Held> = several.iter().map(|it| (*it).clone()).collect();
                let message = format!("`{}` may be one of {}", printable(wanted), list(&several));
                return Err(Failure::usage(message).help("give the full name, or the digest"));
            }
        }
    }
    let message = format!("`{}` is not in `{place}`", printable(wanted));
    let names: Vec<&str> = held.iter().flat_map(|it| it.names.iter().map(String::as_str)).collect();
    let near = nearest(wanted, names.iter().copied());
    let near: Vec<String> = near.into_iter().map(printable).collect();
    let help = match (near.as_slice(), held.as_slice()) {
        (_, []) => "nothing is there".to_owned(),
        ([], _) => format!("there are {}", list(&held)),
        (near, _) => format!("did you mean {}? there are {}", near.join(", "), list(&held)),
    };
    Err(Failure::from(Error::not_found(message)).help(help))
}

/// The tag in a name that has more than that.
fn tag_of(name: &str) -> Option<&str> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last_part = name.rsplit('/').next().unwrap_or(name);
    last_part.split_once(':').map(|(_, tag)| tag)
}

/// What they are called, as far as that can be read.
pub(crate) fn list(held: &[Held]) -> String {
    let mut names: Vec<String> = held.iter().take(LISTED).map(Held::shown).collect();
    if held.len() > LISTED {
        names.push(format!("{} more", held.len() - LISTED));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use windlass::image::MediaType;

    use super::*;

    fn held(names: &[&str], content: &str) -> Held {
        let digest = Digest::of(content.as_bytes());
        let descriptor = Descriptor::new(MediaType::new(MediaType::OCI_MANIFEST), digest, 1);
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Held { names, descriptor, resolved: Digest::of(format!("index of {content}").as_bytes()) }
    }

    fn place() -> Vec<Held> {
        vec![
            held(&["docker.io/library/alpine:3", "3"], "alpine"),
            held(&["a.io/tool:1"], "tool"),
            held(&["b.io/tool:1"], "other"),
            held(&["same:2"], "same"),
            held(&["a.io/same:2"], "same"),
            held(&["odd Name"], "odd"),
            held(&[], "nameless"),
        ]
    }

    #[track_caller]
    fn check(wanted: &str, content: &str) {
        let found = choose(place(), wanted, "d").unwrap().descriptor.digest;
        assert_eq!(found, Digest::of(content.as_bytes()), "{wanted}");
    }

    #[track_caller]
    fn refuse(wanted: &str, code: u8, part: &str) {
        let failure = choose(place(), wanted, "d").unwrap_err();
        let told = format!("{} {}", failure.error(), failure.advice().unwrap_or_default());
        assert_eq!(failure.code(), code, "{wanted}: {told}");
        assert!(told.contains(part), "{told}");
    }

    #[test]
    fn name_is_the_text_or_what_docker_says_or_a_tag() {
        check("docker.io/library/alpine:3", "alpine");
        check("alpine:3", "alpine");
        check("3", "alpine");
        check("a.io/tool:1", "tool");
        check("odd Name", "odd");
        check("docker.io/library/same:2", "same");
        check("2", "same");
        refuse("1", 2, "a.io/tool:1, b.io/tool:1");
    }

    #[test]
    fn digest_decides_with_and_without_a_name() {
        for content in ["tool", "nameless"] {
            check(&Digest::of(content.as_bytes()).to_string(), content);
            check(&Digest::of(format!("index of {content}").as_bytes()).to_string(), content);
        }
        check(&format!("a.io/tool:1@{}", Digest::of(b"tool")), "tool");
        check(&format!("1@{}", Digest::of(b"other")), "other");
        refuse(&format!("a.io/tool:1@{}", Digest::of(b"other")), 3, "is not in `d`");
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        refuse("alpin:3", 3, "there are docker.io/library/alpine:3, a.io/tool:1");
        refuse("a.io/tool:2", 3, "did you mean a.io/tool:1");
        refuse("", 3, "is not in `d`");
        assert!(choose(Vec::new(), "a", "d").unwrap_err().advice().unwrap().contains("nothing"));
    }

    #[test]
    fn only_image_needs_no_name() {
        let one = || held(&["a:1"], "one");
        let digest = |list| only(list, "d").unwrap().descriptor.digest;
        assert_eq!(digest(vec![one()]), Digest::of(b"one"));
        assert_eq!(digest(vec![held(&[], "two"), one()]), Digest::of(b"one"));
        assert_eq!(digest(vec![held(&[], "two"), held(&[], "two")]), Digest::of(b"two"));
        assert_eq!(left_out(&[held(&[], "two"), one(), held(&[], "one")]), 1);
        assert_eq!(left_out(&[held(&[], "two"), held(&[], "three")]), 0);
        assert_eq!(only(place(), "d").unwrap_err().code(), 2);
        assert_eq!(only(vec![held(&[], "a"), held(&[], "b")], "d").unwrap_err().code(), 2);
        assert_eq!(only(Vec::new(), "d").unwrap_err().code(), 3);
    }
}
