use std::path::PathBuf;

use argh::{ArgsInfo, FromArgs};
use windlass::endpoint::{Durability, Source};
use windlass::error::Error;
use windlass::reference::Reference;
use windlass::store::{Entry, Store};
use windlass::transfer::Platforms;

use crate::cli::answer::Image;
use crate::cli::archive::{Archiving, Planned, Target};
use crate::cli::failure::Failure;
use crate::cli::lists::DigestFile;
use crate::cli::options::Group;
use crate::cli::values::ImageName;
use crate::cli::{Command, Context, progress, pull, stored};

/// Write images from the store into one tar file, which docker, podman, containerd, skopeo, regctl
/// and crane load as it is. No digest changes; the same images give the same bytes. Without
/// --platform all is written that is stored of an image.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "export", help_triggers("-h", "--help"))]
#[argh(example = "windlass export -o images.tar alpine:3.20 quay.io/team/tool")]
#[argh(
    example = "windlass export --platform linux/arm64 -o - docker://alpine | ssh host docker load"
)]
pub(crate) struct Export {
    /// write FILE; - is stdout
    #[argh(option, short = 'o', arg_name = "FILE")]
    output: Option<String>,

    /// export all that is in the store
    #[argh(switch)]
    all: bool,

    /// only say what would be written
    #[argh(switch)]
    dry_run: bool,

    /// write the digest of each image to FILE, one a line
    #[argh(option, arg_name = "FILE")]
    digestfile: Option<PathBuf>,

    /// names or digests of images in the store; docker://NAME is pulled into it first
    #[argh(positional, arg_name = "IMAGE")]
    images: Vec<String>,
}

impl Command for Export {
    const GROUPS: &'static [Group] =
        &[Group::Platforms, Group::Transfer, Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let target = self.target(context)?;
        let digest_file = match &self.digestfile {
            Some(path) if !self.dry_run => Some(DigestFile::create(path)?),
            _ => None,
        };
        // Nothing is written to the store that would have to be synced.
        let store = Store::open(&context.settings.store()?, Durability::Synced)?;
        let platforms = match context.settings.only.as_slice() {
            [] => Platforms::All,
            only => Platforms::Only(only.to_vec()),
        };
        let mut archiving = Archiving::from(context, &store)?;
        let mut answers = Vec::new();
        let mut digests = Vec::new();
        for (entry, name) in self.entries(context, &store)? {
            let step = || format!("exporting {name}");
            let planned = archiving.add(&name, &platforms, Some(&entry.descriptor));
            let planned = planned.map_err(|failure| failure.context(step()))?;
            digests.push(planned.target.digest);
            answers.push(Answer::of(&store, &entry, planned));
        }
        let contents = archiving.contents()?;
        if self.dry_run {
            let (count, size) = (contents.count(), contents.size());
            progress::would_write(&context.output, &target.shown(), count, size);
        } else {
            let _held = store.hold(&archiving.digests())?;
            archiving.write(&target).map_err(|failure| failure.context("exporting"))?;
        }
        answers.iter().try_for_each(|answer| answer.give(context, &target))?;
        Ok(digest_file.map_or(Ok(()), |file| file.commit(&digests))?)
    }
}

impl Export {
    fn target(&self, context: &Context) -> Result<Target, Failure> {
        let target = match &self.output {
            None => return Err(Failure::usage("expected -o FILE, got none").help(OUTPUT)),
            Some(text) if text.is_empty() => {
                return Err(Failure::usage("-o: expected a file, got nothing"));
            }
            Some(text) => Target::parse(text),
        };
        if target == Target::Stdout && !self.dry_run {
            context.output.pipe()?;
        }
        Ok(target)
    }

    /// What is to be exported, by its full name.
    fn entries(
        &self,
        context: &Context,
        store: &Store,
    ) -> Result<Vec<(Entry, Reference)>, Failure> {
        match (self.all, self.images.is_empty()) {
            (true, false) => Err(Failure::usage("--all and IMAGE exclude each other")),
            (false, true) => Err(Failure::usage("expected an image, got none")
                .help("`windlass list` lists what is in the store; --all exports all of it")),
            (true, true) => {
                let entries = store.entries()?;
                if entries.is_empty() {
                    return Err(Error::not_found("there is nothing in the store").into());
                }
                entries.into_iter().map(named).collect()
            }
            (false, false) => {
                self.images.iter().map(|text| named(find(context, store, text)?)).collect()
            }
        }
    }
}

const OUTPUT: &str = "-o FILE writes an archive, -o - writes it to stdout";

fn find(context: &Context, store: &Store, text: &str) -> Result<Entry, Failure> {
    match text.strip_prefix("docker://") {
        Some(name) => {
            let image = name.parse::<ImageName>();
            let image = image.map_err(|error| Failure::usage(error.to_string()))?.0;
            pull::into_store(context, store, &image)
        }
        None => {
            let name = text.strip_prefix("store:").unwrap_or(text);
            store.find(name).map_err(|error| {
                let failure = stored::advise(store, name, error);
                failure.context("exporting")
            })
        }
    }
}

/// The entry with its full name; what has none, another tool has put there.
fn named(entry: Entry) -> Result<(Entry, Reference), Failure> {
    match entry.name.parse::<Reference>() {
        Ok(name) if name.name() == entry.name => Ok((entry, name)),
        _ => {
            let digest = entry.descriptor.digest;
            let shown = if entry.name.is_empty() { "it has none" } else { &entry.name };
            let message = format!("expected a full name for {digest}, got `{shown}`");
            Err(Failure::usage(message).help("`windlass tag` gives it a name"))
        }
    }
}

/// What is said of an image.
struct Answer {
    line: String,
    image: Image,
}

impl Answer {
    fn of(store: &Store, entry: &Entry, planned: &Planned) -> Answer {
        let Planned { name, plan, target } = planned;
        let whole = || Image::stored(store, entry).ok();
        let image = (target.digest == entry.descriptor.digest).then(whole).flatten();
        let image = image.unwrap_or_else(|| Image::planned(name.name(), plan));
        let (digest, stored) = (target.digest, target.digest);
        Answer { line: name.at(digest), image: Image { digest, stored, ..image } }
    }

    fn give(&self, context: &Context, target: &Target) -> Result<(), Error> {
        let output = &context.output;
        match (target, output.is_json()) {
            (Target::Stdout, true) => output.answer_json_aside(&self.image),
            (Target::Stdout, false) => output.answer_aside(&self.line),
            (_, true) => output.answer_json(&self.image)?,
            (_, false) => output.answer(&self.line)?,
        }
        Ok(())
    }
}
