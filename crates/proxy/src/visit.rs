//! What people want of a running task beside its payload: a command in its container, files of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{Archive, Engine, EngineConf, EngineError, init_visit};
use dybox_model::{AttemptId, Exec, Visit, Want};
use dybox_wire::MasterClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::conf::Places;
use crate::files::Files;
use crate::line::connect;
use crate::ports::read_secret;
use crate::relay::carry;
use crate::remove::proven;

/// A container that has just been started opens its door soon.
const OPENS: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);
/// The kind of the frame that says what a visitor wants.
const ASK: u8 = 4;

/// Serves one visitor, until it or what it wanted has ended.
pub(crate) async fn visit(
    master: MasterClient,
    places: Arc<Places>,
    (ticket, attempt, visit): (u64, AttemptId, Visit),
) {
    let refused = match &visit.want {
        Want::Exec(exec) => match enter(&places, attempt, exec).await {
            Ok(line) => return carry(master, ticket, line).await,
            Err(error) => format!("the container of {attempt} lets nobody in: {error}"),
        },
        Want::Copy { container, path } => match read(&places, container, path).await {
            Ok(archive) => return send(master, ticket, archive).await,
            Err(why) => why,
        },
    };
    let _ = master.answer(ticket, Err(refused)).await;
}

/// Files of a container that is proven to be of this run: whoever asks may name any.
async fn read(places: &Places, container: &str, path: &str) -> Result<Archive, String> {
    let secret = read_secret(places).map_err(|error| error.to_string())?;
    let said = |error: EngineError| error.to_string();
    let engine = Engine::connect(EngineConf::default()).await.map_err(said)?;
    let seen = engine.inspect(container).await.map_err(said)?.ok_or("its container is gone")?;
    match proven(&seen.name, &seen.labels, &secret) {
        Some(identity) if identity.run == places.run_id => engine.archive(&seen.id, path).await.map_err(said),
        _ => Err("that container is none of this run".to_owned()),
    }
}

/// What is cut off has no end of an archive: who reads it sees that.
async fn send(master: MasterClient, ticket: u64, mut archive: Archive) {
    let Ok(mut pipe) = master.carry(ticket).await else { return };
    while let Ok(Some(bytes)) = archive.next().await {
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = pipe.shutdown().await;
    // The other end hangs up when it has all.
    let _ = pipe.read(&mut [0]).await;
}

/// Knocks at the door of the attempt's init and says what is wanted.
async fn enter(places: &Places, attempt: AttemptId, exec: &Exec) -> io::Result<UnixStream> {
    let out = Files::of(places, attempt).output;
    let until = Instant::now() + OPENS;
    let mut line = loop {
        match connect(&out, "exec.sock").await {
            Ok(line) => break line,
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => sleep(AGAIN).await,
        }
    };
    let text = init_visit(exec);
    let len = u32::try_from(text.len()).map_err(io::Error::other)?;
    line.write_all(&[&[ASK][..], &len.to_le_bytes(), text.as_bytes()].concat()).await?;
    Ok(line)
}
