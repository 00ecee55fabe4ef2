//! Shares of the budget whose proxy is dead: each counts until it is swept.

use std::path::Path;

use dybox_local::{Share, sweep_share};
use dybox_model::ExitCode;
use dybox_store::layout::Machine;
use dybox_store::{Lock, Store};

use super::found::{Fate, Found};
use crate::report::Failure;

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
            let what = format!("grant {} of run {} can't be swept", share.grant, share.run);
            let swept = sweep_share(share, &path, Path::new("/proc/self/exe"), engine).await;
            swept.map_err(|e| Failure::new(ExitCode::Unreachable, what).next(e.advice()).because(e))?;
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
