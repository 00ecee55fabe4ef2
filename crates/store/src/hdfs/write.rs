//! Whole files into HDFS, in one step each.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError, WriteOptions};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::close::close_own;
use super::link::Hdfs;
use crate::StoreError;
use crate::local::STAGED;
use crate::store::FILE_MODE;

/// Bytes that are read and sent at once.
const PIECE: usize = 256 << 10;
/// The slowest upload that is not given up, in bytes a second.
const SLOWEST: u64 = 1 << 20;

impl Hdfs {
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.call("write", name, move |client, path| {
            let bytes = bytes.clone();
            async move {
                let staged = staged(&path);
                let written = write_whole(&client, &staged, bytes).await;
                publish(&client, &staged, &path, written, true).await
            }
        })
        .await
    }

    pub(crate) async fn put_new(&self, name: &str, bytes: Bytes) -> Result<bool, StoreError> {
        self.call("create", name, move |client, path| {
            let bytes = bytes.clone();
            async move { create_whole(&client, &path, bytes).await }
        })
        .await
    }

    pub(crate) async fn put_file(&self, name: &str, local: &Path, mode: u32) -> Result<(), StoreError> {
        let failed = |e| StoreError::new("read", local.display(), e);
        let len = tokio::fs::metadata(local).await.map_err(failed)?.len();
        let longest = self.deadline() + Duration::from_secs(len / SLOWEST);
        let local = local.to_owned();
        self.with_deadline(longest)
            .call("write", name, move |client, path| {
                let local = local.clone();
                async move {
                    let staged = staged(&path);
                    let written = write_file(&client, &staged, &local, mode).await;
                    match publish(&client, &staged, &path, written, false).await {
                        Err(HdfsError::AlreadyExists(_)) => Ok(()),
                        done => done,
                    }
                }
            })
            .await
    }

    pub(crate) async fn claim(&self, name: &str) -> Result<bool, StoreError> {
        self.once("claim", name, |client, path| async move {
            match client.create(&path, options(FILE_MODE)).await {
                Ok(mut writer) => {
                    // It is ours from here on, and nobody waits for its end: an empty file that stays open harms nobody.
                    tokio::spawn(async move { writer.close().await });
                    Ok(true)
                }
                Err(HdfsError::AlreadyExists(_)) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }
}

/// Whether it was us who created the file.
async fn create_whole(client: &Client, path: &str, bytes: Bytes) -> Result<bool, HdfsError> {
    if there(client, path).await? {
        return Ok(false);
    }
    let staged = staged(path);
    let written = write_whole(client, &staged, bytes).await;
    match publish(client, &staged, path, written, false).await {
        Ok(()) => Ok(true),
        Err(HdfsError::AlreadyExists(_)) => Ok(false),
        Err(error) => {
            if there(client, path).await? {
                Ok(false)
            } else {
                Err(error)
            }
        }
    }
}

/// How files are created: the mode as it is, no file replaced.
pub(super) fn options(mode: u32) -> WriteOptions {
    WriteOptions::default().permission(mode)
}

/// A hidden name beside `path` that no other process makes.
pub(super) fn staged(path: &str) -> String {
    static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    format!("{dir}/{STAGED}{:016x}-{}", *PROCESS, COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Moves a complete file to its place, or takes it away.
pub(super) async fn publish(
    client: &Client,
    staged: &str,
    path: &str,
    written: Result<(), HdfsError>,
    overwrite: bool,
) -> Result<(), HdfsError> {
    let moved = match written {
        Ok(()) => client.rename(staged, path, overwrite).await,
        Err(error) => Err(error),
    };
    if moved.is_err() {
        // An answer that was lost on its way: the hidden file is gone, so it has moved.
        if matches!(moved, Err(HdfsError::IOError(_)))
            && matches!(there(client, staged).await, Ok(false))
            && there(client, path).await?
        {
            return Ok(());
        }
        let _ = client.delete(staged, false).await;
    }
    moved
}

async fn there(client: &Client, path: &str) -> Result<bool, HdfsError> {
    match client.get_file_info(path).await {
        Ok(_) => Ok(true),
        Err(HdfsError::FileNotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn write_whole(client: &Client, path: &str, bytes: Bytes) -> Result<(), HdfsError> {
    let mut writer = client.create(path, options(FILE_MODE).overwrite(true)).await?;
    writer.write_bytes(bytes).await?;
    close_own(client, path, &mut writer).await
}

async fn write_file(client: &Client, path: &str, local: &Path, mode: u32) -> Result<(), HdfsError> {
    let mut file = File::open(local).await?;
    let mut writer = client.create(path, options(mode).overwrite(true)).await?;
    while let Some(piece) = next_piece(&mut file).await? {
        write(&mut writer, piece).await?;
    }
    close_own(client, path, &mut writer).await
}

async fn write(writer: &mut FileWriter, piece: Bytes) -> Result<(), HdfsError> {
    writer.write_bytes(piece).await.map(|_| ())
}

async fn next_piece(file: &mut File) -> Result<Option<Bytes>, HdfsError> {
    let mut piece = Vec::with_capacity(PIECE);
    let read = file.take(PIECE as u64).read_to_end(&mut piece).await?;
    Ok((read > 0).then(|| piece.into()))
}
