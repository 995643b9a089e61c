//! One image from a [`Source`] to a [`Sink`]: plan, then act.
//!
//! The plan lists every blob once and every manifest after those it lists. Workers move the
//! blobs, a big one in several ranges; then the manifests follow, and last the name. Retry wraps
//! one whole movement, because connections break in the body.

mod fetch;
mod finish;
mod interrupt;
mod job;
mod moves;
mod parallel;
mod pieces;
mod plan;
mod platforms;
mod progress;
mod retry;
mod send;
mod survey;
mod together;
mod upload;

use std::io::Read;
use std::time::Duration;

use moves::Moves;
use plan::Collector;
use platforms::{candidates, choose, none_for};

use crate::endpoint::{Meaning, Origin, Receipt, Sink, Source};
use crate::error::{Context, Error, ErrorKind, Remedy, Result};
use crate::image::{
    Config, Descriptor, Digest, Document, ImageManifest, MANIFEST_LIMIT, Manifest, Platform,
};
use crate::reference::Reference;
use crate::stream::Verify;

pub use interrupt::Interrupt;
pub use plan::{Missing, Plan};
pub use platforms::Platforms;
pub use progress::{Event, Observer};
pub use retry::Retry;
pub use together::Together;

/// Stores the root of an image and gives it its name.
type Name<'a> = dyn Fn(&Manifest, &Origin) -> Result<()> + 'a;

/// How images are moved from one place to another.
pub struct Transfer<'a> {
    /// Where they are.
    pub source: &'a dyn Source,
    /// Where they shall be.
    pub sink: &'a dyn Sink,
    /// How many requests may be under way at once; at least 1.
    pub jobs: usize,
    /// When and how long to try again.
    pub retry: Retry,
    /// After what time without progress somebody else who receives the same blob is taken to be
    /// stuck.
    pub stall_timeout: Duration,
    /// Who is told what happens.
    pub observer: &'a dyn Observer,
    /// What ends it early.
    pub interrupt: &'a Interrupt,
}

