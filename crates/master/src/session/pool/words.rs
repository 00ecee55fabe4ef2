//! What is said to the pool, and what it says.

use std::collections::BTreeMap;

use dybox_model::{GrantId, RunId, SubDagId, Wish};
use dybox_wire::AgentEnd;

use crate::rm::Room;

/// A sub-DAG of a run.
pub(crate) type Key = (RunId, SubDagId);

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum In {
    /// YARN knows this master; these containers of an earlier one live.
    Registered { previous: Vec<Room> },
    /// YARN gave a container for this wish.
    Granted { room: Room, wish: Wish },
    /// YARN never gives that.
    Refused { wish: Wish, why: String },
    /// A container is over.
    Completed { container: String, exit: i32, how: String },
    /// An agent is there; with what it works on, and what it worked on last.
    Hello { container: String, serving: Option<(RunId, GrantId)>, last: Option<AgentEnd> },
    /// Its line is cut.
    Cut { container: String },
    /// The proxy in an agent ended.
    Ended { container: String, end: AgentEnd },
    /// A run's master is in control; its journal knows these grants.
    Began { key: Key, known: Vec<(GrantId, String)> },
    /// It asks: replaces the last ask of an equal wish.
    Asked { key: Key, wish: Wish, count: u32 },
    /// It wants nothing on these machines; again on those.
    Avoids { key: Key, add: Vec<String>, remove: Vec<String> },
    /// It starts a proxy in what it was given.
    Started { key: Key, grant: GrantId, container: String },
    /// It gives back what it was given.
    Released { key: Key, container: String },
    /// It is over.
    Over { key: Key },
    /// In which rack each host is.
    Racks(BTreeMap<String, String>),
    /// The session ends.
    Close,
    /// The time that [`super::Pool::wake`] named.
    Tick,
}

/// What is to be done about it, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    /// Ask YARN for so many of this wish; replaces the last ask of it.
    Ask { wish: Wish, count: u32 },
    /// Start an agent in a container.
    Launch(String),
    /// Give a container back to YARN, whatever runs in it.
    Release(String),
    /// Tell an agent to leave.
    Leave(String),
    /// Tell a run.
    Tell(Key, Told),
}

/// What a run is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// These of its grants live.
    Registered(Vec<String>),
    /// A container is its own.
    Granted { container: String, wish: Wish },
    /// A container is its own no more.
    Completed { container: String, exit: i32, how: String },
    /// A wish is never granted.
    Refused { wish: Wish, why: String },
    /// Why its asks wait; empty when none does.
    Waits(String),
}
