//! What commands that look into the store have in common.

use std::path::Path;

use windlass::error::{Error, ErrorKind};
use windlass::reference::Reference;
use windlass::store::{Defect, Durability, Entry, Store};

use crate::cli::failure::Failure;
use crate::cli::near::nearest;
use crate::cli::settings::Settings;
use crate::cli::{Context, human};

/// Whether what is written is kept safe from a power cut.
pub(crate) fn durability(settings: &Settings) -> Durability {
    if settings.no_sync { Durability::Unsynced } else { Durability::Synced }
}

const SEE_LIST: &str = "`windlass list` lists what is in the store";

/// How many names that are not there are told what they may be meant for, each of which is compared
/// with all that are.
const ADVISED: usize = 10;

/// The store, in which everything is kept safe from a power cut unless told otherwise.
pub(crate) fn open(context: &Context) -> Result<Store, Failure> {
    let settings = &context.settings;
    Ok(Store::open(&settings.store()?, durability(settings))?)
}

/// `NAME@DIGEST`, which every other command takes, on one line.
pub(crate) fn shown(entry: &Entry) -> String {
    let digest = entry.resolved();
    match human::line(&entry.name) {
        name if name.is_empty() => digest.to_string(),
        name if name.contains('@') => name,
        name => format!("{name}@{digest}"),
    }
}

/// Says of a name that is not there which ones it may be meant for.
pub(crate) fn advise(store: &Store, typed: &str, error: Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound(_) => Names::of(store).advise(typed, error),
        _ => error.into(),
    }
}

/// The names in the store, for those who mistype one.
pub(crate) struct Names {
    names: Vec<String>,
    advised: usize,
}

impl Names {
    pub(crate) fn of(store: &Store) -> Names {
        let entries = store.entries().unwrap_or_default();
        Names { names: entries.into_iter().map(|entry| entry.name).collect(), advised: 0 }
    }

    /// The error of a name that is not there, with those that it may be meant for.
    pub(crate) fn advise(&mut self, typed: &str, error: Error) -> Failure {
        self.advised += 1;
        if self.advised > ADVISED {
            return Failure::from(error).help(SEE_LIST);
        }
        let full = typed.parse::<Reference>().map_or_else(|_| typed.to_owned(), |it| it.name());
        let names = self.names.iter().filter(|name| !name.is_empty());
        let names: Vec<(&str, &str)> = names.map(|name| (familiar(name), name.as_str())).collect();
        let near = nearest(familiar(&full), names.iter().map(|(short, _)| *short));
        let near: Vec<&str> = near
            .into_iter()
            .filter_map(|short| names.iter().find(|(it, _)| *it == short).map(|(_, name)| *name))
            .collect();
        Failure::from(error).help(match near.as_slice() {
            [] => SEE_LIST.to_owned(),
            near => format!("did you mean {}? {SEE_LIST}", near.join(", ")),
        })
    }
}

/// A name without what Docker's defaults fill in, so that they count for nothing.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

/// The same failure; if it comes from a store that cannot be read at all, with the way out.
pub(crate) fn explained(context: &Context, failure: Failure) -> Failure {
    let is_of_store = matches!(failure.error().kind(), ErrorKind::Content(_) | ErrorKind::Local(_));
    if !is_of_store || failure.advice().is_some() {
        return failure;
    }
    match context.settings.store().ok().and_then(|root| Defect::of(&root)) {
        Some(defect) => failure.help(way_out(&defect)),
        None => failure,
    }
}

/// The same of what was read in the store, which can be verified.
pub(crate) fn damaged(context: &Context, error: Error) -> Failure {
    explained(context, error.into()).help("`windlass verify` says what is wrong in the store")
}

/// What to do about a store that cannot be read. A command that is quoted can be pasted.
fn way_out(defect: &Defect) -> String {
    const NAMES: &str = "pull or import the images again, which fetches only what is missing; run \
                         no `windlass gc` before all have their names again";
    match defect {
        Defect::Link(path) => format!(
            "make the folder that it leads to, `readlink {}` says which; --store DIR names another \
             store",
            quoted(path)
        ),
        Defect::Obstacle(path) => {
            format!("move it away: {}; what is needed there is made again", aside(path))
        }
        Defect::Marker(path) => format!(
            "it says no more than the version; write it again: {} && echo \
             '{{\"imageLayoutVersion\":\"1.0.0\"}}' >{}",
            aside(path),
            quoted(path)
        ),
        Defect::Newer(_) => "a newer windlass reads it; --store DIR names another store".to_owned(),
        Defect::IndexMissing(path) => format!(
            "the blobs are still there, their names are not: put back a copy of it, or begin a new \
             one: {}; then {NAMES}",
            empty_index(path)
        ),
        Defect::Index(path) => format!(
            "the blobs are still there, their names are not: put back a copy of it, or begin a new \
             one: {} && {}; then {NAMES}",
            aside(path),
            empty_index(path)
        ),
    }
}

fn aside(path: &Path) -> String {
    let mut other = path.as_os_str().to_owned();
    other.push(".old");
    format!("mv {} {}", quoted(path), quoted(other.as_ref()))
}

fn empty_index(path: &Path) -> String {
    format!("echo '{{\"schemaVersion\":2,\"manifests\":[]}}' >{}", quoted(path))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+,:@%".contains(it);
    match text.chars().all(is_plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell_where_they_must_be() {
        let check = |path: &str, expected: &str| assert_eq!(quoted(path.as_ref()), expected);
        check("/var/lib/windlass/index.json", "/var/lib/windlass/index.json");
        check("/a b/$x", "'/a b/$x'");
        check("it's", r"'it'\''s'");
        check("", "");
    }
}
