use argh::{ArgsInfo, FromArgs};
use windlass::endpoint::Source;

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::ImageName;
use crate::cli::{Command, Context, remote};

/// Print the manifest of an image in a registry, byte for byte. Nothing is stored.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "manifest", help_triggers("-h", "--help"))]
pub(crate) struct Manifest {
    /// image to ask for, such as alpine:3.20
    #[argh(positional, arg_name = "IMAGE")]
    image: ImageName,
}

impl Command for Manifest {
    const GROUPS: &'static [Group] = &[Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let image = self.image.0;
        let remote = remote::repository(context, image.repository())?;
        let manifest = remote::ask(context, &image.name(), || remote.resolve(&image))?;
        Ok(context.output.answer_exactly(manifest.bytes())?)
    }
}
