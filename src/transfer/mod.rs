//! One image from a [`Source`] to a [`Sink`]: plan, then act.
//!
//! The plan lists every blob once and every manifest after those it lists. Workers move the
//! blobs, a big one in several ranges; then the manifests follow, and last the name. Retry wraps
//! one whole movement, because connections break in the body.

mod fetch;
mod interrupt;
mod job;
mod moves;
mod parallel;
mod pieces;
mod plan;
mod platforms;
mod progress;
mod retry;

use std::io::Read;
use std::time::Duration;

use moves::Moves;
use plan::Collector;
use platforms::{candidates, choose, none_for};

use crate::endpoint::{Origin, Sink, Source};
use crate::error::{Context, Error, ErrorKind, Remedy, Result};
use crate::image::{
    Config, Descriptor, Document, ImageManifest, MANIFEST_LIMIT, Manifest, Platform,
};
use crate::reference::Reference;
use crate::stream::Verify;

pub use interrupt::Interrupt;
pub use plan::{Missing, Plan};
pub use platforms::Platforms;
pub use progress::{Event, Observer};
pub use retry::Retry;

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
        let root = self.retrying(reference, || self.source.resolve(reference))?;
        let resolved = root.digest();
        let fetch = |descriptor: &Descriptor| self.manifest(reference, descriptor);
        let (root, platform) = match (root.document(), platforms) {
            (_, Platforms::All) => (root, None),
            (Document::Image(image), Platforms::Host) => {
                self.warn_of_another_platform(reference, image)?;
                (root, None)
            }
            (Document::Image(image), Platforms::Only(wanted)) => {
                let platform = self.platform_of(reference, image)?;
                for wanted in wanted {
                    let fits = platform.as_ref().is_some_and(|it| wanted.distance(it).is_some());
                    if !fits {
                        return Err(none_for(wanted, platform.iter()));
                    }
                }
                (root, platform)
            }
            (Document::Index(_), Platforms::Host) => {
                self.narrow(reference, root, &[Platform::host()], &fetch)?
            }
            (Document::Index(_), Platforms::Only(wanted)) => {
                self.narrow(reference, root, wanted, &fetch)?
            }
        };
        let target = Descriptor { platform, ..root.descriptor() };
        let mut collector = Collector::new(&fetch);
        collector.add(root, 1)?;
        Ok(collector.finish(resolved, target))
    }

    /// What is left of `index` when only the `wanted` platforms are kept: the manifest of one, an
    /// index of several.
    fn narrow(
        &self,
        reference: &Reference,
        index: Manifest,
        wanted: &[Platform],
        fetch: &dyn Fn(&Descriptor) -> Result<Manifest>,
    ) -> Result<(Manifest, Option<Platform>)> {
        let platform_of = |manifest: &Manifest| match manifest.document() {
            Document::Image(image) => self.platform_of(reference, image),
            Document::Index(_) => Ok(None),
        };
        let candidates = candidates(&index, fetch, &platform_of)?;
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
        let sink = self.sink;
        let blobs = plan.blobs.iter().map(|blob| blob.digest);
        let manifests = plan.manifests.iter().map(Manifest::digest);
        let _guard = sink.protect(&blobs.chain(manifests).collect::<Vec<_>>())?;
        let missing = plan.missing(sink)?;
        self.observer.event(&Event::Start {
            image: reference,
            blobs: plan.blobs.len() + plan.manifests.len(),
            size: plan.size(),
            present: plan.size().saturating_sub(missing.size),
        });
        if let Some(room) = sink.room()?
            && room < missing.size
        {
            let lacking = missing.size - room;
            let message = format!(
                "expected room for {} bytes, there is room for {room}: {lacking} are lacking",
                missing.size
            );
            return Err(ErrorKind::Local(message).into());
        }
        let mut to_move = Vec::new();
        for blob in &plan.blobs {
            if sink.contains(blob)? {
                self.observer.event(&Event::Blob { image: reference, blob, present: true });
            } else {
                to_move.push(blob);
            }
        }
        if !to_move.is_empty() {
            Moves::new(self, reference, to_move.into_iter()).run()?;
        }
        for manifest in &plan.manifests {
            let descriptor = manifest.descriptor();
            let present = sink.contains(&descriptor)?;
            if !present {
                sink.put_manifest(manifest)?;
            }
            self.observer.event(&Event::Blob { image: reference, blob: &descriptor, present });
        }
        let repository = Some(reference.repository().clone());
        let origin = Origin { resolved: plan.resolved, repository };
        sink.name(reference, &plan.target, &origin)?;
        self.observer.event(&Event::Done { image: reference, digest: plan.resolved });
        Ok(())
    }

    /// Does one request, again where that may help.
    pub fn retrying<T>(&self, image: &Reference, request: impl FnMut() -> Result<T>) -> Result<T> {
        let failed = |error: &Error, attempt, wait| {
            self.observer.event(&Event::Retry { image, blob: None, error, attempt, wait });
        };
        self.retry.run(self.interrupt, failed, request)
    }

    fn manifest(&self, image: &Reference, descriptor: &Descriptor) -> Result<Manifest> {
        self.retrying(image, || self.source.manifest(descriptor))
            .context(|| format!("reading manifest {}", descriptor.digest))
    }

    /// The platform that an image's config names. An artifact has none.
    fn platform_of(&self, name: &Reference, image: &ImageManifest) -> Result<Option<Platform>> {
        let config = &image.config;
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
        let bytes = self.retrying(name, read).context(reading)?;
        let config = Config::from_slice(&bytes)
            .map_err(|error| Error::content(format!("malformed config: {error}")))
            .context(reading)?;
        Ok(config.platform())
    }

    /// An image without an index is taken as it is; the user should know if it does not run here.
    ///
    /// Fails when the config does not come: then the image would not come either.
    fn warn_of_another_platform(&self, name: &Reference, image: &ImageManifest) -> Result<()> {
        // Whoever has the config has been told, or has made it.
        if self.sink.contains(&image.config).unwrap_or(false) {
            return Ok(());
        }
        let host = Platform::host();
        match self.platform_of(name, image) {
            Ok(Some(platform)) if host.distance(&platform).is_none() => {
                log::warn!("{name} is for {platform}, this machine is {host}");
            }
            // It has come, and what it is for is nobody's business.
            Err(error) if matches!(error.kind(), ErrorKind::Content(_)) => log::debug!("{error}"),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Ok(())
    }
}
