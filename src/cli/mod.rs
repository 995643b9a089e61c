//! The command line: arguments become settings, a command does its work with the library, and what
//! comes of it is printed.

mod answer;
mod archive;
mod args;
mod carry;
mod copy;
mod df;
mod digest;
mod ends;
mod exit;
mod export;
mod failure;
mod gc;
mod goal;
mod held;
mod help;
mod human;
mod import;
mod inspect;
mod list;
mod lists;
mod logging;
mod manifest;
mod near;
mod options;
mod output;
mod place;
mod progress;
mod pull;
mod remote;
mod remove;
mod repair;
mod settings;
mod several;
mod signals;
mod start;
mod stored;
mod tag;
mod tags;
mod values;
mod verify;
mod verify_archive;

use std::ffi::OsString;
use std::process::ExitCode;

use argh::{ArgsInfo, CommandInfoWithArgs, FromArgs};
use windlass::error::ErrorKind;
use windlass::transfer::Interrupt;

use args::{Known, Split};
use failure::Failure;
use near::nearest;
use options::{GROUPS, Group, Shared};
use output::Output;
use settings::{Environment, Settings};
use signals::Signals;
use values::ProgressMode;

/// A command: its arguments, and what it does.
pub(crate) trait Command: FromArgs + ArgsInfo {
    /// Whose options it takes beside its own.
    const GROUPS: &'static [Group];

    /// Does it.
    fn run(self, context: &Context) -> Result<(), Failure>;
}

/// What a command works with.
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) output: Output,
    pub(crate) signals: Signals,
    /// Happens when a signal comes.
    pub(crate) interrupt: Interrupt,
}

/// A command, whatever its type.
struct Entry {
    info: fn() -> CommandInfoWithArgs,
    groups: &'static [Group],
    read: fn(Vec<String>, &[String]) -> Result<Work, Failure>,
}

/// What a command does, now that its arguments are read.
type Work = Box<dyn FnOnce(&Context) -> Result<(), Failure>>;

impl Entry {
    const fn of<C: Command + 'static>() -> Entry {
        let read = |options: Vec<String>, words: &[String]| -> Result<Work, Failure> {
            let command: C = args::read(&C::get_args_info(), options, words)?;
            Ok(Box::new(move |context| command.run(context)))
        };
        Entry { info: C::get_args_info, groups: C::GROUPS, read }
    }
}

/// All commands, in the order in which help lists them.
const COMMANDS: [Entry; 14] = [
    Entry::of::<pull::Pull>(),
    Entry::of::<copy::Copy>(),
    Entry::of::<export::Export>(),
    Entry::of::<import::Import>(),
    Entry::of::<list::List>(),
    Entry::of::<inspect::Inspect>(),
    Entry::of::<tag::Tag>(),
    Entry::of::<remove::Remove>(),
    Entry::of::<gc::Gc>(),
    Entry::of::<df::Df>(),
    Entry::of::<verify::Verify>(),
    Entry::of::<digest::Digest>(),
    Entry::of::<manifest::Manifest>(),
    Entry::of::<tags::Tags>(),
];

const SEE_HELP: &str = "`windlass --help` lists the commands";

/// What a command line asks for.
enum Request {
    /// To print that on stdout.
    Page(String),
    /// Nothing, so to print that on stderr.
    Nothing(String),
    /// To work.
    Run(Box<Settings>, Work),
}

/// Does what the command line of this process says, and returns how it ended.
pub(crate) fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Before the options are read nobody knows whether the errors in them are to be JSON.
    let json = args.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let early = Output::new(json, false, ProgressMode::None);
    let code = match read(args, Environment::of_process()) {
        Err(failure) => {
            early.failure(&failure, failure.code());
            failure.code()
        }
        Ok(Request::Nothing(page)) => {
            page.lines().for_each(|line| early.tell(line));
            exit::USAGE
        }
        Ok(Request::Page(page)) => ended(&early, None, early.answer(&page).map_err(Into::into)),
        Ok(Request::Run(settings, work)) => run(*settings, work),
    };
    ExitCode::from(code)
}

