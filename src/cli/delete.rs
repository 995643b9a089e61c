use argh::{ArgsInfo, FromArgs};
use serde_json::json;
use windlass::error::ErrorKind;

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::ImageName;
use crate::cli::{Command, Context, remote};

/// Remove an image from its registry: of NAME:TAG only the tag, of NAME@DIGEST the image with all
/// its tags. Registries that do not allow it say so.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "delete", help_triggers("-h", "--help"))]
#[argh(example = "windlass delete registry.example/team/tool:1")]
pub(crate) struct Delete {
    /// what to remove, such as registry.example/team/tool:1 or .../tool@sha256:...
    #[argh(positional, arg_name = "IMAGE")]
    image: ImageName,
}

impl Command for Delete {
    const GROUPS: &'static [Group] = &[Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let image = self.image.0;
        if image.digest().is_some() && image.tag().is_some() {
            return Err(Failure::usage(format!("expected a tag or a digest, got both: {image}"))
                .help("a digest means the image with all its tags, a tag only itself"));
        }
        let remote = remote::repository(context, image.repository())?;
        let deleted = remote::ask(context, &image.name(), || remote.delete(&image));
        let digest = deleted.map_err(|error| match error.kind() {
            ErrorKind::Other(_) if image.tag().is_some() => Failure::from(error).help(
                "`windlass delete NAME@DIGEST` removes the image with all its tags; \
                 `windlass digest` tells the digest",
            ),
            _ => error.into(),
        })?;
        match context.output.is_json() {
            true => {
                let object = json!({ "name": image.name(), "digest": digest });
                Ok(context.output.answer_json(&object)?)
            }
            false => Ok(context.output.answer(&image.at(digest))?),
        }
    }
}
