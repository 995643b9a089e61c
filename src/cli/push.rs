use std::collections::HashMap;

use argh::{ArgsInfo, FromArgs};
use windlass::error::ErrorKind;
use windlass::image::Digest;
use windlass::reference::Reference;

use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::options::{GROUPS, Group};
use crate::cli::place::Place;
use crate::cli::pushing::Pushing;
use crate::cli::relocate::{Line, Prefix};
use crate::cli::several::Several;
use crate::cli::start::{Found, Start};
use crate::cli::{Command, Context, lists, stored};

/// Send images from the store to a registry. They go with all platforms that are stored, unless
/// --platform names some; what is there already is not sent again, and what was interrupted goes on
/// where it stopped, if the registry has kept it.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "push", help_triggers("-h", "--help"))]
#[argh(example = "windlass push registry.example/team/tool:1")]
#[argh(example = "windlass push alpine:3.20 registry.example/mirror/alpine:3.20")]
#[argh(example = "windlass push --all --to registry.example/mirror")]
#[argh(example = "windlass push --from images.tar registry.example/team/tool:1")]
pub(crate) struct Push {
    /// send what is in the archive FILE, straight from there; from a pipe (-) through the store
    #[argh(option, arg_name = "FILE")]
    from: Option<String>,

    /// all images that have a name; with --to
    #[argh(switch)]
    all: bool,

    /// put images below HOST or HOST/PREFIX: of docker.io/library/alpine the path is kept
    #[argh(option, arg_name = "HOST/PREFIX")]
    to: Option<Prefix>,

    /// with --to: keep the host too, as a folder, with _ for :
    #[argh(switch)]
    keep_host: bool,

    /// read more images from FILE, `IMAGE [TO]` a line, # begins a comment; - is stdin (may be
    /// repeated)
    #[argh(option, short = 'f', arg_name = "FILE")]
    file: Vec<String>,

    /// the image, a name or digest in the store or the archive, and the name that it gets, if that
    /// is another
    #[argh(positional, arg_name = "IMAGE [TO]")]
    images: Vec<String>,
}

/// An image to be sent.
struct Work {
    /// What was typed.
    text: String,
    found: Result<Found, Failure>,
    /// What it will be called.
    to: Option<Reference>,
}

impl Command for Push {
    const GROUPS: &'static [Group] = &GROUPS;

    fn run(self, context: &Context) -> Result<(), Failure> {
        let lines = self.lines(context)?;
        let store = stored::open(context)?;
        let place = match &self.from {
            Some(file) => Place::Archive(file.into(), None),
            None => Place::Store(None),
        };
        // Where images go is known only when it is known which they are.
        let mut reading = Ends::new(context, [])?;
        let start = Start::open(&mut reading, &place, Some(&store))?;
        let work = self.work(&start, lines)?;
        let targets = work.iter().filter_map(|work| Some(work.to.as_ref()?.repository()));
        let mut ends = Ends::new(context, targets)?;
        let mut pushing = Pushing::new("push", Some(&store));
        let mut several = Several::new(context)?;
        let is_only = work.len() == 1;
        let outcome = work.into_iter().try_for_each(|work| {
            let sent = work.send(&mut ends, &mut pushing, &start);
            several.take(sent, is_only)
        });
        several.end(outcome)
    }
}

impl Push {
    /// What is named, those of the command line first.
    fn lines(&self, context: &Context) -> Result<Vec<Line>, Failure> {
        lists::check_stdin(&self.file, context)?;
        let piped = self.from.as_deref() == Some("-");
        if piped
            && (self.file.iter().any(|it| it == "-") || context.settings.connection.creds_stdin)
        {
            return Err(Failure::usage("expected one use of stdin, got several"));
        }
        let mut lines = match self.images.as_slice() {
            [] => Vec::new(),
            [image] => vec![Line::new(image, None).map_err(Failure::usage)?],
            [image, to] => vec![Line::new(image, Some(to)).map_err(Failure::usage)?],
            _ => {
                let count = self.images.len();
                let message = format!("expected an image and perhaps its new name, got {count}");
                return Err(Failure::usage(message).help("several go in a file for -f"));
            }
        };
        for file in &self.file {
            lines.extend(lists::read::<Line>(file)?);
        }
        match (&self.to, self.all, lines.is_empty()) {
            (None, _, _) if self.keep_host => Err(Failure::usage("--keep-host needs --to")),
            (None, true, _) => Err(Failure::usage("--all needs --to HOST/PREFIX")),
            (_, true, false) => Err(Failure::usage("--all and images exclude each other")),
            (_, false, true) => Err(Failure::usage("expected an image, got none")
                .help("name it, or list several in a file for -f, or say --all --to HOST/PREFIX")),
            (Some(_), _, _) if lines.iter().any(|line| line.to.is_some()) => {
                Err(Failure::usage("--to and a new name exclude each other"))
            }
            _ => Ok(lines),
        }
    }

