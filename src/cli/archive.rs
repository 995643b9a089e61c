//! Archives: opened to be read, and written with images from any places.

use std::fs::{self, File};
use std::io::{self, BufWriter, IntoInnerError, IsTerminal, Write};
use std::path::{Path, PathBuf};

use windlass::archive::{Archive, Contents, FileWriter, Found, Image, Leftover, NewFile};
use windlass::endpoint::{Intake, Source};
use windlass::error::{Context as _, Error};
use windlass::image::Platform;
use windlass::reference::Reference;
use windlass::stream::compression::{Compress, Compression};
use windlass::transfer::{Plan, Transfer};

use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::progress::read::Reading;
use crate::cli::progress::story::Story;
use crate::cli::{Context, stored};

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
    /// What is meant by `path`, which may be `-`.
    pub(crate) fn of(path: &Path) -> Target {
        let is_pipe = || fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir());
        match path.to_str() {
            Some("-" | "/dev/stdout") => Target::Stdout,
            _ if is_pipe() => Target::Pipe(path.into()),
            _ => Target::File(path.into()),
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

/// Opens the archive at `path`, or on stdin if that is `-`. What cannot be read where it lies goes
/// into `store`.
pub(crate) fn open<'a>(
    context: &Context,
    path: &Path,
    store: Option<&'a dyn Intake>,
) -> Result<Archive<'a>, Failure> {
    let reading = Reading::new(&context.output);
    let watch = |more| {
        reading.reached(more);
        context.interrupt.check()
    };
    let stream = if path == Path::new("-") {
        check_stdin()?;
        None
    } else {
        match Archive::open(path, &watch)? {
            Found::Archive(archive) => return Ok(*archive),
            Found::Stream(file) => Some(file),
        }
    };
    let Some(store) = store else {
        let message = "expected a file that is not compressed, or a folder: all else is read only \
                       once";
        return Err(Failure::usage(message)
            .help("`windlass import` without --dry-run takes it into the store"));
    };
    Ok(match stream {
        Some(file) => Archive::take_in(file, store, &watch)?,
        None => Archive::take_in(io::stdin().lock(), store, &watch)?,
    })
}

/// Fails if nobody could write an archive to stdin.
pub(crate) fn check_stdin() -> Result<(), Failure> {
    match io::stdin().is_terminal() {
        true => Err(Failure::usage("expected an archive on stdin, got a terminal")),
        false => Ok(()),
    }
}

/// An image that is to be in an archive.
pub(crate) struct Planned<'a> {
    name: Reference,
    source: &'a dyn Source,
    plan: Plan,
}

impl Planned<'_> {
    fn image(&self) -> Image<'_> {
        let Planned { name, plan, .. } = self;
        let (target, manifests, blobs) = (plan.target(), plan.manifests(), plan.blobs());
        Image { name, target, manifests, blobs }
    }
}

/// Images, and what an archive of them will hold.
pub(crate) struct Archiving<'a> {
    ends: &'a Ends<'a>,
    images: Vec<Planned<'a>>,
}

impl<'a> Archiving<'a> {
    /// None yet.
    pub(crate) fn new(ends: &'a Ends<'a>) -> Archiving<'a> {
        Archiving { ends, images: Vec::new() }
    }

    /// Takes one more, of which `source` has what `plan` lists; one of that very name and content
    /// is there once.
    pub(crate) fn add(&mut self, name: &Reference, source: &'a dyn Source, plan: Plan) {
        let is_same =
            |it: &Planned<'_>| it.name.name() == name.name() && it.plan.target() == plan.target();
        if !self.images.iter().any(is_same) {
            self.images.push(Planned { name: name.clone(), source, plan });
        }
    }

    /// What the archive will hold.
    pub(crate) fn contents(&self) -> Result<Contents, Error> {
        let images: Vec<Image<'_>> = self.images.iter().map(Planned::image).collect();
        let preferred = match self.ends.context.settings.only.as_slice() {
            [] => vec![Platform::host()],
            only => only.to_vec(),
        };
        Contents::of(&images, &preferred)
    }

    /// Writes it to `target`, compressed that way. When that fails, a file has not changed, and
    /// what went into a pipe has no end.
    pub(crate) fn write(
        &mut self,
        target: &Target,
        compression: Compression,
    ) -> Result<(), Failure> {
        let contents = self.contents()?;
        let durability = stored::durability(&self.ends.context.settings);
        // As they lie in the archive.
        self.images.sort_by_cached_key(|image| image.image().full_name());
        match target {
            Target::Stdout => {
                let pipe = self.ends.context.output.pipe()?;
                self.stream(&contents, pipe, target, compression).map(drop)
            }
            Target::Pipe(path) => {
                let opened = File::options().write(true).open(path);
                let pipe = opened.context(|| format!("opening {}", target.shown()))?;
                self.stream(&contents, pipe, target, compression).map(drop)
            }
            Target::File(path) if compression != Compression::None => {
                // How large it will be nobody knows.
                let file = NewFile::create(path, 0)?;
                self.watch(file.leftover());
                let file = self.stream(&contents, file, target, compression)?;
                Ok(file.commit(durability)?)
            }
            Target::File(path) => {
                let file = FileWriter::create(path, contents)?;
                self.watch(file.leftover());
                for image in &self.images {
                    self.ends.transfer(image.source, &file).run(&image.name, &image.plan)?;
                }
                Ok(file.commit(durability)?)
            }
        }
    }

    /// The whole archive in order, to `out`, which is given back.
    fn stream<W: Write>(
        &self,
        contents: &Contents,
        out: W,
        target: &Target,
        compression: Compression,
    ) -> Result<W, Failure> {
        let place = target.shown();
        let images = self.images.iter().map(|it| (it.name.name(), &it.plan)).collect();
        let mut story = Story::new(self.ends.observer(), images);
        let mut out = Compress::new(BufWriter::with_capacity(BUFFER, out), compression)?;
        contents.write(&mut out, &place, |blob, out| {
            let observer = story.about(blob);
            let source = self.images[story.owner(blob)].source;
            let transfer = Transfer { observer, ..self.ends.transfer(source, &()) };
            transfer.send(story.image(blob), blob, out)?;
            story.sent(blob);
            Ok(())
        })?;
        let ended = out.finish().and_then(|out| {
            let flushed = out.into_inner();
            Ok(flushed.map_err(IntoInnerError::into_error)?)
        });
        let out = ended.context(|| format!("writing {place}"))?;
        story.end();
        Ok(out)
    }

    /// Lets a signal remove what is unfinished.
    fn watch(&self, leftover: Leftover) {
        self.ends.context.signals.on_stop(move || leftover.remove());
    }
}
