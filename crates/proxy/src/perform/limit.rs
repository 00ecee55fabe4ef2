//! Another memory limit for a container that runs.

use dybox_model::{AttemptId, format_bytes};

use crate::inbox::Arrived;
use crate::ports::Ports;

/// Has the engine set it, and tells what came of it.
pub(super) async fn set(ports: Ports, attempt: AttemptId, container: Option<String>, memory: u64) {
    let done = match container {
        Some(container) => apply(&ports, &container, memory).await,
        None => Err("its container does not run".to_owned()),
    };
    let why_not = done.err();
    match &why_not {
        None => tracing::info!("attempt={attempt} has {} of memory now", format_bytes(memory)),
        Some(why) => tracing::info!("attempt={attempt} does not get {} of memory: {why}", format_bytes(memory)),
    }
    ports.arrive(Arrived::Limited(attempt, memory, why_not));
}

async fn apply(ports: &Ports, container: &str, memory: u64) -> Result<(), String> {
    let known = ports.engine().await.map_err(|error| error.to_string())?;
    match known.engine.limit_memory(container, memory).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("its container does not run".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
