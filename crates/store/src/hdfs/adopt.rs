//! A file from the hands of an older attempt, dead or alive, at once and with all that was synced in it.
//!
//! A lease recovery takes the file from its writer when it is asked for (the next sync of that one fails), but is over
//! only after the DataNode's next heartbeat, up to 3 s. So what is in an open file is read from the DataNodes and written
//! to a new one, which takes its place in one step. Nothing that is durable is ever only half there: before that step the
//! old file counts, and after it the new one.
//!
//! Of several who try at the same time, the newest epoch wins: the new file's name has the epoch in it, and who comes
//! later removes those of the older ones before it takes the file; who comes earlier asks the fence once its own is made.
//! So either it is not moved any more, or it was moved before the later one looked. Each try has a name of its own, and
//! no second one begins before the first one's file is known to be gone: a request that the NameNode gets to late, when
//! nobody waits for it any more, must not move anything either.

use std::time::Duration;

use bytes::Bytes;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError};
use tokio::time::{Instant, sleep, timeout};

use super::append::HdfsAppender;
use super::line::Line;
use super::link::Hdfs;
use super::write::{options, staged};
use crate::error::Kind;
use crate::local::STAGED;
use crate::store::FILE_MODE;
use crate::{Fence, StoreError};

/// How long it is tried: a NameNode whose DataNode died in a recovery starts the next one after 90 s.
const PATIENCE: Duration = Duration::from_secs(150);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// Times that an older attempt, which passed its fence just before, may write behind what was read.
const HANDS: u32 = 10;

/// Somebody's right to a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) name: &'a str,
    pub(crate) epoch: u32,
    pub(crate) fence: &'a dyn Fence,
}

impl Hdfs {
    pub(crate) async fn adopt(&self, claim: Claim<'_>) -> Result<(Bytes, HdfsAppender), StoreError> {
        self.remove_older_copies(claim).await?;
        let end = Instant::now() + PATIENCE;
        loop {
            self.still(claim).await?;
            let taken =
                self.call("take over", claim.name, |client, path| async move { client.recover_lease(&path).await });
            match taken.await {
                Ok(true) => return self.adopt_closed(claim).await,
                Err(error) if error.is_missing() => return self.adopt_closed(claim).await,
                Err(error) if !error.is_held() => return Err(error),
                Ok(false) | Err(_) => {}
            }
            let copy = copy_of(claim.name, claim.epoch);
            let done = self.adopt_open(claim, &copy).await;
            let Err(error) = done else { return done };
            let removed = self.remove(&copy, false).await;
            if error.is_fenced() || Instant::now() > end {
                return Err(error);
            }
            removed?;
            sleep(PAUSE).await;
        }
    }

    /// All that is in a closed file, and its end. An older attempt may open it again between our look and our opening:
    /// what it writes there counts, so it is read, too.
    async fn adopt_closed(&self, claim: Claim<'_>) -> Result<(Bytes, HdfsAppender), StoreError> {
        let mut hands = 0;
        loop {
            let bytes = match self.get(claim.name).await {
                Err(error) if error.is_missing() => Bytes::new(),
                read => read?,
            };
            let mut appender = self.append(claim.name, true).await?;
            self.still(claim).await?;
            hands += 1;
            if appender.len() == bytes.len() as u64 {
                return Ok((bytes, appender));
            }
            if hands == HANDS {
                let why = "others take it over again and again";
                return Err(StoreError::of(Kind::Held, "take over", self.url(claim.name), why));
            }
            appender.close().await?;
        }
    }

    async fn adopt_open(&self, claim: Claim<'_>, copy: &str) -> Result<(Bytes, HdfsAppender), StoreError> {
        let bytes = self.read_open(claim.name).await?;
        let writer = self.once("copy", copy, |client, path| write_copy(client, path, bytes.clone())).await?;
        self.still(claim).await?;
        let target = self.path(claim.name);
        self.once("move", copy, |client, path| {
            let target = target.clone();
            async move { client.rename(&path, &target, true).await }
        })
        .await?;
        let line = Line::at_end(self, claim.name, (writer, bytes.len() as u64));
        Ok((bytes, HdfsAppender::start(line)))
    }

    async fn remove_older_copies(&self, claim: Claim<'_>) -> Result<(), StoreError> {
        let Some((dir, file)) = claim.name.rsplit_once('/') else { return Ok(()) };
        let list = |client: Client, path: String| async move { client.list_status(&path, false).await };
        let found = match self.call("list", dir, list).await {
            Err(error) if error.is_missing() => return Ok(()),
            found => found?,
        };
        let names = found.iter().filter_map(|status| status.path.rsplit('/').next());
        for older in names.filter(|name| epoch_of(name, file).is_some_and(|epoch| epoch < claim.epoch)) {
            self.remove(&format!("{dir}/{older}"), false).await?;
        }
        Ok(())
    }

    /// Fails where a newer epoch was claimed.
    async fn still(&self, claim: Claim<'_>) -> Result<(), StoreError> {
        let asked = timeout(self.deadline(), claim.fence.still_mine()).await;
        if asked.map_err(|_| self.late("take over", claim.name, self.deadline()))?? {
            return Ok(());
        }
        let why = "a newer writer has taken it over";
        Err(StoreError::of(Kind::Fenced, "take over", self.url(claim.name), why))
    }
}

/// A hidden name beside a file for what shall take its place; no other try has the same.
fn copy_of(name: &str, epoch: u32) -> String {
    let file = name.rsplit('/').next().unwrap_or(name);
    format!("{}.{file}.{epoch}", staged(name))
}

/// Whose copy of `file` this is, if it is one.
fn epoch_of(copy: &str, file: &str) -> Option<u32> {
    let (rest, epoch) = copy.strip_prefix(STAGED)?.rsplit_once('.')?;
    rest.strip_suffix(file)?.strip_suffix('.')?;
    epoch.parse().ok()
}

async fn write_copy(client: Client, path: String, content: Bytes) -> Result<FileWriter, HdfsError> {
    let mut writer = client.create(&path, options(FILE_MODE)).await?;
    writer.write_bytes(content).await?;
    writer.hsync().await?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_hidden_beside_its_file_and_tells_whose_it_is() {
        let (one, other) = (copy_of("runs/x/sub/0/journal", 2), copy_of("runs/x/sub/0/journal", 2));
        assert_ne!(one, other);
        let name = one.strip_prefix("runs/x/sub/0/").unwrap();
        assert_eq!(epoch_of(name, "journal"), Some(2));
        assert_eq!(epoch_of(name, "plan"), None);
        for other in ["journal", ".staged-00ff-1", ".staged-journal.2x", "00ff-1.journal.2"] {
            assert_eq!(epoch_of(other, "journal"), None, "{other}");
        }
    }
}
