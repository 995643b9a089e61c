use argh::{ArgsInfo, FromArgs};
use windlass::reference::Reference;
use windlass::store::{Entry, Store};
use windlass::transfer::Plan;

use crate::cli::answer::Image;
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::lists;
use crate::cli::options::{GROUPS, Group};
use crate::cli::several::Several;
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
        let mut several = Several::new(context)?;
        let outcome = images.iter().try_for_each(|image| {
            let pulled = pulling.pull(image);
            let answered = pulled.and_then(|plan| pulling.answer(image, &plan).map(|()| plan));
            several.take(answered.map(|plan| plan.resolved()), images.len() == 1)
        });
        several.end(outcome)
    }
}

impl Pull {
    /// All that are named, those of the command line first.
    fn images(&self, context: &Context) -> Result<Vec<Reference>, Failure> {
        lists::check_stdin(&self.file, context)?;
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

/// Brings `image` from its registry into the store, and returns what is there then.
pub(crate) fn into_store(
    context: &Context,
    store: &Store,
    image: &Reference,
) -> Result<Entry, Failure> {
    Pulling::new(context, std::slice::from_ref(image))?.pull(image)?;
    Ok(store.find(&image.to_string())?)
}

/// What pulls from several registries have in common.
struct Pulling<'a> {
    context: &'a Context,
    ends: Ends<'a>,
    store: Store,
}

impl<'a> Pulling<'a> {
    fn new(context: &'a Context, images: &[Reference]) -> Result<Pulling<'a>, Failure> {
        let store = stored::open(context)?;
        if !context.settings.dry_run {
            store.writable()?;
        }
        let ends = Ends::new(context, images.iter().map(Reference::repository))?;
        Ok(Pulling { context, ends, store })
    }

    /// Brings one image, or only says what would move.
    fn pull(&mut self, image: &Reference) -> Result<Plan, Failure> {
        self.move_it(image).map_err(|failure| failure.context(format!("pulling {image}")))
    }

    fn move_it(&mut self, image: &Reference) -> Result<Plan, Failure> {
        let settings = &self.context.settings;
        let remote = self.ends.remote(image.repository())?;
        let transfer = self.ends.transfer(&remote, &self.store);
        let plan = transfer.plan(image, &settings.platforms())?;
        if settings.dry_run {
            let missing = plan.missing(&self.store)?;
            progress::would_move(&self.context.output, &image.name(), "pull", &missing);
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