impl Transfer<'_> {
    /// Finds out what `reference` is made of, on the wanted platforms. Moves nothing but
    /// manifests.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when a platform is not there.
    pub fn plan(&self, reference: &Reference, platforms: &Platforms) -> Result<Plan> {
        let image = reference.name();
        if let Some((resolved, root, platform)) = self.unchanged(reference, platforms)? {
            return self.collect(&image, resolved, root, platform);
        }
        let root = self.retrying(&image, || self.source.resolve(reference))?;
        self.plan_from(&image, root, platforms)
    }

    /// The same where these platforms came to `expected` before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when they come to something else now.
    pub fn plan_again(
        &self,
        reference: &Reference,
        platforms: &Platforms,
        expected: Digest,
    ) -> Result<Plan> {
        let plan = self.plan(reference, platforms)?;
        match plan.target.digest == expected {
            true => Ok(plan),
            false => Err(Error::not_found(format!("{expected} cannot be made again"))),
        }
    }

    /// The same of what `root` leads to in the source, for an image that is known by more or less
    /// than a reference; `image` is what it is called when something is told of it. What `root` says
    /// it is for is kept.
    pub fn plan_of(&self, image: &str, root: &Descriptor, platforms: &Platforms) -> Result<Plan> {
        let manifest = self.retrying(image, || self.source.manifest(root))?;
        let mut plan = self.plan_from(image, manifest, platforms)?;
        if plan.target.digest == root.digest && plan.target.platform.is_none() {
            plan.target.platform.clone_from(&root.platform);
        }
        Ok(plan)
    }

    fn plan_from(&self, image: &str, root: Manifest, platforms: &Platforms) -> Result<Plan> {
        let mut config = None;
        let resolved = root.digest();
        let (root, platform) = match (root.document(), platforms) {
            (_, Platforms::All) => (root, None),
            (Document::Image(manifest), _) => {
                config = self.config(image, manifest, platforms)?;
                let platform = check_platform(image, config.as_ref(), platforms)?;
                (root, platform)
            }
            (Document::Index(_), Platforms::Host) => {
                self.narrow(image, root, &[Platform::host()])?
            }
            (Document::Index(_), Platforms::Only(wanted)) => self.narrow(image, root, wanted)?,
        };
        Ok(Plan { config, ..self.collect(image, resolved, root, platform)? })
    }

    /// All that `root` leads to.
    fn collect(
        &self,
        image: &str,
        resolved: Digest,
        root: Manifest,
        platform: Option<Platform>,
    ) -> Result<Plan> {
        let fetch = |descriptor: &Descriptor| self.manifest(image, descriptor);
        let target = Descriptor { platform, ..root.descriptor() };
        let mut collector = Collector::new(&fetch);
        collector.add(root, 1)?;
        Ok(collector.finish(resolved, target))
    }

    /// What the name means in the sink by now, if it would come to the same again: then a HEAD is
    /// all that is asked.
    fn unchanged(
        &self,
        reference: &Reference,
        platforms: &Platforms,
    ) -> Result<Option<(Digest, Manifest, Option<Platform>)>> {
        let Some(Meaning { target, resolved }) = self.sink.meaning(reference)? else {
            return Ok(None);
        };
        if !platforms.come_to(&target, resolved) {
            return Ok(None);
        }
        // Whatever is wrong with the answer, resolving it says it better, and with patience.
        match self.source.digest(reference) {
            Ok(Some(digest)) if digest == resolved => {}
            _ => return Ok(None),
        }
        let stored = self.sink.stored(&target);
        Ok(stored.map(|manifest| (resolved, manifest, target.platform)))
    }

    /// What is left of `index` when only the `wanted` platforms are kept: the manifest of one, an
    /// index of several.
    fn narrow(
        &self,
        image: &str,
        index: Manifest,
        wanted: &[Platform],
    ) -> Result<(Manifest, Option<Platform>)> {
        let fetch = |descriptor: &Descriptor| self.manifest(image, descriptor);
        let platform_of = |manifest: &Manifest| match manifest.document() {
            Document::Image(manifest) => {
                let config = self.read_config(image, &manifest.config)?;
                config.map_or(Ok(None), |bytes| platform_in(&bytes))
            }
            Document::Index(_) => Ok(None),
        };
        let candidates = candidates(&index, &fetch, &platform_of)?;
        let mut chosen = Vec::new();
        for wanted in wanted {
            let candidate = choose(&candidates, wanted)?;
            if !chosen.iter().any(|it: &&platforms::Candidate| std::ptr::eq(*it, candidate)) {
                chosen.push(candidate);
            }
        }
        match chosen.as_slice() {
            [only] => Ok((fetch(&only.descriptor)?, Some(only.platform.clone()))),
            several => {
                let keep: Vec<_> = several.iter().map(|candidate| candidate.through).collect();
                let narrowed = index.narrowed(&keep);
                let narrowed = narrowed.ok_or_else(|| Error::content("malformed index"))?;
                Ok((narrowed, None))
            }
        }
    }

    /// Moves what the plan lists and is not there, and names it.
    ///
    /// When it fails, what has come is kept for the next time, and the name means what it meant
    /// before.
    pub fn run(&self, reference: &Reference, plan: &Plan) -> Result<()> {
        let image = &*reference.name();
        if self.retrying(image, || self.sink.is_done(reference, &plan.target))? {
            self.started(image, plan, 0);
            self.observer.event(&Event::Done { image, digest: plan.resolved });
            return Ok(());
        }
        self.bring(image, plan, &|root, origin| {
            self.sink.put_named(reference, root, &plan.target, origin)
        })
    }

    /// The same under a name that need not be a reference, as it stands.
    pub fn run_as(&self, name: &str, plan: &Plan) -> Result<()> {
        self.bring(name, plan, &|root, origin| {
            if !self.sink.contains(&root.descriptor())? {
                self.sink.put_manifest(root)?;
            }
            self.sink.name_as(name, &plan.target, origin)
        })
    }

    fn bring(&self, image: &str, plan: &Plan, name: &Name<'_>) -> Result<()> {
        let blobs = plan.blobs.iter().map(|blob| blob.digest);
        let manifests = plan.manifests.iter().map(Manifest::digest);
        let content: Vec<_> = blobs.chain(manifests).collect();
        let (_read, _written) = (self.source.hold(&content)?, self.sink.protect(&content)?);
        let survey = self.survey(image, plan)?;
        self.started(image, plan, survey.missing.size);
        self.check_room(survey.missing.size)?;
        let mut to_move = Vec::new();
        for blob in &plan.blobs {
            if survey.present.contains(&blob.digest) {
                self.observer.event(&Event::Blob { image, blob, present: true });
            } else {
                to_move.push(blob);
            }
        }
        if let Some((config, bytes)) = &plan.config
            && !self.sink.is_far()
            && to_move.iter().any(|blob| blob.digest == config.digest)
            && self.put(config, bytes)?
        {
            to_move.retain(|blob| blob.digest != config.digest);
            self.observer.event(&Event::Blob { image, blob: config, present: false });
        }
        if self.sink.is_far() {
            to_move.sort_by_key(|blob| blob.size);
        }
        if !to_move.is_empty() {
            Moves::new(self, image, to_move.into_iter()).run()?;
        }
        self.finish(image, plan, &survey, name)
    }

    fn started(&self, image: &str, plan: &Plan, missing: u64) {
        let size = plan.size();
        let blobs = plan.blobs.len() + plan.manifests.len();
        let present = size.saturating_sub(missing);
        self.observer.event(&Event::Start { image, blobs, size, present });
    }

    /// Fails if the sink knows that there is less room than for `missing` bytes.
    fn check_room(&self, missing: u64) -> Result<()> {
        match self.sink.room()? {
            Some(room) if room < missing => {
                let lacking = missing - room;
                let message = format!(
                    "expected room for {missing} bytes, there is room for {room}: {lacking} are \
                     lacking"
                );
                Err(ErrorKind::Local(message).into())
            }
            _ => Ok(()),
        }
    }

    /// Does one request, again where that may help.
    pub fn retrying<T>(&self, image: &str, request: impl FnMut() -> Result<T>) -> Result<T> {
        let failed = |error: &Error, attempt, wait| {
            self.observer.event(&Event::Retry { image, blob: None, error, attempt, wait });
        };
        self.retry.run(self.interrupt, failed, request)
    }

    fn manifest(&self, image: &str, descriptor: &Descriptor) -> Result<Manifest> {
        if let Some(manifest) = self.sink.stored(descriptor) {
            return Ok(manifest);
        }
        self.retrying(image, || self.source.manifest(descriptor))
            .context(|| format!("reading manifest {}", descriptor.digest))
    }

    /// Stores a small blob whose bytes are known. Says whether it is there now: it is not if
    /// somebody else is about to store it.
    fn put(&self, blob: &Descriptor, bytes: &[u8]) -> Result<bool> {
        match self.sink.receive(blob)? {
            Receipt::Draft(draft) => {
                draft.write_at(0, bytes)?;
                draft.commit()?;
                Ok(true)
            }
            Receipt::Present => Ok(true),
            Receipt::Busy(_) | Receipt::Upload(_) => Ok(false),
        }
    }

    /// The config of an image without an index, if its platform matters: nobody else names it.
    ///
    /// Fails when the config does not come: then the image would not come either.
    fn config(
        &self,
        name: &str,
        image: &ImageManifest,
        platforms: &Platforms,
    ) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let config = &image.config;
        // Whoever has the config has been told for what it is, or has made it.
        if *platforms == Platforms::Host && self.sink.contains(config)? {
            return Ok(None);
        }
        Ok(self.read_config(name, config)?.map(|bytes| (config.clone(), bytes)))
    }

    /// The bytes of an image config. An artifact's config says nothing to us.
    fn read_config(&self, name: &str, config: &Descriptor) -> Result<Option<Vec<u8>>> {
        if !config.media_type.is_config() {
            return Ok(None);
        }
        let reading = || format!("reading config {}", config.digest);
        if config.size > MANIFEST_LIMIT {
            let size = config.size;
            let message = format!("expected at most {MANIFEST_LIMIT} bytes, got {size}");
            return Err(Error::content(message)).context(reading);
        }
        let mut was_wrong = false;
        let read = || {
            let mut bytes = Vec::new();
            let afresh = std::mem::take(&mut was_wrong);
            let content =
                if afresh { self.source.open_afresh(config) } else { self.source.open(config, 0) };
            let read = content
                .and_then(|content| Ok(Verify::new(content, config).read_to_end(&mut bytes)?));
            read.map(|_| bytes).inspect_err(|error| was_wrong = error.remedy() == Remedy::Restart)
        };
        self.retrying(name, read).context(reading).map(Some)
    }
}