fn run(settings: Settings, work: Work) -> u8 {
    let output = Output::new(settings.json, settings.quiet, settings.progress);
    logging::start(&settings.log, output.clone());
    let signals = match Signals::watch(output.clone()) {
        Ok(signals) => signals,
        Err(error) => {
            let failure = Failure::from(error).context("watching for signals");
            return ended(&output, None, Err(failure));
        }
    };
    let interrupt = Interrupt::new();
    let stopped = interrupt.clone();
    signals.on_stop(move || stopped.interrupt());
    let context = Context { settings, output, signals, interrupt };
    let result = work(&context).map_err(|failure| stored::explained(&context, failure));
    ended(&context.output, Some(&context.signals), result)
}

/// Tells how it ended if it did not end well. After a signal every failure comes from that.
fn ended(output: &Output, signals: Option<&Signals>, result: Result<(), Failure>) -> u8 {
    let Err(failure) = result else { return exit::DONE };
    if let Some(signals) = signals
        && let Some(code) = signals.code()
    {
        signals.tell(output, code);
        return code;
    }
    output.failure(&failure, failure.code());
    failure.code()
}

/// Reads a command line.
fn read(args: Vec<OsString>, environment: Environment) -> Result<Request, Failure> {
    let args = args.into_iter().map(|arg| {
        arg.into_string().map_err(|arg| {
            Failure::usage(format!("expected UTF-8, got `{}`", arg.to_string_lossy()))
        })
    });
    let mut split = Split::of(args.collect::<Result<_, _>>()?, &known())?;
    let explicit_help = split.words.first().is_some_and(|word| word == "help");
    if explicit_help {
        split.words.remove(0);
    }
    if split.has("--version") {
        return Ok(Request::Page(format!("windlass {}", env!("CARGO_PKG_VERSION"))));
    }
    let wants_help = explicit_help || split.has("--help");
    let Some(name) = split.words.first() else {
        let page = help::overview(&COMMANDS.each_ref().map(|entry| (entry.info)()));
        return match (wants_help, split.is_empty()) {
            (true, _) => Ok(Request::Page(page)),
            (false, true) => Ok(Request::Nothing(page)),
            (false, false) => Err(Failure::usage("expected a command, got none").help(SEE_HELP)),
        };
    };
    let entry = COMMANDS.iter().find(|entry| (entry.info)().name == name);
    let entry = entry.ok_or_else(|| unknown_command(name))?;
    let info = (entry.info)();
    if wants_help {
        return Ok(Request::Page(help::command(&info, entry.groups)));
    }
    let advice = format!("`windlass {name} --help` lists what it takes");
    let mut dealt = split.deal(&info, entry.groups).map_err(|option| {
        Failure::usage(format!("`windlass {name}` takes no {option}")).help(&advice)
    })?;
    let work = (entry.read)(dealt.remove(&None).unwrap_or_default(), &split.words[1..]);
    let work = work.map_err(|failure| failure.help(&advice))?;
    let work_advice = advice.clone();
    let work = Box::new(move |context: &Context| {
        work(context).map_err(|failure| match failure.error().kind() {
            ErrorKind::Usage(_) => failure.help(work_advice),
            _ => failure,
        })
    });
    let of = |group| dealt.get(&Some(group)).cloned().unwrap_or_default();
    let shared = Shared::parse(of).map_err(|exit| {
        let all: Vec<String> = GROUPS.into_iter().flat_map(of).collect();
        args::reworded(&exit, &all).help(&advice)
    })?;
    let settings = Settings::new(shared, environment).map_err(|failure| failure.help(&advice))?;
    Ok(Request::Run(Box::new(settings), work))
}

/// Every option of every command.
fn known() -> Vec<Known> {
    let groups = GROUPS.into_iter().map(Group::info);
    groups.chain(COMMANDS.iter().map(|it| (it.info)())).flat_map(|it| Known::of(&it)).collect()
}

