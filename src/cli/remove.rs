use argh::{ArgsInfo, FromArgs};
use serde_json::json;
use windlass::store::Odd;

use crate::cli::answer::Image;
use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::{Command, Context, human, place, stored};

/// Remove names from the store; a digest alone means all names of it. What they led to stays
/// until `windlass gc` removes it.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "remove", help_triggers("-h", "--help"))]
#[argh(example = "windlass remove alpine:3.20 quay.io/team/tool")]
pub(crate) struct Remove {
    /// names of images in the store, NAME@DIGEST, or digests; '#3' is the third entry of its
    /// index.json, if that has no name or cannot be understood
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
        let names: Vec<&str> = self.names.iter().map(|name| place::in_store(name)).collect();
        let removal = store.remove(&names)?;
        for entry in &removal.removed {
            if context.output.is_json() {
                context.output.answer_json(&Image::bare(entry))?;
            } else {
                context.output.answer(&stored::shown(entry))?;
            }
        }
        for Odd { position, name, digest, .. } in &removal.odd {
            if context.output.is_json() {
                let object = json!({"name": name, "digest": digest, "position": position});
                context.output.answer_json(&object)?;
            } else {
                let words = [format!("#{position}"), name.clone(), digest.clone()];
                let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
                context.output.answer(&human::line(&words.join(" ")))?;
            }
        }
        if removal.missing.is_empty() {
            return Ok(());
        }
        // What is there has gone; of several that are not, each is told.
        let mut names = stored::Names::of(&store);
        let mut missing = removal.missing.into_iter().peekable();
        while let Some((name, error)) = missing.next() {
            let failure = names.advise(&name, error);
            if missing.peek().is_none() {
                return Err(failure);
            }
            context.output.failure(&failure, failure.code());
        }
        Ok(())
    }
}
