//! The user binary: arguments, configuration, reports, composition.
//!
//! Enters: a command line, configuration files, the environment. Leaves: data on stdout, hints and errors on stderr, an
//! exit code. Never: a decision about a run (that is `logic`), or a print outside of `report`.

mod args;
mod command;
mod complete;
mod conf;
mod live;
mod report;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A node may run hundreds of parts: they start without the memory and the time that all commands' options take.
    if let Some(part) = args::Part::given() {
        return ExitCode::from(command::run_part(part, false));
    }
    complete::answer();
    ExitCode::from(command::run(args::Args::given()))
}
