//! The roster: agents report, over lines of their own; masters and people ask, operators drain, over gRPC. All at one
//! port, with mutual TLS under an authority that outlives its servers, so it can sign for one more node a year later.

mod badge;
mod client;
mod desk;
mod door;
mod frame;
mod hall;
mod line;
mod pulse;
mod server;
mod view;

pub use badge::{Authority, Badge, identity_text, read_identity};
pub use client::RosterClient;
pub use desk::{AgentOrder, RosterCall};
pub use line::{Attendance, Line};
pub use server::serve_roster;
pub use view::{NodeText, NodeTold, RosterTold};

/// What an agent says of its node at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// The node's name; its certificate must say the same.
    pub host: String,
    /// One more than the last one's.
    pub seq: u64,
    /// What is now.
    pub pulse: dybox_model::roster::Pulse,
    /// What has changed; nothing = as before. The first of a line has it.
    pub facts: Option<dybox_model::roster::NodeFacts>,
}
