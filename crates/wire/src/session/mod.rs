//! The line between the master of a session, the agents in its grants, and its clients: TCP with the session's
//! certificates.

mod client;
mod server;

use dybox_model::{GrantId, RunId, SessionView};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::server::LinkId;

pub use client::{AgentLink, SessionClient};
pub use server::serve_session;

/// How a proxy inside an agent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentEnd {
    /// The run that it worked for.
    pub run: RunId,
    /// The run's grant.
    pub grant: GrantId,
    /// Whether it left nothing.
    pub clean: bool,
    /// In a phrase that follows "the proxy of g0-1-1 ".
    pub how: String,
}

/// What an agent tells its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentNews {
    /// Who is there; always first.
    Hello {
        /// YARN's id of its grant.
        container: String,
        /// What it works on.
        serving: Option<(RunId, GrantId)>,
        /// What it worked on last.
        last: Option<AgentEnd>,
    },
    /// The proxy of a run's grant has ended, and it is free.
    Ended(AgentEnd),
}

/// What a session tells an agent.
#[derive(Clone, PartialEq, Eq)]
pub enum AgentOrder {
    /// Be the proxy of a run's grant: the bundle as a proxy in a grant of its own would get it. It holds secrets.
    Serve(Vec<u8>),
    /// End, once nothing is in hand.
    Leave,
}

/// What is asked of a session. Replies are dropped in silence when the peer is gone.
#[derive(Debug)]
pub enum SessionCall {
    /// An agent opened a line. Its Hello comes as the first news.
    Linked {
        /// The line.
        link: LinkId,
        /// To talk to it; dropping it cuts the line.
        orders: mpsc::UnboundedSender<AgentOrder>,
    },
    /// An agent said something.
    News {
        /// The line that it came over.
        link: LinkId,
        /// What.
        news: AgentNews,
    },
    /// The line is cut.
    Unlinked {
        /// The line.
        link: LinkId,
    },
    /// A sub-DAG to do.
    Submit {
        /// The bundle of a master.
        bundle: Vec<u8>,
        /// Where its master listens, or why it is not taken.
        answer: oneshot::Sender<Result<(String, u16), String>>,
    },
    /// Somebody asks what it is and has.
    Look {
        /// For the answer.
        answer: oneshot::Sender<SessionView>,
    },
    /// Somebody wants it to end.
    End {
        /// Why, in a phrase.
        why: String,
        /// Without grace.
        now: bool,
        /// To be answered once its runs were told.
        done: oneshot::Sender<()>,
    },
}

impl std::fmt::Debug for AgentOrder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Serve(_) => "Serve(..)",
            Self::Leave => "Leave",
        })
    }
}
