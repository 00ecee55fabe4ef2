//! Log files that YARN gathered after an application's end.

use std::future::Future;
use std::io;

/// A file that can be read anywhere. The store implements it over HDFS.
pub trait ReadAt: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Reads exactly `buffer.len()` bytes at `offset`.
    fn read_at(&self, offset: u64, length: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
