//! Hadoop RPC version 9, credentials files and Hadoop's XML configuration, without a JVM.
//!
//! Enters: protobuf requests, tokens, directories with site files. Leaves: protobuf answers, errors that say what the
//! caller can do, settings with the file that each came from. Never: a protocol's messages (they are the caller's), a
//! lock, a call without a deadline; and no socket or clock but in `socket` and `client`.

mod client;
mod conf;
mod credentials;
mod error;
mod target;

pub use client::{Call, Client, Options, Protection, Target};
pub use conf::{ConfError, Settings, Source, Value};
pub use credentials::{Credentials, CredentialsError, Token, kind};
pub use error::RpcError;
pub use target::{Address, Auth};
