//! One open file: what is durable in it, what is not yet, and how it is taken back after a failure.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::HdfsError;
use hdfs_native::file::FileWriter;
use tokio::time::{Instant, sleep};

use super::close::{PATIENCE, close, close_own};
use super::link::Hdfs;
use super::write::{options, publish, staged};
use crate::error::Kind;
use crate::store::FILE_MODE;
use crate::{Guard, StoreError, Trouble};

/// How long a write or sync may take before the file is taken back instead. Short, for hdfs-native waits for ever where a
/// DataNode dies between two writes.
const FIRST: Duration = Duration::from_secs(6);
/// First and longest pause between two tries during an outage.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;
/// Times that a file may change hands between closing and opening it.
const HANDS: u32 = 20;

/// A file under our pen.
pub(super) struct Line {
    hdfs: Hdfs,
    name: String,
    /// Nothing after a failure, until the file is ours again, and after the end.
    writer: Option<FileWriter>,
    /// Bytes that are durable.
    synced: u64,
    /// What was written since, in order.
    pending: Vec<Bytes>,
    guard: Option<Guard>,
    /// Since when nothing could be made durable, and that it was told.
    outage: Option<Instant>,
    /// Why nothing can be written any more.
    dead: Option<(Kind, String)>,
}

impl Line {
    pub(super) async fn open(hdfs: &Hdfs, name: &str, force: bool) -> Result<Self, StoreError> {
        Ok(Self::at_end(hdfs, name, acquire(hdfs, name, force).await?))
    }

