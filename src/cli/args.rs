//! Takes a command line apart before argh reads it: argh knows neither `--key=value` nor `-qv`,
//! and no options before the command or of several structs.

use std::collections::BTreeMap;

use argh::{CommandInfoWithArgs, EarlyExit, FlagInfoKind, FromArgs, Optionality};

use crate::cli::failure::Failure;
use crate::cli::near::nearest;
use crate::cli::options::Group;

/// An option that some command takes. The same name takes a value everywhere or nowhere, so a
/// command line can be taken apart before its command is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// With its dashes: `--jobs`.
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes_value: bool,
    /// Whether each occurrence counts; otherwise the last does.
    pub(crate) repeats: bool,
}

impl Known {
    /// Those of one command or group. argh's own switch for help is the same everywhere.
    pub(crate) fn of(info: &CommandInfoWithArgs) -> Vec<Known> {
        let known = info.flags.iter().map(|flag| Known {
            long: flag.long,
            short: flag.short.or((flag.long == "--help").then_some('h')),
            takes_value: matches!(flag.kind, FlagInfoKind::Option { .. }),
            repeats: matches!(flag.kind, FlagInfoKind::Switch)
                || flag.optionality == Optionality::Repeating,
        });
        known.collect()
    }
}

/// A command line, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// By long name, with the value if it takes one.
    options: Vec<(&'static str, Option<String>)>,
    /// What is no option: the command, then what it is for.
    pub(crate) words: Vec<String>,
}

impl Split {
    /// Takes `args` apart. `known` is what any command takes.
    pub(crate) fn of(args: Vec<String>, known: &[Known]) -> Result<Split, Failure> {
        let mut split = Split::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                split.words.extend(args);
                break;
            } else if arg.starts_with("--") {
                let (name, value) = match arg.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (arg.as_str(), None),
                };
                let option = known.iter().find(|option| option.long == name);
                let option = option.ok_or_else(|| unknown(name, known))?;
                split.take(option, name, value, &mut args)?;
            } else if arg.len() > 1 && arg.starts_with('-') {
                split.bundle(&arg[1..], known, &mut args)?;
            } else {
                split.words.push(arg);
            }
        }
        Ok(split)
    }

    /// `-qv`, `-j4`, `-j 4`.
    fn bundle(
        &mut self,
        letters: &str,
        known: &[Known],
        args: &mut impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let name = format!("-{letter}");
            let option = known.iter().find(|option| option.short == Some(letter));
            let option = option.ok_or_else(|| unknown(&name, known))?;
            let value = rest.as_str();
            if option.takes_value && !value.is_empty() {
                let value = value.strip_prefix('=').unwrap_or(value);
                return self.take(option, &name, Some(value.to_owned()), args);
            }
            self.take(option, &name, None, args)?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        option: &Known,
        typed: &str,
        value: Option<String>,
        args: &mut impl Iterator<Item = String>,
    ) -> Result<(), Failure> {
        let value = match (option.takes_value, value) {
            (true, Some(value)) => Some(value),
            (true, None) => {
                let missing = || Failure::usage(format!("{typed} needs a value, got none"));
                Some(args.next().ok_or_else(missing)?)
            }
            (false, None) => None,
            (false, Some(_)) => return Err(Failure::usage(format!("{typed} takes no value"))),
        };
        if !option.repeats {
            self.options.retain(|(long, _)| *long != option.long);
        }
        self.options.push((option.long, value));
        Ok(())
    }

    /// Whether there was nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.options.is_empty() && self.words.is_empty()
    }

    /// Whether the option was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.options.iter().any(|(given, _)| *given == long)
    }

    /// Deals the options out: to the command's own struct (the key `None`) if that has them, else
    /// to the group that has them, of those that the command takes.
    ///
    /// Fails with the name of an option that none of them has.
    pub(crate) fn deal(
        &self,
        own: &CommandInfoWithArgs,
        groups: &[Group],
    ) -> Result<BTreeMap<Option<Group>, Vec<String>>, &'static str> {
        let mut dealt: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for (long, value) in &self.options {
            let has = |info: &CommandInfoWithArgs| info.flags.iter().any(|it| it.long == *long);
            let owner = match has(own) {
                true => None,
                false => Some(*groups.iter().find(|group| has(&group.info())).ok_or(*long)?),
            };
            let args = dealt.entry(owner).or_default();
            args.push((*long).to_owned());
            args.extend(value.clone());
        }
        Ok(dealt)
    }
}

fn unknown(name: &str, known: &[Known]) -> Failure {
    let failure = Failure::usage(format!("unknown option {name}"));
    match nearest(name, known.iter().map(|option| option.long)).as_slice() {
        [] => failure,
        names => failure.help(format!("did you mean {}?", names.join(", "))),
    }
}

