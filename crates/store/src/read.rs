//! Reading one file from any place in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::StoreError;
use crate::store::off_loop;

/// An open file of the store. Sees what is appended after it was opened.
#[derive(Debug, Clone)]
pub struct Reader {
    file: Arc<File>,
    path: PathBuf,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| StoreError::new("open", path.display(), e))?;
        Ok(Self { file: Arc::new(file), path: path.to_owned() })
    }

    /// At most `max` bytes from `offset`; fewer only at the end of the file.
    pub async fn read_at(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let this = self.clone();
        off_loop("read", &self.path, move || this.read_now(offset, max)).await
    }

    /// Bytes in the file now.
    pub async fn size(&self) -> Result<u64, StoreError> {
        let this = self.clone();
        off_loop("look at", &self.path, move || {
            this.file.metadata().map(|m| m.len()).map_err(|e| StoreError::new("look at", this.path.display(), e))
        })
        .await
    }

    pub(crate) fn read_now(&self, offset: u64, max: usize) -> Result<Bytes, StoreError> {
        let failed = |e| StoreError::new("read", self.path.display(), e);
        let there = self.file.metadata().map_err(failed)?.len().saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(usize::MAX).min(max)];
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        bytes.truncate(done);
        Ok(bytes.into())
    }
}
