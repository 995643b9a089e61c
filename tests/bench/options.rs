//! The arguments after `cargo bench --bench windlass --`.

use std::path::PathBuf;

use argh::FromArgs;

use crate::rows;

/// Measure windlass beside curl and skopeo.
#[derive(FromArgs)]
pub(crate) struct Options {
    /// which rows: gigabyte, layers, small, throttled, memory, export, export-layers,
    /// export-memory, start; all if none is named
    #[argh(positional, from_str_fn(group))]
    groups: Vec<String>,
    /// how often each program of a pair runs, 5 if not told; the throttled row takes fewer
    #[argh(option, default = "5")]
    pub(crate) runs: usize,
    /// the binary to measure, that of `cargo bench` if not told
    #[argh(option, default = "env!(\"CARGO_BIN_EXE_windlass\").into()")]
    pub(crate) windlass: PathBuf,
    /// where to put temporary files, 10 GB at most, on a real disk; below `target` if not told
    #[argh(option, default = "env!(\"CARGO_TARGET_TMPDIR\").into()")]
    pub(crate) scratch: PathBuf,
    /// size of the throttled layer in MiB, 1024 if not told
    #[argh(option, default = "1024")]
    pub(crate) throttled: u64,
    /// what cargo passes
    #[argh(switch, hidden_help)]
    #[expect(dead_code, reason = "cargo passes it to every bench")]
    bench: bool,
}

impl Options {
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }
}

fn group(name: &str) -> Result<String, String> {
    let known: Vec<&str> = rows::GROUPS.iter().map(|(name, _)| *name).collect();
    match known.contains(&name) {
        true => Ok(name.to_owned()),
        false => Err(format!("no rows are called `{name}`: there are {}", known.join(", "))),
    }
}
