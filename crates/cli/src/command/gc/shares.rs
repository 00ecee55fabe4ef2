//! Shares of the budget whose proxy is dead: each counts until it is swept.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dybox_local::Share;
use dybox_model::ExitCode;
use dybox_store::layout::Machine;
use dybox_store::{Lock, Store};
use tokio::process::Command;

use super::found::{Fate, Found};
use crate::report::Failure;

/// A sweep waits out a hanging engine within this time.
const SWEEP: Duration = Duration::from_secs(120);

/// Finds dead shares and sweeps them, but on a dry run.
pub(super) async fn dead(store: &Store, engine: Option<&str>, dry_run: bool) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for entry in store.list(&Machine::shares()).await? {
        let name = format!("{}/{}", Machine::shares(), entry.name);
        let Some(text) = store.get_opt(&name).await? else { continue };
        let Ok(share) = serde_json::from_slice::<Share>(&text) else { continue };
        let path = share_path(&share, &name);
        if !path.exists() || Lock::is_held(&path)? {
            continue;
        }
        let mut one = Found {
            kind: "share",
            id: entry.name.clone(),
            name: share.grant.to_string(),
            run: Some(share.run.clone()),
            fate: Fate::Remove,
            done: false,
            why: "its proxy died".to_owned(),
        };
        if !dry_run {
            let Some(lock) = Lock::try_take(&path)? else { continue };
            sweep(&share, engine, (lock, &path)).await?;
            one.done = true;
        }
        found.push(one);
    }
    Ok(found)
}

/// `<home>/machine/shares/...`, where the run's directory is `<home>/runs/<run>`.
fn share_path(share: &Share, name: &str) -> std::path::PathBuf {
    let home = share.run_dir.parent().and_then(Path::parent).unwrap_or(&share.run_dir);
    home.join(name)
}

/// Runs `dybox proxy --sweep` as the run's own master would: what it finds is kept for a later `resume`.
async fn sweep(share: &Share, engine: Option<&str>, (lock, path): (Lock, &Path)) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(ExitCode::Unreachable, format!("grant {} of run {} can't be swept", share.grant, share.run))
            .why(why)
            .next(format!("see {}", share.log.display()))
    };
    let append = |path: &Path| {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        file.map_err(|e| failed(format!("{}: {e}", path.display())))
    };
    let binary = std::env::current_exe().map_err(|e| failed(e.to_string()))?;
    let mut child = Command::new(binary)
        .args(["proxy", "--sweep", "--run-dir"])
        .arg(&share.run_dir)
        .args(["--subdag", &share.subdag.0.to_string(), "--grant", &share.grant.to_string()])
        .stdin(Stdio::from(lock.into_fd()))
        .envs(engine.map(|engine| ("DOCKER_HOST", engine)))
        .env("DYBOX_SHARE_FD", "0")
        .env("DYBOX_SHARE_PATH", path)
        .stdout(append(&share.swept)?)
        .stderr(append(&share.log)?)
        .process_group(0)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    match tokio::time::timeout(SWEEP, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(status.to_string())),
        Ok(Err(e)) => Err(failed(e.to_string())),
        Err(_) => {
            let _ = child.kill().await;
            Err(failed(format!("not done after {} s", SWEEP.as_secs())))
        }
    }
}
