//! What is said over the wire, in the model's words.

use bytes::Bytes;
use dybox_model::{AttemptId, Exit, GrantId, Millis, Note, Published, Resources, StageId, TaskSpec, Visit};

/// What a proxy tells its master.
#[derive(Debug, Clone, PartialEq)]
pub enum ProxyNews {
    /// Always first: who is there, and what it has in its hands.
    Hello {
        /// Its grant.
        grant: GrantId,
        /// Its process id.
        pid: u32,
        /// What was given to it and has not been acknowledged as ended.
        attempts: Vec<AttemptId>,
    },
    /// The container of an attempt runs.
    Runs {
        /// The attempt.
        attempt: AttemptId,
        /// The engine's id of the container.
        container: String,
        /// The image, as the job file names it.
        image: String,
        /// Its id (`sha256:...`).
        image_id: String,
        /// Where its ports are reached.
        ports: Vec<Published>,
    },
    /// An attempt ended. Repeated until acknowledged.
    Exited {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
    },
    /// News for watchers.
    Noted(Note),
    /// Nothing of a grant whose proxy is dead lives any more on this proxy's machine. Repeated after each Hello.
    Swept {
        /// The dead proxy's grant.
        grant: GrantId,
        /// What is known of how its attempts ended.
        exits: Vec<(AttemptId, Option<Exit>)>,
    },
    /// The answer to [`MasterOrder::Limit`].
    Limited {
        /// The attempt.
        attempt: AttemptId,
        /// The limit that was asked for, in bytes.
        memory: u64,
        /// Nothing where its container has that limit now.
        why_not: Option<String>,
    },
    /// The proxy goes; its slot is clean.
    Leaving {
        /// Why, in a phrase.
        why: String,
    },
}

/// What a master tells a proxy.
#[derive(Debug, Clone, PartialEq)]
pub enum MasterOrder {
    /// The answer to Hello.
    Welcome {
        /// The master's number.
        epoch: u32,
    },
    /// Run this attempt.
    Start(Box<TaskSpec>),
    /// End this attempt: TERM, its grace, KILL; at once when `now`.
    Halt {
        /// The attempt.
        attempt: AttemptId,
        /// Without the grace.
        now: bool,
    },
    /// The end of this attempt is written down.
    Ack {
        /// The attempt.
        attempt: AttemptId,
    },
    /// Finish what is in hand, clean up, end.
    Leave,
    /// Give the container of a running attempt this memory limit; answered by [`ProxyNews::Limited`].
    Limit {
        /// Which.
        attempt: AttemptId,
        /// In bytes; no swap comes on top.
        memory: u64,
    },
    /// Bring this image to the machine, if it is not there, for tasks that will follow. Not answered.
    Prefetch {
        /// Its name.
        image: String,
    },
    /// Clean up after the dead proxy of this grant, which was on the same machine; answered by [`ProxyNews::Swept`].
    Sweep {
        /// The dead proxy's grant.
        grant: GrantId,
    },
    /// A client wants bytes of the grant's archive. Made by a [`crate::Relay`]; answered by
    /// [`crate::MasterClient::answer`].
    Read {
        /// What the answer names it by.
        ticket: u64,
        /// The first byte.
        offset: u64,
        /// How many at most.
        max: u32,
    },
    /// A client wants a terminal at an attempt. Made by a [`crate::Relay`]; answered by
    /// [`crate::MasterClient::carry`], or, with a refusal, by [`crate::MasterClient::answer`].
    Attach {
        /// What the answer names it by.
        ticket: u64,
        /// The attempt.
        attempt: AttemptId,
        /// What is wanted beside the payload; nothing = the payload's own streams.
        visit: Option<Box<Visit>>,
    },
}

/// What a watcher sees, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// Whole frames of the journal, as they lie in the file.
    Frames(Bytes),
    /// News in between.
    Note(Note),
}

/// Why some tasks of a stage wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The stage.
    pub stage: StageId,
    /// How many of its tasks.
    pub tasks: u32,
    /// Why, in a sentence.
    pub why: String,
}

/// A piece of an archive that is still written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// From the offset that was asked for; empty = nothing there yet.
    pub bytes: Bytes,
    /// How long the archive is now.
    pub total: u64,
    /// It grows no more.
    pub closed: bool,
}

/// A grant that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveGrant {
    /// Its id.
    pub grant: GrantId,
    /// Its machine.
    pub host: String,
    /// YARN's id of it, where it is YARN's.
    pub container: Option<String>,
    /// How large it is.
    pub size: Resources,
    /// When it was got.
    pub since: Millis,
    /// Whether its proxy has a line to the master now.
    pub linked: bool,
}
