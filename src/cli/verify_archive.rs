//! `verify --archive`.

use std::fs::File;
use std::io;

use serde_json::{Value, json};
use windlass::archive::{self, Finding, Name, Report};
use windlass::error::{Context as _, Error};

use crate::cli::archive::check_stdin;
use crate::cli::failure::Failure;
use crate::cli::progress::read::Reading;
use crate::cli::{Context, human};

/// Reads the archive in `file`, or from stdin if that is `-`, and says what is wrong with it.
pub(crate) fn run(context: &Context, file: &str) -> Result<(), Failure> {
    let shown = if file == "-" { "stdin".to_owned() } else { format!("`{file}`") };
    let verifying = || format!("verifying {shown}");
    let reading = Reading::new(&context.output);
    let watch = |more| {
        reading.reached(more);
        context.interrupt.check()
    };
    let report = if file == "-" {
        check_stdin()?;
        archive::check(io::stdin().lock(), &watch)
    } else {
        let opened = File::open(file).context(verifying)?;
        if opened.metadata().context(verifying)?.is_dir() {
            return Err(Failure::usage(format!(
                "--archive: expected a file, got the folder {shown}"
            )));
        }
        archive::check(opened, &watch)
    };
    drop(reading);
    let report = report.context(verifying)?;
    answer(context, &report)?;
    match report.findings.len() {
        0 => Ok(()),
        found => {
            let message = format!("{}: the archive is not as it must be", count(found, "finding"));
            let failure = Failure::from(Error::content(message)).context(verifying());
            Err(failure.help("export or save it again; what is good of it can still be imported"))
        }
    }
}

fn answer(context: &Context, report: &Report) -> Result<(), Failure> {
    let output = &context.output;
    let Report { digest, size, images, files, is_ended, findings, unreferenced } = report;
    if output.is_json() {
        let images = images.iter().map(|(name, digest)| {
            let (name, tag) = match name {
                Name::Full(reference) => (Some(reference.name()), None),
                Name::Tag(tag) => (None, Some(tag)),
                Name::None => (None, None),
            };
            json!({ "name": name, "tag": tag, "digest": digest })
        });
        return Ok(output.answer_json(&json!({
            "digest": digest,
            "size": size,
            "images": images.collect::<Vec<_>>(),
            "files": files,
            "ended": is_ended,
            "findings": findings.iter().map(object).collect::<Vec<_>>(),
            "unreferenced": unreferenced,
        }))?);
    }
    for Finding { member, problem } in findings {
        output.answer(&format!("{member}: {problem}"))?;
    }
    for member in unreferenced {
        output.answer(&format!("{member}: no image needs it"))?;
    }
    if !is_ended {
        output.answer("the blocks that end a tar are missing; nothing else need be")?;
    }
    for (name, digest) in images {
        output.answer(&format!("{name}@{digest}"))?;
    }
    let found = match findings.len() {
        0 => "nothing is wrong".to_owned(),
        found => count(found, "finding"),
    };
    let (images, files) = (count(images.len(), "image"), count(*files, "file"));
    output.answer(&format!("{images}, {files}, {}: {found}", human::size(*size)))?;
    Ok(output.answer(&digest.to_string())?)
}

fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A finding as a program reads it. Stable.
fn object(finding: &Finding) -> Value {
    json!({
        "member": finding.member,
        "problem": finding.problem.word(),
        "message": finding.problem.to_string(),
    })
}
