//! Names, lists, permissions, and files that their writers left open.

use std::time::Duration;

use hdfs_native::client::FileStatus;
use hdfs_native::{Client, HdfsError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::link::Hdfs;
use crate::StoreError;
use crate::layout::{BIN, RUNS};
use crate::local::STAGED;
use crate::store::{Entry, Stat};

/// How long a lease recovery may take: the NameNode has a DataNode do it at its next heartbeat, after 1-4 s.
pub(super) const RECOVERY: Duration = Duration::from_secs(60);
/// First and longest pause between two looks whether it is done.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

impl Hdfs {
    pub(crate) async fn list(&self, dir: &str) -> Result<Vec<Entry>, StoreError> {
        let found = self.call("list", dir, |client, path| async move {
            match client.list_status(&path, false).await {
                // Where `path` is a file, that file is listed.
                Ok(found) => Ok(found.into_iter().filter(|status| status.path != path).collect()),
                Err(HdfsError::FileNotFound(_)) => Ok(Vec::new()),
                Err(HdfsError::RPCError(class, _)) if class.ends_with("FileNotFoundException") => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        });
        let mut entries: Vec<_> = found.await?.into_iter().filter_map(entry).collect();
        entries.sort();
        Ok(entries)
    }

    pub(crate) async fn stat(&self, name: &str) -> Result<Stat, StoreError> {
        let status = self.call("look at", name, |client, path| async move { client.get_file_info(&path).await });
        Ok(stat(&status.await?))
    }

    pub(crate) async fn is_public(&self, name: &str) -> Result<bool, StoreError> {
        self.call("look at", name, |client, path| async move {
            let above = path.match_indices('/').map(|(end, _)| if end == 0 { "/" } else { &path[..end] });
            let looks = above.map(|dir| (dir, 0o001)).chain([(path.as_str(), 0o004)]);
            let open = looks.map(|(name, bit)| {
                let (client, name) = (client.clone(), name.to_owned());
                async move { Ok(client.get_file_info(&name).await?.permission & bit != 0) }
            });
            // All at once: a client waits for them.
            let mut open: JoinSet<Result<bool, HdfsError>> = open.collect();
            while let Some(done) = open.join_next().await {
                if !done.map_err(|error| HdfsError::OperationFailed(error.to_string()))?? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    pub(crate) async fn make_dir(&self, name: &str, mode: u32) -> Result<(), StoreError> {
        self.call("create the directory", name, move |client, path| async move {
            client.mkdirs(&path, mode, true).await?;
            if u32::from(client.get_file_info(&path).await?.permission) & 0o7777 == mode {
                return Ok(());
            }
            client.set_permission(&path, mode).await
        })
        .await
    }

    pub(crate) async fn set_mode(&self, name: &str, mode: u32) -> Result<(), StoreError> {
        let set = |client: Client, path: String| async move { client.set_permission(&path, mode).await };
        self.call("set the permissions of", name, set).await
    }

    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        let root = self.root().to_owned();
        self.call("create the directory", RUNS, move |client, runs| {
            let bin = format!("{root}/{BIN}");
            let dirs = [(root.clone(), 0o711), (bin, 0o755), (runs, 0o700)];
            async move { make_missing(&client, &dirs).await }
        })
        .await
    }

    pub(crate) async fn remove(&self, name: &str, tree: bool) -> Result<bool, StoreError> {
        self.call("remove", name, move |client, path| async move { client.delete(&path, tree).await }).await
    }

    pub(crate) async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let to = self.path(to);
        let rename = move |client: Client, from: String| {
            let to = to.clone();
            async move { client.rename(&from, &to, true).await }
        };
        self.call("rename", from, rename).await
    }

    /// Closes a file whose writer is dead, or fences one that lives.
    pub(crate) async fn recover(&self, name: &str) -> Result<(), StoreError> {
        let end = Instant::now() + RECOVERY;
        let mut pause = LOOKS.0;
        loop {
            match self.call("close", name, |client, path| async move { client.recover_lease(&path).await }).await {
                Ok(true) => return Ok(()),
                // The DataNode's report of the last block is still on its way, or somebody else's recovery.
                Err(error) if error.is_held() && Instant::now() <= end => {}
                other => drop(other?),
            }
            if Instant::now() > end {
                return Err(self.late("close", name, RECOVERY));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LOOKS.1);
        }
    }
}

async fn make_missing(client: &Client, dirs: &[(String, u32)]) -> Result<(), HdfsError> {
    for (dir, mode) in dirs {
        match client.get_file_info(dir).await {
            Ok(_) => {}
            Err(HdfsError::FileNotFound(_)) => client.mkdirs(dir, *mode, true).await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn entry(status: FileStatus) -> Option<Entry> {
    let name = status.path.rsplit('/').next().filter(|name| !name.starts_with(STAGED))?.to_owned();
    let len = if status.isdir { 0 } else { status.length as u64 };
    Some(Entry { name, is_dir: status.isdir, len, mtime_ms: status.modification_time })
}

fn stat(status: &FileStatus) -> Stat {
    Stat {
        len: status.length as u64,
        mtime_ms: status.modification_time,
        mode: u32::from(status.permission) & 0o7777,
        is_dir: status.isdir,
    }
}
