//! One image for the node's agent, which has no run: the same pull, under the same locks, noted in the same ledger.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use dybox_engine::{Engine, EngineConf};
use dybox_model::roster::Arrival;
use dybox_model::{Millis, Note};
use dybox_store::layout::Home;
use tokio::sync::mpsc;

use crate::error::ProxyError;
use crate::image::{Wanted, ensure};
use crate::serve::{log_to_stderr, runtime};

/// An image, and where it is noted that it was brought.
#[derive(Debug, Clone)]
pub struct BringConf {
    /// The agent's own home.
    pub home: PathBuf,
    /// Which engine, and with which logins.
    pub engine: EngineConf,
    /// The image, as a job file names it.
    pub image: String,
}

/// Brings an image that is not there, and tells how that went; nothing where it is there, or somebody else of this
/// machine brought it meanwhile. Makes an event loop of its own: call it from a plain thread. Logs to stderr.
///
/// # Errors
/// [`ProxyError`] when it could not begin. What the engine or the registry refuses is in the answer.
pub fn bring_image(conf: &BringConf) -> Result<Option<Arrival>, ProxyError> {
    log_to_stderr();
    let runtime = runtime()?;
    let brought = runtime.block_on(bring(conf));
    runtime.shutdown_background();
    brought
}

async fn bring(conf: &BringConf) -> Result<Option<Arrival>, ProxyError> {
    let engine = Engine::connect(conf.engine.clone()).await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    let note = |note| {
        // The other end is read below.
        let _ = tell.send(note);
    };
    let wanted = Wanted::in_advance(&conf.image, None);
    let found = ensure(&engine, &Home::new(&conf.home), &wanted, note).await;
    let mut arrival = None;
    while let Ok(note) = told.try_recv() {
        if let Note::Brought { image, took, why, .. } = note {
            arrival = Some(Arrival { image, took, at: now(), why });
        }
    }
    let refused = found.err().map(|no| Arrival { image: conf.image.clone(), at: now(), why: no.text, took: Millis(0) });
    Ok(arrival.or(refused))
}

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
