use std::collections::HashSet;
use std::path::Path;

use argh::{ArgsInfo, FromArgs};
use windlass::archive::{Archive, Listed, Name};
use windlass::endpoint::{Intake, Sink};
use windlass::error::{ErrorKind, Result};
use windlass::reference::Reference;
use windlass::store::Store;
use windlass::transfer::{Plan, Platforms, Retry, Together, Transfer};

use crate::cli::failure::Failure;
use crate::cli::lists::DigestFile;
use crate::cli::options::Group;
use crate::cli::{Command, Context, answer, archive, progress, stored};

/// Take the images of an archive into the store: what docker, podman, skopeo, crane, regctl, ctr or
/// windlass have saved, or a folder with an image layout. What is there already is not written
/// again. Without --platform all is taken that there is of an image.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "import", help_triggers("-h", "--help"))]
#[argh(example = "windlass import images.tar")]
#[argh(example = "windlass import --name tools/kit:2 kit.tar")]
#[argh(example = "ssh host docker save alpine:3.20 | windlass import -")]
pub(crate) struct Import {
    /// how to call an image that has no name in the archive, or only a tag; the others keep theirs
    #[argh(option, arg_name = "NAME")]
    name: Option<String>,

    /// only say what would be taken
    #[argh(switch)]
    dry_run: bool,

    /// write the digest of each image to FILE, one a line
    #[argh(option, arg_name = "FILE")]
    digestfile: Option<String>,

    /// the archive, compressed by gzip or zstd or not at all; - is stdin
    #[argh(positional, arg_name = "FILE")]
    file: String,
}

impl Command for Import {
    const GROUPS: &'static [Group] = &[Group::Platforms, Group::Transfer, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let file = if self.file == "-" { "stdin".to_owned() } else { format!("`{}`", self.file) };
        self.import(context).map_err(|failure| failure.context(format!("importing {file}")))
    }
}

impl Import {
    fn import(&self, context: &Context) -> Result<(), Failure> {
        let store = stored::open(context)?;
        if !self.dry_run {
            store.writable()?;
        }
        let digest_file = match &self.digestfile {
            Some(path) if !self.dry_run => Some(DigestFile::create(Path::new(path))?),
            _ => None,
        };
        let wanted = self.name.as_deref().map(Wanted::parse).transpose()?;
        let archive = self.open(context, &store)?;
        let images = called(archive.images(), wanted.as_ref())?;
        let plans = if self.dry_run {
            Importing { context, archive: &archive, sink: &store }.plan_all(&images)?
        } else {
            let together = Together::new(&store)?;
            let importing = Importing { context, archive: &archive, sink: &together };
            let plans = importing.bring_all(&images)?;
            together.finish()?;
            plans
        };
        for ((reference, _), plan) in images.iter().zip(&plans) {
            self.answer(context, &store, reference, plan)?;
        }
        let digests: Vec<_> = plans.iter().map(|plan| plan.target().digest).collect();
        Ok(digest_file.map_or(Ok(()), |file| file.commit(&digests))?)
    }

    fn open<'a>(&self, context: &Context, store: &'a Store) -> Result<Archive<'a>, Failure> {
        let into = (!self.dry_run).then_some(store as &dyn Intake);
        archive::open(context, Path::new(&self.file), into)
    }

    fn answer(
        &self,
        context: &Context,
        store: &Store,
        reference: &Reference,
        plan: &Plan,
    ) -> Result<(), Failure> {
        let output = &context.output;
        if !output.is_json() {
            return Ok(output.answer(&reference.at(plan.target().digest))?);
        }
        let planned = || answer::Image::planned(reference.name(), plan);
        if self.dry_run {
            let digest = plan.target().digest;
            return Ok(output.answer_json(&answer::Image { digest, ..planned() })?);
        }
        // Who else removed or renamed it meanwhile does not make it untrue that it was imported.
        let entry = store.find(&reference.to_string());
        let image = entry.and_then(|entry| answer::Image::stored(store, &entry));
        let image = image.unwrap_or_else(|_| planned());
        let digest = plan.target().digest;
        Ok(output.answer_json(&answer::Image { digest, ..image })?)
    }
}

