//! DYbox's own gRPC between a master, its proxies and whoever watches it, over a unix socket, or over
//! TCP with mutual TLS. What agents tell a state server goes over lines without gRPC ([`roster`]).
//!
//! Enters and leaves: values of `model` alone ([`ProxyNews`], [`MasterOrder`], [`Watched`], [`Waiting`], [`Piece`],
//! [`LiveGrant`]). A server
//! puts every call into one mailbox ([`Call`]); a client is a [`MasterClient`]. A session has a service of its own
//! ([`SessionCall`], [`SessionClient`]). Never: a prost or tonic type outside,
//! a decision, a journal, a connection from another user (but root) or another run.

mod address;
mod attached;
mod client;
mod codec;
mod convert;
mod desk;
mod error;
mod message;
mod proto;
mod relay;
pub mod roster;
mod seal;
mod server;
mod session;
mod socket;
mod tcp;
pub mod tls;

pub use address::Address;
pub use client::{Link, MasterClient, Watching};
pub use error::WireError;
pub use message::{LiveGrant, MasterOrder, Piece, ProxyNews, Waiting, Watched};
pub use relay::{Ask, READ_MAX, Relay, no_line};
pub use seal::{seal, unseal};
pub use server::{Call, LinkId, Server, serve, serve_tcp};
pub use session::{AgentEnd, AgentLink, AgentNews, AgentOrder, SessionCall, SessionClient, serve_session};
pub use tls::{Role, RunTls, TlsIdentity};
