//! The `windlass` command.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
