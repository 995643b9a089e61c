//! What is measured, and the bounds.

use std::fs;
use std::path::Path;

use crate::contest::Contest;
use crate::costs::{Cost, Side, bytes, in_turn, median};
use crate::export;
use crate::import;
use crate::support::{Fault, Image, Registry};
use crate::table::{Line, mebibytes, milliseconds, seconds};

pub(crate) const MIB: u64 = 1 << 20;

/// What each connection gives in the throttled rows, in bytes a second.
const RATE: u64 = 20_000_000;

/// Most memory of any pull, export or import, in bytes.
pub(crate) const MEMORY: f64 = 12.0 * 1048576.0;

/// Measures some rows of the table.
type Measure = fn(&Contest<'_>) -> Vec<Line>;

/// What the command line calls the rows, and the rows.
pub(crate) const GROUPS: &[(&str, Measure)] = &[
    ("gigabyte", gigabyte),
    ("layers", layers),
    ("small", small),
    ("throttled", throttled),
    ("memory", memory),
    ("export", export::gigabyte),
    ("export-layers", export::layers),
    ("export-memory", export::memory),
    ("import", import::import),
    ("import-memory", import::memory),
    ("start", start),
];

fn gigabyte(contest: &Contest<'_>) -> Vec<Line> {
    let image = contest.server.put("gigabyte", &[1024 * MIB]);
    let host = &contest.server.host;
    let name = format!("{host}/gigabyte:1");
    let mut lines = pair(
        contest,
        "1 GiB in one layer, --no-sync",
        &|| contest.windlass(&["--no-sync"], &name, &image),
        ("curl", &|| contest.curl(host, "gigabyte", &image)),
        Bounds { wall: Some(1.0), cpu: None },
    );
    lines.extend(pair(
        contest,
        "1 GiB in one layer",
        &|| contest.windlass(&[], &name, &image),
        ("skopeo", &|| contest.skopeo(&name, &image)),
        Bounds { wall: Some(0.45), cpu: None },
    ));
    lines
}

fn layers(contest: &Contest<'_>) -> Vec<Line> {
    let sizes = [3, 61, 12, 44, 7, 38, 24, 41].map(|size| size * MIB);
    let bounds = Bounds { wall: Some(0.6), cpu: Some(0.8) };
    beside_skopeo(contest, "8 layers, 230 MiB in all", &sizes, bounds)
}

fn small(contest: &Contest<'_>) -> Vec<Line> {
    let bounds = Bounds { wall: Some(0.6), cpu: None };
    beside_skopeo(contest, "80 layers of 200 KiB", &[200 * 1024; 80], bounds)
}

fn beside_skopeo(contest: &Contest<'_>, what: &str, sizes: &[u64], bounds: Bounds) -> Vec<Line> {
    let repository = format!("layers-{}", sizes.len());
    let image = contest.server.put(&repository, sizes);
    let name = format!("{}/{repository}:1", contest.server.host);
    pair(
        contest,
        what,
        &|| contest.windlass(&[], &name, &image),
        ("skopeo", &|| contest.skopeo(&name, &image)),
        bounds,
    )
}

/// The most that a ratio to another program may be.
pub(crate) struct Bounds {
    pub(crate) wall: Option<f64>,
    pub(crate) cpu: Option<f64>,
}

/// Wall time, CPU time and memory of windlass and another program.
pub(crate) fn pair(
    contest: &Contest<'_>,
    what: &str,
    ours: &dyn Fn() -> Cost,
    (peer, theirs): (&str, &dyn Fn() -> Cost),
    bounds: Bounds,
) -> Vec<Line> {
    // The first to use memory that the machine has not used for long pays for it.
    ours();
    theirs();
    let runs = contest.options.runs;
    let (ours, theirs) = in_turn(
        what,
        &Side { name: "windlass", runs, run: ours },
        &Side { name: peer, runs, run: theirs },
    );
    let (our_cpu, their_cpu) = (ours.cpu(), theirs.cpu());
    vec![
        Line::ratio(what, seconds, ours.wall(), (peer, theirs.wall()), bounds.wall),
        Line::ratio("  CPU", seconds, our_cpu, (peer, their_cpu), bounds.cpu),
        Line::absolute("  peak memory", mebibytes, ours.memory(), MEMORY)
            .beside(peer, mebibytes(theirs.memory())),
    ]
}

/// The server's pace decides how long one connection takes, so that one run of it is enough.
fn throttled(contest: &Contest<'_>) -> Vec<Line> {
    let registry = Registry::start();
    registry.fail_always("GET /v2/*/blobs/*", Fault::Throttle { bytes_per_second: RATE });
    let size = contest.options.throttled;
    let image = Image::of_size(size * MIB);
    let name = registry.push(&image, "throttled:1");
    let what = format!("{size} MiB, 20 MB/s a connection");
    let runs = contest.options.runs.min(2);
    let windlass = || contest.windlass(&[], &name, &image);
    let curl = || contest.curl(&registry.host(), "throttled", &image);
    let (ours, one) = in_turn(
        &what,
        &Side { name: "windlass", runs, run: &windlass },
        &Side { name: "one connection", runs: 1, run: &curl },
    );
    vec![Line::ratio(&what, seconds, ours.wall(), ("one connection", one.wall()), Some(0.16))]
}

fn memory(contest: &Contest<'_>) -> Vec<Line> {
    let registry = Registry::start();
    let mut peaks = Vec::new();
    let mut lines = Vec::new();
    for (layer, size) in [("1 MiB", 1), ("256 MiB", 256), ("1 GiB", 1024), ("4 GiB", 4096)] {
        let image = Image::of_size(size * MIB);
        let name = registry.push(&image, "memory:1");
        let what = format!("peak memory, {layer} layer");
        let peak = bytes(contest.windlass(&["--no-sync"], &name, &image).memory);
        lines.push(Line::absolute(&what, mebibytes, peak, MEMORY));
        peaks.push(peak);
    }
    peaks.sort_by(f64::total_cmp);
    let apart = peaks[peaks.len() - 1] - peaks[0];
    lines.push(Line::absolute("these, from each other", mebibytes, apart, bytes(2 * MIB)));
    lines
}

fn start(contest: &Contest<'_>) -> Vec<Line> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        ours.push(contest.start(&contest.options.windlass, &["--version"]).as_secs_f64());
        theirs.push(contest.start(Path::new("/bin/true"), &[]).as_secs_f64());
    }
    let what = "start, windlass --version";
    let start = Line::more(what, milliseconds, median(ours), ("true", median(theirs)), 0.003);
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/windlass");
    let what = "static binary";
    let size = match fs::metadata(binary) {
        Ok(metadata) => Line::absolute(what, mebibytes, bytes(metadata.len()), bytes(5 * MIB)),
        Err(_) => Line::missing(what, "needs `make static`"),
    };
    vec![start, size]
}