/// The way of images from an archive into a store.
struct Importing<'a> {
    context: &'a Context,
    archive: &'a Archive<'a>,
    sink: &'a dyn Sink,
}

impl Importing<'_> {
    /// Says what would be moved of each.
    fn plan_all(&self, images: &[(Reference, &Listed)]) -> Result<Vec<Plan>, Failure> {
        let plan = |(reference, image): &(Reference, &Listed)| {
            let plan = self.bring(reference, image, false)?;
            let missing = plan.missing(self.sink)?;
            progress::would_move(&self.context.output, &reference.name(), "import", &missing);
            Ok(plan)
        };
        images.iter().map(plan).collect()
    }

    /// Brings all of them, without their names.
    fn bring_all(&self, images: &[(Reference, &Listed)]) -> Result<Vec<Plan>, Failure> {
        images.iter().map(|(reference, image)| self.bring(reference, image, true)).collect()
    }

    fn bring(&self, reference: &Reference, image: &Listed, moves: bool) -> Result<Plan, Failure> {
        let settings = &self.context.settings;
        let observer = progress::observer(&self.context.output);
        let transfer = Transfer {
            source: &self.archive.source(image),
            sink: self.sink,
            jobs: settings.jobs()?,
            // A file does not get better by itself.
            retry: Retry { attempts: 1, ..Retry::default() },
            stall_timeout: settings.stall_timeout,
            observer: &*observer,
            interrupt: &self.context.interrupt,
        };
        let platforms = match settings.platforms() {
            Platforms::Host => Platforms::All,
            platforms => platforms,
        };
        let planned = transfer.plan(reference, &platforms).and_then(|plan| match moves {
            true => transfer.run(reference, &plan).map(|()| plan),
            false => Ok(plan),
        });
        planned.map_err(|error| {
            let member = match error.kind() {
                ErrorKind::Digest { expected, .. } => self.archive.member(*expected),
                _ => None,
            };
            match member {
                Some(member) => error.context(format!("reading member `{member}`")).into(),
                None => error.into(),
            }
        })
    }
}

/// What `--name` says.
struct Wanted {
    reference: Reference,
    has_tag: bool,
}

impl Wanted {
    fn parse(text: &str) -> Result<Wanted, Failure> {
        let reference: Reference =
            text.parse().map_err(|error| Failure::usage(format!("--name: {error}")))?;
        if let Some(digest) = reference.digest() {
            let message = format!("--name: expected a name without a digest, got {digest}");
            return Err(Failure::usage(message));
        }
        let last = text.rsplit('/').next().unwrap_or(text);
        Ok(Wanted { reference, has_tag: last.contains(':') })
    }

    /// The name for an image that has only that tag, or none.
    fn with_tag(&self, tag: Option<&str>) -> Result<Reference, Failure> {
        match tag {
            Some(tag) if !self.has_tag => {
                let text = format!("{}:{tag}", self.reference.repository());
                text.parse().map_err(|error| Failure::usage(format!("--name: {error}")))
            }
            _ => Ok(self.reference.clone()),
        }
    }
}

