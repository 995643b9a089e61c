//! Images carried from where they are to where they shall be: what `copy` and `export` share.

use windlass::image::Digest;
use windlass::reference::Reference;
use windlass::store::Store;
use windlass::stream::compression::Compression;
use windlass::transfer::{Plan, Platforms};

use crate::cli::answer::Image;
use crate::cli::archive::{Archiving, Target};
use crate::cli::ends::{Ends, Found, Start};
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::cli::{human, progress};

/// An image, and what it will be called.
pub(crate) struct Item<'s> {
    pub(crate) start: &'s Start<'s>,
    pub(crate) image: Found,
    pub(crate) name: String,
}

/// What was carried, or would have been.
pub(crate) struct Carried {
    pub(crate) digest: Digest,
    /// `NAME@DIGEST`.
    pub(crate) line: String,
    pub(crate) image: Image,
}

/// How images are carried.
pub(crate) struct Carrying<'a> {
    pub(crate) ends: &'a Ends<'a>,
    /// What was done, when something is told of it.
    pub(crate) verb: &'static str,
    pub(crate) dry_run: bool,
    /// Of an archive as a whole.
    pub(crate) compression: Compression,
}

impl Carrying<'_> {
    /// All platforms, unless it is said which.
    fn platforms(&self) -> Platforms {
        match self.ends.context.settings.only.as_slice() {
            [] => Platforms::All,
            only => Platforms::Only(only.to_vec()),
        }
    }

    /// Takes one image into a store or a layout, or only says what would move.
    pub(crate) fn into_store(&self, item: &Item<'_>, store: &Store) -> Result<Carried, Failure> {
        let Item { start, image, name } = item;
        let source = start.source()?;
        let transfer = self.ends.transfer(source.get(), store);
        let explain = |error| start.explain(error);
        let plan = image.plan(&transfer, name, &self.platforms()).map_err(explain)?;
        if self.dry_run {
            let missing = plan.missing(store)?;
            progress::would_move(&self.ends.context.output, name, self.verb, &missing);
        } else {
            let _guard = start.protect(&content(&plan));
            transfer.run_as(name, &plan).map_err(explain)?;
        }
        Ok(Carried::of(item, &plan))
    }

    /// Writes all of them into one archive, or only says what would be written.
    pub(crate) fn into_archive(
        &self,
        items: &[Item<'_>],
        target: &Target,
    ) -> Result<Vec<Carried>, Failure> {
        let mut sources = Vec::new();
        for item in items {
            sources.push(item.start.source()?);
        }
        let mut archiving = Archiving::new(self.ends);
        let mut carried = Vec::new();
        let mut guards = Vec::new();
        for (item, source) in items.iter().zip(&sources) {
            let Item { start, image, name } = item;
            let transfer = self.ends.transfer(source.get(), &());
            let plan = image.plan(&transfer, name, &self.platforms());
            let plan = plan.map_err(|error| start.explain(error))?;
            carried.push(Carried::of(item, &plan));
            if !self.dry_run {
                guards.push(start.protect(&content(&plan)));
            }
            let reference: Reference = name.parse().map_err(|error| {
                Failure::usage(windlass::reference::ParseReferenceError::to_string(&error))
            })?;
            archiving.add(&reference, source.get(), plan);
        }
        if self.dry_run {
            let contents = archiving.contents()?;
            let (count, size) = (contents.count(), contents.size());
            progress::would_write(&self.ends.context.output, &target.shown(), count, size);
        } else {
            archiving.write(target, self.compression)?;
        }
        Ok(carried)
    }
}

impl Carried {
    fn of(item: &Item<'_>, plan: &Plan) -> Carried {
        let digest = plan.target().digest;
        let is_whole = item.image.descriptor().is_some_and(|it| it.digest == digest);
        let entry = item.start.entry(&item.image).filter(|_| is_whole);
        let known = entry.and_then(|(store, entry)| Image::stored(store, &entry).ok());
        let image = known.unwrap_or_else(|| Image::planned(item.name.clone(), plan));
        let name = human::line(&item.name);
        let has_digest = name.rsplit_once('@').is_some_and(|(_, it)| it.parse::<Digest>().is_ok());
        let line = if has_digest { name } else { format!("{name}@{digest}") };
        let image = Image { name: Some(item.name.clone()), digest, stored: digest, ..image };
        Carried { digest, line, image }
    }
}

impl Carried {
    /// Answers with it.
    pub(crate) fn answer(&self, output: &Output) -> Result<(), Failure> {
        match output.is_json() {
            true => output.answer_json(&self.image)?,
            false => output.answer(&self.line)?,
        }
        Ok(())
    }

    /// Tells it on stderr, because stdout has something else.
    pub(crate) fn answer_aside(&self, output: &Output) {
        match output.is_json() {
            true => output.answer_json_aside(&self.image),
            false => output.answer_aside(&self.line),
        }
    }
}

/// All that a plan lists.
fn content(plan: &Plan) -> Vec<Digest> {
    let manifests = plan.manifests().iter().map(|manifest| manifest.digest());
    plan.blobs().iter().map(|blob| blob.digest).chain(manifests).collect()
}
