//! Reading files of HDFS.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hdfs_native::HdfsError;
use hdfs_native::file::FileReader;

use super::link::Hdfs;
use crate::StoreError;

/// Files up to this size are read at once: a read costs a DataNode the same few milliseconds, however short it is.
const SMALL: usize = 256 << 10;

/// A file whose blocks are known. Knows of more once somebody asks for its size.
#[derive(Clone)]
pub(crate) struct HdfsReader {
    hdfs: Hdfs,
    name: String,
    /// Changed in one step, never held across a wait.
    known: Arc<Mutex<Arc<FileReader>>>,
    /// The beginning of a small file, as far as it was read; what has been written does not change.
    begin: Arc<Mutex<Bytes>>,
}

impl Hdfs {
    pub(crate) async fn open(&self, name: &str) -> Result<HdfsReader, StoreError> {
        let known = Arc::new(Mutex::new(self.locate("open", name).await?));
        Ok(HdfsReader { hdfs: self.clone(), name: name.to_owned(), known, begin: Arc::default() })
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let read = |client: hdfs_native::Client, path: String| async move {
            let file = client.read(&path).await?;
            read_range(&file, 0, file.file_length()).await
        };
        self.call("read", name, read).await
    }

    async fn locate(&self, operation: &'static str, name: &str) -> Result<Arc<FileReader>, StoreError> {
        self.call(operation, name, |client, path| async move { client.read(&path).await.map(Arc::new) }).await
    }
}

impl HdfsReader {
    pub(crate) async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let first = self.read_once(offset, max).await;
        match first {
            // The blocks may have moved since.
            Err(error) if error.is_unreachable() => {
                self.look_again().await?;
                self.read_once(offset, max).await
            }
            done => done,
        }
    }

    pub(crate) async fn size(&self) -> Result<u64, StoreError> {
        self.look_again().await?;
        Ok(self.now().file_length() as u64)
    }

    async fn read_once(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let file = self.now();
        let Some(left) = (file.file_length() as u64).checked_sub(offset) else { return Ok(Bytes::new()) };
        let len = usize::try_from(left).map_or(max, |left| left.min(max));
        let Ok(offset) = usize::try_from(offset) else { return Ok(Bytes::new()) };
        let begin = self.begin.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if offset + len <= begin.len() {
            return Ok(begin.slice(offset..offset + len));
        }
        let all = file.file_length();
        let (from, most) = if all <= SMALL { (0, all) } else { (offset, len) };
        let read = async move { read_range(&file, from, most).await };
        let read = self.hdfs.bounded("read", &self.name, self.hdfs.deadline(), read).await?;
        if all > SMALL {
            return Ok(read);
        }
        *self.begin.lock().unwrap_or_else(PoisonError::into_inner) = read.clone();
        Ok(read.slice(offset.min(read.len())..(offset + len).min(read.len())))
    }

    async fn look_again(&self) -> Result<(), StoreError> {
        let file = self.hdfs.locate("look at", &self.name).await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    fn now(&self) -> Arc<FileReader> {
        Arc::clone(&self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn read_range(file: &FileReader, offset: usize, len: usize) -> Result<Bytes, HdfsError> {
    if len == 0 {
        return Ok(Bytes::new());
    }
    file.read_range(offset, len).await
}

impl fmt::Debug for HdfsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HdfsReader").field("name", &self.name).finish_non_exhaustive()
    }
}
