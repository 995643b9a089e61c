//! What `--help` prints, from what argh knows of the arguments.

use std::collections::BTreeSet;
use std::fmt::Write;

use argh::{CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality, PositionalInfo};

use crate::cli::exit;
use crate::cli::options::{GROUPS, Group};

/// Columns of a line.
const WIDTH: usize = 90;

/// Columns before a description.
const INDENT: usize = 28;

/// The help of windlass itself.
pub(crate) fn overview(commands: &[CommandInfoWithArgs]) -> String {
    let mut page = String::from(
        "Usage: windlass COMMAND [OPTIONS] [ARGUMENTS]\n\n\
         Pulls, keeps and inspects container images, over bad networks too.\n",
    );
    heading(&mut page, "Commands");
    for command in commands {
        let first = command.description.split_inclusive(". ").next().unwrap_or_default();
        row(&mut page, command.name, first);
    }
    options(&mut page, Group::Global.title(), Group::Global.info().flags);
    environment(&mut page, &[Group::Global]);
    page.push_str("\n`windlass COMMAND --help` says what a command does and takes.\n");
    page
}

/// The help of one command, which takes the options of `groups` too.
pub(crate) fn command(info: &CommandInfoWithArgs, groups: &[Group]) -> String {
    let mut page = format!("Usage: windlass {} [OPTIONS]", info.name);
    for positional in info.positionals {
        let _ = write!(page, " {}", shown(positional));
    }
    page.push_str("\n\n");
    wrap(&mut page, info.description, 0);
    if !info.positionals.is_empty() {
        heading(&mut page, "Arguments");
        for positional in info.positionals {
            row(&mut page, &shown(positional), positional.description);
        }
    }
    options(&mut page, "Options", info.flags);
    let groups: Vec<Group> = GROUPS.into_iter().filter(|group| groups.contains(group)).collect();
    for group in &groups {
        options(&mut page, group.title(), group.info().flags);
    }
    heading(&mut page, "Exit codes");
    let codes: BTreeSet<u8> = groups.iter().flat_map(|it| it.exit_codes()).copied().collect();
    for code in codes {
        row(&mut page, &code.to_string(), exit::meaning(code));
    }
    environment(&mut page, &groups);
    for example in info.examples {
        if page.contains("\nExamples:\n") {
            let _ = writeln!(page, "  {example}");
        } else {
            heading(&mut page, "Examples");
            let _ = writeln!(page, "  {example}");
        }
    }
    page
}

fn shown(positional: &PositionalInfo<'_>) -> String {
    match positional.optionality {
        // It says itself that it may be left out.
        _ if positional.name.starts_with('[') => positional.name.to_owned(),
        Optionality::Required => positional.name.to_owned(),
        Optionality::Optional => format!("[{}]", positional.name),
        // Several words are a sequence, which is read all or not at all.
        Optionality::Repeating if positional.name.contains(' ') => format!("[{}]", positional.name),
        Optionality::Repeating | Optionality::Greedy => format!("{}...", positional.name),
    }
}

fn options(page: &mut String, title: &str, flags: &[FlagInfo<'_>]) {
    let is_global = title == Group::Global.title();
    let flags: Vec<_> = flags.iter().filter(|flag| !flag.hidden && flag.long != "--help").collect();
    if flags.is_empty() {
        return;
    }
    heading(page, title);
    for flag in flags {
        let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        let value = match flag.kind {
            FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
            FlagInfoKind::Switch => String::new(),
        };
        row(page, &format!("{short}{}{value}", flag.long), flag.description);
    }
    if is_global {
        row(page, "-h, --help", "print this");
    }
}

fn environment(page: &mut String, groups: &[Group]) {
    heading(page, "Environment");
    for (name, meaning) in groups.iter().flat_map(|group| group.environment()) {
        row(page, name, meaning);
    }
}

fn heading(page: &mut String, title: &str) {
    let _ = writeln!(page, "\n{title}:");
}

fn row(page: &mut String, name: &str, description: &str) {
    let start = page.len();
    let _ = write!(page, "  {name}");
    if page.len() - start + 2 > INDENT {
        page.push('\n');
        page.extend(std::iter::repeat_n(' ', INDENT));
    } else {
        let padding = INDENT - (page.len() - start);
        page.extend(std::iter::repeat_n(' ', padding));
    }
    wrap(page, description, INDENT);
}

/// Adds the words of `text`, whose first line already stands at column `indent`.
fn wrap(page: &mut String, text: &str, indent: usize) {
    let mut column = indent;
    for (index, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            page.push('\n');
            page.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            page.push(' ');
            column += 1;
        }
        page.push_str(word);
        column += length;
    }
    page.push('\n');
}
