use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::Access;
use rustix::io::Errno;

use super::lock::SweepLock;
use super::locked::Locked;
use super::names::{Index, Root};
use super::partial;
use super::scan::Mentions;
use super::sweep::{self, Leases};
use super::tree::{Links, leads_on};
use super::{Store, file};
use crate::endpoint::Source;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::image::{Descriptor, Digest, MANIFEST_LIMIT, Manifest, MediaType};
use crate::printable::printable;

/// What to collect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// Only to say what would go.
    pub dry_run: bool,
    /// The age from which unfinished blobs go that nobody is at. None of them does otherwise.
    pub partials: Option<Duration>,
}

/// How many files, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Bytes that they take.
    pub size: u64,
}

impl Amount {
    pub(super) fn add(&mut self, size: u64) {
        self.count += 1;
        self.size = self.size.saturating_add(size);
    }
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs and manifests that no name and no live process leads to.
    pub blobs: Amount,
    /// Unfinished blobs.
    pub partials: Amount,
    /// What processes left behind that were killed.
    pub temporary: Amount,
}

impl Collected {
    /// Bytes of all.
    pub fn size(&self) -> u64 {
        let sizes = [self.blobs.size, self.partials.size, self.temporary.size];
        sizes.into_iter().fold(0, u64::saturating_add)
    }
}

impl Store {
    /// Removes what no name and no live process leads to.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Content`] and the like when something that a
    /// name leads to cannot be read, so that nobody knows what else is needed. Nothing is removed
    /// then.
    pub fn collect(&self, collection: &Collection) -> Result<Collected> {
        self.collect_of(collection, None)
    }

    /// Removes those of `blobs` that no name and no live process leads to.
    pub fn discard(&self, blobs: &HashSet<Digest>) -> Result<Collected> {
        self.collect_of(&Collection::default(), Some(blobs))
    }

    fn collect_of(
        &self,
        collection: &Collection,
        only: Option<&HashSet<Digest>>,
    ) -> Result<Collected> {
        let collecting = || "collecting garbage";
        let is_layout = fs::symlink_metadata(self.layout.blobs()).is_ok()
            || fs::symlink_metadata(self.layout.private()).is_ok();
        if !is_layout {
            return Ok(Collected::default());
        }
        let _lock = if collection.dry_run {
            None
        } else {
            self.prepare()?;
            Some(SweepLock::exclusive(&self.layout).context(collecting)?)
        };
        // Leases first: one that ends after this has named its content before it ends, and the
        // names are read later.
        let ours = !collection.dry_run || self.sees_private_folder();
        let leases = match ours {
            true => Leases::read(&self.layout).context(collecting)?,
            false => Leases::default(),
        };
        let needed = self.needed(&leases).context(collecting)?;
        if !collection.dry_run {
            // What goes must not come back into the names by a power cut.
            self.sync_names().context(collecting)?;
        }
        let sweep = Sweep { store: self, leases: &leases, collection };
        let mut collected =
            Collected { blobs: sweep.blobs(&needed, only)?, ..Collected::default() };
        if only.is_none() && ours {
            sweep.temporary(&mut collected.temporary)?;
            sweep.partials(&mut collected.partials)?;
            sweep.notes()?;
        }
        Ok(collected)
    }

    /// Whether what unfinished work there is can be seen: its owner alone may.
    pub(super) fn sees_private_folder(&self) -> bool {
        let wanted = Access::READ_OK | Access::EXEC_OK;
        !matches!(rustix::fs::access(self.layout.private(), wanted), Err(Errno::ACCESS))
    }

    /// All that names and live processes lead to.
    fn needed(&self, leases: &Leases) -> Result<HashSet<Digest>> {
        let index = Index::read(&self.layout)?;
        let names = index.names()?;
        let mut marks = Marks { store: self, needed: leases.content.clone(), ..Marks::new(self) };
        for root in names.roots() {
            match root {
                Root::Entry(entry) => marks
                    .follow(entry.descriptor.clone())
                    .context(|| format!("reading what `{}` leads to", printable(&entry.name)))?,
                Root::Odd(odd, json) => {
                    let mentions = Mentions::of(json.as_bytes());
                    if mentions.unknown {
                        let path = self.layout.index();
                        return Err(Error::content(odd.to_string()))
                            .context(|| format!("reading `{}`", path.display()));
                    }
                    mentions
                        .digests
                        .into_iter()
                        .try_for_each(|digest| marks.follow_unknown(digest))?;
                }
            }
        }
        Ok(marks.needed)
    }
}