/// Reads the struct `T` from its options and words, and says in windlass's words what is wrong.
pub(crate) fn read<T: FromArgs>(
    info: &CommandInfoWithArgs,
    mut options: Vec<String>,
    words: &[String],
) -> Result<T, Failure> {
    let required =
        info.positionals.iter().filter(|it| it.optionality == Optionality::Required).count();
    let endless = info
        .positionals
        .last()
        .is_some_and(|it| matches!(it.optionality, Optionality::Repeating | Optionality::Greedy));
    if words.len() < required {
        return Err(Failure::usage(format!("{} is missing", info.positionals[words.len()].name)));
    }
    if let (false, Some(word)) = (endless, words.get(info.positionals.len())) {
        return Err(Failure::usage(format!("unexpected argument `{word}`")));
    }
    options.push("--".into());
    options.extend_from_slice(words);
    crate::cli::options::parse(&options).map_err(|exit| reworded(&exit, &options))
}

/// The cause in what argh says, without argh's words around it.
pub(crate) fn reworded(exit: &EarlyExit, args: &[String]) -> Failure {
    for pair in args.windows(2) {
        let (option, value) = (&pair[0], &pair[1]);
        let frame = format!("Error parsing option '{option}' with value '{value}': ");
        if let Some(cause) = exit.output.strip_prefix(&frame) {
            return Failure::usage(format!("{option}: {}", cause.trim_end()));
        }
    }
    if let Some(rest) = exit.output.strip_prefix("Error parsing positional argument '") {
        for value in args {
            if let Some((_, cause)) = rest.split_once(&format!("' with value '{value}': ")) {
                return Failure::usage(cause.trim_end());
            }
        }
    }
    Failure::usage(exit.output.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Known; 5] = [
        Known { long: "--jobs", short: Some('j'), takes_value: true, repeats: false },
        Known { long: "--ca-file", short: None, takes_value: true, repeats: true },
        Known { long: "--quiet", short: Some('q'), takes_value: false, repeats: true },
        Known { long: "--verbose", short: Some('v'), takes_value: false, repeats: true },
        Known { long: "--help", short: Some('h'), takes_value: false, repeats: true },
    ];

    #[track_caller]
    fn split(line: &str) -> Result<(String, String), String> {
        let args = line.split(' ').map(str::to_owned).collect();
        let split = Split::of(args, &KNOWN).map_err(|failure| failure.error().to_string())?;
        let options = split.options.iter().map(|(long, value)| match value {
            Some(value) => format!("{long}={value}"),
            None => (*long).to_owned(),
        });
        Ok((options.collect::<Vec<_>>().join(" "), split.words.join(" ")))
    }

    #[track_caller]
    fn check(line: &str, options: &str, words: &str) {
        assert_eq!(split(line), Ok((options.into(), words.into())), "{line}");
    }

    #[test]
    fn options_stand_anywhere_in_any_form() {
        check("--jobs 4 pull a", "--jobs=4", "pull a");
        check("pull --jobs 4 a", "--jobs=4", "pull a");
        check("pull a --jobs=4", "--jobs=4", "pull a");
        check("pull -j4 a", "--jobs=4", "pull a");
        check("pull -j=4 a", "--jobs=4", "pull a");
        check("pull -j 4 a", "--jobs=4", "pull a");
        check("-qv a", "--quiet --verbose", "a");
        check("-vv a", "--verbose --verbose", "a");
        check("-qj4 a", "--quiet --jobs=4", "a");
        check("--jobs -1 a", "--jobs=-1", "a");
        check("--ca-file=a=b x", "--ca-file=a=b", "x");
        check("--ca-file= x", "--ca-file=", "x");
        check("--ca-file - x -", "--ca-file=-", "x -");
        check("pull help -h", "--help", "pull help");
        check("pull -- -q --jobs", "", "pull -q --jobs");
    }

    #[test]
    fn last_of_an_option_counts_unless_all_do() {
        check("--jobs 1 a --jobs=2", "--jobs=2", "a");
        check("--ca-file 1 --ca-file 2", "--ca-file=1 --ca-file=2", "");
    }

    #[test]
    fn options_that_nobody_takes_are_refused() {
        let refuse = |line, message: &str| assert_eq!(split(line), Err(message.into()));
        refuse("a --job", "unknown option --job");
        refuse("a --password=secret", "unknown option --password");
        refuse("a -qx", "unknown option -x");
        refuse("a -é", "unknown option -é");
        refuse("a --jobs", "--jobs needs a value, got none");
        refuse("a -qj", "-j needs a value, got none");
        refuse("a --quiet=yes", "--quiet takes no value");
    }
}
