//! Hadoop RPC version 9, credentials files and Hadoop's XML configuration, without a JVM.
//!
//! Enters: protobuf requests, tokens, directories with site files. Leaves: protobuf answers, errors that say what the
//! caller can do, settings with the file that each came from. Never: a protocol's messages (they are the caller's), a
//! lock, a call without a deadline; and no socket or clock but in `line` and `client`.

mod client;
mod conf;
mod credentials;
mod error;
mod frame;
mod keeper;
mod line;
mod options;
mod proto;
mod random;
mod retry;
mod sasl;
pub mod session;
mod target;

pub use client::{Call, Client, Target};
pub use conf::{ConfError, Settings, Source, Value};
pub use credentials::{Credentials, CredentialsError, Token, kind};
pub use error::RpcError;
pub use options::Options;
pub use sasl::Protection;
pub use target::{Address, Auth};

#[cfg(test)]
mod tests;
