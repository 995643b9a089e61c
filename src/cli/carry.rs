//! Images carried from where they are to where they shall be: what `copy` and `export` share.

use windlass::image::Digest;
use windlass::reference::Reference;
use windlass::store::Store;
use windlass::stream::compression::Compression;
use windlass::transfer::{Plan, Platforms};

use crate::cli::answer::Image;
use crate::cli::archive::{Archiving, Target};
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::goal::Goal;
use crate::cli::output::Output;
use crate::cli::start::{Found, Start};
use crate::cli::{human, progress};

/// An image, and what it will be called.
pub(crate) struct Item<'s> {
    pub(crate) start: &'s Start<'s>,
    pub(crate) image: Found,
    pub(crate) name: String,
    /// Where it is, as it is told.
    pub(crate) shown: String,
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
    /// What is done: `copy`.
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

    /// The step in which something went wrong.
    fn doing(&self, what: &str) -> String {
        format!("{}ing {what}", self.verb)
    }

    /// Takes one image into a store or a layout, or only says what would move.
    pub(crate) fn bring(&self, item: &Item<'_>, store: &Store) -> Result<Carried, Failure> {
        let plan = self.bring_it(item, store);
        let plan = plan.map_err(|failure| failure.context(self.doing(&item.shown)))?;
        Ok(Carried::of(item, &plan))
    }

    fn bring_it(&self, item: &Item<'_>, store: &Store) -> Result<Plan, Failure> {
        let Item { start, image, name, .. } = item;
        let source = start.source()?;
        let transfer = self.ends.transfer(source.get(), store);
        let explain = |error| start.explain(error);
        let plan = image.plan(&transfer, name, &self.platforms()).map_err(explain)?;
        if self.dry_run {
            let missing = plan.missing(store)?;
            progress::would_move(&self.ends.context.output, name, self.verb, &missing);
        } else {
            transfer.run_as(name, &plan).map_err(explain)?;
        }
        Ok(plan)
    }

    /// Writes all of them into one archive, or only says what would be written.
    pub(crate) fn write(
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
            let Item { start, image, name, shown } = item;
            let transfer = self.ends.transfer(source.get(), &());
            let plan = image.plan(&transfer, name, &self.platforms());
            let plan = plan.map_err(|error| start.explain(error).context(self.doing(shown)))?;
            carried.push(Carried::of(item, &plan));
            if !self.dry_run {
                guards.push(source.get().hold(&content(&plan))?);
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
            let written = archiving.write(target, self.compression);
            let step = || match items {
                [only] => self.doing(&only.shown),
                several => self.doing(&format!("{} images", several.len())),
            };
            written.map_err(|failure| failure.context(step()))?;
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
        let named = name.rsplit_once('@').filter(|(_, it)| it.parse::<Digest>().is_ok());
        let line = format!("{}@{digest}", named.map_or(name.as_str(), |(name, _)| name));
        let image = Image { name: Some(item.name.clone()), digest, stored: digest, ..image };
        Carried { digest, line, image }
    }
}

impl Carried {
    /// Answers with it: on stderr, if stdout has what went to `goal`.
    pub(crate) fn answer(&self, output: &Output, goal: &Goal) -> Result<(), Failure> {
        match (goal.is_stdout(), output.is_json()) {
            (true, true) => output.answer_json_aside(&self.image),
            (true, false) => output.answer_aside(&self.line),
            (false, true) => output.answer_json(&self.image)?,
            (false, false) => output.answer(&self.line)?,
        }
        Ok(())
    }
}

/// All that a plan lists.
fn content(plan: &Plan) -> Vec<Digest> {
    let manifests = plan.manifests().iter().map(|manifest| manifest.digest());
    plan.blobs().iter().map(|blob| blob.digest).chain(manifests).collect()
}
