//! Brings an image to the machine, once at a time for all proxies.

use std::time::Duration;

use dybox_engine::{Engine, EngineError, ImageInfo};
use dybox_model::{Cause, Login, Millis, Note, PullPolicy, StageId, TaskSpec};
use dybox_store::layout::{Home, Machine};
use tokio::time::Instant;

use crate::orphans::{note_pulled, note_used};
use crate::ports::Ports;
use crate::slot::hold;
use crate::{policy, pulls, secrets};

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

/// An image that somebody wants, and how.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    image: &'a str,
    /// What the run means by it.
    pinned: Option<&'a str>,
    pull: PullPolicy,
    limit: Duration,
    /// Of the task that waits for it.
    stage: Option<StageId>,
    /// Instead of docker's own on this machine.
    login: Option<Login>,
}

impl<'a> Wanted<'a> {
    /// For a task.
    pub(crate) fn of(spec: &'a TaskSpec, login: Option<Login>) -> Self {
        let limit = spec.timeout.pull.map_or(PULL_MOST, |limit| Duration::from_millis(limit.0));
        let (pinned, stage) = (spec.pinned.as_deref(), Some(spec.attempt.task.stage));
        Self { image: &spec.image, pinned, pull: spec.pull, limit, stage, login }
    }

    /// For a task that may come.
    pub(crate) const fn in_advance(image: &'a str, login: Option<Login>) -> Self {
        Self { image, pinned: None, pull: PullPolicy::Missing, limit: PULL_MOST, stage: None, login }
    }
}

/// Brings an image before a task needs it. What fails here is told where it is needed.
pub(crate) async fn prefetch(ports: Ports, image: String) {
    if !policy::allows_image(&image) {
        return tracing::info!(image, "not brought in advance: the policy of this machine does not allow it");
    }
    let wanted = Wanted::in_advance(&image, secrets::handed(&ports, &image).await);
    let brought = match ports.engine().await {
        Ok(known) => ensure(&known.engine, &ports.places.home, &wanted, |note| ports.note(note)).await,
        Err(error) => Err(error.into()),
    };
    match brought {
        Ok(info) => tracing::info!(image, id = info.id, "it is there before it is needed"),
        Err(no) => tracing::info!(image, "not brought in advance: {}", no.text),
    }
}

/// Makes sure that an image is there, and tells what it is. Notes how it came, where it was not there.
pub(crate) async fn ensure(
    engine: &Engine,
    home: &Home,
    spec: &Wanted<'_>,
    note: impl Fn(Note) + Send + Sync,
) -> Result<ImageInfo, NoImage> {
    let wanted = spec.pinned.unwrap_or(spec.image);
    // `always` means once a run: what is pinned was asked for in this run.
    let ask_first = spec.pull == PullPolicy::Always && spec.pinned.is_none();
    if !ask_first && let Some(info) = engine.image(wanted).await? {
        note_used(home, &info.id);
        return Ok(info);
    }
    if spec.pull == PullPolicy::Never {
        return Err(NoImage { cause: Cause::ImageMissing, text: format!("the engine has no {wanted}") });
    }
    let start = Instant::now();
    let brought = bring(engine, home, (spec, ask_first), &note).await;
    let why = match (&brought, spec.stage) {
        (Ok((_, pulled)), stage) if *pulled || stage.is_some() => Some(String::new()),
        (Err(no), None) => Some(no.text.clone()),
        // Somebody else brought what was to come in advance; or a task's end tells why it did not come.
        _ => None,
    };
    if let Some(why) = why {
        let took = Millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        note(Note::Brought { image: spec.image.to_owned(), stage: spec.stage, took, why });
    }
    brought.map(|(info, _)| info)
}

/// The image, and whether this pulled it: somebody else of this machine may have.
async fn bring(
    engine: &Engine,
    home: &Home,
    (spec, ask_first): (&Wanted<'_>, bool),
    note: &(impl Fn(Note) + Send + Sync),
) -> Result<(ImageInfo, bool), NoImage> {
    let lock = home.path(&Machine::pull(spec.image));
    let held = hold(&lock).await;
    let _held = held.map_err(|error| NoImage { cause: Cause::StoreFailed, text: error.to_string() })?;
    let _all = pulls::hold(spec.image, pulls::PATIENCE.min(spec.limit)).await;
    if !ask_first && let Some(info) = engine.image(spec.pinned.unwrap_or(spec.image)).await? {
        note_used(home, &info.id);
        return Ok((info, false));
    }
    let before = engine.images().await;
    pull(engine, spec, note).await?;
    let info = found(engine, spec).await?;
    // Without both lists nobody knows who brought it, and who did not bring it must not remove it.
    match (before, engine.images().await) {
        (Ok(before), Ok(after)) => note_pulled(home, &info.id, &before, &after),
        _ => note_used(home, &info.id),
    }
    Ok((info, true))
}

async fn pull(engine: &Engine, spec: &Wanted<'_>, note: &(impl Fn(Note) + Send + Sync)) -> Result<(), NoImage> {
    let name = spec.image;
    tracing::info!(image = name, "pulling");
    note(Note::Pulling { image: name.to_owned(), have: 0, total: 0 });
    let mut said = Instant::now();
    let progress = |have, total| {
        if said.elapsed() >= NOTE_EVERY {
            said = Instant::now();
            note(Note::Pulling { image: name.to_owned(), have, total });
        }
    };
    let pulled = engine.pull(name, spec.limit, spec.login.clone(), progress).await;
    let image = name.to_owned();
    note(if pulled.is_ok() { Note::Pulled { image } } else { Note::NotPulled { image } });
    pulled.map_err(|error| match error.kind {
        dybox_engine::Kind::Timeout => NoImage { cause: Cause::PullTimeout, text: error.to_string() },
        _ => error.into(),
    })
}

async fn found(engine: &Engine, spec: &Wanted<'_>) -> Result<ImageInfo, NoImage> {
    let no = |text| NoImage { cause: Cause::ImageNotFound, text };
    let Some(info) = engine.image(spec.image).await? else {
        return Err(no(format!("{} is not there after it was pulled", spec.image)));
    };
    match spec.pinned {
        Some(pinned) if pinned != info.id => {
            // It was removed from the machine in the middle of the run, and its tag has moved since.
            let there = engine.image(pinned).await?;
            there.ok_or_else(|| no(format!("this run began with {} = {pinned}, now it is {}", spec.image, info.id)))
        }
        _ => Ok(info),
    }
}
