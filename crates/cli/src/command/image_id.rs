//! `dybox image-id`: what an image's name stands for now, told by a process that a master starts for it.

use dybox_engine::{Engine, EngineConf};
use dybox_model::ExitCode;

use super::{Outcome, runtime};
use crate::report::{Failure, Screen};

/// One image.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The image, as a job file names it.
    pub image: String,
    /// Only where it is what the registry has now.
    #[arg(long)]
    pub newest: bool,
}

/// Prints its id; an empty line where the engine has none of this name.
pub(crate) fn run(args: &Args) -> Outcome {
    let id = runtime()?.block_on(id_of(args)).map_err(|error| {
        Failure::new(ExitCode::Unreachable, format!("what {} stands for is not known", args.image)).because(error)
    })?;
    Screen::plain(false).line(&id)?;
    Ok(ExitCode::Ok as u8)
}

async fn id_of(args: &Args) -> Result<String, dybox_engine::EngineError> {
    let engine = Engine::connect(EngineConf::default()).await?;
    let Some(image) = engine.image(&args.image).await? else { return Ok(String::new()) };
    if args.newest {
        let digest = engine.registry_digest(&args.image).await?;
        let known = |name: &String| name.rsplit_once('@').is_some_and(|(_, known)| known == digest);
        if !image.digests.iter().any(known) {
            return Ok(String::new());
        }
    }
    Ok(image.id)
}
