//! DYbox's own gRPC between a master, its proxies and whoever watches it, over a unix socket.
//!
//! Enters and leaves: values of `model` alone ([`ProxyNews`], [`MasterOrder`], [`Watched`], [`Waiting`]). A server
//! puts every call into one mailbox ([`Call`]); a client is a [`MasterClient`]. Never: a prost or tonic type outside,
//! a decision, a journal, a connection from another user (but root).

mod client;
mod convert;
mod error;
mod message;
mod proto;
mod server;
mod socket;

pub use client::{Link, MasterClient, Watching};
pub use error::WireError;
pub use message::{MasterOrder, ProxyNews, Waiting, Watched};
pub use server::{Call, LinkId, Server, serve};
