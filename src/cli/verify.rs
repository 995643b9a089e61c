use std::collections::HashSet;

use argh::{ArgsInfo, FromArgs};
use serde_json::{Value, json};
use windlass::error::{Context as _, Error, ErrorKind};
use windlass::image::Digest;
use windlass::reference::{Reference, Repository};
use windlass::store::{Entry, Finding, Report, Store};
use windlass::transfer::{Platforms, Transfer};

use crate::cli::failure::Failure;
use crate::cli::options::Group;
use crate::cli::progress::check::Checking;
use crate::cli::remote::Registries;
use crate::cli::{Command, Context, human, place, progress, stored, verify_archive};

/// Read all that is in the store, and say what of it is wrong or missing. With --repair, fetch
/// that again from where it came from.
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
    #[argh(positional, arg_name = "NAME")]
    names: Vec<String>,
}

/// How often to look again after a repair: what a manifest leads to is only known when it is
/// there, and indexes lie in indexes.
const ROUNDS: usize = 8;

/// How to get out if nobody can read the names.
const BROKEN_INDEX: &str = "the blobs are still there: move `index.json` away, or put back a copy \
                            of it; then pull the names again, which fetches only what is missing. Run no gc \
                            before all are there again";

impl Command for Verify {
    const GROUPS: &'static [Group] =
        &[Group::Transfer, Group::Patience, Group::Connection, Group::Global];

    fn run(self, context: &Context) -> Result<(), Failure> {
        if !matches!(context.settings.platforms(), Platforms::Host) {
            return Err(Failure::usage("all that is stored of an image is verified")
                .help("leave out --platform and --all-platforms"));
        }
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
        let mut report = check()?;
        let mut repaired = Vec::new();
        let mut failures = Vec::new();
        if self.repair {
            for _ in 0..ROUNDS {
                if report.findings.is_empty() {
                    break;
                }
                let before: Vec<Option<Digest>> =
                    report.findings.iter().map(|it| it.digest).collect();
                failures = repair(context, &store, &report)?;
                report = check()?;
                let still: HashSet<_> = report.findings.iter().map(|it| it.digest).collect();
                let gone = before.into_iter().filter(|it| !still.contains(it)).flatten();
                let count = repaired.len();
                repaired.extend(gone);
                if repaired.len() == count {
                    break;
                }
            }
        }
        answer(context, &report, &repaired)?;
        // Why something could not be repaired says more than that it is bad.
        for failure in &failures {
            context.output.failure(failure, failure.code());
        }
        match report.findings.len() {
            0 => Ok(()),
            count => {
                let message = format!("{count} findings: the store is not complete");
                let failure = Failure::from(Error::content(message)).context("verifying");
                Err(failure.help(if self.repair {
                    "pull or import again what could not be repaired, or remove its name"
                } else {
                    "`windlass verify --repair` fetches again what came from a registry"
                }))
            }
        }
    }
}

fn check(context: &Context, store: &Store, names: &[&str]) -> Result<Report, Failure> {
    let (checking, interrupt) = (Checking::new(&context.output), &context.interrupt);
    let report = store.check(names, &|checked| {
        checking.reached(checked);
        interrupt.check()
    });
    report.map_err(|error| match error.kind() {
        ErrorKind::Content(_) => Failure::from(error).help(BROKEN_INDEX),
        ErrorKind::NotFound(_) => {
            let absent = names.iter().find(|name| store.find(name).is_err());
            stored::advise(store, absent.unwrap_or(&""), error)
        }
        _ => error.into(),
    })
}

/// Fetches again what `report` found, image after image, and removes what nothing leads to. Says
/// what could not be.
fn repair(context: &Context, store: &Store, report: &Report) -> Result<Vec<Failure>, Failure> {
    let mut images: Vec<(&Entry, Repository)> = Vec::new();
    let mut failures = Vec::new();
    for entry in report.findings.iter().flat_map(|finding| &finding.entries) {
        if images.iter().any(|(known, _)| known.descriptor.digest == entry.descriptor.digest) {
            continue;
        }
        match entry.origin().and_then(|origin| origin.parse().ok()) {
            Some(repository) => images.push((entry, repository)),
            None => {
                let message = "where it came from is not known";
                let error = Error::content(message).context(format!("repairing {}", entry.name));
                failures.push(error.into());
            }
        }
    }
    let jobs = context.settings.jobs()?;
    let repositories = images.iter().map(|(_, repository)| repository);
    let mut registries = Registries::new(context, repositories, jobs)?;
    for (entry, repository) in &images {
        let again = fetch(context, store, report, &mut registries, (entry, repository), jobs)
            .context(|| format!("repairing {}", entry.name));
        context.interrupt.check()?;
        if let Err(error) = again {
            failures.push(error.into());
        }
    }
    let unreferenced = report.findings.iter().filter(|finding| finding.entries.is_empty());
    let unreferenced: HashSet<Digest> = unreferenced.filter_map(|finding| finding.digest).collect();
    if !unreferenced.is_empty()
        && let Err(error) = store.discard(&unreferenced)
    {
        failures.push(error.into());
    }
    Ok(failures)
}

fn fetch(
    context: &Context,
    store: &Store,
    report: &Report,
    registries: &mut Registries<'_>,
    (entry, repository): (&Entry, &Repository),
    jobs: usize,
) -> Result<(), Error> {
    let name: Reference = format!("{repository}@{}", entry.resolved())
        .parse()
        .map_err(|error| Error::content(format!("{error}")))?;
    let remote = registries.repository(repository)?;
    let repair = store.repair(entry, &report.findings, &remote);
    let observer = progress::observer(&context.output);
    let transfer = Transfer {
        source: &repair,
        sink: &repair,
        jobs,
        retry: context.settings.retry(),
        stall_timeout: context.settings.stall_timeout,
        observer: &*observer,
        interrupt: &context.interrupt,
    };
    let plan = transfer.plan(&name, &Platforms::All)?;
    transfer.run(&name, &plan)
}

fn answer(context: &Context, report: &Report, repaired: &[Digest]) -> Result<(), Failure> {
    let output = &context.output;
    if output.is_json() {
        let findings: Vec<Value> = report.findings.iter().map(object).collect();
        return Ok(output.answer_json(&json!({
            "names": report.names,
            "blobs": report.blobs,
            "size": report.size,
            "findings": findings,
            "repaired": repaired,
        }))?);
    }
    for digest in repaired {
        output.answer(&format!("{digest}: repaired"))?;
    }
    for finding in &report.findings {
        output.answer(&line(finding))?;
    }
    let Report { names, blobs, size, findings } = report;
    let size = human::size(*size);
    let found = match findings.len() {
        0 => "nothing is wrong".to_owned(),
        1 => "1 finding".to_owned(),
        count => format!("{count} findings"),
    };
    Ok(output.answer(&format!("{names} names, {blobs} blobs, {size}: {found}"))?)
}

fn line(finding: &Finding) -> String {
    let what = finding.digest.map_or("index.json".to_owned(), |digest| digest.to_string());
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
    let names: Vec<&str> = finding.entries.iter().map(|entry| entry.name.as_str()).collect();
    json!({
        "digest": finding.digest,
        "problem": finding.problem.word(),
        "message": finding.problem.to_string(),
        "names": names,
    })
}
