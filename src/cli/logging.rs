use log::{LevelFilter, Log, Metadata, Record};

use crate::cli::output::Output;

/// What of the log is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// What windlass itself says, from that level on.
    Level(LevelFilter),
    /// As env_logger reads it.
    Text(String),
}

/// Shows the log from here on.
pub(crate) fn start(filter: &Filter, output: Output) {
    let mut builder = env_logger::Builder::new();
    match filter {
        Filter::Level(level) => {
            builder.filter_level(LevelFilter::Warn.min(*level));
            builder.filter_module("windlass", *level);
        }
        Filter::Text(text) => {
            builder.parse_filters(text);
        }
    }
    let filter = builder.build();
    log::set_max_level(filter.filter());
    let shown = Shown { filter, output };
    // Nobody else sets a logger in this process.
    let _ = log::set_boxed_logger(Box::new(shown));
}

struct Shown {
    filter: env_logger::Logger,
    output: Output,
}

impl Log for Shown {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !tells_secrets(metadata) && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !tells_secrets(record.metadata()) && self.filter.matches(record) {
            self.output.log(record.level(), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// The HTTP and TLS libraries print headers, signed URLs and bodies when they debug, so they never
/// may, whatever the filter says.
fn tells_secrets(metadata: &Metadata<'_>) -> bool {
    let chatty = ["ureq", "rustls"].iter().any(|name| metadata.target().starts_with(name));
    chatty && metadata.level() > log::Level::Info
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn libraries_that_print_secrets_are_never_debugged() {
        let check = |target, level, expected| {
            let metadata = Metadata::builder().target(target).level(level).build();
            assert_eq!(tells_secrets(&metadata), expected, "{target} {level}");
        };
        check("ureq::run", Level::Debug, true);
        check("ureq_proto::client", Level::Trace, true);
        check("rustls::client", Level::Debug, true);
        check("ureq", Level::Warn, false);
        check("windlass::registry", Level::Trace, false);
    }
}
