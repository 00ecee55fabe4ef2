//! Brings an image to the machine, once at a time for all proxies.

use std::time::Duration;

use dybox_engine::{Engine, EngineError, ImageInfo};
use dybox_model::{Cause, Note, PullPolicy, TaskSpec};
use dybox_store::layout::{Home, Machine};
use tokio::time::Instant;

use crate::slot::hold;

/// At most four notes on a pull's progress a second.
const NOTE_EVERY: Duration = Duration::from_millis(250);
/// A pull without a limit of its own.
const PULL_MOST: Duration = Duration::from_secs(3600);

/// Why an image did not come.
#[derive(Debug)]
pub(crate) struct NoImage {
    pub(crate) cause: Cause,
    pub(crate) text: String,
}

impl From<EngineError> for NoImage {
    fn from(error: EngineError) -> Self {
        Self { cause: error.cause(), text: error.to_string() }
    }
}

/// Makes sure that the image of `spec` is there, and tells what it is.
pub(crate) async fn ensure(
    engine: &Engine,
    home: &Home,
    spec: &TaskSpec,
    note: impl Fn(Note) + Send + Sync,
) -> Result<ImageInfo, NoImage> {
    let wanted = spec.pinned.as_deref().unwrap_or(&spec.image);
    // `always` means once a run: what is pinned was asked for in this run.
    let ask_first = spec.pull == PullPolicy::Always && spec.pinned.is_none();
    if !ask_first && let Some(info) = engine.image(wanted).await? {
        return Ok(info);
    }
    if spec.pull == PullPolicy::Never {
        return Err(NoImage { cause: Cause::ImageMissing, text: format!("the engine has no {wanted}") });
    }
    let lock = home.path(&Machine::pull(&spec.image));
    let held = hold(&lock).await;
    let _held = held.map_err(|error| NoImage { cause: Cause::StoreFailed, text: error.to_string() })?;
    // Whoever held the lock before us may have brought it.
    if !ask_first && let Some(info) = engine.image(wanted).await? {
        return Ok(info);
    }
    pull(engine, spec, &note).await?;
    found(engine, spec).await
}

async fn pull(engine: &Engine, spec: &TaskSpec, note: &(impl Fn(Note) + Send + Sync)) -> Result<(), NoImage> {
    let name = &spec.image;
    let limit = spec.timeout.pull.map_or(PULL_MOST, |limit| Duration::from_millis(limit.0));
    tracing::info!(image = name, "pulling");
    note(Note::Pulling { image: name.clone(), have: 0, total: 0 });
    let mut said = Instant::now();
    let progress = |have, total| {
        if said.elapsed() >= NOTE_EVERY {
            said = Instant::now();
            note(Note::Pulling { image: name.clone(), have, total });
        }
    };
    let pulled = engine.pull(name, limit, progress).await;
    let image = name.clone();
    note(if pulled.is_ok() { Note::Pulled { image } } else { Note::NotPulled { image } });
    pulled.map_err(|error| match error.kind {
        dybox_engine::Kind::Timeout => NoImage { cause: Cause::PullTimeout, text: error.to_string() },
        _ => error.into(),
    })
}

async fn found(engine: &Engine, spec: &TaskSpec) -> Result<ImageInfo, NoImage> {
    let no = |text| NoImage { cause: Cause::ImageNotFound, text };
    let Some(info) = engine.image(&spec.image).await? else {
        return Err(no(format!("{} is not there after it was pulled", spec.image)));
    };
    match &spec.pinned {
        Some(pinned) if *pinned != info.id => {
            // It was removed from the machine in the middle of the run, and its tag has moved since.
            let there = engine.image(pinned).await?;
            there.ok_or_else(|| no(format!("this run began with {} = {pinned}, now it is {}", spec.image, info.id)))
        }
        _ => Ok(info),
    }
}
