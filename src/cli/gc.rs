use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};
use windlass::error::ErrorKind;
use windlass::store::{Amount, Collected, Collection};

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::Age;
use crate::cli::{Command, Context, human, stored};

/// Remove from the store what no name leads to. What other processes are working on is spared, and
/// so are unfinished downloads, unless --partials says otherwise.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "gc", help_triggers("-h", "--help"))]
#[argh(example = "windlass gc --dry-run")]
#[argh(example = "windlass gc --partials 7d")]
pub(crate) struct Gc {
    /// only say what would be removed
    #[argh(switch)]
    dry_run: bool,

    /// remove unfinished downloads too that are so old and that nobody is at: 0, 90s, 12h, 7d
    #[argh(option, arg_name = "AGE")]
    partials: Option<Age>,
}

impl Command for Gc {
    const GROUPS: &'static [Group] = &[Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let partials = self.partials.map(|age| age.0);
        let collection = Collection { dry_run: self.dry_run, partials };
        let collected = stored::open(context)?.collect(&collection);
        let collected = collected.map_err(|error| match error.kind() {
            ErrorKind::Io(_) | ErrorKind::Local(_) => error.into(),
            _ => stored::damaged(context, error),
        })?;
        if context.output.is_json() {
            let mut object = object(&collected);
            object["dry_run"] = self.dry_run.into();
            return Ok(context.output.answer_json(&object)?);
        }
        let verb = if self.dry_run { "would free" } else { "freed" };
        Ok(context.output.answer(&format!("{verb} {}", text(&collected)))?)
    }
}

/// What is collected, or would be, as a program reads it. Stable.
pub(crate) fn object(collected: &Collected) -> Value {
    json!({
        "blobs": amount(collected.blobs),
        "partials": amount(collected.partials),
        "temporary": amount(collected.temporary),
        "size": collected.size(),
    })
}

pub(crate) fn amount(amount: Amount) -> Value {
    json!({"count": amount.count, "size": amount.size})
}

/// The same in one line.
pub(crate) fn text(collected: &Collected) -> String {
    let Collected { blobs, partials, temporary } = collected;
    format!(
        "{}: {} blobs, {} unfinished downloads, {} temporary files",
        human::size(collected.size()),
        blobs.count,
        partials.count,
        temporary.count
    )
}
