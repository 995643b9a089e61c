use std::collections::HashMap;

use argh::{ArgsInfo, FromArgs};
use windlass::image::Digest;
use windlass::reference::Reference;
use windlass::store::{Entry, Store};

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::pushing::Pushing;
use crate::cli::relocate::{Line, Prefix};
use crate::cli::several::Several;
use crate::cli::{Command, Context, lists, stored};

/// Send images from the store to a registry. They go with all platforms that are stored, unless
/// --platform names some; what is there already is not sent again, and what was interrupted goes on
/// where it stopped, if the registry has kept it.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "push", help_triggers("-h", "--help"))]
#[argh(example = "windlass push registry.example/team/tool:1")]
#[argh(example = "windlass push alpine:3.20 registry.example/mirror/alpine:3.20")]
#[argh(example = "windlass push --all --to registry.example/mirror")]
pub(crate) struct Push {
    /// all images of the store that have a name; with --to
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

    /// the image, a name or digest in the store, and the name that it gets, if that is another
    #[argh(positional, arg_name = "IMAGE [TO]")]
    images: Vec<String>,
}

impl Command for Push {
    const GROUPS: &'static [Group] =
        &[Group::Transfer, Group::Several, Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let lines = self.lines(context)?;
        let store = stored::open(context)?;
        let lines = if self.all { all(&store)? } else { lines };
        let lines = self.named(&store, lines)?;
        let mut pushing = Pushing::new(context, &store, &lines)?;
        let mut several = Several::new(context)?;
        let is_only = lines.len() == 1;
        let outcome = lines.iter().try_for_each(|line| several.take(pushing.push(line), is_only));
        several.end(outcome)
    }
}

impl Push {
    /// What is named, those of the command line first.
    fn lines(&self, context: &Context) -> Result<Vec<Line>, Failure> {
        lists::check_stdin(&self.file, context)?;
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
    fn named(&self, store: &Store, lines: Vec<Line>) -> Result<Vec<Line>, Failure> {
        let Some(prefix) = &self.to else { return Ok(lines) };
        let mut named = Vec::new();
        let mut taken: HashMap<String, (String, Option<Digest>)> = HashMap::new();
        for Line { image, .. } in lines {
            // What is not there is told when its turn comes.
            let entry = store.find(&image).ok();
            let name = entry.as_ref().map_or(image.as_str(), |entry| entry.name.as_str());
            let to = match name.parse::<Reference>() {
                Ok(name) => Some(prefix.relocated(&name, self.keep_host)?),
                Err(_) => None,
            };
            if let Some(to) = &to {
                let digest = entry.map(|entry| entry.descriptor.digest);
                let before = taken.insert(to.name(), (image.clone(), digest));
                if let Some((other, of_other)) = before
                    && of_other != digest
                {
                    let message = format!("{other} and {image} would both become {to}");
                    let advice = "--keep-host keeps apart what is of different hosts";
                    return Err(Failure::usage(message).help(advice));
                }
            }
            named.push(Line { image, to });
        }
        Ok(named)
    }
}

/// All images of the store that have a name.
fn all(store: &Store) -> Result<Vec<Line>, Failure> {
    let (named, others): (Vec<Entry>, Vec<Entry>) =
        store.entries()?.into_iter().partition(|entry| entry.name.parse::<Reference>().is_ok());
    for entry in others {
        let (digest, name) = (entry.descriptor.digest, entry.name);
        log::warn!("not pushing {digest}: its name `{name}` does not say where to");
    }
    Ok(named.into_iter().map(|entry| Line { image: entry.name, to: None }).collect())
}
