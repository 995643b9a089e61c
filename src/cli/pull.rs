use argh::{ArgsInfo, FromArgs};
use windlass::error::ErrorKind;
use windlass::reference::Reference;
use windlass::store::{Entry, Store};
use windlass::transfer::{Observer, Plan, Transfer};

use crate::cli::answer::Image;
use crate::cli::failure::Failure;
use crate::cli::lists::{self, DigestFile};
use crate::cli::options::{GROUPS, Group};
use crate::cli::remote::Registries;
use crate::cli::values::ImageName;
use crate::cli::{Command, Context, progress, stored};

/// Bring images from a registry into the store. What is there already is not fetched again, and
/// what was interrupted goes on where it stopped.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "pull", help_triggers("-h", "--help"))]
#[argh(example = "windlass pull alpine:3.20")]
#[argh(example = "windlass pull --platform linux/arm64 quay.io/team/tool")]
#[argh(example = "windlass pull --keep-going -f images.txt")]
pub(crate) struct Pull {
    /// read more names from FILE, one a line, # begins a comment; - is stdin (may be repeated)
    #[argh(option, short = 'f', arg_name = "FILE")]
    file: Vec<String>,

    /// images to bring, such as alpine:3.20 or quay.io/team/tool@sha256:...
    #[argh(positional, arg_name = "IMAGE")]
    images: Vec<ImageName>,
}

impl Command for Pull {
    const GROUPS: &'static [Group] = &GROUPS;

    fn run(self, context: &Context) -> Result<(), Failure> {
        let images = self.images(context)?;
        let mut pulling = Pulling::new(context, &images)?;
        let settings = &context.settings;
        let digest_file = match &settings.digestfile {
            Some(path) if !settings.dry_run => Some(DigestFile::create(path)?),
            _ => None,
        };
        let mut digests = Vec::new();
        let mut failed = 0;
        let mut outcome = Ok(());
        for image in &images {
            match pulling.pull(image).and_then(|plan| pulling.answer(image, &plan).map(|()| plan)) {
                Ok(plan) => digests.push(plan.resolved()),
                Err(failure) => {
                    let goes_on = settings.keep_going && images.len() > 1;
                    if !goes_on || context.interrupt.is_interrupted() {
                        outcome = Err(failure);
                        break;
                    }
                    failed += 1;
                    context.output.failure(&failure, failure.code());
                }
            }
        }
        if outcome.is_ok() && failed > 0 {
            outcome = Err(ErrorKind::Several { failed, total: images.len() }.into());
        }
        let written = digest_file.map_or(Ok(()), |file| file.commit(&digests));
        outcome.and(written.map_err(Failure::from))
    }
}

impl Pull {
    /// All that are named, those of the command line first.
    fn images(&self, context: &Context) -> Result<Vec<Reference>, Failure> {
        let from_stdin = self.file.iter().filter(|file| *file == "-").count();
        if from_stdin > 1 || from_stdin > 0 && context.settings.connection.creds_stdin {
            return Err(Failure::usage("expected one use of stdin, got several"));
        }
        let mut images: Vec<Reference> = self.images.iter().map(|name| name.0.clone()).collect();
        for file in &self.file {
            images.extend(lists::read::<ImageName>(file)?.into_iter().map(|name| name.0));
        }
        match images.as_slice() {
            [] => Err(Failure::usage("expected an image, got none")
                .help("name it, such as alpine:3.20, or list several in a file for -f")),
            _ => Ok(images),
        }
    }
}

/// Brings the image that `name` is in a registry into the store, and returns what is there then.
pub(crate) fn into_store(context: &Context, store: &Store, name: &str) -> Result<Entry, Failure> {
    let image = name.parse::<ImageName>().map_err(|error| Failure::usage(error.to_string()))?.0;
    Pulling::new(context, std::slice::from_ref(&image))?.pull(&image)?;
    Ok(store.find(&image.to_string())?)
}

/// What pulls from several registries have in common.
struct Pulling<'a> {
    context: &'a Context,
    registries: Registries<'a>,
    store: Store,
    observer: Box<dyn Observer>,
    jobs: usize,
}

impl<'a> Pulling<'a> {
    fn new(context: &'a Context, images: &[Reference]) -> Result<Pulling<'a>, Failure> {
        let settings = &context.settings;
        let store = stored::open(context)?;
        if !settings.dry_run {
            store.writable()?;
        }
        let jobs = settings.jobs()?;
        let repositories = images.iter().map(Reference::repository);
        let registries = Registries::new(context, repositories, jobs)?;
        let observer = progress::observer(&context.output);
        Ok(Pulling { context, registries, store, observer, jobs })
    }

    /// Brings one image, or only says what would move.
    fn pull(&mut self, image: &Reference) -> Result<Plan, Failure> {
        self.move_it(image).map_err(|failure| failure.context(format!("pulling {image}")))
    }

    fn move_it(&mut self, image: &Reference) -> Result<Plan, Failure> {
        let settings = &self.context.settings;
        let remote = self.registries.repository(image.repository())?;
        let transfer = Transfer {
            source: &remote,
            sink: &self.store,
            jobs: self.jobs,
            retry: settings.retry(),
            stall_timeout: settings.stall_timeout,
            observer: &*self.observer,
            interrupt: &self.context.interrupt,
        };
        let plan = transfer.plan(image, &settings.platforms())?;
        if settings.dry_run {
            let missing = plan.missing(&self.store)?;
            progress::would_move(&self.context.output, image, "pull", &missing);
        } else {
            transfer.run(image, &plan)?;
        }
        Ok(plan)
    }

    fn answer(&self, image: &Reference, plan: &Plan) -> Result<(), Failure> {
        let output = &self.context.output;
        if !output.is_json() {
            return Ok(output.answer(&image.at(plan.resolved()))?);
        }
        let planned = || Image::planned(image.name(), plan);
        if self.context.settings.dry_run {
            return Ok(output.answer_json(&planned())?);
        }
        // Who else removed or renamed it meanwhile does not make it untrue that it was pulled.
        let stored = self.store.find(&image.to_string());
        let stored = stored.and_then(|entry| Image::stored(&self.store, &entry));
        Ok(output.answer_json(&stored.unwrap_or_else(|_| planned()))?)
    }
}
