use argh::{ArgsInfo, FromArgs};

use crate::cli::answer::Image;
use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::{Command, Context, place, stored};

/// Remove names from the store; a digest alone means all names of it. What they led to stays
/// until `windlass gc` removes it.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help"))]
#[argh(example = "windlass remove alpine:3.20 quay.io/team/tool")]
pub(crate) struct Remove {
    /// names of images in the store, NAME@DIGEST, or digests
    #[argh(positional, arg_name = "NAME")]
    names: Vec<String>,
}

impl Command for Remove {
    const GROUPS: &'static [Group] = &[Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        if self.names.is_empty() {
            return Err(Failure::usage("expected a name, got none"));
        }
        let store = stored::open(context)?;
        let plain = |name: &'_ str| place::in_store(name).to_owned();
        let names: Vec<String> = self.names.iter().map(|name| plain(name)).collect();
        let removal = store.remove(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        for entry in &removal.removed {
            if context.output.is_json() {
                context.output.answer_json(&Image::bare(entry))?;
            } else {
                context.output.answer(&stored::shown(entry))?;
            }
        }
        // What is there has gone; of several that are not, each is told.
        let mut missing = removal.missing.into_iter().peekable();
        while let Some((name, error)) = missing.next() {
            let failure = stored::advise(&store, &name, error);
            if missing.peek().is_none() {
                return Err(failure);
            }
            context.output.failure(&failure, failure.code());
        }
        Ok(())
    }
}
