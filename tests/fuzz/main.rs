//! Reads inputs that are nearly right, for a given time: `make fuzz`.
//!
//! Deterministic: an input is made from the seed and its number alone. A panic ends it with 1 and
//! says which input it was. `WINDLASS_FUZZ_SECONDS` says how long, `WINDLASS_FUZZ_SEED` which
//! inputs; `WINDLASS_FUZZ_INPUT=TARGET:NUMBER` runs a single one again.

#![expect(clippy::unwrap_used, reason = "a panic is a finding")]
#![expect(clippy::print_stdout, reason = "the table")]
#![expect(clippy::disallowed_methods, reason = "three variables")]

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "only what makes inputs is needed")]
mod support;
mod targets;

use std::panic;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use targets::{TARGETS, Target, input};

/// How many inputs are read between two looks at the clock.
const ROUND: u64 = 64;

/// What was seen of one target.
#[derive(Default)]
struct Seen {
    inputs: u64,
    taken: u64,
    bytes: u64,
    slowest: Duration,
}

fn main() -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let seed = number("WINDLASS_FUZZ_SEED").unwrap_or(1);
    if let Ok(one) = std::env::var("WINDLASS_FUZZ_INPUT") {
        let (name, number) = one.split_once(':').unwrap();
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        let taken = (target.run)(&input(target, seed, number.parse().unwrap()));
        println!("{one} of seed {seed} was {}", if taken { "taken" } else { "refused" });
        return ExitCode::SUCCESS;
    }
    let seconds = number("WINDLASS_FUZZ_SECONDS").unwrap_or(60);
    let each = Duration::from_secs(seconds) / u32::try_from(TARGETS.len()).unwrap();
    println!("seed {seed}, {seconds} s");
    println!("| target   | inputs     | taken      | MB      | slowest  |");
    println!("|----------|------------|------------|---------|----------|");
    for target in &TARGETS {
        let Some(seen) = fuzz(target, seed, each) else {
            println!("test result: FAILED. 1 wrong");
            return ExitCode::FAILURE;
        };
        let Seen { inputs, taken, bytes, slowest } = seen;
        let (name, megabytes) = (target.name, bytes / 1_000_000);
        let slowest = slowest.as_secs_f64() * 1000.0;
        println!("| {name:<8} | {inputs:>10} | {taken:>10} | {megabytes:>7} | {slowest:>5.1} ms |");
    }
    println!("test result: ok. {} passed; 0 failed", TARGETS.len());
    ExitCode::SUCCESS
}

/// Reads inputs for so long; `None` after a panic.
fn fuzz(target: &Target, seed: u64, time: Duration) -> Option<Seen> {
    let mut seen = Seen::default();
    let began = Instant::now();
    while began.elapsed() < time {
        for _ in 0..ROUND {
            let bytes = input(target, seed, seen.inputs);
            let started = Instant::now();
            let Ok(taken) = panic::catch_unwind(|| (target.run)(&bytes)) else {
                let (name, number) = (target.name, seen.inputs);
                println!("again: WINDLASS_FUZZ_SEED={seed} WINDLASS_FUZZ_INPUT={name}:{number}");
                return None;
            };
            seen.slowest = seen.slowest.max(started.elapsed());
            seen.inputs += 1;
            seen.taken += u64::from(taken);
            seen.bytes += bytes.len() as u64;
        }
    }
    Some(seen)
}