/// How each image is to be called: as the archive says, else as `wanted`.
fn called<'a>(
    images: &'a [Listed],
    wanted: Option<&Wanted>,
) -> Result<Vec<(Reference, &'a Listed)>, Failure> {
    let mut called: Vec<(Reference, &Listed)> = Vec::new();
    let mut names = HashSet::new();
    for image in images {
        let reference = match (&image.name, wanted) {
            (Name::Full(full), _) => full.clone(),
            (Name::Tag(tag), Some(wanted)) => wanted.with_tag(Some(tag))?,
            (Name::None, Some(wanted)) => wanted.with_tag(None)?,
            (Name::Tag(_) | Name::None, None) => {
                let message =
                    format!("{} has no full name; there are {}", image.name, list(images));
                return Err(Failure::usage(message).help("say how to call it with --name NAME"));
            }
        };
        let name = reference.name();
        if names.contains(&name) {
            let message =
                format!("several images would be called {name}; there are {}", list(images));
            return Err(Failure::usage(message));
        }
        names.insert(name);
        called.push((reference, image));
    }
    let has_full_name = |image: &Listed| matches!(image.name, Name::Full(_));
    if wanted.is_some() && images.iter().all(has_full_name) {
        log::warn!("--name names nothing: every image has a name; there are {}", list(images));
    }
    Ok(called)
}

/// What is in an archive, as far as it can be shown.
fn list(images: &[Listed]) -> String {
    const SHOWN: usize = 20;
    let mut shown: Vec<String> = images
        .iter()
        .take(SHOWN)
        .map(|image| format!("{} ({})", image.name, image.target.digest))
        .collect();
    if images.len() > SHOWN {
        shown.push(format!("{} more", images.len() - SHOWN));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use windlass::image::{Descriptor, Digest, MediaType};

    use super::*;

    fn image(name: Name) -> Listed {
        let kind = MediaType::new(MediaType::OCI_MANIFEST);
        let digest = Digest::of(format!("{name:?}").as_bytes());
        Listed { name, target: Descriptor::new(kind, digest, 2) }
    }

    fn tag(tag: &str) -> Name {
        Name::Tag(tag.to_owned())
    }

    fn full(name: &str) -> Name {
        Name::Full(name.parse().unwrap())
    }

    #[track_caller]
    fn check(names: &[Name], wanted: Option<&str>, expected: &[&str]) {
        let images: Vec<Listed> = names.iter().cloned().map(image).collect();
        let wanted = wanted.map(|text| Wanted::parse(text).unwrap());
        let called = called(&images, wanted.as_ref()).unwrap();
        let names: Vec<String> = called.iter().map(|(reference, _)| reference.name()).collect();
        assert_eq!(names, expected);
    }

    #[track_caller]
    fn refuse(names: &[Name], wanted: Option<&str>, part: &str) {
        let images: Vec<Listed> = names.iter().cloned().map(image).collect();
        let wanted = wanted.map(|text| Wanted::parse(text).unwrap());
        let failure = called(&images, wanted.as_ref()).unwrap_err();
        assert!(matches!(failure.error().kind(), ErrorKind::Usage(_)));
        assert!(failure.message().contains(part), "{}", failure.message());
    }

    #[test]
    fn images_keep_their_names_and_others_get_the_one_that_is_given() {
        check(
            &[full("a:1"), full("b")],
            None,
            &["docker.io/library/a:1", "docker.io/library/b:latest"],
        );
        check(&[tag("3")], Some("h.io/x"), &["h.io/x:3"]);
        check(&[tag("3")], Some("h.io/x:4"), &["h.io/x:4"]);
        check(&[Name::None], Some("h.io/x"), &["h.io/x:latest"]);
        check(
            &[full("a:1"), Name::None],
            Some("b"),
            &["docker.io/library/a:1", "docker.io/library/b:latest"],
        );
        check(&[tag("3"), tag("4")], Some("h.io/x"), &["h.io/x:3", "h.io/x:4"]);
        check(&[full("a")], Some("x"), &["docker.io/library/a:latest"]);
        check(&[tag("3")], Some("localhost:5000/x"), &["localhost:5000/x:3"]);
    }

    #[test]
    fn what_cannot_be_named_says_what_there_is() {
        refuse(&[tag("3")], None, "the tag 3 has no full name");
        refuse(&[full("a"), Name::None], None, "docker.io/library/a:latest (sha256:");
        refuse(&[tag("3"), tag("4")], Some("x:1"), "several images");
        refuse(&[full("x:1"), Name::None], Some("x:1"), "several images");
    }
}
