//! The store in HDFS. hdfs-native stops here, and the little of HDFS's protocols that it keeps for itself.

mod adopt;
mod append;
mod block;
mod close;
mod explain;
mod files;
mod line;
mod link;
mod open_file;
mod proto;
mod read;
mod write;

pub(crate) use adopt::Claim;
pub(crate) use append::HdfsAppender;
pub(crate) use link::Hdfs;
pub use link::HdfsConf;
pub(crate) use read::HdfsReader;
