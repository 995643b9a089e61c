//! Images from any place into one archive.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use windlass::archive::{Contents, FileWriter, Image, Leftover};
use windlass::endpoint::{Durability, Source};
use windlass::error::{Context as _, Error};
use windlass::image::{Descriptor, Digest, Platform};
use windlass::reference::Reference;
use windlass::transfer::{Observer, Plan, Platforms, Transfer};

use crate::cli::failure::Failure;
use crate::cli::progress::story::Story;
use crate::cli::{Context, progress};

/// How many bytes are written to a pipe at a time.
const BUFFER: usize = 64 * 1024;

/// Where an archive goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Stdout.
    Stdout,
    /// What is there and can only be written into: a fifo, a device, another program's pipe.
    Pipe(PathBuf),
    /// A file that is there when it is complete.
    File(PathBuf),
}

impl Target {
    /// What is meant by `text`, a path or `-`.
    pub(crate) fn parse(text: &str) -> Target {
        let is_pipe = || fs::metadata(text).is_ok_and(|it| !it.is_file() && !it.is_dir());
        match text {
            "-" | "/dev/stdout" => Target::Stdout,
            _ if is_pipe() => Target::Pipe(text.into()),
            _ => Target::File(text.into()),
        }
    }

    /// As messages name it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Target::Stdout => "stdout".into(),
            Target::Pipe(path) | Target::File(path) => format!("`{}`", path.display()),
        }
    }
}

/// An image that is to be in an archive.
pub(crate) struct Planned {
    pub(crate) name: Reference,
    pub(crate) plan: Plan,
    /// What the name will lead to.
    pub(crate) target: Descriptor,
}

impl Planned {
    fn image(&self) -> Image<'_> {
        let Planned { name, plan, target } = self;
        Image { name, target, manifests: plan.manifests(), blobs: plan.blobs() }
    }
}

/// Images of one source, and what an archive of them will hold.
pub(crate) struct Archiving<'a> {
    context: &'a Context,
    source: &'a dyn Source,
    observer: Box<dyn Observer>,
    jobs: usize,
    images: Vec<Planned>,
}

impl<'a> Archiving<'a> {
    /// None yet.
    pub(crate) fn from(
        context: &'a Context,
        source: &'a dyn Source,
    ) -> Result<Archiving<'a>, Failure> {
        let observer = progress::observer(&context.output);
        let jobs = context.settings.jobs()?;
        Ok(Archiving { context, source, observer, jobs, images: Vec::new() })
    }

    /// Plans one more; one of that very name and content is there once. What it is known to be
    /// for, `known` says.
    pub(crate) fn add(
        &mut self,
        name: &Reference,
        platforms: &Platforms,
        known: Option<&Descriptor>,
    ) -> Result<&Planned, Failure> {
        let plan = self.transfer(&*self.observer).plan(name, platforms)?;
        let mut target = plan.target().clone();
        if let Some(known) = known.filter(|known| known.digest == target.digest) {
            target.platform = target.platform.or_else(|| known.platform.clone());
        }
        let is_same = |it: &Planned| it.name.name() == name.name() && it.target == target;
        let place = self.images.iter().position(is_same).unwrap_or(self.images.len());
        if place == self.images.len() {
            self.images.push(Planned { name: name.clone(), plan, target });
        }
        Ok(&self.images[place])
    }

    /// All blobs and manifests.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        let of = |it: &'_ Planned| -> Vec<Digest> {
            let manifests = it.plan.manifests().iter().map(|manifest| manifest.digest());
            it.plan.blobs().iter().map(|blob| blob.digest).chain(manifests).collect()
        };
        self.images.iter().flat_map(of).collect()
    }

    /// What the archive will hold.
    pub(crate) fn contents(&self) -> Result<Contents, Error> {
        let images: Vec<Image<'_>> = self.images.iter().map(Planned::image).collect();
        let preferred = match self.context.settings.only.as_slice() {
            [] => vec![Platform::host()],
            only => only.to_vec(),
        };
        Contents::of(&images, &preferred)
    }

    /// Writes it to `target`. When that fails, a file has not changed, and what went into a pipe
    /// has no end.
    pub(crate) fn write(&mut self, target: &Target) -> Result<(), Failure> {
        let contents = self.contents()?;
        // As they lie in the archive.
        self.images.sort_by_cached_key(|image| image.name.name());
        match target {
            Target::Stdout => self.stream(&contents, self.context.output.pipe()?, target),
            Target::Pipe(path) => {
                let opened = File::options().write(true).open(path);
                let pipe = opened.context(|| format!("opening {}", target.shown()))?;
                self.stream(&contents, pipe, target)
            }
            Target::File(path) => {
                let file = FileWriter::create(path, contents)?;
                self.watch(file.leftover());
                for image in &self.images {
                    let transfer = self.transfer(&*self.observer);
                    Transfer { sink: &file, ..transfer }.run(&image.name, &image.plan)?;
                }
                Ok(file.commit(self.durability())?)
            }
        }
    }

    fn stream(&self, contents: &Contents, out: File, target: &Target) -> Result<(), Failure> {
        let mut out = BufWriter::with_capacity(BUFFER, out);
        self.write_all(contents, &mut out, &target.shown())?;
        Ok(())
    }

    /// The whole archive, in order.
    fn write_all(
        &self,
        contents: &Contents,
        out: &mut dyn Write,
        place: &str,
    ) -> Result<(), Failure> {
        let images = self.images.iter().map(|it| (it.name.name(), &it.plan)).collect();
        let mut story = Story::new(&*self.observer, images);
        contents.write(out, place, |blob, out| {
            let observer = story.about(blob);
            self.transfer(observer).send(story.image(blob), blob, out)?;
            story.sent(blob);
            Ok(())
        })?;
        story.end();
        Ok(())
    }

    /// Lets a signal remove what is unfinished.
    fn watch(&self, leftover: Leftover) {
        self.context.signals.on_stop(move || leftover.remove());
    }

    fn durability(&self) -> Durability {
        match self.context.settings.no_sync {
            true => Durability::Unsynced,
            false => Durability::Synced,
        }
    }

    fn transfer<'b>(&'b self, observer: &'b dyn Observer) -> Transfer<'b> {
        let settings = &self.context.settings;
        Transfer {
            source: self.source,
            sink: &(),
            jobs: self.jobs,
            retry: settings.retry(),
            stall_timeout: settings.stall_timeout,
            observer,
            interrupt: &self.context.interrupt,
        }
    }
}
