//! Both ends of a connection in memory, and clients against scripted servers.

mod client;
mod server;
mod session;
mod twin;