/// What is found to be needed.
struct Marks<'a> {
    store: &'a Store,
    needed: HashSet<Digest>,
    /// Manifests that were read.
    followed: HashSet<Digest>,
    /// Content of an unknown kind that was read.
    looked_into: HashSet<Digest>,
}

impl<'a> Marks<'a> {
    fn new(store: &'a Store) -> Marks<'a> {
        Marks {
            store,
            needed: HashSet::new(),
            followed: HashSet::new(),
            looked_into: HashSet::new(),
        }
    }

    /// Marks `root` and all that it leads to.
    fn follow(&mut self, root: Descriptor) -> Result<()> {
        let mut waiting = vec![root];
        while let Some(descriptor) = waiting.pop() {
            self.needed.insert(descriptor.digest);
            if !leads_on(&descriptor) {
                self.follow_other(&descriptor)?;
            } else if self.followed.insert(descriptor.digest) {
                let links = Links::of(&self.manifest(&descriptor)?);
                self.needed.extend(links.blobs.iter().map(|blob| blob.digest));
                waiting.extend(links.manifests);
                waiting.extend(links.others);
            }
        }
        Ok(())
    }

    /// A manifest that a name leads to. Without it, for whatever reason, nobody knows what else is
    /// needed: that is wrong with the store.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        self.store.manifest(descriptor).map_err(unknowable)
    }

    /// The same for the bytes of what we do not know.
    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.store.read(descriptor).map_err(unknowable)
    }

    /// Marks what `descriptor`, which is of a kind that we do not know, mentions. What may be a
    /// manifest must be as described: nobody else knows what it leads to.
    fn follow_other(&mut self, descriptor: &Descriptor) -> Result<()> {
        if descriptor.size > MANIFEST_LIMIT || !self.looked_into.insert(descriptor.digest) {
            return Ok(());
        }
        let mentions = Mentions::of(&self.read(descriptor)?);
        if mentions.unknown {
            let message = "it leads to something by a digest of an unknown kind";
            return Err(Error::content(message))
                .context(|| format!("reading {} from the store", descriptor.digest));
        }
        mentions.digests.into_iter().try_for_each(|digest| self.follow_unknown(digest))
    }

    /// Marks `root` and whatever it mentions, as far as that is there: what is only mentioned need
    /// not be.
    fn follow_unknown(&mut self, root: Digest) -> Result<()> {
        let mut waiting = vec![root];
        while let Some(digest) = waiting.pop() {
            self.needed.insert(digest);
            if self.looked_into.insert(digest) {
                waiting.extend(self.mentions(digest)?);
            }
        }
        Ok(())
    }

    fn mentions(&self, digest: Digest) -> Result<Vec<Digest>> {
        let reading = || format!("reading {digest} from the store");
        let Some(file) = file::open(&self.store.layout.blob(digest))? else {
            return Ok(Vec::new());
        };
        let size = file.metadata().context(reading)?.len();
        if size > MANIFEST_LIMIT {
            return Ok(Vec::new());
        }
        // Its media type does not matter: it is read as what its digest says.
        let descriptor = Descriptor::new(MediaType::default(), digest, size);
        Ok(Mentions::of(&self.store.read(&descriptor)?).digests)
    }
}

/// What cannot be read is wrong content here: nobody knows what it leads to.
fn unknowable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Io(_) => Error::content(error.to_string()),
        _ => error,
    }
}

/// The removal of what is not needed.
struct Sweep<'a> {
    store: &'a Store,
    leases: &'a Leases,
    collection: &'a Collection,
}

