//! Durable files of runs: put, append, read, list, and the log archives on top of them.
//!
//! Enters: relative paths made by [`layout`] and bytes. Leaves: bytes, lists, log items, and errors that name the
//! operation and the place. Never: a decision about a run, a path outside the store, a log line that is changed.
//!
//! The store is a directory or lies in HDFS: hdfs-native stops here. Paths of the machine appear in [`layout::Home`],
//! [`local`], [`Lock`] and [`upload`] alone.

mod append;
pub mod archive;
pub mod bundle;
pub mod cache;
mod dir;
pub mod epochs;
mod error;
mod guard;
mod hdfs;
pub mod layout;
pub mod learned;
pub mod local;
mod lock;
pub mod logs;
pub mod look;
pub mod policy;
pub mod print;
mod read;
mod run_info;
mod runs;
mod secrets;
mod store;
pub mod transfer;
pub mod upload;

pub use append::Appender;
pub use error::{Kind, StoreError};
pub use guard::{Answer, EpochFence, Fence, Guard, OnlyMine, Trouble};
pub use hdfs::HdfsConf;
pub use lock::Lock;
pub use read::Reader;
pub use run_info::{RUN_INFO_VERSION, RunInfo, StopMark};
pub use runs::{FoundRun, Runs, find_run, newest_runs, runs};
pub use secrets::{Private, SecretValues};
pub use store::{Entry, Stat, Store};
pub use upload::{UploadConf, Uploader};