    /// What is to be sent under which names. Fails before anything is sent if different images
    /// would get the same.
    fn work(&self, start: &Start<'_>, lines: Vec<Line>) -> Result<Vec<Work>, Failure> {
        let mut work = Vec::new();
        if self.all {
            for found in start.images()? {
                let name = found.name.clone().unwrap_or_default();
                match name.parse::<Reference>() {
                    Ok(_) if name.contains('/') => work.push(self.one(name, Ok(found), None)?),
                    _ => log::warn!("not pushing `{name}`, which does not say where to"),
                }
            }
        }
        for line in lines {
            work.push(self.of_line(start, line)?);
        }
        let mut taken: HashMap<&Reference, (&str, Option<Digest>)> = HashMap::new();
        for Work { text, found, to } in &work {
            let Some(to) = to.as_ref().filter(|_| self.to.is_some()) else { continue };
            let digest = found.as_ref().ok().and_then(|it| it.descriptor()).map(|it| it.digest);
            if let Some((other, of_other)) = taken.insert(to, (text, digest))
                && of_other != digest
            {
                let message = format!("{other} and {text} would both become {to}");
                let advice = "--keep-host keeps apart what is of different hosts";
                return Err(Failure::usage(message).help(advice));
            }
        }
        Ok(work)
    }

    fn of_line(&self, start: &Start<'_>, Line { image, to }: Line) -> Result<Work, Failure> {
        let found = start.named(&image);
        let is_absent = |it: &Failure| matches!(it.error().kind(), ErrorKind::NotFound(_));
        let may_be_target = self.from.is_some() && to.is_none() && self.to.is_none();
        // The only image of an archive need not be named: then what is named is where it goes.
        if may_be_target
            && found.as_ref().is_err_and(is_absent)
            && let (Ok(only), Ok(to)) = (start.image(), image.parse::<Reference>())
        {
            return Ok(Work { text: image, found: Ok(only), to: Some(to) });
        }
        self.one(image, found, to)
    }

    fn one(
        &self,
        text: String,
        found: Result<Found, Failure>,
        to: Option<Reference>,
    ) -> Result<Work, Failure> {
        let name = found.as_ref().ok().and_then(|found| found.name.as_deref());
        let name = name.and_then(|name| name.parse::<Reference>().ok());
        let to = match (&self.to, name) {
            (Some(prefix), Some(name)) => Some(prefix.relocated(&name, self.keep_host)?),
            (_, name) => to.or(name),
        };
        Ok(Work { text, found, to })
    }
}

impl Work {
    /// Sends it, and answers. Returns the digest that it has there.
    fn send(
        self,
        ends: &mut Ends<'_>,
        pushing: &mut Pushing<'_>,
        start: &Start<'_>,
    ) -> Result<Digest, Failure> {
        let Work { text, found, to } = self;
        let step = |failure: Failure| failure.context(format!("pushing {text}"));
        let found = found.map_err(step)?;
        let Some(to) = to else {
            let failure = Failure::usage("its name does not say where to");
            return Err(step(failure.help("say it: `windlass push IMAGE HOST/NAME:TAG`")));
        };
        let remote = ends.remote(to.repository())?;
        let carried = pushing.send(ends, &remote, (start, &found), &to)?;
        let output = &ends.context.output;
        match output.is_json() {
            true => output.answer_json(&carried.image)?,
            false => output.answer(&carried.line)?,
        }
        Ok(carried.digest)
    }
}
