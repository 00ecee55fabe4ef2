//! Configurations that can't be used.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::Source;

/// A configuration that can't be used.
#[derive(Debug, Error)]
pub enum ConfError {
    /// No site file anywhere.
    #[error("no Hadoop configuration found: {looked}")]
    NotFound {
        /// Where was looked, in words.
        looked: String,
    },
    /// A file that is there can't be read.
    #[error("could not read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that can't be understood.
    #[error("{path}:{line}:{column}: {what}")]
    Broken {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u32,
        /// From 1.
        column: u32,
        /// What is wrong there.
        what: String,
    },
    /// A value that is none of what it must be.
    #[error("{key} is \"{text}\", which is not {expected} ({source_of})")]
    Bad {
        /// The key.
        key: String,
        /// Its value.
        text: String,
        /// What it must be, in words.
        expected: String,
        /// Who says so.
        source_of: Source,
    },
}

impl ConfError {
    /// What the user can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => {
                "set HADOOP_CONF_DIR to the directory with the cluster's core-site.xml, hdfs-site.xml and yarn-site.xml"
            }
            Self::Unreadable { .. } => "check the file's owner and permissions",
            Self::Broken { .. } => "correct the file, or take a fresh copy from the cluster",
            Self::Bad { .. } => "correct the value where it is set",
        }
    }
}
