//! What commands that change the store have in common.

use windlass::error::{Error, ErrorKind};
use windlass::reference::Reference;
use windlass::store::{Durability, Entry, Store};

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::near::nearest;
use crate::cli::settings::Settings;

/// Whether what is written is kept safe from a power cut.
pub(crate) fn durability(settings: &Settings) -> Durability {
    if settings.no_sync { Durability::Unsynced } else { Durability::Synced }
}

/// The store, in which everything is kept safe from a power cut unless told otherwise.
pub(crate) fn open(context: &Context) -> Result<Store, Failure> {
    let settings = &context.settings;
    Ok(Store::open(&settings.store()?, durability(settings))?)
}

/// `NAME@DIGEST`, which every other command takes.
pub(crate) fn shown(entry: &Entry) -> String {
    let digest = entry.resolved();
    match entry.name.as_str() {
        "" => digest.to_string(),
        name if name.contains('@') => name.to_owned(),
        name => format!("{name}@{digest}"),
    }
}

/// Says of a name that is not there which ones it may be meant for.
pub(crate) fn advise(store: &Store, typed: &str, error: Error) -> Failure {
    if !matches!(error.kind(), ErrorKind::NotFound(_)) {
        return error.into();
    }
    let entries = store.entries().unwrap_or_default();
    let full = typed.parse::<Reference>().map_or_else(|_| typed.to_owned(), |it| it.name());
    let names: Vec<(&str, &str)> =
        entries.iter().map(|entry| (familiar(&entry.name), entry.name.as_str())).collect();
    let near = nearest(familiar(&full), names.iter().map(|(short, _)| *short));
    let near: Vec<&str> = near
        .into_iter()
        .filter_map(|short| names.iter().find(|(it, _)| *it == short).map(|(_, name)| *name))
        .collect();
    let list = "`windlass list` lists what is in the store";
    Failure::from(error).help(match near.as_slice() {
        [] => list.to_owned(),
        near => format!("did you mean {}? {list}", near.join(", ")),
    })
}

/// A name without what Docker's defaults fill in, so that they count for nothing.
fn familiar(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}
