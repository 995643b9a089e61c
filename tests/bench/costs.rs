//! What a run costs, and what many runs come to.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::tool::Tool;

/// What one run of a program has cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// In user mode and in the kernel, of all threads.
    pub(crate) cpu: Duration,
    /// Most bytes of memory that were resident at any time.
    pub(crate) memory: u64,
}

impl Cost {
    /// Of running `program`, which must succeed.
    ///
    /// GNU time stands between, because its memory is small: what the kernel reports as the most
    /// memory of a process is never less than what its parent had when it was started.
    #[track_caller]
    pub(crate) fn of(program: &Path, args: &[&str], home: &Path) -> Cost {
        let report = home.join("time");
        let tool = Tool::new("time", home).args(&["-f", "%U %S %M", "-o"]).arg(&report);
        let tool = tool.arg(program).args(args);
        let start = Instant::now();
        let ran = tool.run();
        let wall = start.elapsed();
        ran.ok();
        let report = fs::read_to_string(&report).unwrap();
        let numbers: Vec<f64> =
            report.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let [user, system, kibibytes] = numbers[..] else { panic!("time has said: {report}") };
        Cost { wall, cpu: Duration::from_secs_f64(user + system), memory: kib(kibibytes) }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "time counts in KiB")]
fn kib(number: f64) -> u64 {
    number as u64 * 1024
}

/// The runs of one program.
pub(crate) struct Costs(Vec<Cost>);

impl Costs {
    /// In seconds.
    pub(crate) fn wall(&self) -> f64 {
        median(self.0.iter().map(|cost| cost.wall.as_secs_f64()).collect())
    }

    /// In seconds.
    pub(crate) fn cpu(&self) -> f64 {
        median(self.0.iter().map(|cost| cost.cpu.as_secs_f64()).collect())
    }

    /// In bytes: of all runs the most, not the median.
    pub(crate) fn memory(&self) -> f64 {
        bytes(self.0.iter().map(|cost| cost.memory).max().unwrap_or(0))
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
pub(crate) fn bytes(count: u64) -> f64 {
    count as f64
}

/// A program that takes part.
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) runs: usize,
    pub(crate) run: &'a dyn Fn() -> Cost,
}

impl Side<'_> {
    /// Each run is told as it ends: a median hides how far they are apart.
    fn run(&self, what: &str, turn: usize, costs: &mut Vec<Cost>) {
        if turn >= self.runs {
            return;
        }
        let cost = (self.run)();
        costs.push(cost);
        eprintln!(
            "{what}, run {}: {} {:.3} s, CPU {:.2} s, {:.1} MiB",
            turn + 1,
            self.name,
            cost.wall.as_secs_f64(),
            cost.cpu.as_secs_f64(),
            bytes(cost.memory) / 1048576.0
        );
    }
}

/// Runs A, B, A, B and so on, so that whatever else the machine does meets both. Where B is to
/// run less often than A, A runs alone at the end.
pub(crate) fn in_turn(what: &str, ours: &Side<'_>, theirs: &Side<'_>) -> (Costs, Costs) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for turn in 0..ours.runs.max(theirs.runs) {
        ours.run(what, turn, &mut a);
        theirs.run(what, turn, &mut b);
    }
    (Costs(a), Costs(b))
}

pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() % 2 {
        1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}
