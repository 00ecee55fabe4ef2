//! Removes what attempts leave on the engine and on the disk, and makes sure that nothing is left.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use dybox_engine::{Engine, EngineError, Identity, Listed};
use dybox_model::AttemptId;
use tokio::time::{Instant, sleep};

use crate::conf::Places;
use crate::files::{Files, write_whole};
use crate::ports::Ports;
use crate::sandbox::lock_network;

/// Pauses between tries of a removal that fails.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// One attempt that is over.
pub(crate) struct Leftover {
    pub(crate) attempt: AttemptId,
    pub(crate) name: String,
    /// The engine's id; nothing where it is known that no container is there.
    pub(crate) container: Option<String>,
    pub(crate) files: Files,
    /// For a look: container and files stay.
    pub(crate) keep: bool,
    /// Its output is not all in the store: the files of it stay.
    pub(crate) keep_logs: bool,
}

/// Removes container and files. What fails here is removed when the proxy leaves, or by who sweeps after it.
pub(crate) async fn remove_attempt(ports: &Ports, leftover: Leftover) {
    let Leftover { attempt, name, container, files, keep, keep_logs } = leftover;
    if keep {
        let mark = kept_mark(&ports.places, attempt);
        if let Err(error) = write_whole(&mark, name.as_bytes(), 0o600) {
            tracing::warn!(path = %mark.display(), %error, "can't mark a container as kept");
        }
        return;
    }
    if let (Some(id), Ok(known)) = (container, ports.engine().await) {
        for pause in PAUSES {
            match known.engine.remove(&id).await {
                Ok(_) => break,
                Err(error) => tracing::warn!(container = name, %error, "can't remove"),
            }
            sleep(pause).await;
        }
    }
    let removed = files
        .remove_exchange()
        .and_then(|()| files.remove_data())
        .and_then(|()| if keep_logs { Ok(()) } else { files.remove_logs() });
    if let Err(error) = removed {
        tracing::warn!(%attempt, %error, "can't remove the attempt's files");
    }
}

/// The file that says that a container stays for a look.
fn kept_mark(places: &Places, attempt: AttemptId) -> std::path::PathBuf {
    places.path(&places.grant.kept(attempt))
}

/// Containers of this grant that are proven ours and not kept for a look.
pub(crate) async fn ours(engine: &Engine, places: &Places, secret: &str) -> Result<Vec<Listed>, EngineError> {
    let listed = engine.list(Some(places.run_id.as_str())).await?;
    Ok(listed.into_iter().filter(|one| of_grant(places, secret, one)).collect())
}

fn of_grant(places: &Places, secret: &str, one: &Listed) -> bool {
    let Some(identity) = proven(&one.name, &one.labels, secret) else { return false };
    let kept = identity.attempt.is_some_and(|attempt| is_kept(places, attempt));
    identity.run == places.run_id && identity.grant == Some(places.grant_id) && !kept
}

/// Who a thing is, where its labels prove it.
pub(crate) fn proven(name: &str, labels: &BTreeMap<String, String>, secret: &str) -> Option<Identity> {
    Identity::claimed(name, labels).filter(|identity| identity.proven(secret, labels))
}

/// Removes the container of this name, where it is proven ours; a stranger's is left alone.
pub(crate) async fn remove_proven(engine: &Engine, name: &str, secret: &str) -> Result<(), EngineError> {
    let Some(seen) = engine.inspect(name).await? else { return Ok(()) };
    let ours = Identity::claimed(name, &seen.labels).is_some_and(|identity| identity.proven(secret, &seen.labels));
    if ours {
        engine.remove(&seen.id).await?;
    } else {
        tracing::warn!(container = name, "not ours: left alone");
    }
    Ok(())
}

/// Removes every container of this grant, but one with the id `spared`, until a list shows none; how many are left at the
/// deadline.
pub(crate) async fn remove_all(
    engine: &Engine,
    places: &Places,
    (secret, spared): (&str, Option<&str>),
    limit: Duration,
) -> Result<usize, EngineError> {
    let end = Instant::now() + limit;
    loop {
        let mut left = ours(engine, places, secret).await?;
        left.retain(|one| Some(one.id.as_str()) != spared);
        if left.is_empty() || Instant::now() >= end {
            return Ok(left.len());
        }
        for one in &left {
            tracing::info!(container = one.name, "removing what is left");
            if let Err(error) = engine.remove(&one.id).await {
                tracing::warn!(container = one.name, %error, "can't remove");
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Removes the networks of the run that nobody is on.
pub(crate) async fn remove_networks(engine: &Engine, places: &Places, secret: &str) -> Result<(), EngineError> {
    for network in engine.list_networks(Some(places.run_id.as_str())).await? {
        let identity = proven(&network.name, &network.labels, secret);
        if identity.is_some_and(|identity| identity.run == places.run_id) {
            // Without the lock, somebody who has just found it here would lose it before it is used.
            let _lock = lock_network(&places.home, &network.name).await.ok().flatten();
            engine.remove_network(&network.id).await?;
        }
    }
    Ok(())
}

/// Removes the files of attempts and of the sandbox from the grant's directory. Saved ends stay, and so do attempts
/// that `keep` names.
pub(crate) fn clear_directory(dir: &Path, keep: impl Fn(AttemptId) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.split('.').next().unwrap_or_default();
        let of_attempt = stem.parse().is_ok_and(|attempt| !keep(attempt) && !name.ends_with(".exit"));
        if !of_attempt && stem != "sandbox" {
            continue;
        }
        if entry.file_type()?.is_dir() { fs::remove_dir_all(entry.path())? } else { fs::remove_file(entry.path())? }
    }
    Ok(())
}

/// Whether this attempt's container stays for a look.
pub(crate) fn is_kept(places: &Places, attempt: AttemptId) -> bool {
    kept_mark(places, attempt).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_attempts_and_the_sandbox_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["proxy.log", "owner.lock", "swept", "s0-0-1.exit", "s0-1-1.stdout"];
        let gone = ["s0-0-1.stdout", "s0-0-1.stderr", "sandbox.stdout"];
        for name in names.iter().chain(&gone) {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir_all(dir.path().join("s0-0-1/in")).unwrap();
        fs::create_dir_all(dir.path().join("sandbox/in")).unwrap();
        let kept = "s0-1-1".parse().unwrap();
        clear_directory(dir.path(), |attempt| attempt == kept).unwrap();
        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        let mut wanted = names.to_vec();
        wanted.sort_unstable();
        assert_eq!(left, wanted);
    }
}
