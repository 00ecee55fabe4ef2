//! The store in HDFS. hdfs-native stops here.

mod append;
mod close;
mod explain;
mod files;
mod line;
mod link;
mod read;
mod write;

pub(crate) use append::HdfsAppender;
pub(crate) use link::Hdfs;
pub use link::HdfsConf;
pub(crate) use read::HdfsReader;
