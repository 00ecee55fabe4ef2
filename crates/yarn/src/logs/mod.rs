//! Log files that YARN gathered after an application's end: where they lie, and what is in them.
//!
//! A NodeManager puts all log files of an application's containers on it into one file, of one of two formats. Both are
//! read as a stream, in the order of the file: [`Reader::next`], then [`Reader::chunk`] until there is none.

mod ifile;
mod java;
mod layout;
mod stream;
mod tfile;

use std::future::Future;
use std::io;

use thiserror::Error;

pub use self::layout::{NodeFile, directories};

/// A file that can be read anywhere. The store implements it over HDFS.
pub trait ReadAt: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Reads exactly `length` bytes at `offset`.
    fn read_at(&self, offset: u64, length: usize) -> impl Future<Output = io::Result<Vec<u8>>> + Send;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One container's log file inside a gathered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is: `container_e01_...`.
    pub container: String,
    /// Its name: `stdout`.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
}

/// A gathered file that can't be read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file system failed.
    #[error("the gathered log file can't be read")]
    File(#[from] io::Error),
    /// It has neither format's marks.
    #[error("this is no gathered log file of YARN")]
    Foreign,
    /// It is not what its format says.
    #[error("the gathered log file is cut or damaged at byte {at}: {what}")]
    Damaged {
        /// About where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Compressed by what DYbox can't undo.
    #[error("the gathered log file is compressed by {0:?}")]
    Compression(String),
}

impl LogError {
    /// What the user can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::File(_) => "check HDFS and your right to read there",
            Self::Foreign => "`yarn logs` may know the format: it is configured by yarn.log-aggregation.file-formats",
            Self::Damaged { .. } => "the NodeManager may still be writing it: try again later",
            Self::Compression(_) => "use `yarn logs`: DYbox reads files without compression and with gz",
        }
    }
}

/// Reads one gathered file from its beginning to its end.
#[derive(Debug)]
pub struct Reader<R>(Format<R>);

#[derive(Debug)]
enum Format<R> {
    T(Box<tfile::TFile<R>>),
    I(Box<ifile::IFile<R>>),
}

impl<R: ReadAt> Reader<R> {
    /// Opens a gathered file, whichever format it has.
    pub async fn open(file: R) -> Result<Self, LogError> {
        let format = if tfile::is_one(&file).await? {
            Format::T(Box::new(tfile::TFile::open(file).await?))
        } else if ifile::is_one(&file).await? {
            Format::I(Box::new(ifile::IFile::open(file).await?))
        } else {
            return Err(LogError::Foreign);
        };
        Ok(Self(format))
    }

    /// The next log file; what was not read of the last one is passed over.
    pub async fn next(&mut self) -> Result<Option<Entry>, LogError> {
        match &mut self.0 {
            Format::T(file) => file.next().await,
            Format::I(file) => file.next(),
        }
    }

    /// The next bytes of the present log file; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, LogError> {
        match &mut self.0 {
            Format::T(file) => file.chunk().await,
            Format::I(file) => file.chunk().await,
        }
    }
}

#[cfg(test)]
mod tests;
