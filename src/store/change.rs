use super::find::{Wanted, not_found};
use super::lock::IndexLock;
use super::names::{Entry, Index, Names};
use super::{Durability, Store, file};
use crate::error::{Context, Error, Result};
use crate::reference::Reference;

/// What [`Store::remove`] has done.
#[derive(Debug)]
pub struct Removal {
    /// What is there no more, in the order in which it was asked for.
    pub removed: Vec<Entry>,
    /// Each text that names nothing, with an error that says so.
    pub missing: Vec<(String, Error)>,
}

impl Store {
    /// Removes what `texts` name, as [`find`](Store::find) understands them; a digest alone means
    /// every name of it. What they led to stays until garbage is collected.
    ///
    /// What is there goes, even if not all is.
    pub fn remove(&self, texts: &[&str]) -> Result<Removal> {
        let removing = || "removing names";
        let found = |names: &Names<'_>| {
            let entries = names.entries();
            let mut removal = Removal { removed: Vec::new(), missing: Vec::new() };
            for text in texts {
                let selected = Wanted::parse(text).select(&entries);
                if selected.is_empty() {
                    let error = Error::not_found(not_found(text, &entries));
                    removal.missing.push(((*text).to_owned(), error));
                }
                for entry in selected {
                    if !removal.removed.contains(entry) {
                        removal.removed.push(entry.clone());
                    }
                }
            }
            removal
        };
        // Nothing is locked or made for what is not there.
        let index = Index::read(&self.layout).context(removing)?;
        let removal = found(&index.names().context(removing)?);
        if removal.removed.is_empty() {
            return Ok(removal);
        }
        self.prepare()?;
        let mut done = None;
        self.change_names(|names| {
            let removal = done.insert(found(names));
            let goes = |entry: &Entry| match entry.name.as_str() {
                "" => removal.removed.contains(entry),
                name => removal.removed.iter().any(|it| it.name == name),
            };
            names.remove(goes);
            Ok(!removal.removed.is_empty())
        })
        .context(removing)?;
        Ok(done.unwrap_or(removal))
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
            let entries = names.entries();
            let selected = Wanted::parse(text).select(&entries);
            let Some(entry) = selected.first() else {
                return Err(Error::not_found(not_found(text, &entries)));
            };
            let changed = names.copy(entry, &name)?;
            tagged = names.entries().into_iter().find(|it| it.name == name);
            Ok(changed)
        })
        .context(|| format!("tagging {name}"))?;
        tagged.ok_or_else(|| Error::not_found(format!("`{name}` is not in the store")))
    }

    /// Reads the names, changes them, and replaces them if `change` says that something has
    /// changed; all under the lock, so that no other change is lost.
    pub(super) fn change_names(
        &self,
        change: impl FnOnce(&mut Names<'_>) -> Result<bool>,
    ) -> Result<()> {
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
