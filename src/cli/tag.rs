use argh::{ArgsInfo, FromArgs};

use crate::cli::answer::Image;
use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::ImageName;
use crate::cli::{Command, Context, place, stored};

/// Give an image in the store a second name. The first stays; if the second meant another image,
/// it no longer does.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "tag", help_triggers("-h", "--help"))]
#[argh(example = "windlass tag alpine:3.20 registry.example/base:1")]
pub(crate) struct Tag {
    /// the name or digest of an image in the store
    #[argh(positional, arg_name = "NAME")]
    name: String,

    /// the name that it shall have too
    #[argh(positional, arg_name = "NEW")]
    new: ImageName,
}

impl Command for Tag {
    const GROUPS: &'static [Group] = &[Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let store = stored::open(context)?;
        let name = place::in_store(&self.name);
        let tagged = store.tag(name, &self.new.0);
        let entry = tagged.map_err(|error| stored::advise(&store, name, error))?;
        if context.output.is_json() {
            let image = Image::stored(&store, &entry).unwrap_or_else(|_| Image::bare(&entry));
            return Ok(context.output.answer_json(&image)?);
        }
        Ok(context.output.answer(&stored::shown(&entry))?)
    }
}
