//! An engine that can't be reached makes its proxy useless: it says so and goes, and its master looks elsewhere.

use std::time::Duration;

use dybox_engine::{Engine, EngineError, Kind};
use dybox_logic::proxy::Event;
use dybox_model::Note;
use tokio::time::{Instant, sleep, timeout};

use crate::ports::Ports;

/// An engine that restarts is back within this.
const PATIENCE: Duration = Duration::from_secs(6);
/// One that hangs is waited for a little longer.
const HANGS: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_millis(500);
/// Between two signs of life that are asked for.
const PULSE: Duration = Duration::from_secs(5);

/// Gives the grant up where the engine stays out of reach. On one machine there is nowhere else to go.
pub(crate) async fn give_up_without(ports: Ports, used: bool) {
    let Some(far) = ports.places.far.clone() else { return };
    let why = match timeout(HANGS, until_reached(&ports, used)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => (error.to_string(), Some(error.cause())),
        Err(_) => (format!("the engine does not answer within {} s", HANGS.as_secs()), None),
    };
    let cause = why.1.unwrap_or(dybox_model::Cause::EngineDown);
    let text = format!("no task can run on {}: {}", far.host, why.0);
    tracing::error!(text, "giving up");
    ports.note(Note::Warns { text: text.clone(), cause: Some(cause) });
    ports.tell(Event::EngineLost { why: text });
}

async fn until_reached(ports: &Ports, used: bool) -> Result<(), EngineError> {
    let end = Instant::now() + PATIENCE;
    loop {
        match reached(ports, used).await {
            Err(error) if Instant::now() < end => tracing::info!(%error, "no engine"),
            done => return done,
        }
        sleep(AGAIN).await;
    }
}

/// A ping proves little of an engine that failed before.
async fn reached(ports: &Ports, used: bool) -> Result<(), EngineError> {
    let known = ports.engine().await?;
    if used {
        known.engine.list(Some(ports.places.run_id.as_str())).await?;
    }
    Ok(())
}

/// Returns when the engine gives no sign of life twice in a row: a busy one may need a minute for a container, but it
/// answers to a ping.
pub(crate) async fn until_it_hangs(engine: &Engine) -> EngineError {
    let mut silent = 0;
    loop {
        sleep(PULSE).await;
        match engine.ping().await {
            Err(error) if error.kind == Kind::Timeout && silent > 0 => return error,
            Err(error) if error.kind == Kind::Timeout => silent += 1,
            _ => silent = 0,
        }
    }
}
