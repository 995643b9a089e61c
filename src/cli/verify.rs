use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};
use windlass::error::{Error, ErrorKind};
use windlass::store::{Finding, Problem, Report, Store};

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::progress::check::Checking;
use crate::cli::repair::{Repaired, repair};
use crate::cli::{Command, Context, human, place, stored, verify_archive};

/// Read all that is in the store, and say what of it is wrong or missing. With --repair, fetch
/// that again from where it came from, and remove what is rotten and belongs to no name.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand, name = "verify", help_triggers("-h", "--help"))]
#[argh(example = "windlass verify")]
#[argh(example = "windlass verify --repair alpine:3.20")]
#[argh(example = "windlass verify --archive images.tar")]
pub(crate) struct Verify {
    /// fetch again what is wrong or missing, and nothing else
    #[argh(switch)]
    repair: bool,

    /// read FILE instead of the store, an archive that may be compressed; - is stdin
    #[argh(option, arg_name = "FILE")]
    archive: Option<String>,

    /// names of images in the store; all of it otherwise, with what no name leads to
    #[argh(positional, arg_name = "[NAME...]")]
    names: Vec<String>,
}

impl Command for Verify {
    const GROUPS: &'static [Group] =
        &[Group::Transfer, Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(file) = &self.archive {
            if self.repair || !self.names.is_empty() {
                let message = "--archive: all of it is verified, and nothing of the store";
                return Err(Failure::usage(message).help("leave out --repair and NAME"));
            }
            return verify_archive::run(context, file);
        }
        let names: Vec<&str> = self.names.iter().map(|it| place::in_store(it)).collect();
        let store = stored::open(context)?;
        let check = || check(context, &store, &names);
        let report = check()?;
        let (report, repaired) = match self.repair {
            true => repair(context, &store, report, &check)?,
            false => (report, Repaired::default()),
        };
        answer(context, &report, &repaired)?;
        // Why something could not be repaired says more than that it is bad.
        for failure in &repaired.failures {
            context.output.failure(failure, failure.code());
        }
        if report.findings.is_empty() {
            return Ok(());
        }
        Err(incomplete(&report, self.repair))
    }
}

fn check(context: &Context, store: &Store, names: &[&str]) -> Result<Report, Failure> {
    let (checking, interrupt) = (Checking::new(&context.output), &context.interrupt);
    let report = store.check(names, &|checked| {
        checking.reached(checked);
        interrupt.check()
    });
    report.map_err(|error| match error.kind() {
        ErrorKind::NotFound(_) => {
            let absent = |name: &&&str| {
                matches!(store.find(name), Err(error) if matches!(error.kind(), ErrorKind::NotFound(_)))
            };
            stored::advise(store, names.iter().find(absent).unwrap_or(&""), error)
        }
        _ => error.into(),
    })
}

/// That there are findings, and what to do about them.
fn incomplete(report: &Report, repairs: bool) -> Failure {
    let found = count(report.findings.len(), "finding");
    let is_readable = |it: &Finding| !matches!(it.problem, Problem::Unreadable(_));
    let error = match report.findings.iter().any(is_readable) {
        true => Error::content(format!("{found}: the store is not as it should be")),
        false => ErrorKind::Local(format!("{found}: what is stored cannot be read")).into(),
    };
    let failure = Failure::from(error).context("verifying");
    match way_out(report, repairs) {
        way if way.is_empty() => failure,
        way => failure.help(way),
    }
}

