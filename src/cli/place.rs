//! Where images are, or shall be: what is typed becomes a [`Place`].

use std::fmt;
use std::path::{Path, PathBuf};

use windlass::printable::printable;
use windlass::reference::Reference;

/// Where an image is, or shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a registry.
    Registry(Reference),
    /// In the store; without a name, all that has one.
    Store(Option<String>),
    /// In an archive; without a name, all that is there.
    Archive(PathBuf, Option<String>),
    /// In the image layout in a folder; without a name, all that is there.
    Layout(PathBuf, Option<String>),
}

/// How a place is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Registry,
    Store,
    Archive,
    Layout,
}

/// Which places an argument may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes {
    pub(crate) forms: &'static [Form],
    /// What a text is that names no form.
    pub(crate) plain: Option<Form>,
}

/// What is read from by a command that works on the store: there a plain name is.
pub(crate) const IMAGE: Takes = Takes {
    forms: &[Form::Store, Form::Registry, Form::Archive, Form::Layout],
    plain: Some(Form::Store),
};

/// What `copy` reads from.
pub(crate) const FROM: Takes = Takes {
    forms: &[Form::Registry, Form::Store, Form::Archive, Form::Layout],
    plain: Some(Form::Registry),
};

/// What `copy` writes to.
pub(crate) const TO: Takes =
    Takes { forms: &[Form::Store, Form::Archive, Form::Layout], plain: None };

/// What `export` writes to.
pub(crate) const FILE: Takes =
    Takes { forms: &[Form::Archive, Form::Layout], plain: Some(Form::Archive) };

/// What texts of a form begin with. The others are skopeo's.
const PREFIXES: &[(&str, Form)] = &[
    (REGISTRY, Form::Registry),
    (STORE, Form::Store),
    ("archive:", Form::Archive),
    ("docker-archive:", Form::Archive),
    ("oci-archive:", Form::Archive),
    ("oci:", Form::Layout),
];

const REGISTRY: &str = "docker://";
const STORE: &str = "store:";

/// A name in a registry, where nothing else is taken: it may be said that it is one.
pub(crate) fn in_registry(text: &str) -> &str {
    text.strip_prefix(REGISTRY).unwrap_or(text)
}

/// A name in the store, where nothing else is taken.
pub(crate) fn in_store(text: &str) -> &str {
    text.strip_prefix(STORE).unwrap_or(text)
}

impl Form {
    fn pattern(self) -> &'static str {
        match self {
            Form::Registry => "docker://NAME",
            Form::Store => "store:NAME",
            Form::Archive => "archive:FILE[:NAME]",
            Form::Layout => "oci:DIR[:NAME]",
        }
    }
}

impl Place {
    /// What `text` means where places are taken as `takes` says.
    pub(crate) fn parse(text: &str, takes: Takes) -> Result<Place, String> {
        Place::parse_where(text, takes, &|path| path.exists())
    }

    fn parse_where(
        text: &str,
        takes: Takes,
        exists: &dyn Fn(&Path) -> bool,
    ) -> Result<Place, String> {
        let refused = |what: &str| {
            let forms: Vec<&str> = takes.forms.iter().map(|form| form.pattern()).collect();
            format!("invalid place `{}`: {what}expected {}", printable(text), listed(&forms, "or"))
        };
        let prefixed = PREFIXES
            .iter()
            .find_map(|(prefix, form)| text.strip_prefix(prefix).map(|rest| (*form, rest)));
        let (form, rest) = match (prefixed, takes.plain) {
            (Some((form, _)), _) if !takes.forms.contains(&form) => return Err(refused("")),
            (Some(prefixed), _) => prefixed,
            (None, Some(form)) if !text.is_empty() => (form, text),
            (None, _) => return Err(refused("")),
        };
        match form {
            Form::Registry => rest
                .parse()
                .map(Place::Registry)
                .map_err(|error: windlass::reference::ParseReferenceError| error.to_string()),
            Form::Store => Ok(Place::Store(Some(rest.to_owned()).filter(|it| !it.is_empty()))),
            // All of it is a path where nothing says that a name may follow.
            Form::Archive if prefixed.is_none() => Ok(Place::Archive(rest.into(), None)),
            Form::Archive | Form::Layout => {
                let (path, name) = split(rest, exists);
                if path.is_empty() {
                    return Err(refused("the path is empty: "));
                }
                if name == Some("") {
                    return Err(refused("the name is empty: "));
                }
                let (path, name) = (path.into(), name.map(str::to_owned));
                match form {
                    Form::Archive => Ok(Place::Archive(path, name)),
                    _ => Ok(Place::Layout(path, name)),
                }
            }
        }
    }

    /// The place of all images there, as it can be typed.
    pub(crate) fn whole(&self) -> String {
        let whole = match self {
            Place::Registry(_) => self.clone(),
            Place::Store(_) => Place::Store(None),
            Place::Archive(path, _) => Place::Archive(path.clone(), None),
            Place::Layout(path, _) => Place::Layout(path.clone(), None),
        };
        whole.to_string()
    }

