//! What is said over the wire, in the model's words.

use bytes::Bytes;
use dybox_model::{AttemptId, Exit, GrantId, Note, StageId, TaskSpec};

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
