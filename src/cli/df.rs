use argh::{ArgsInfo, FromArgs};
use serde_json::json;
use windlass::store::{Amount, Usage};

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::{Command, Context, gc, human, stored};

/// Show what the store takes on the disk: blobs, what images share of them, unfinished downloads,
/// and what `windlass gc` would free.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "df", help_triggers("-h", "--help"))]
pub(crate) struct Df {}

impl Command for Df {
    const GROUPS: &'static [Group] = &[Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let usage = stored::open(context)?.usage()?;
        if context.output.is_json() {
            context.output.answer_json(&json!({
                "names": usage.names,
                "nameless": usage.nameless,
                "images": usage.images,
                "blobs": gc::amount(usage.blobs),
                "shared": gc::amount(usage.shared),
                "partials": gc::amount(usage.partials),
                "collectable": usage.collectable.as_ref().ok().map(gc::object),
            }))?;
        } else {
            context.output.answer(&text(&usage))?;
        }
        usage.collectable.map(drop).map_err(|error| stored::damaged(context, error))
    }
}

fn text(usage: &Usage) -> String {
    let row = |what: &str, Amount { count, size }| {
        format!("{what:<20} {count:>8}  {:>8}", human::size(size))
    };
    let number = |what: &str, number: usize| format!("{what:<20} {number:>8}");
    let mut lines = vec![
        number("names", usage.names),
        number("images", usage.images),
        row("blobs", usage.blobs),
        row("  shared by images", usage.shared),
        row("unfinished downloads", usage.partials),
    ];
    if usage.nameless > 0 {
        lines.insert(1, number("without a name", usage.nameless));
    }
    lines.push(match &usage.collectable {
        Ok(it) => {
            let count = it.blobs.count + it.partials.count + it.temporary.count;
            row("gc would free", Amount { count, size: it.size() })
        }
        Err(_) => format!("{:<20} {:>8}", "gc would free", "nothing"),
    });
    lines.join("\n")
}
