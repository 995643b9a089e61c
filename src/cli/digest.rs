use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::ImageName;
use crate::cli::{Command, Context, remote};

/// Print the digest that an image has in its registry. Nothing is stored.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "digest", help_triggers("-h", "--help"))]
pub(crate) struct Digest {
    /// image to ask for, such as alpine:3.20
    #[argh(positional, arg_name = "IMAGE")]
    image: ImageName,
}

impl Command for Digest {
    const GROUPS: &'static [Group] = &[Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let image = self.image.0;
        let remote = remote::repository(context, image.repository())?;
        let found = remote::ask(context, &image.name(), || remote.head(&image))?;
        if context.output.is_json() {
            let object = json!({
                "name": image.name(),
                "digest": found.digest,
                "media_type": found.media_type,
            });
            return Ok(context.output.answer_json(&object)?);
        }
        Ok(context.output.answer(&found.digest.to_string())?)
    }
}