    /// A new file; nothing where one of that name exists.
    pub(super) async fn create(hdfs: &Hdfs, name: &str) -> Result<Option<Self>, StoreError> {
        let create = |client: hdfs_native::Client, path: String| async move {
            match client.create(&path, options(FILE_MODE)).await {
                Ok(writer) => Ok(Some(writer)),
                Err(HdfsError::AlreadyExists(_)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let writer = hdfs.call("create", name, create).await?;
        Ok(writer.map(|writer| Self::at_end(hdfs, name, (writer, 0))))
    }

    /// A file that is open already, and how long it is.
    pub(super) fn at_end(hdfs: &Hdfs, name: &str, (writer, synced): (FileWriter, u64)) -> Self {
        let (hdfs, name) = (hdfs.clone(), name.to_owned());
        Self { hdfs, name, writer: Some(writer), synced, pending: Vec::new(), guard: None, outage: None, dead: None }
    }

    pub(super) fn guard(&mut self, guard: Guard) {
        self.guard = Some(guard);
    }

    pub(super) fn len(&self) -> u64 {
        self.synced + self.unsynced()
    }

    fn unsynced(&self) -> u64 {
        self.pending.iter().map(|part| part.len() as u64).sum()
    }

    pub(super) async fn write(&mut self, parts: Vec<Bytes>, sync: bool) -> Result<(), StoreError> {
        self.alive()?;
        let fresh: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        self.pending.extend(fresh.iter().cloned());
        if self.writer.is_some()
            && let Err(error) = self.send(fresh).await
        {
            self.fail(error)?;
            return self.persist().await;
        }
        if sync { self.persist().await } else { Ok(()) }
    }

    /// Makes all durable, however often it takes.
    async fn persist(&mut self) -> Result<(), StoreError> {
        let mut pause = PAUSES.0;
        loop {
            let error = match self.try_persist().await {
                Ok(()) => {
                    self.recovered();
                    return Ok(());
                }
                Err(error) => error,
            };
            let why = error.text();
            let patience = self.fail(error)?;
            if self.outage.is_some_and(|since| since.elapsed() > patience) {
                return Err(self.end(Kind::Unreachable, format!("gave up after {} s; last: {why}", patience.as_secs())));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn recovered(&mut self) {
        if let (Some(since), Some(guard)) = (self.outage.take(), &self.guard) {
            let text = format!("{} is written again, {} s later", self.url(), since.elapsed().as_secs());
            // Who does not listen needs not hear it.
            let _ = guard.trouble.send(Trouble { text, over: true });
        }
    }

    /// Notes a failure: for how long it is tried again, or that this is the end.
    fn fail(&mut self, error: StoreError) -> Result<Duration, StoreError> {
        self.writer = None;
        let Some(guard) = &self.guard else {
            self.dead = Some((error.kind(), error.text()));
            return Err(error);
        };
        // A lease that is gone may be one that the NameNode took for lack of renewals: the fence knows who has it.
        let last = error.is_fenced() && error.operation() == FENCE || matches!(error.kind(), Kind::Damaged);
        if last {
            self.dead = Some((error.kind(), error.text()));
            return Err(error);
        }
        if self.outage.is_none() {
            self.outage = Some(Instant::now());
            let text = format!("{}; it is kept and tried again", error.text());
            let _ = guard.trouble.send(Trouble { text, over: false });
        }
        Ok(guard.patience)
    }

    fn end(&mut self, kind: Kind, why: String) -> StoreError {
        self.dead = Some((kind, why.clone()));
        StoreError::of(kind, "append to", self.url(), why)
    }

    fn alive(&self) -> Result<(), StoreError> {
        match &self.dead {
            Some((kind, why)) => Err(StoreError::of(*kind, "append to", self.url(), format!("it ended before: {why}"))),
            None => Ok(()),
        }
    }

    async fn try_persist(&mut self) -> Result<(), StoreError> {
        if self.writer.is_none() {
            self.take_back().await?;
        }
        self.hsync().await?;
        self.synced += self.unsynced();
        self.pending.clear();
        Ok(())
    }

    /// Makes our own file ours again after a failure, and writes what is missing at its end.
    async fn take_back(&mut self) -> Result<(), StoreError> {
        self.ask_fence().await?;
        self.hdfs.recover(&self.name).await.map_err(|error| self.gone(error))?;
        self.ask_fence().await?;
        let (writer, len) = acquire(&self.hdfs, &self.name, false).await.map_err(|error| self.gone(error))?;
        if len < self.synced {
            let why = format!("it had {} synced bytes and now has {len}", self.synced);
            return Err(StoreError::damaged("append to", self.url(), why));
        }
        let Some(rest) = behind(&self.pending, len - self.synced) else {
            return Err(self.lost(format!("somebody else wrote to it: it has {len} bytes")));
        };
        self.writer = Some(writer);
        self.synced = len;
        self.pending.clone_from(&rest);
        self.send(rest).await
    }

    async fn ask_fence(&self) -> Result<(), StoreError> {
        let Some(guard) = &self.guard else { return Ok(()) };
        let asked = tokio::time::timeout(self.hdfs.deadline(), guard.fence.still_mine()).await;
        match asked.map_err(|_| self.hdfs.late(FENCE, &self.name, self.hdfs.deadline()))?? {
            true => Ok(()),
            false => Err(self.lost("a newer writer has taken it over".to_owned())),
        }
    }

    fn lost(&self, why: String) -> StoreError {
        StoreError::of(Kind::Fenced, FENCE, self.url(), why)
    }

    /// A file that was removed under us has no writer any more.
    fn gone(&self, error: StoreError) -> StoreError {
        if error.is_missing() { self.lost("it was removed".to_owned()) } else { error }
    }

    pub(super) async fn truncate(&mut self, len: u64) -> Result<(), StoreError> {
        self.alive()?;
        self.persist().await?;
        if len >= self.len() {
            return Ok(());
        }
        self.close_writer().await?;
        self.ask_fence().await?;
        self.hdfs.call("truncate", &self.name, move |client, path| cut(client, path, len)).await?;
        let (writer, there) = acquire(&self.hdfs, &self.name, false).await?;
        (self.writer, self.synced) = (Some(writer), there);
        Ok(())
    }

    pub(super) async fn close(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.persist().await?;
        self.close_writer().await?;
        self.dead = Some((Kind::Other, "it was closed".to_owned()));
        Ok(())
    }

    /// Closes the file until the next write, which takes it back: who takes it over meanwhile needs not wait.
    pub(super) async fn rest(&mut self) {
        if self.dead.is_none() && self.pending.is_empty() {
            // What fails here is found out by the next write.
            let _ = self.close_writer().await;
        }
    }

    async fn close_writer(&mut self) -> Result<(), StoreError> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        let closing = async move { close(&mut writer, PATIENCE).await };
        match self.hdfs.bounded("close", &self.name, PATIENCE + self.hdfs.deadline(), closing).await {
            Ok(()) => Ok(()),
            Err(_) => {
                // All in it is synced: whoever closes it, closes the same.
                self.ask_fence().await?;
                self.hdfs.recover(&self.name).await
            }
        }
    }

    async fn send(&mut self, parts: Vec<Bytes>) -> Result<(), StoreError> {
        self.with_writer("append to", |mut writer| async move {
            for part in parts {
                writer.write_bytes(part).await?;
            }
            Ok(writer)
        })
        .await
    }

    async fn hsync(&mut self) -> Result<(), StoreError> {
        self.with_writer("sync", |mut writer| async move { writer.hsync().await.map(|()| writer) }).await
    }

    /// Has the writer do something; one that fails is not used again.
    async fn with_writer<F, W>(&mut self, operation: &'static str, work: F) -> Result<(), StoreError>
    where
        F: FnOnce(FileWriter) -> W,
        W: Future<Output = Result<FileWriter, HdfsError>> + Send + 'static,
    {
        let Some(writer) = self.writer.take() else {
            return Err(StoreError::of(Kind::Unreachable, operation, self.url(), "it is not open"));
        };
        let deadline = self.hdfs.deadline();
        let deadline = if self.outage.is_none() && self.guard.is_some() { FIRST.min(deadline) } else { deadline };
        let done = self.hdfs.bounded(operation, &self.name, deadline, work(writer)).await;
        self.writer = Some(done?);
        Ok(())
    }

    pub(super) fn url(&self) -> String {
        self.hdfs.url(&self.name)
    }
}

/// The operation whose [`Kind::Fenced`] is certain.
const FENCE: &str = "go on writing";

/// Opens a file at its end, or creates it: the writer, and how long it is.
async fn acquire(hdfs: &Hdfs, name: &str, force: bool) -> Result<(FileWriter, u64), StoreError> {
    for _ in 0..HANDS {
        if force {
            match hdfs.recover(name).await {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        match open_end(hdfs, name).await {
            Err(error) if error.is_held() && force => {}
            done => return done,
        }
    }
    Err(StoreError::of(Kind::Held, "take over", hdfs.url(name), "others take it over again and again"))
}

async fn open_end(hdfs: &Hdfs, name: &str) -> Result<(FileWriter, u64), StoreError> {
    hdfs.call("append to", name, |client, path| async move {
        match client.append(&path).await {
            Ok(writer) => {
                let len = client.get_file_info(&path).await?.length as u64;
                Ok((writer, len))
            }
            Err(HdfsError::FileNotFound(_)) => Ok((client.create(&path, options(FILE_MODE)).await?, 0)),
            Err(HdfsError::RPCError(class, _)) if class.ends_with("FileNotFoundException") => {
                Ok((client.create(&path, options(FILE_MODE)).await?, 0))
            }
            Err(error) => Err(error),
        }
    })
    .await
}

/// Replaces a closed file by its first `len` bytes.
async fn cut(client: hdfs_native::Client, path: String, len: u64) -> Result<(), HdfsError> {
    let staged = staged(&path);
    let written = async {
        let file = client.read(&path).await?;
        let mut writer = client.create(&staged, options(FILE_MODE).overwrite(true)).await?;
        let end = usize::try_from(len).unwrap_or(usize::MAX).min(file.file_length());
        let mut at = 0;
        while at < end {
            let piece = file.read_range(at, PIECE.min(end - at)).await?;
            at += piece.len();
            writer.write_bytes(piece).await?;
        }
        close_own(&client, &staged, &mut writer).await
    };
    let written = written.await;
    publish(&client, &staged, &path, written, true).await
}

/// What of `parts` comes after their first `skip` bytes; nothing where they are shorter.
fn behind(parts: &[Bytes], mut skip: u64) -> Option<Vec<Bytes>> {
    let mut rest = Vec::with_capacity(parts.len());
    for part in parts {
        let here = skip.min(part.len() as u64);
        skip -= here;
        let cut = usize::try_from(here).expect("no longer than a part");
        if cut < part.len() {
            rest.push(part.slice(cut..));
        }
    }
    (skip == 0).then_some(rest)
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("name", &self.name).field("synced", &self.synced).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let parts = [Bytes::from("abc"), Bytes::from("de")];
        assert_eq!(behind(&parts, 0).unwrap(), parts);
        assert_eq!(behind(&parts, 2).unwrap(), ["c", "de"]);
        assert_eq!(behind(&parts, 3).unwrap(), ["de"]);
        assert_eq!(behind(&parts, 5).unwrap(), Vec::<Bytes>::new());
        assert_eq!(behind(&parts, 6), None, "somebody else wrote");
    }
}