/// What to do about the findings; `repairs` if that was tried.
fn way_out(report: &Report, repairs: bool) -> String {
    let has = |is_it: &dyn Fn(&Finding) -> bool| report.findings.iter().any(is_it);
    let unreadable = |it: &Finding| matches!(it.problem, Problem::Unreadable(_));
    let bad = |it: &Finding| it.problem.is_of_content() && !unreadable(it);
    let wrong = |it: &Finding| it.digest.is_some() && !it.problem.is_of_content();
    let mut ways: Vec<String> = Vec::new();
    let mut add = |way: &str| ways.push(way.to_owned());
    if has(&|it| bad(it) && !it.entries.is_empty()) {
        add(match repairs {
            false => "`windlass verify --repair` fetches again what came from a registry",
            true => "pull or import again what could not be repaired, or remove its names",
        });
    }
    if !repairs && has(&|it| it.digest.is_some() && it.entries.is_empty() && !unreadable(it)) {
        add("`windlass verify --repair` removes what is rotten and has no name");
    }
    if !repairs && has(&|it| it.problem == Problem::Unmarked) {
        add("`windlass verify --repair` writes `oci-layout` again");
    }
    if has(&unreadable) {
        add("run it as the owner of the store, or let this user read it");
    }
    if has(&|it| wrong(it) && it.entries.iter().any(|entry| !entry.name.is_empty())) {
        add("pull or import again what is said wrongly of, or remove its names");
    }
    let places = places_to_remove(report);
    if !places.is_empty() {
        add(&format!("`windlass remove {places}` removes what index.json says in vain"));
    }
    ways.join("; ")
}

/// Entries of the index that only their place names and that no repair mends.
fn places_to_remove(report: &Report) -> String {
    let mut places: Vec<usize> = Vec::new();
    for finding in &report.findings {
        match &finding.problem {
            Problem::Entry(odd) => places.push(odd.position),
            problem if !problem.is_of_content() => {
                let nameless = finding.entries.iter().filter(|entry| entry.name.is_empty());
                places.extend(nameless.map(|entry| entry.position));
            }
            _ => {}
        }
    }
    places.sort_unstable();
    places.dedup();
    places.iter().map(|place| format!("'#{place}'")).collect::<Vec<_>>().join(" ")
}

fn answer(context: &Context, report: &Report, repaired: &Repaired) -> Result<(), Failure> {
    let output = &context.output;
    if output.is_json() {
        let findings: Vec<Value> = report.findings.iter().map(object).collect();
        return Ok(output.answer_json(&json!({
            "names": report.names,
            "nameless": report.nameless,
            "blobs": report.blobs,
            "size": report.size,
            "findings": findings,
            "repaired": repaired.fetched,
            "removed": repaired.removed,
        }))?);
    }
    for digest in &repaired.fetched {
        output.answer(&format!("{digest}: repaired"))?;
    }
    for digest in &repaired.removed {
        output.answer(&format!("{digest}: removed"))?;
    }
    if repaired.marked {
        output.answer("oci-layout: repaired")?;
    }
    for finding in &report.findings {
        output.answer(&human::line(&line(finding)))?;
    }
    let Report { names, nameless, blobs, size, findings } = report;
    let mut counted = vec![count(*names, "name")];
    if *nameless > 0 {
        counted.push(format!("{nameless} without a name"));
    }
    counted.push(count(*blobs, "blob"));
    counted.push(human::size(*size));
    let found = match findings.len() {
        0 => "nothing is wrong".to_owned(),
        several => count(several, "finding"),
    };
    Ok(output.answer(&format!("{}: {found}", counted.join(", ")))?)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn line(finding: &Finding) -> String {
    let what = match (finding.digest, &finding.problem) {
        (Some(digest), _) => digest.to_string(),
        (None, Problem::Unmarked) => "oci-layout".to_owned(),
        (None, _) => "index.json".to_owned(),
    };
    let names: Vec<String> = finding.entries.iter().map(stored::shown).collect();
    match names.as_slice() {
        [] if finding.digest.is_some() => {
            format!("{what}: {}; no name leads to it", finding.problem)
        }
        [] => format!("{what}: {}", finding.problem),
        names => format!("{what}: {}; of {}", finding.problem, names.join(", ")),
    }
}

/// A finding as a program reads it. Stable.
fn object(finding: &Finding) -> Value {
    let (names, position): (Vec<&str>, _) = match &finding.problem {
        Problem::Entry(odd) => (vec![&odd.name], Some(odd.position)),
        _ => (finding.entries.iter().map(|entry| entry.name.as_str()).collect(), None),
    };
    let mut object = json!({
        "digest": finding.digest,
        "problem": finding.problem.word(),
        "message": finding.problem.to_string(),
        "names": names,
    });
    if let Some(position) = position {
        object["position"] = position.into();
    }
    object
}