fn unknown_command(name: &str) -> Failure {
    let infos = COMMANDS.each_ref().map(|entry| (entry.info)());
    let near = nearest(name, infos.iter().map(|info| info.name));
    let advice = match near.as_slice() {
        [] => SEE_HELP.to_owned(),
        names => format!("did you mean {}? {SEE_HELP}", names.join(", ")),
    };
    Failure::usage(format!("unknown command `{name}`")).help(advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups' values for these options, as `pull` reads them.
    pub(crate) fn shared(args: &[&str]) -> Shared {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let split = Split::of(args, &known()).unwrap();
        let dealt = split.deal(&pull::Pull::get_args_info(), &GROUPS).unwrap();
        Shared::parse(|group| dealt.get(&Some(group)).cloned().unwrap_or_default()).unwrap()
    }

    #[track_caller]
    fn read_line(line: &str) -> Result<Request, (String, String)> {
        let args = line.split(' ').map(OsString::from).collect();
        read(args, Environment::of_process()).map_err(|failure| {
            (failure.error().to_string(), failure.advice().unwrap_or_default().to_owned())
        })
    }

    #[test]
    fn option_takes_a_value_everywhere_or_nowhere() {
        let mut kinds = std::collections::BTreeMap::new();
        for Known { long, short, takes_value, repeats } in known() {
            let kind = kinds.entry(long).or_insert((short, takes_value, repeats));
            assert_eq!(*kind, (short, takes_value, repeats), "{long}");
        }
        let mut shorts: Vec<_> = kinds.values().filter_map(|(short, ..)| *short).collect();
        shorts.sort_unstable();
        let count = shorts.len();
        shorts.dedup();
        assert_eq!(shorts.len(), count, "a letter stands for one option");
    }

    #[test]
    fn command_refuses_what_it_does_not_take() {
        let refuse = |line: &str, message: &str| {
            let (error, advice) = read_line(line).err().unwrap();
            assert_eq!(error, message, "{line}");
            assert!(advice.contains("--help"), "{line}: {advice}");
        };
        refuse("list --jobs 4", "`windlass list` takes no --jobs");
        refuse("--platform linux/amd64 list", "`windlass list` takes no --platform");
        refuse("tags a -f x", "`windlass tags` takes no --file");
        refuse("pul a", "unknown command `pul`");
        refuse("-q", "expected a command, got none");
        refuse("digest", "IMAGE is missing");
        refuse("digest a b", "unexpected argument `b`");
        refuse("list a", "unexpected argument `a`");
        refuse(
            "digest a:b:c",
            "invalid image name `a:b:c`: expected a tag of at most 128 letters, digits, `_`, `.` and `-`",
        );
        refuse("pull a --jobs abc", "--jobs: invalid value `abc`: expected a number from 1 to 64");
        refuse(
            "pull a --platform=linux",
            "--platform: invalid platform `linux`: expected os/arch or os/arch/variant, such as linux/arm64",
        );
        refuse(
            "list --progress bars",
            "--progress: invalid value `bars`: expected auto, plain, json or none",
        );
    }

    #[test]
    fn help_is_a_command_only_in_the_first_place() {
        let page = |line| match read_line(line) {
            Ok(Request::Page(page)) => page.lines().next().unwrap().to_owned(),
            _ => "runs".into(),
        };
        assert_eq!(page("help"), "Usage: windlass COMMAND [OPTIONS] [ARGUMENTS]");
        assert_eq!(page("-h"), page("help"));
        assert_eq!(page("help pull"), "Usage: windlass pull [OPTIONS] IMAGE...");
        assert_eq!(page("pull -h"), page("help pull"));
        assert_eq!(page("--store=x --help pull a"), page("help pull"));
        assert_eq!(page("pull help"), "runs");
        assert_eq!(page("pull -- --help"), "runs");
        assert_eq!(page("list --version"), concat!("windlass ", env!("CARGO_PKG_VERSION")));
    }
}
