//! What comes in and what goes out.

use std::sync::Arc;

use dybox_model::{AttemptId, Cause, Exit, Moved, Note, TaskSpec, Usage};

use super::Ending;

/// What happened. Answers to effects carry their attempt; the machine drops what is stale.
#[derive(Debug, Clone)]
pub enum Event {
    /// A line to the master is open; nothing was said on it yet.
    Dialed,
    /// The master answered to our hello.
    Welcomed,
    /// The line is gone.
    Cut,
    /// The master gave an attempt.
    Ordered(Arc<TaskSpec>),
    /// The master wants this attempt to end: TERM, its grace, KILL; KILL at once with `now`.
    HaltAsked {
        /// Which.
        attempt: AttemptId,
        /// Without the grace.
        now: bool,
    },
    /// The end of this attempt is written down.
    Acked(AttemptId),
    /// Finish what is in hand, clean up, go.
    LeaveAsked,
    /// This process was asked to end by a signal: the grant is being taken back.
    Signalled,
    /// The engine can't be reached, and will not be in a moment: this proxy is of no use.
    EngineLost {
        /// Why, in a phrase.
        why: String,
    },
    /// The image is here.
    ImageReady {
        /// For which attempt.
        attempt: AttemptId,
        /// Its id (`sha256:...`).
        id: String,
    },
    /// The container runs.
    Started {
        /// Whose.
        attempt: AttemptId,
        /// The engine's id of it.
        container: String,
    },
    /// The image did not come, or no container runs and none will.
    NotStarted {
        /// Whose.
        attempt: AttemptId,
        /// Why.
        exit: Exit,
    },
    /// The engine did not take a signal for a container that may live.
    KillFailed(AttemptId),
    /// The payload wrote something.
    Wrote(AttemptId),
    /// What the payload has used since its start, as a look at it found.
    Used(AttemptId, Usage),
    /// For a while now nothing that it writes can be stored, and `text` says why.
    StoreFails {
        /// Whose.
        attempt: AttemptId,
        /// What is wrong.
        text: String,
    },
    /// The container is known dead.
    Ended {
        /// Whose.
        attempt: AttemptId,
        /// How it ended, with what was asked of it taken into account.
        exit: Exit,
    },
    /// The payload is known dead, all of it, and its container waits for a next one.
    Rests {
        /// Whose.
        attempt: AttemptId,
        /// How it ended.
        exit: Exit,
    },
    /// The container that was to take this attempt does not, and nothing of the attempt was started.
    Cold(AttemptId),
    /// All that it wrote is in the store, or `problem` says why not.
    Drained {
        /// Whose.
        attempt: AttemptId,
        /// Why something is missing.
        problem: Option<String>,
    },
    /// The outputs of an attempt that succeeded were put where they belong, or were not.
    Put {
        /// Whose.
        attempt: AttemptId,
        /// What was.
        moved: Vec<Moved>,
        /// Why not all.
        failed: Option<(Cause, String)>,
    },
    /// Time passed.
    Tick,
}

/// A signal to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// To its init, which passes it on and counts the grace.
    Term,
    /// To its init, which kills the payload at once and still writes its verdict.
    Now,
    /// To the container: init dies too, and with it what it had to say.
    Kill,
}

/// What must be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Tell the master who is here and what is in its hands.
    Hello(Vec<AttemptId>),
    /// Bring the image.
    Fetch(Arc<TaskSpec>),
    /// Nobody waits for the image any more.
    CancelFetch(AttemptId),
    /// Make the container from this image id and start it.
    Start {
        /// The attempt.
        spec: Arc<TaskSpec>,
        /// The image's id.
        image: String,
    },
    /// The master let this proxy go: the container in which the attempt ended may wait for another run's, else it goes.
    Park {
        /// Whose container it was last.
        attempt: AttemptId,
        /// The image's id.
        image: String,
    },
    /// Hand the attempt to the container in which `from` has ended; answer `Started`, or `Cold` where that can't be.
    Next {
        /// Whose container it was last.
        from: AttemptId,
        /// The attempt.
        spec: Arc<TaskSpec>,
    },
    /// Give the start up if the engine was not asked yet; answer `NotStarted`.
    HaltStart(AttemptId),
    /// Give the start up now, make sure that nothing runs, answer `NotStarted`.
    CancelStart(AttemptId),
    /// Tell the master that the container runs.
    Runs {
        /// Whose.
        attempt: AttemptId,
        /// The engine's id of it.
        container: String,
        /// The image, as the job file names it.
        image: String,
        /// The image's id.
        image_id: String,
    },
    /// Signal the container through the engine; `KillFailed` when it does not take it.
    Kill {
        /// Whose.
        attempt: AttemptId,
        /// Which.
        signal: Signal,
        /// Why: what the end is to be called when it comes of this.
        why: Ending,
    },
    /// Stop writing the lease: its init ends the payload without the engine.
    Revoke(AttemptId),
    /// Bring the rest of the logs into the store; answer `Drained`.
    Drain(AttemptId),
    /// Write the end down beside the grant, for whoever sweeps after us.
    Save {
        /// Whose.
        attempt: AttemptId,
        /// How it ended.
        exit: Exit,
    },
    /// Tell the master of an end. Repeated until acknowledged.
    Exited {
        /// Whose.
        attempt: AttemptId,
        /// How it ended.
        exit: Exit,
    },
    /// The saved end is not needed any more.
    Forget(AttemptId),
    /// Remove container and files, in the background; keep both for a look when `keep`.
    Remove {
        /// Whose.
        attempt: AttemptId,
        /// `keep_failed`, and it failed.
        keep: bool,
    },
    /// Tell the master something that nothing depends on.
    Note(Note),
    /// Clean up and end this process. Always the last effect.
    Leave {
        /// Why, in a phrase.
        why: String,
    },
}
