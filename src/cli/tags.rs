use argh::{ArgsInfo, FromArgs};
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::values::{Pattern, RepositoryName};
use crate::cli::{Command, Context, remote};

/// List the tags of a repository in a registry, one a line.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "tags", help_triggers("-h", "--help"))]
#[argh(example = "windlass tags alpine --filter '^3[.]'")]
pub(crate) struct Tags {
    /// only tags in which REGEX matches somewhere
    #[argh(option, arg_name = "REGEX")]
    filter: Option<Pattern>,

    /// repository to ask for, such as alpine or quay.io/team/tool
    #[argh(positional, arg_name = "REPOSITORY")]
    repository: RepositoryName,
}

impl Command for Tags {
    const GROUPS: &'static [Group] = &[Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = self.repository.0;
        let name = repository.to_string();
        let mut pages = remote::repository(context, &repository)?.tags();
        let wanted =
            |tag: &String| self.filter.as_ref().is_none_or(|filter| filter.0.is_match(tag));
        while let Some(page) = remote::ask(context, &name, || pages.next_page())? {
            for tag in page.iter().filter(|tag| wanted(tag)) {
                if context.output.is_json() {
                    context.output.answer_json(&json!({"tag": tag}))?;
                } else {
                    context.output.answer(tag)?;
                }
            }
        }
        Ok(())
    }
}
