//! Takes images from an engine whose disk is full.

use std::path::Path;
use std::time::Duration;

use dybox_engine::{Engine, EngineError, ImageListed};
use dybox_model::sweep::HomeSweep;
use tokio::time::timeout;

use super::choose::{Shelf, choose, is_enough, is_pressed};
use crate::conf::Conf;
use crate::probe::{disk, now};

/// For everything: an image of many layers takes an engine a while.
const LIMIT: Duration = Duration::from_secs(300);

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) images: u32,
    pub(super) bytes: u64,
}

/// Removes what is to go, one after another, until there is room enough.
pub(super) async fn collect(conf: &Conf, homes: &[HomeSweep], dry_run: bool) -> Result<Gone, String> {
    let work = timeout(LIMIT, collect_now(conf, homes, dry_run)).await;
    work.map_err(|_| format!("not done after {} s", LIMIT.as_secs()))?.map_err(|error| error.to_string())
}

async fn collect_now(conf: &Conf, homes: &[HomeSweep], dry_run: bool) -> Result<Gone, EngineError> {
    let rules = &conf.cleaning.images;
    let engine = Engine::connect(conf.engine.clone()).await?;
    let root = engine.info().await?.root_dir;
    let look = || disk("engine", Path::new(&root));
    let Some(seen) = look().filter(|seen| is_pressed(rules, seen)) else { return Ok(Gone::default()) };
    let shelf = Shelf::of(homes, engine.images().await?, engine.images_in_use().await?);
    let mut gone = Gone::default();
    for image in choose(rules, &seen, &shelf, now()) {
        // Sizes count what images share, and others fill the disk meanwhile: what is free now is the truth.
        if !dry_run && (look().is_some_and(|seen| is_enough(rules, &seen)) || !remove(&engine, image).await?) {
            continue;
        }
        gone.images += 1;
        gone.bytes = gone.bytes.saturating_add(image.size);
    }
    Ok(gone)
}

/// Takes its names, and with the last one the image. False where the engine says that something needs it.
async fn remove(engine: &Engine, image: &ImageListed) -> Result<bool, EngineError> {
    let name = image.names.first().unwrap_or(&image.id);
    tracing::info!(image = name, id = image.id, size = image.size, "the disk is full: removing an image");
    let id = std::slice::from_ref(&image.id);
    for name in if image.names.is_empty() { id } else { &image.names } {
        // With a tag the engine takes the digests of the same repository, too.
        if !engine.remove_image(name).await? && engine.image(&image.id).await?.is_some() {
            tracing::info!(image = name, "the engine keeps it");
            return Ok(false);
        }
    }
    Ok(engine.image(&image.id).await?.is_none())
}
