//! `dybox bring-image`: one image, brought by a process that the node's agent starts for it.
//!
//! Without a login: what the agent's user may read in a registry is not for everybody who may run containers here.

use std::path::PathBuf;

use dybox_engine::EngineConf;
use dybox_model::ExitCode;
use dybox_proxy::{BringConf, bring_image};

use super::Outcome;
use crate::report::{Failure, Screen};

/// One image.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, as a job file names it.
    pub image: String,
    /// The agent's home, where it is noted.
    #[arg(long)]
    pub home: PathBuf,
}

/// Brings it, and says in one line of JSON how that went.
pub(crate) fn run(args: &Args) -> Outcome {
    let engine = EngineConf { config_dir: None, ..EngineConf::default() };
    let conf = BringConf { home: args.home.clone(), engine, image: args.image.clone() };
    let arrival = bring_image(&conf).map_err(|e| {
        let next = e.advice();
        Failure::new(ExitCode::Unreachable, e.to_string()).next(next).because(e)
    })?;
    Screen::plain(false).line(&serde_json::to_string(&arrival)?)?;
    Ok(ExitCode::Ok as u8)
}
