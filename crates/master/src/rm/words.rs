//! What is said to the desk of grants, and what it says.

use dybox_model::{AttemptId, Exit, GrantId, Resources, Wish};

use super::News;
use super::exit::Verdict;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum In {
    /// The machine asks: replaces the last ask of an equal wish.
    Asked { wish: Wish, count: u32 },
    /// Nothing is to be put on a machine, or again.
    Avoided { host: String, avoid: bool },
    /// The grant is written down: its proxy may start.
    Launch(GrantId),
    /// Its proxy does not answer.
    Kill(GrantId),
    /// End what a lost proxy left.
    Sweep(GrantId),
    /// The application is registered; these containers of earlier attempts live.
    Registered { previous: Vec<Room> },
    /// Containers of earlier attempts that were thought to be over.
    Found { found: Vec<Room> },
    /// YARN gave a container.
    Granted { room: Room, wish: Wish },
    /// YARN says that a container is over.
    Completed { container: String, verdict: Verdict },
    /// The proxy could not be started; `sure`: nothing of it runs.
    NotStarted { grant: GrantId, how: String, sure: bool },
    /// The process in the master's own grant ended.
    OwnEnded { grant: GrantId, clean: bool, how: String },
    /// A container has another size.
    Resized { container: String, size: Resources },
    /// A container keeps its size.
    NotResized { container: String, why: String },
    /// YARN will take these containers.
    Preempts(Vec<String>),
    /// A proxy has a line.
    Joined(GrantId),
    /// A task was given to it.
    Given(GrantId),
    /// A task of its runs, or has ended.
    Works(GrantId),
    /// Its line is cut.
    Cut(GrantId),
    /// It said that it leaves, and that its slot is clean.
    Leaving(GrantId),
    /// It has swept.
    Swept { by: GrantId, grant: GrantId, exits: Vec<(AttemptId, Option<Exit>)> },
    /// The time that [`super::Desk::wake`] named.
    Tick,
}

/// What is to be done about it, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Out {
    /// Ask YARN for so many of this wish; replaces the last ask of it.
    Ask { wish: Wish, count: u32 },
    /// Give a container back; whatever runs in it ends.
    Release(String),
    /// Start the proxy in its container, or beside this process.
    Start { grant: GrantId, place: Place },
    /// End the proxy.
    Stop { grant: GrantId, place: Place },
    /// Tell the loop.
    Tell(News),
}

/// Where a proxy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a container of its own.
    Container,
    /// As a child of this process, in the master's own container.
    Own,
}

/// A container, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) container: String,
    pub(crate) host: String,
    pub(crate) size: Resources,
}
