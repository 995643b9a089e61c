use std::str::FromStr;

use argh::{ArgsInfo, FromArgs};
use windlass::reference::Repository;
use windlass::stream::compression::Compression;

use crate::cli::carry::{Carried, Carrying, Item};
use crate::cli::ends::Ends;
use crate::cli::failure::Failure;
use crate::cli::goal::{End, Goal};
use crate::cli::options::{GROUPS, Group};
use crate::cli::place::{self, Place};
use crate::cli::several::Several;
use crate::cli::start::Start;
use crate::cli::{Command, Context, lists};

/// Bring images from one place to another, with nothing in between. All platforms of an image are
/// taken, unless --platform says which; all images of a place of which none is named.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "copy", help_triggers("-h", "--help"))]
#[argh(example = "windlass copy quay.io/team/tool:1 oci:folder")]
#[argh(example = "windlass copy oci:folder:latest store:tool:1")]
#[argh(example = "windlass copy quay.io/team/tool:1 archive:tool.tar")]
#[argh(example = "windlass copy --keep-going -f pairs.txt")]
pub(crate) struct Copy {
    /// read more from FILE, one `FROM TO` a line, # begins a comment; - is stdin (may be repeated)
    #[argh(option, short = 'f', arg_name = "FILE")]
    file: Vec<String>,

    /// FROM is a name in a registry (docker://NAME too), store:[NAME], archive:FILE[:NAME], or
    /// oci:DIR[:NAME] for an OCI image layout; TO is one of the last three, and without NAME it is
    /// called what it was
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
        let repository = |pair: &'_ Pair| match &pair.from {
            Place::Registry(reference) => Some(reference.repository().clone()),
            _ => None,
        };
        let repositories: Vec<Repository> = pairs.iter().filter_map(repository).collect();
        if repositories.is_empty() && context.settings.connection.creds_stdin {
            return Err(Failure::usage("--creds-stdin: there is no registry to log in to"));
        }
        let mut copying = Copying {
            ends: Ends::new(context, &repositories)?,
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

struct Copying<'a> {
    ends: Ends<'a>,
    several: Several<'a>,
    is_only_pair: bool,
}

impl Copying<'_> {
    /// Copies what is at one place to another.
    fn copy(&mut self, pair: &Pair) -> Result<(), Failure> {
        let copying = |failure: Failure| failure.context(format!("copying {}", pair.from));
        let dry_run = self.ends.context.settings.dry_run;
        let only = self.is_only_pair;
        let goal = Goal::open(&self.ends, &pair.to, dry_run).map_err(copying);
        let Some(goal) = self.several.pass(goal, only)? else { return Ok(()) };
        let intake = goal.intake().filter(|_| !dry_run);
        let start = Start::open(&mut self.ends, &pair.from, intake).map_err(copying);
        let Some(start) = self.several.pass(start, only)? else { return Ok(()) };
        let images = start.images().and_then(|images| goal.name_all(images)).map_err(copying);
        let Some(images) = self.several.pass(images, only)? else { return Ok(()) };
        let start = &start;
        let item = |(image, name)| Item { start, shown: start.shown(&image), image, name };
        let items: Vec<Item<'_>> = images.into_iter().map(item).collect();
        let carrying =
            Carrying { ends: &self.ends, verb: "copy", dry_run, compression: Compression::None };
        let answer = |carried: &Carried| carried.answer(&self.ends.context.output, &goal);
        match &goal.end {
            End::Store(store) => {
                let is_only = only && items.len() == 1;
                for item in &items {
                    let carried = carrying.bring(item, store);
                    let carried = carried.and_then(|it| answer(&it).map(|()| it.digest));
                    self.several.take(carried, is_only)?;
                }
            }
            End::Archive(target) => {
                let carried = carrying.write(&items, target);
                for one in self.several.pass(carried, only)?.unwrap_or_default() {
                    let answered = answer(&one).map(|()| one.digest);
                    self.several.take(answered, only)?;
                }
            }
        }
        Ok(())
    }
}
