//! The directory that hooks run in: what they are came along with the run, for its client may be another machine.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dybox_job::Plan;
use dybox_store::layout::RunDir;
use dybox_store::transfer::{self, leaves};
use dybox_store::{Store, StoreError};

use super::YarnConf;
use crate::perform::HOOK_DIR;

/// Makes it, where this sub-DAG has hooks. A session's masters share nothing: each has a working directory of its own.
pub(super) async fn bring(conf: &YarnConf, store: &Store, plan: &Plan) -> Result<(), StoreError> {
    let own = plan.subdags.get(conf.bundle.subdag.0 as usize);
    if own.is_none_or(|own| own.hooks.is_empty()) {
        return Ok(());
    }
    let (from, to) = (RunDir::new(&conf.bundle.info.run).hooks(), conf.work_dir.join(HOOK_DIR));
    // The one before it, of a run that was resumed in the same session, has left its own.
    match fs::remove_dir_all(&to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(StoreError::from_io("remove", &to, error)),
        _ => {}
    }
    dybox_store::local::make_dir(&to)?;
    if store.exists(&from).await? {
        transfer::fetch(store, &from, &to, |_| Ok(()), |_, _| {}).await?;
        allow(&to).map_err(|error| StoreError::from_io("make executable", &to, error))?;
    }
    Ok(())
}

/// HDFS keeps no permission to execute: who names a program wants it to run.
fn allow(dir: &Path) -> io::Result<()> {
    for (below, _) in leaves(dir).map_err(|error| io::Error::other(error.text()))? {
        fs::set_permissions(dir.join(below), Permissions::from_mode(0o700))?;
    }
    Ok(())
}
