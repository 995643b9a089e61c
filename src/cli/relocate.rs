//! Names that images get elsewhere.

use std::str::FromStr;

use windlass::reference::{Reference, Repository};

use crate::cli::failure::Failure;
use crate::cli::values::ImageName;

/// Where images go: `HOST` or `HOST/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Prefix, String> {
        let text = text.strip_prefix("docker://").unwrap_or(text).trim_end_matches('/');
        let host = text.split('/').next().unwrap_or("");
        let is_host = host.contains(['.', ':']) || host == "localhost";
        match format!("{text}/x").parse::<Repository>() {
            Ok(_) if is_host => Ok(Prefix(text.to_owned())),
            _ => {
                Err(format!("`{text}` is no HOST or HOST/PREFIX, such as registry.example/mirror"))
            }
        }
    }
}

impl Prefix {
    /// What `name` is called there. With `keep_host` its host is a folder, with `_` for `:`.
    pub(crate) fn relocated(
        &self,
        name: &Reference,
        keep_host: bool,
    ) -> Result<Reference, Failure> {
        let repository = name.repository();
        let mut path = repository.path().to_owned();
        if keep_host {
            let host = repository.host().replace(':', "_").replace(['[', ']'], "");
            path = format!("{host}/{path}");
        }
        let end = match (name.tag(), name.digest()) {
            (Some(tag), _) => format!(":{tag}"),
            (None, Some(digest)) => format!("@{digest}"),
            (None, None) => String::new(),
        };
        let text = format!("{}/{path}{end}", self.0);
        text.parse().map_err(|error| Failure::usage(format!("relocating {name}: {error}")))
    }
}

/// One line of a list: `IMAGE [TO]`.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// A name or digest in the store.
    pub(crate) image: String,
    pub(crate) to: Option<Reference>,
}

impl Line {
    pub(crate) fn new(image: &str, to: Option<&str>) -> Result<Line, String> {
        let to = to.map(|to| to.parse::<ImageName>().map(|name| name.0)).transpose();
        let image = image.strip_prefix("store:").unwrap_or(image).to_owned();
        Ok(Line { image, to: to.map_err(|error| error.to_string())? })
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Line, String> {
        let mut words = text.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(image), to, None) => Line::new(image, to),
            _ => Err("expected `IMAGE` or `IMAGE TO`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, name: &str, keep_host: bool, expected: &str) {
        let prefix: Prefix = prefix.parse().unwrap();
        let name: Reference = name.parse().unwrap();
        assert_eq!(prefix.relocated(&name, keep_host).unwrap().name(), expected);
    }

    #[test]
    fn images_keep_their_path_and_their_host_if_asked() {
        check("r.io/x", "alpine:3", false, "r.io/x/library/alpine:3");
        check("r.io", "quay.io/team/tool", false, "r.io/team/tool:latest");
        check("localhost:5000/", "quay.io/a/b:1", true, "localhost:5000/quay.io/a/b:1");
        check("r.io/x", "localhost:5000/a:1", true, "r.io/x/localhost_5000/a:1");
        let digest = format!("sha256:{}", "0".repeat(64));
        let name = format!("quay.io/a@{digest}");
        check("r.io", &name, false, &format!("r.io/a@{digest}"));
    }

    #[test]
    fn prefix_begins_with_a_host() {
        for text in ["", "mirror", "mirror/x", "r.io/X", "r.io//x", "r.io:x", "r.io/x:1"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn line_has_an_image_and_perhaps_where_it_goes() {
        let line: Line = "alpine r.io/a:1".parse().unwrap();
        assert_eq!((line.image.as_str(), line.to.unwrap().name().as_str()), ("alpine", "r.io/a:1"));
        assert!("alpine".parse::<Line>().unwrap().to.is_none());
        assert!("a b c".parse::<Line>().is_err() && "a B".parse::<Line>().is_err());
    }
}
