//! `dybox completions`: what a shell must read to complete `dybox` command lines.

use clap_complete::env::Shells;
use dybox_model::ExitCode;

use super::{Context, Outcome};
use crate::complete::VAR;
use crate::report::{Failure, codes};

/// Prints what makes a shell complete command lines, run ids and stages too
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Once, in the shell's own start file:\n  bash:  echo 'source <(dybox completions bash)' >> ~/.bashrc\n  zsh:   echo 'source <(dybox completions zsh)' >> ~/.zshrc      (after compinit)\n  fish:  echo 'dybox completions fish | source' >> ~/.config/fish/config.fish"
)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Shells that are completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    /// From version 4.4
    Bash,
    /// From version 5
    Zsh,
    /// From version 3
    Fish,
}

/// Prints.
pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let failed = || Failure::coded(codes::INTERNAL, format!("there are no completions for {name}"));
    let shells = Shells::builtins();
    let shell = shells.completer(name).ok_or_else(failed)?;
    let mut script = Vec::new();
    shell.write_registration(VAR, "dybox", "dybox", &program(), &mut script).map_err(|e| failed().source(e))?;
    context.screen.bytes(&script)?;
    Ok(ExitCode::Ok as u8)
}

/// What the shell is to ask: `dybox` by its name, so that the one that is installed answers, unless it was called by a
/// path.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    match called.contains('/') {
        true => std::path::absolute(&called).map_or(called, |path| path.display().to_string()),
        false => "dybox".to_owned(),
    }
}
