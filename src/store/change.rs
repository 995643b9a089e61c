use std::collections::HashSet;

use super::entry::{Entry, Odd};
use super::find::{Wanted, find_in, not_found};
use super::lock::IndexLock;
use super::names::{Index, Names};
use super::{Durability, Store, file};
use crate::error::{Context, Error, Result};
use crate::reference::Reference;

/// What [`Store::remove`] has done.
#[derive(Debug, Default)]
pub struct Removal {
    /// What is there no more, in the order in which it was asked for.
    pub removed: Vec<Entry>,
    /// What is there no more and was never understood.
    pub odd: Vec<Odd>,
    /// Each text that names nothing, with an error that says so.
    pub missing: Vec<(String, Error)>,
}

impl Removal {
    /// What `texts` mean by `names`.
    fn of(texts: &[&str], names: &Names<'_>) -> Removal {
        let entries = names.entries();
        let mut removal = Removal::default();
        let mut seen = HashSet::new();
        for text in texts {
            let wanted = Wanted::parse(text);
            let selected = wanted.select(&entries);
            let odd: Vec<&Odd> = names.odd().filter(|odd| wanted.is_odd(odd)).collect();
            if selected.is_empty() && odd.is_empty() {
                removal.missing.push(((*text).to_owned(), not_found(text)));
            }
            for entry in selected {
                if seen.insert(entry.position) {
                    removal.removed.push(entry.clone());
                }
            }
            for odd in odd {
                if seen.insert(odd.position) {
                    removal.odd.push(odd.clone());
                }
            }
        }
        removal
    }

    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.odd.is_empty()
    }
}

impl Store {
    /// Removes what `texts` name, as [`find`](Store::find) understands them; a digest alone means
    /// every name of it, `#3` the third entry of the index if it has no name or cannot be
    /// understood. What they led to stays until garbage is collected.
    ///
    /// What is there goes, even if not all is.
    pub fn remove(&self, texts: &[&str]) -> Result<Removal> {
        let removing = || "removing names";
        // Nothing is locked or made for what is not there.
        let index = Index::read(&self.layout).context(removing)?;
        let mut removal = Removal::of(texts, &index.names().context(removing)?);
        if removal.is_empty() {
            return Ok(removal);
        }
        self.prepare()?;
        self.change_names(|names| {
            removal = Removal::of(texts, names);
            let (named, nameless): (Vec<&Entry>, Vec<&Entry>) =
                removal.removed.iter().partition(|entry| !entry.name.is_empty());
            let called = named.iter().map(|entry| entry.name.as_str()).collect();
            let nameless = nameless.iter().map(|entry| entry.position);
            let odd = removal.odd.iter().map(|odd| odd.position);
            names.remove(&called, &nameless.chain(odd).collect());
            Ok(!removal.is_empty())
        })
        .context(removing)?;
        Ok(removal)
    }

    /// Lets `new` mean what `text` names, and returns the entry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) if `text` names nothing;
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) if `new` has a digest: what it means is
    /// what the other one means.
    pub fn tag(&self, text: &str, new: &Reference) -> Result<Entry> {
        if let Some(digest) = new.digest() {
            return Err(Error::usage(format!(
                "expected a new name without a digest, got {digest}"
            )));
        }
        self.find(text)?;
        self.prepare()?;
        let name = new.name();
        let mut tagged = None;
        self.change_names(|names| {
            let changed = names.copy(&find_in(names, text)?, &name)?;
            tagged = names.entries().into_iter().find(|it| it.name == name);
            Ok(changed)
        })
        .context(|| format!("tagging {name}"))?;
        tagged.ok_or_else(|| not_found(&name))
    }

    /// Reads the names, changes them, and replaces them if `change` says that something has
    /// changed; all under the lock, so that no other change is lost.
    pub(super) fn change_names(
        &self,
        change: impl FnOnce(&mut Names<'_>) -> Result<bool>,
    ) -> Result<()> {
        self.settle()?;
        let _lock = IndexLock::take(&self.layout)?;
        let index = Index::read(&self.layout)?;
        let mut names = index.names()?;
        if change(&mut names)? {
            self.replace(&self.layout.index(), &names.to_bytes()?)
        } else {
            // Somebody may have written it without syncing it.
            self.sync_names()
        }
    }

    /// Makes the names survive a power cut.
    pub(super) fn sync_names(&self) -> Result<()> {
        let path = self.layout.index();
        if self.durability == Durability::Synced
            && let Some(index) = file::open(&path)?
        {
            file::sync(&index, &path, self.durability)?;
            file::sync_folder(self.layout.root(), self.durability)?;
        }
        Ok(())
    }
}
