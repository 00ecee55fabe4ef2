//! What can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::command;
use crate::conf::ColorChoice;

/// Runs DAGs of Docker containers.
#[derive(Debug, Parser)]
#[command(
    name = "dybox",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Start with:\n  dybox doctor             is everything there that is needed?\n  dybox check job.yaml     all problems of a job file at once\n  dybox run job.yaml       run it and follow it\n  dybox help run           every option of a command"
)]
pub(crate) struct Args {
    /// Settings that every command knows.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What people of other tools type, and what they mean by it.
const OTHER_WORDS: [(&str, &str); 17] = [
    ("list", "ps"),
    ("ls", "ps"),
    ("submit", "run"),
    ("apply", "run"),
    ("start", "run"),
    ("get", "status"),
    ("describe", "status"),
    ("inspect", "status"),
    ("lint", "check"),
    ("validate", "check"),
    ("kill", "stop"),
    ("terminate", "stop"),
    ("cancel", "stop"),
    ("rm", "prune"),
    ("delete", "prune"),
    ("retry", "resume"),
    ("stats", "top"),
];

impl Args {
    /// The command line of this process. Ends the process where it asks for help, or is wrong.
    pub(crate) fn given() -> Self {
        Self::of(std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
    }

    /// `help COMMAND` and `version` are what every such tool knows, too.
    fn of(mut words: Vec<OsString>) -> clap::error::Result<Self> {
        match words.get(1).and_then(|word| word.to_str()) {
            Some("help") => {
                words.remove(1);
                words.push("--help".into());
            }
            Some("version") if words.len() == 2 => words[1] = "--version".into(),
            _ => {}
        }
        Self::try_parse_from(words).map_err(|mut error| {
            let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
            if let Some((_, ours)) = OTHER_WORDS.iter().find(|(theirs, _)| theirs == word)
                && error.kind() == ErrorKind::InvalidSubcommand
            {
                let ours = ContextValue::Strings(vec![(*ours).to_owned()]);
                error.insert(ContextKind::SuggestedSubcommand, ours);
            }
            error
        })
    }
}

/// Settings that every command knows. They win over the environment and the configuration files.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Directory of runs, logs and journals [default: the user's data directory]
    #[arg(long, global = true, value_name = "DIR", hide_short_help = true)]
    pub home: Option<PathBuf>,
    /// Address of the Docker engine [default: DOCKER_HOST or the default socket]
    #[arg(long, global = true, value_name = "URL", hide_short_help = true)]
    pub docker_host: Option<String>,
    /// Use the YARN cluster [default: where a YARN configuration is found]
    #[arg(long, global = true, conflicts_with = "local")]
    pub yarn: bool,
    /// Use this machine
    #[arg(long, global = true)]
    pub local: bool,
    /// Colour: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", hide_short_help = true)]
    pub color: Option<ColorChoice>,
    /// Show the whole chain of causes of an error
    #[arg(long, global = true, hide_short_help = true)]
    pub debug: bool,
}

/// The commands, in the order in which a person meets them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(command::run::Args),
    Shell(Box<command::shell::Args>),
    Stop(command::stop::Args),
    Resume(command::resume::Args),
    Rerun(command::rerun::Args),
    Session(command::session::Args),
    Check(command::check::Args),
    Plan(command::plan::Args),
    Graph(command::graph::Args),
    Ps(command::ps::Args),
    Status(command::status::Args),
    Watch(command::watch::Args),
    Top(command::top::Args),
    Logs(command::logs::Args),
    Why(command::why::Args),
    Exec(command::exec::Args),
    Cp(command::cp::Args),
    Gc(command::gc::Args),
    Prune(command::prune::Args),
    Nodes(command::nodes::Args),
    Doctor(command::doctor::Args),
    Explain(command::explain::Args),
    Import(command::import::Args),
    Schema(command::schema::Args),
    Completions(command::completions::Args),
    StateServer(command::state_server::Args),
    Node(command::node::Args),
    #[command(hide = true)]
    Docs(command::docs::Args),
    #[command(flatten)]
    Part(Part),
}

/// What DYbox itself starts.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    #[command(hide = true)]
    Master(command::part::MasterArgs),
    #[command(hide = true)]
    Proxy(command::part::ProxyArgs),
    #[command(hide = true)]
    SweepHome(command::sweep_home::Args),
    #[command(hide = true)]
    BringImage(command::bring_image::Args),
    #[command(hide = true)]
    ImageId(command::image_id::Args),
}

/// A command line that starts with a part's name.
#[derive(Debug, Parser)]
#[command(name = "dybox")]
struct PartLine {
    #[command(subcommand)]
    part: Part,
}

impl Part {
    /// The part that this process is started as. Nothing where the command line is wrong, too: [`Args`] then says why.
    pub(crate) fn given() -> Option<Self> {
        let parts = ["master", "proxy", "sweep-home", "bring-image", "image-id"];
        let is_part = std::env::args_os().nth(1).is_some_and(|word| parts.iter().any(|part| word == *part));
        if is_part { PartLine::try_parse().ok().map(|line| line.part) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        Args::of(line.split(' ').map(OsString::from).collect()).unwrap_err().to_string()
    }

    #[test]
    fn words_of_other_tools_lead_to_ours() {
        for (theirs, ours) in OTHER_WORDS {
            let told = said(&format!("dybox {theirs} x"));
            assert!(told.contains(&format!("exists: '{ours}'")), "{theirs}: {told}");
        }
    }

    #[test]
    fn help_and_version_are_words_too() {
        assert!(said("dybox help run").contains("--detach"));
        assert!(said("dybox help session start").contains("--grants"));
        assert!(said("dybox help").contains("Start with"));
        assert!(said("dybox version").starts_with("dybox "));
    }
}
