//! What goes between the machine, the ResourceManager and the clock.

use dybox_hrpc::Token;
use dybox_model::{Node, Resources};

use crate::am::event::{Event, Order};
use crate::application::FinalStatus;
use crate::container::{Container, ContainerStatus};
use crate::ids::{ContainerId, NodeId};

/// What comes in.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The master wants something.
    Order(Order),
    /// The answer to [`Effect::Register`].
    Registered(Welcome),
    /// The answer to [`Effect::Beat`].
    Answered(Box<Answer>),
    /// The answer to [`Effect::Finish`]: whether it is written down.
    Unregistered(bool),
    /// The call on its way got no answer that counts.
    Failed(Failure),
    /// The nodes of the cluster, all of them.
    Nodes(Vec<(NodeId, Node)>),
    /// [`super::Am::wake`] has come.
    Tick,
}

/// What must be done. At most one of the first three is on its way at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Call `registerApplicationMaster`.
    Register {
        /// The master's page.
        tracking: String,
    },
    /// Call `allocate`.
    Beat(Heartbeat),
    /// Call `finishApplicationMaster`.
    Finish {
        /// How it ended.
        status: FinalStatus,
        /// Why.
        diagnostics: String,
        /// The link from now on.
        url: String,
    },
    /// Log in with this token from now on.
    Token(Token),
    /// The token of a NodeManager.
    NodeToken(NodeId, Token),
    /// Tell the master.
    Tell(Event),
}

/// The content of `registerApplicationMaster`'s answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Welcome {
    /// The largest container; `None` when only known that an earlier try had registered.
    pub max: Option<Resources>,
    /// Where the application runs.
    pub queue: String,
    /// Grants of earlier attempts.
    pub previous: Vec<Container>,
    /// Tokens of their nodes.
    pub tokens: Vec<(NodeId, Token)>,
    /// Whether the scheduler counts cpus; else every container looks as if it had one.
    pub counts_cpus: bool,
}

/// The content of `allocate`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heartbeat {
    /// The last answer's number.
    pub response_id: i32,
    /// Absolute numbers, by request and place.
    pub asks: Vec<AskLine>,
    /// Grants given back.
    pub release: Vec<ContainerId>,
    /// No grants there any more.
    pub avoid: Vec<String>,
    /// Grants there again.
    pub avoid_no_more: Vec<String>,
    /// New sizes.
    pub resizes: Vec<Resize>,
    /// 0 to 1.
    pub progress: f32,
    /// The page's new address.
    pub tracking: Option<String>,
}

/// One line of an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskLine {
    /// Its allocation request id.
    pub request: i64,
    /// A host, a rack, or `*`.
    pub place: String,
    /// How many, replacing what was said before.
    pub count: u32,
    /// How large.
    pub size: Resources,
    /// Whether another host of the rack, or another rack, will do.
    pub relax: bool,
    /// Those of more come first.
    pub priority: i32,
}

/// A grant's wanted new size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Which.
    pub id: ContainerId,
    /// Its present version.
    pub version: i32,
    /// Its new size.
    pub size: Resources,
    /// Larger, or smaller.
    pub grows: bool,
}

/// The content of `allocate`'s answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its number, to be sent with the next heartbeat.
    pub response_id: i32,
    /// An old ResourceManager's way to say that it does not know us.
    pub resync: bool,
    /// An old ResourceManager's way to say that this attempt is over.
    pub shutdown: bool,
    /// New grants.
    pub granted: Vec<Container>,
    /// Ended grants.
    pub completed: Vec<ContainerStatus>,
    /// Room in the queue.
    pub headroom: Resources,
    /// How many nodes there are.
    pub nodes: u32,
    /// Nodes that changed.
    pub changed_nodes: Vec<(NodeId, Node)>,
    /// Grants that the scheduler will take.
    pub preempts: Vec<ContainerId>,
    /// NodeManagers' tokens.
    pub tokens: Vec<(NodeId, Token)>,
    /// The newest token of this line.
    pub own_token: Option<Token>,
    /// Grants with their new sizes.
    pub resized: Vec<Container>,
    /// Grants that keep their size: which, why, their present version.
    pub not_resized: Vec<(ContainerId, String, i32)>,
    /// Grants of earlier attempts, found later.
    pub previous: Vec<Container>,
}

/// Why a call has no answer that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The ResourceManager lost its memory of us.
    NotRegistered,
    /// Registered by an earlier try, whose answer was lost.
    AlreadyRegistered,
    /// This attempt is over.
    Over(String),
    /// An ask is wrong, and so nothing of the call was done.
    BadAsk(String),
    /// Anything else in the call is wrong, and so nothing of it was done.
    BadCall(String),
    /// No answer; the call may have been done or not.
    Away(String),
}
