//! How `verify --repair` mends what was found.

use std::collections::HashSet;

use windlass::error::{Error, ErrorKind};
use windlass::image::Digest;
use windlass::reference::{Reference, Repository};
use windlass::store::{Entry, Finding, Problem, Report, Store};
use windlass::transfer::{Platforms, Transfer};

use crate::cli::failure::Failure;
use crate::cli::remote::Registries;
use crate::cli::{Context, progress};

/// How often to look again after a repair: what a manifest leads to is only known when it is
/// there, and indexes lie in indexes.
const ROUNDS: usize = 8;

/// What was mended.
#[derive(Default)]
pub(crate) struct Repaired {
    /// Blobs that are right again.
    pub(crate) fetched: Vec<Digest>,
    /// Blobs that were rotten and belonged to no name.
    pub(crate) removed: Vec<Digest>,
    /// Whether `oci-layout` was written.
    pub(crate) marked: bool,
    /// Why the rest could not be.
    pub(crate) failures: Vec<Failure>,
}

/// Why an image could not be repaired.
struct Failed {
    digest: Digest,
    failure: Failure,
}

/// Mends what `report` found, as often as that helps, and returns what `check` finds then.
pub(crate) fn repair(
    context: &Context,
    store: &Store,
    mut report: Report,
    check: &dyn Fn() -> Result<Report, Failure>,
) -> Result<(Report, Repaired), Failure> {
    let mut repaired = Repaired::default();
    let mut failed = Vec::new();
    for _ in 0..ROUNDS {
        if report.findings.is_empty() {
            break;
        }
        failed = fetch_all(context, store, &report)?;
        repaired.failures.clear();
        let unnamed = remove_unnamed(store, &report, &mut repaired);
        if report.findings.iter().any(|it| it.problem == Problem::Unmarked) {
            store.complete_layout()?;
            repaired.marked = true;
        }
        let before = std::mem::replace(&mut report, check()?);
        let still: HashSet<Digest> = report.findings.iter().filter_map(|it| it.digest).collect();
        let gone: Vec<Digest> = before
            .findings
            .iter()
            .filter_map(|it| it.digest)
            .filter(|digest| !still.contains(digest))
            .collect();
        for digest in &gone {
            // What came with an image that knows it now was fetched.
            let list = match unnamed.contains(digest) && !store.has_file(*digest) {
                true => &mut repaired.removed,
                false => &mut repaired.fetched,
            };
            if !list.contains(digest) {
                list.push(*digest);
            }
        }
        if gone.is_empty() {
            break;
        }
    }
    // What is whole again, because another name knew where it came from, has not failed.
    let still: HashSet<Digest> = report
        .findings
        .iter()
        .filter(|finding| finding.problem.is_of_content())
        .flat_map(|finding| finding.entries.iter().map(|entry| entry.descriptor.digest))
        .collect();
    failed.retain(|it| still.contains(&it.digest));
    repaired.failures.extend(failed.into_iter().map(|it| it.failure));
    Ok((report, repaired))
}

/// Removes what is rotten and has no name. Says what that was.
fn remove_unnamed(store: &Store, report: &Report, repaired: &mut Repaired) -> HashSet<Digest> {
    let unnamed = report.findings.iter().filter(|finding| finding.entries.is_empty());
    let unnamed: HashSet<Digest> = unnamed.filter_map(|finding| finding.digest).collect();
    if !unnamed.is_empty()
        && let Err(error) = store.discard(&unnamed)
    {
        repaired.failures.push(error.into());
    }
    unnamed
}

/// Fetches again what `report` found, image after image. Says what could not be.
fn fetch_all(context: &Context, store: &Store, report: &Report) -> Result<Vec<Failed>, Failure> {
    let mut failed = Vec::new();
    let mut images: Vec<(&Entry, Repository)> = Vec::new();
    let bad = report.findings.iter().filter(|finding| finding.problem.is_of_content());
    for entry in bad.flat_map(|finding| &finding.entries) {
        let digest = entry.descriptor.digest;
        match entry.origin().and_then(|origin| origin.parse::<Repository>().ok()) {
            Some(origin) => {
                let is_it = |(known, from): &(&Entry, Repository)| {
                    known.descriptor == entry.descriptor && *from == origin
                };
                if !images.iter().any(is_it) {
                    images.push((entry, origin));
                }
            }
            None if failed.iter().any(|it: &Failed| it.digest == digest) => {}
            None => {
                let error = Error::content("where it came from is not known");
                let failure = error.context(repairing(entry)).into();
                failed.push(Failed { digest, failure });
            }
        }
    }
    let jobs = context.settings.jobs()?;
    let repositories = images.iter().map(|(_, repository)| repository);
    let mut registries = Registries::new(context, repositories, jobs)?;
    let mut done = HashSet::new();
    for (entry, repository) in &images {
        let digest = entry.descriptor.digest;
        if done.contains(&digest) {
            continue;
        }
        let image = Image { entry, repository };
        let again = image.fetch(context, store, &report.findings, &mut registries, jobs);
        context.interrupt.check()?;
        match again {
            Ok(()) => drop(done.insert(digest)),
            Err(error) => {
                failed.push(Failed { digest, failure: error.context(repairing(entry)).into() });
            }
        }
    }
    failed.retain(|it| !done.contains(&it.digest));
    Ok(failed)
}

fn repairing(entry: &Entry) -> String {
    format!("repairing {}", crate::cli::stored::shown(entry))
}

/// An image of which something is bad, and where it came from.
struct Image<'a> {
    entry: &'a Entry,
    repository: &'a Repository,
}

impl Image<'_> {
    fn fetch(
        &self,
        context: &Context,
        store: &Store,
        findings: &[Finding],
        registries: &mut Registries<'_>,
        jobs: usize,
    ) -> Result<(), Error> {
        let name: Reference = format!("{}@{}", self.repository, self.entry.resolved())
            .parse()
            .map_err(|error| Error::content(format!("{error}")))?;
        let remote = registries.repository(self.repository)?;
        let repair = store.repair(self.entry, findings, &remote);
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
        let plan = match (transfer.plan(&name, &Platforms::All), self.entry.chosen()) {
            // The index was made here, and what it listed is gone too: the same choice makes it.
            (Err(error), Some(chosen)) if matches!(error.kind(), ErrorKind::NotFound(_)) => {
                let anew = Transfer { source: &remote, retry: transfer.retry.clone(), ..transfer };
                anew.plan_again(&name, &Platforms::Only(chosen), self.entry.descriptor.digest)?
            }
            (plan, _) => plan?,
        };
        transfer.run(&name, &plan)
    }
}
