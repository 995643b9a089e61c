//! What pulling and exporting cost, side by side with curl, skopeo and openssl:
//! `cargo bench --bench windlass`.
//!
//! A table of the numbers that windlass is to hold, in one run: each program in turn, medians,
//! and the bound beside each. Debian's docker-registry serves on the loopback interface; where a
//! rate is to be kept or nothing is to lie on the disk, the registry of `tests/support`.
//!
//! `tests/interop/install` installs the programs it needs.

#![expect(clippy::unwrap_used, reason = "a panic is how a run fails")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]
#![expect(clippy::disallowed_methods, reason = "fills the storage of a server that is not ours")]

mod contest;
mod costs;
mod export;
mod import;
mod options;
mod rows;
mod server;
#[expect(dead_code, unused_imports, reason = "not everything of the tests is needed")]
#[path = "../support/mod.rs"]
mod support;
mod table;
#[expect(dead_code, reason = "not everything of the tests is needed")]
#[path = "../interop/tool.rs"]
mod tool;

use crate::contest::Contest;
use crate::options::Options;

fn main() {
    let options: Options = argh::from_env();
    let contest = Contest::new(&options);
    println!("{}\n", contest.conditions());
    let mut lines = Vec::new();
    for (group, measure) in rows::GROUPS {
        if options.wants(group) {
            lines.extend(measure(&contest));
        }
    }
    println!("{}", table::table(&lines));
}
