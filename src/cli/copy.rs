use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};
use windlass::image::Digest;
use windlass::transfer::{Plan, Platforms};

use crate::cli::answer::Image;
use crate::cli::ends::{Ends, Found, Goal, Start};
use crate::cli::failure::Failure;
use crate::cli::options::{GROUPS, Group};
use crate::cli::place::{self, Place};
use crate::cli::several::Several;
use crate::cli::{Command, Context, human, lists, progress};

/// Bring images from one place to another, with nothing in between. All platforms of an image are
/// taken, unless --platform says which; all images of a place of which none is named.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "copy", help_triggers("-h", "--help"))]
#[argh(example = "windlass copy quay.io/team/tool:1 oci:folder")]
#[argh(example = "windlass copy oci:folder:latest store:tool:1")]
#[argh(example = "windlass copy --keep-going -f pairs.txt")]
pub(crate) struct Copy {
    /// read more from FILE, one `FROM TO` a line, # begins a comment; - is stdin (may be repeated)
    #[argh(option, short = 'f', arg_name = "FILE")]
    file: Vec<String>,

    /// FROM is a name in a registry (docker://NAME too), store:NAME, or oci:DIR[:NAME] for an OCI
    /// image layout; TO is store:[NAME] or oci:DIR[:NAME], and without NAME it is called what it was
    #[argh(positional, arg_name = "FROM TO")]
    places: Vec<String>,
}

/// From where to where.
struct Pair {
    from: Place,
    to: Place,
}

impl Pair {
    fn new(from: &str, to: &str) -> Result<Pair, String> {
        Ok(Pair { from: Place::parse(from, place::FROM)?, to: Place::parse(to, place::TO)? })
    }
}

/// A line of a list.
impl FromStr for Pair {
    type Err = String;

    fn from_str(line: &str) -> Result<Pair, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [from, to] => Pair::new(from, to),
            words => Err(format!("expected FROM and TO, got {} words", words.len())),
        }
    }
}

impl Command for Copy {
    const GROUPS: &'static [Group] = &GROUPS;

    fn run(self, context: &Context) -> Result<(), Failure> {
        let pairs = self.pairs(context)?;
        let repositories = pairs.iter().filter_map(|pair| match &pair.from {
            Place::Registry(reference) => Some(reference.repository()),
            _ => None,
        });
        let mut copying = Copying {
            ends: Ends::new(context, repositories)?,
            several: Several::new(context)?,
            is_only_pair: pairs.len() == 1,
        };
        let outcome = pairs.iter().try_for_each(|pair| copying.copy(pair));
        copying.several.end(outcome)
    }
}

impl Copy {
    /// All that is to be copied, that of the command line first.
    fn pairs(&self, context: &Context) -> Result<Vec<Pair>, Failure> {
        lists::check_stdin(&self.file, context)?;
        let mut pairs = match self.places.as_slice() {
            [from, to] => vec![Pair::new(from, to).map_err(Failure::usage)?],
            [] if !self.file.is_empty() => Vec::new(),
            [] => return Err(Failure::usage("FROM is missing")),
            [_] => return Err(Failure::usage("TO is missing")),
            [_, _, more, ..] => {
                return Err(Failure::usage(format!("unexpected argument `{more}`")));
            }
        };
        for file in &self.file {
            pairs.extend(lists::read::<Pair>(file)?);
        }
        if pairs.is_empty() {
            return Err(Failure::usage("expected something to copy, got none"));
        }
        Ok(pairs)
    }
}

/// Both ends of one pair, opened, and what goes from one to the other with its name there.
struct Load {
    start: Start,
    goal: Goal,
    images: Vec<(Found, String)>,
}

struct Copying<'a> {
    ends: Ends<'a>,
    several: Several<'a>,
    is_only_pair: bool,
}

impl Copying<'_> {
    /// Copies what is at one place to another.
    fn copy(&mut self, pair: &Pair) -> Result<(), Failure> {
        let copying = |failure: Failure| failure.context(format!("copying {}", pair.from));
        let load = match self.open(pair) {
            Ok(load) => load,
            Err(failure) => return self.several.take(Err(copying(failure)), self.is_only_pair),
        };
        let is_only = self.is_only_pair && load.images.len() == 1;
        for (image, name) in &load.images {
            let outcome = self.move_one(&load, image, name);
            self.several.take(outcome.map_err(copying), is_only)?;
        }
        Ok(())
    }

    /// Opens both ends, and says what moves and how it will be called there.
    fn open(&mut self, pair: &Pair) -> Result<Load, Failure> {
        let start = self.ends.start(&pair.from)?;
        let goal = self.ends.goal(&pair.to)?;
        let found = start.images()?;
        if let (Some(name), true) = (pair.to.name(), found.len() > 1) {
            let count = found.len();
            let message = format!("{count} images cannot all be called `{name}`");
            let advice = format!("name one, or copy all to {}", pair.to.whole());
            return Err(Failure::usage(message).help(advice));
        }
        let mut images: Vec<(Found, String)> = Vec::new();
        for image in found {
            let name = goal.name_for(&image)?;
            if let Some((other, _)) = images.iter().find(|(_, other)| *other == name)
                && !other.is_same(&image)
            {
                return Err(Failure::usage(format!("several images would be called `{name}`")));
            }
            images.push((image, name));
        }
        Ok(Load { start, goal, images })
    }

    /// Copies one image, or only says what would move, and answers.
    fn move_one(&self, load: &Load, image: &Found, name: &str) -> Result<Digest, Failure> {
        let Load { start, goal, .. } = load;
        let context = self.ends.context;
        let settings = &context.settings;
        let platforms = match settings.only.as_slice() {
            [] => Platforms::All,
            only => Platforms::Only(only.to_vec()),
        };
        let transfer = self.ends.transfer(start.source(), goal.sink());
        let plan = image.plan(&transfer, name, &platforms)?;
        if settings.dry_run {
            let missing = plan.missing(goal.sink())?;
            progress::would_move(&context.output, name, "copy", &missing);
        } else {
            transfer.run_as(name, &plan)?;
        }
        answer(context, name, &plan)?;
        Ok(plan.target().digest)
    }
}

fn answer(context: &Context, name: &str, plan: &Plan) -> Result<(), Failure> {
    let digest = plan.target().digest;
    if context.output.is_json() {
        return Ok(context.output.answer_json(&Image::planned(name.to_owned(), plan))?);
    }
    let has_digest = name.rsplit_once('@').is_some_and(|(_, it)| it.parse::<Digest>().is_ok());
    let name = human::line(name);
    let answer = if has_digest { name } else { format!("{name}@{digest}") };
    Ok(context.output.answer(&answer)?)
}