/// The platform that the bytes of an image config name.
fn platform_in(config: &[u8]) -> Result<Option<Platform>> {
    Config::from_slice(config)
        .map(|config| config.platform())
        .map_err(|error| Error::content(format!("malformed config: {error}")))
}

/// Whether an image without an index is for the platforms that are wanted. The host's is only
/// what is usual: then the user is told.
fn check_platform(
    name: &str,
    config: Option<&(Descriptor, Vec<u8>)>,
    platforms: &Platforms,
) -> Result<Option<Platform>> {
    let platform = match config {
        Some((config, bytes)) => {
            platform_in(bytes).context(|| format!("reading config {}", config.digest))
        }
        None => Ok(None),
    };
    let Platforms::Only(wanted) = platforms else {
        let host = Platform::host();
        match platform {
            Ok(Some(platform)) if host.distance(&platform).is_none() => {
                log::warn!("{name} is for {platform}, this machine is {host}");
            }
            // It has come as it is, and what it is for is nobody's business.
            Err(error) => log::debug!("{error}"),
            Ok(_) => {}
        }
        return Ok(None);
    };
    let platform = platform?;
    let fits = |wanted: &&Platform| {
        platform.as_ref().is_some_and(|platform| wanted.distance(platform).is_some())
    };
    match wanted.iter().find(|wanted| !fits(wanted)) {
        Some(wanted) => Err(none_for(wanted, platform.iter())),
        None => Ok(platform),
    }
}
