//! The user binary: arguments, configuration, reports, composition.
//!
//! Enters: a command line, configuration files, the environment. Leaves: data on stdout, hints and errors on stderr, an
//! exit code. Never: a decision about a run (that is `logic`), or a print outside of `report`.

mod args;
mod command;
mod conf;
mod live;
mod report;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    ExitCode::from(command::run(args))
}