impl Sweep<'_> {
    fn blobs(&self, needed: &HashSet<Digest>, only: Option<&HashSet<Digest>>) -> Result<Amount> {
        let mut amount = Amount::default();
        for digest in sweep::blobs(&self.store.layout)? {
            if needed.contains(&digest) || only.is_some_and(|only| !only.contains(&digest)) {
                continue;
            }
            let path = self.store.layout.blob(digest);
            let Some(metadata) = metadata(&path)? else { continue };
            if metadata.is_dir() {
                self.clear_folder(&path)?;
                continue;
            }
            self.remove(&path)?;
            amount.add(metadata.len());
        }
        Ok(amount)
    }

    /// Leases and temporary files whose process is dead.
    fn temporary(&self, amount: &mut Amount) -> Result<()> {
        for path in &self.leases.dead {
            self.remove(path)?;
        }
        for path in sweep::list(&self.store.layout.temporary())? {
            let Some(metadata) = metadata(&path)? else { continue };
            // What is no file was not put there by us; it has no lock.
            let lock = if metadata.is_file() { sweep::abandoned(&path)? } else { None };
            if metadata.is_dir() {
                log::warn!("`{}` is a folder: it stays", path.display());
            } else if lock.is_some() || !metadata.is_file() {
                amount.add(taken(&metadata));
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn partials(&self, amount: &mut Amount) -> Result<()> {
        let layout = &self.store.layout;
        for digest in sweep::partials(layout)? {
            if self.leases.content.contains(&digest) {
                continue;
            }
            let (path, record) = (layout.partial(digest), layout.partial_record(digest));
            if self.collection.dry_run {
                let Some(file) = sweep::abandoned(&path)? else { continue };
                let metadata = file.metadata()?;
                if metadata.len() > 0 && self.goes(digest, &metadata) {
                    amount.add(taken(&metadata));
                }
                continue;
            }
            // The file is made where there is only a record: whoever has it locked has both.
            let file = Locked::try_exclusive(partial::open(&path, 0)?)
                .context(|| format!("locking `{}`", path.display()))?;
            let file = match file {
                Ok(file) if file::is_same(&file, &path)? => file,
                _ => continue,
            };
            let metadata = file.metadata()?;
            if self.goes(digest, &metadata) {
                file::clear(&record)?;
                file::remove(&path)?;
                if metadata.len() > 0 {
                    amount.add(taken(&metadata));
                }
            }
        }
        Ok(())
    }

    /// Whether an unfinished blob that nobody is at is of no use, or old enough.
    fn goes(&self, digest: Digest, metadata: &Metadata) -> bool {
        // A blob that is older may be the wrong one that this is to replace.
        let blob = fs::symlink_metadata(self.store.layout.blob(digest)).ok();
        let is_there = blob.is_some_and(|blob| {
            let made = (blob.ctime(), blob.ctime_nsec());
            blob.is_file() && made >= (metadata.mtime(), metadata.mtime_nsec())
        });
        metadata.len() == 0 || is_there || self.is_old(metadata)
    }

    /// Whether something unfinished is as old as what is to go.
    fn is_old(&self, metadata: &Metadata) -> bool {
        let age = metadata.modified().ok().and_then(|it| SystemTime::now().duration_since(it).ok());
        self.collection.partials.is_some_and(|from| age.unwrap_or_default() >= from)
    }

    /// What is remembered of uploads that nobody is at, if it is as old as what is to go. Too
    /// little to be counted.
    fn notes(&self) -> Result<()> {
        for path in sweep::list(&self.store.layout.uploads())? {
            let Some(file) = sweep::abandoned(&path)? else { continue };
            if self.is_old(&file.metadata()?) {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Removes an empty folder that has a blob's name, and moves aside one that is not.
    fn clear_folder(&self, path: &Path) -> Result<()> {
        if self.collection.dry_run {
            return Ok(());
        }
        file::move_aside(path).context(|| format!("moving `{}` aside", path.display()))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        if self.collection.dry_run { Ok(()) } else { file::remove(path) }
    }
}

fn metadata(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => Ok(Some(metadata.context(|| format!("reading `{}`", path.display()))?)),
    }
}

/// Bytes on the disk: an unfinished file may have holes.
pub(super) fn taken(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}