    /// Which of several images there is meant, if that was said.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Place::Registry(_) => None,
            Place::Store(name) | Place::Archive(_, name) | Place::Layout(_, name) => {
                name.as_deref()
            }
        }
    }
}

/// As it can be typed.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Registry(reference) => write!(f, "{reference}"),
            Place::Store(name) => write!(f, "store:{}", name.as_deref().unwrap_or_default()),
            Place::Archive(path, None) => write!(f, "archive:{}", path.display()),
            Place::Archive(path, Some(name)) => write!(f, "archive:{}:{name}", path.display()),
            Place::Layout(path, None) => write!(f, "oci:{}", path.display()),
            Place::Layout(path, Some(name)) => write!(f, "oci:{}:{name}", path.display()),
        }
    }
}

/// A path, and what follows its first `:`; all of it, if there is such a path.
fn split<'a>(text: &'a str, exists: &dyn Fn(&Path) -> bool) -> (&'a str, Option<&'a str>) {
    match text.split_once(':') {
        Some((path, name)) if !exists(Path::new(text)) => (path, Some(name)),
        _ => (text, None),
    }
}

/// `a, b or c`.
fn listed(words: &[&str], before_last: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} {before_last} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "/d:1";

    fn parse(text: &str, takes: Takes) -> Result<Place, String> {
        Place::parse_where(text, takes, &|path| path == Path::new(HERE))
    }

    #[track_caller]
    fn check(text: &str, takes: Takes, shown: &str) {
        assert_eq!(parse(text, takes).map(|it| it.to_string()), Ok(shown.into()), "{text}");
    }

    #[track_caller]
    fn refuse(text: &str, takes: Takes, message: &str) {
        assert_eq!(parse(text, takes), Err(message.into()), "{text}");
    }

    fn layout(path: &str, name: Option<&str>) -> Result<Place, String> {
        Ok(Place::Layout(path.into(), name.map(Into::into)))
    }

    #[test]
    fn plain_name_is_what_the_argument_is_about() {
        check("alpine", FROM, "docker.io/library/alpine:latest");
        check("alpine", IMAGE, "store:alpine");
        check("docker://alpine", IMAGE, "docker.io/library/alpine:latest");
        check("store:alpine", FROM, "store:alpine");
        check("docker://store:1", FROM, "docker.io/library/store:1");
        check("sha256:00", IMAGE, "store:sha256:00");
        assert_eq!(parse("store:", TO), Ok(Place::Store(None)));
    }

    #[test]
    fn path_ends_at_the_first_colon_unless_all_of_it_is_there() {
        assert_eq!(parse("oci:d", TO), layout("d", None));
        assert_eq!(parse("oci:d:a.io/b:1", TO), layout("d", Some("a.io/b:1")));
        assert_eq!(parse("oci:/d:1", TO), layout("/d:1", None));
        assert_eq!(parse("oci:/d:2", TO), layout("/d", Some("2")));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(parse(&format!("oci:d:{digest}"), FROM), layout("d", Some(&digest)));
    }

    #[test]
    fn archives_have_three_prefixes_and_one_meaning() {
        check("archive:a.tar", FROM, "archive:a.tar");
        check("docker-archive:a.tar:b:1", IMAGE, "archive:a.tar:b:1");
        check("oci-archive:a.tar:b", TO, "archive:a.tar:b");
        check("a:b.tar", FILE, "archive:a:b.tar");
        check("-", FILE, "archive:-");
        check("archive:a.tar:b", FILE, "archive:a.tar:b");
        check("oci:d:b", FILE, "oci:d:b");
        refuse(
            "store:a",
            FILE,
            "invalid place `store:a`: expected archive:FILE[:NAME] or oci:DIR[:NAME]",
        );
    }

    #[test]
    fn place_that_is_not_taken_is_refused_with_those_that_are() {
        const EXPECTED: &str = "expected store:NAME, archive:FILE[:NAME] or oci:DIR[:NAME]";
        refuse("docker://a", TO, &format!("invalid place `docker://a`: {EXPECTED}"));
        refuse("a", TO, &format!("invalid place `a`: {EXPECTED}"));
        refuse("", TO, &format!("invalid place ``: {EXPECTED}"));
        refuse("oci:", TO, &format!("invalid place `oci:`: the path is empty: {EXPECTED}"));
        refuse("oci::a", TO, &format!("invalid place `oci::a`: the path is empty: {EXPECTED}"));
        refuse("oci:d:", TO, &format!("invalid place `oci:d:`: the name is empty: {EXPECTED}"));
        refuse("Alpine", FROM, &"Alpine".parse::<Reference>().unwrap_err().to_string());
        refuse("docker://", FROM, &"".parse::<Reference>().unwrap_err().to_string());
    }
}
