//! What the store promises, tried with force: `make prove`.
//!
//! Kills the binary at every system call that changes something, lets system calls fail, lets many
//! processes at one store, and reads one log of system calls for the order that survives a power
//! cut. Prints a table of what was tried and what was found; ends with 1 if anything was.
//!
//! With `WINDLASS_PROVE=short` it tries every seventh point.

#![expect(clippy::unwrap_used, reason = "a panic is how a proof fails")]
#![expect(clippy::print_stdout, reason = "the table")]
#![expect(clippy::disallowed_methods, reason = "one variable, and the files of a test")]

mod fail;
mod kill;
mod order;
mod scene;
mod storm;
#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "not every proof needs everything")]
mod support;
mod trace;

use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How much to try.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Of the points, every such one.
    pub(crate) step: usize,
    pub(crate) rounds: usize,
}

/// What came of one proof.
#[derive(Default)]
pub(crate) struct Row {
    pub(crate) what: String,
    /// How many points, rounds or rules.
    pub(crate) tried: usize,
    /// What was seen that may be: `12 ended well in spite of it`.
    pub(crate) seen: String,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    pub(crate) took: Duration,
}

fn main() -> ExitCode {
    let short = std::env::var_os("WINDLASS_PROVE").is_some_and(|value| value == "short");
    let extent = match short {
        true => Extent { step: 7, rounds: 4 },
        false => Extent { step: 1, rounds: 20 },
    };
    trace::needed();
    let scene = scene::Scene::new();
    let proofs: [fn(&scene::Scene, Extent) -> Vec<Row>; 4] =
        [order::prove, kill::prove, fail::prove, storm::prove];
    println!("| {:<53} | tried | wrong | took   | seen", "what");
    println!("|{:-<55}|-------|-------|--------|-----", "");
    let began = Instant::now();
    let mut rows = Vec::new();
    for proof in proofs {
        let new = proof(&scene, extent);
        new.iter().for_each(show);
        rows.extend(new);
    }
    let wrong: usize = rows.iter().map(|row| row.wrong.len()).sum();
    let tried: usize = rows.iter().map(|row| row.tried).sum();
    println!("{tried} tried in {:.0} s on {}", began.elapsed().as_secs_f64(), machine());
    if wrong > 0 {
        println!("test result: FAILED. {wrong} wrong");
        return ExitCode::FAILURE;
    }
    println!("test result: ok. {} passed; 0 failed", rows.len());
    ExitCode::SUCCESS
}

fn show(row: &Row) {
    let Row { what, tried, seen, wrong, took } = row;
    let wrong_count = wrong.len();
    let took = took.as_secs_f64();
    println!("| {what:<53} | {tried:>5} | {wrong_count:>5} | {took:>4.0} s | {seen}");
    wrong.iter().take(5).for_each(|line| println!("    {line}"));
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, Linux {}", kernel.trim())
}
