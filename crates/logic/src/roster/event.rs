//! What the roster hears and wants.

use std::fmt;

use dybox_model::Millis;
use dybox_model::roster::{BringOrder, Mark, NodeChange, NodeFacts, Pulse};
use dybox_model::sweep::SweepOrder;

/// A line of an agent; a number that never repeats in a server's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

/// What comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An agent opened a line; its certificate is for this host. A line that the host had before is closed.
    Opened {
        /// The line.
        session: Session,
        /// Whose.
        host: String,
    },
    /// A report came.
    Reported {
        /// Over which line.
        session: Session,
        /// Which host it is said to be of.
        host: String,
        /// One more than the last one's.
        seq: u64,
        /// What is now.
        pulse: Box<Pulse>,
        /// What has changed; nothing = as before.
        facts: Option<NodeFacts>,
    },
    /// The line is cut.
    Closed {
        /// Which.
        session: Session,
    },
    /// Somebody drains a host, or ends that.
    Marked {
        /// Which host; it need not be known yet.
        host: String,
        /// No new tasks.
        drained: bool,
        /// Why.
        why: String,
        /// Who.
        by: String,
    },
    /// Somebody wants sweeps now.
    Wanted {
        /// Of which host; nothing = of all.
        host: Option<String>,
        /// What their agents are told.
        order: SweepOrder,
    },
    /// A master wants an image on hosts before tasks need it there.
    Missed {
        /// Which hosts.
        hosts: Vec<String>,
        /// What their agents are told.
        order: BringOrder,
    },
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Keep this change of a node.
    Record {
        /// Which.
        host: String,
        /// What.
        change: NodeChange,
    },
    /// Keep this mark of a node.
    Keep {
        /// Which.
        host: String,
        /// What.
        mark: Mark,
    },
    /// Forget all that was kept of a node.
    Forget {
        /// Which.
        host: String,
    },
    /// Tell an agent the mark that it should carry.
    Tell {
        /// Which.
        session: Session,
        /// What.
        mark: Mark,
    },
    /// Tell an agent to sweep.
    Sweep {
        /// Over which line.
        session: Session,
        /// Whose it is.
        host: String,
        /// What it is told.
        order: SweepOrder,
    },
    /// Tell an agent to bring an image.
    Bring {
        /// Over which line.
        session: Session,
        /// Whose it is.
        host: String,
        /// What it is told.
        order: BringOrder,
    },
    /// Cut this line, with the reason.
    Refuse {
        /// Which.
        session: Session,
        /// Why.
        why: Refusal,
    },
}

/// Why a report does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody with a certificate opened this line, or a newer line of the same host took its place.
    NoAgent,
    /// It is of another host than the certificate.
    OtherHost {
        /// The certificate's.
        own: String,
        /// The report's.
        said: String,
    },
    /// Its number has been before.
    Replayed {
        /// Its number.
        seq: u64,
        /// The greatest so far.
        last: u64,
    },
    /// The first report of a line does not say what the node is.
    NoFacts,
}

impl Refusal {
    /// Its name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NoAgent => "no_agent",
            Self::OtherHost { .. } => "other_host",
            Self::Replayed { .. } => "replayed",
            Self::NoFacts => "no_facts",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAgent => out.write_str("this line is no agent's, or the agent has opened another"),
            Self::OtherHost { own, said } => write!(out, "the certificate is of {own}, and the report of {said}"),
            Self::Replayed { seq, last } => write!(out, "report {seq} came after report {last}"),
            Self::NoFacts => out.write_str("the first report of a line does not say what the node is"),
        }
    }
}

/// What somebody wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// One node with all that is known of it; nothing = all nodes, each in short.
    pub host: Option<String>,
    /// Names of images: each node says which of them it has.
    pub images: Vec<String>,
}

/// The least time between two looks at who is silent.
pub(crate) const LOOK: Millis = Millis(1000);
