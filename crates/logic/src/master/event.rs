//! What comes in and what goes out.

use dybox_model::cache::Found;
use dybox_model::{
    AttemptId, Cause, Exit, Fact, GrantId, Millis, Node, Published, Resources, StageEnd, StageId, Usage, Wish,
};

use super::Advice;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to look into an attempt that runs.
    Visited {
        /// The attempt.
        attempt: AttemptId,
        /// Who.
        by: String,
        /// What they want, in short.
        want: String,
    },
    /// Everything that the journal holds has been applied: begin, or go on.
    /// Each grant in [`super::Master::grants`] is unknown until `ProxyJoined`, `ProxyLost` or `GrantEnded` tells of it.
    Opened,
    /// The driver machine knows what the tasks of a stage ask for that it is about to start.
    StageSized {
        /// The stage.
        stage: StageId,
        /// How many tasks in a row, and what each of them asks for.
        sizes: Vec<(u32, Resources)>,
    },
    /// The driver machine started a stage.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// How many tasks it has.
        tasks: u32,
    },
    /// The driver machine started a stage that need not run.
    StageFound {
        /// The stage.
        stage: StageId,
        /// How many tasks it has.
        tasks: u32,
        /// What it came to.
        found: Found,
    },
    /// The driver machine knows that this stage will never start.
    StageClosed {
        /// The stage.
        stage: StageId,
    },
    /// The driver machine stops everything.
    StopAsked {
        /// Why.
        why: String,
        /// Without the stages' grace.
        now: bool,
    },
    /// The resource manager gave room. The proxy is to be started once [`Effect::Launch`] says so.
    Granted {
        /// The grant.
        grant: GrantId,
        /// How much.
        size: Resources,
        /// On which machine, as the ResourceManager names it; empty on one machine.
        host: String,
        /// The YARN container; empty on one machine.
        container: String,
        /// The ask that it answers, where the resource manager says so. Without it the size tells.
        wish: Option<Wish>,
    },
    /// The machines of the cluster, all of them, whenever something about them changed. It never comes on one machine.
    Nodes(Vec<Node>),
    /// All that the roster says now: what it does not name any more is as any other. It never comes on one machine.
    Roster(Vec<Advice>),
    /// The resource manager took a grant back, or lost its machine: `Preempted`, `NodeLost` or `GrantLost`.
    /// Its proxy is dead or can't be reached; like [`Event::ProxyLost`], but what it worked on ends with this cause.
    GrantTaken {
        /// The grant.
        grant: GrantId,
        /// Which of the three.
        cause: Cause,
        /// The resource manager's words; may be empty.
        how: String,
    },
    /// A proxy said Hello: the first time, or again after its line or its master broke. All that it should know and may
    /// have missed is then sent again.
    ProxyJoined {
        /// Its grant.
        grant: GrantId,
        /// What was given to it and has not been acknowledged as ended.
        attempts: Vec<AttemptId>,
    },
    /// A proxy said that it will leave by itself: it gets no more tasks.
    ProxyLeaving {
        /// Its grant.
        grant: GrantId,
    },
    /// A proxy is gone in disorder: its process is dead (or was never born).
    ProxyLost {
        /// Its grant.
        grant: GrantId,
        /// How, in a phrase; may be empty.
        how: String,
    },
    /// A lost proxy's grant has been swept: nothing of it runs any more.
    Swept {
        /// The grant.
        grant: GrantId,
        /// What was found of its attempts: the end, as far as one is known.
        exits: Vec<(AttemptId, Option<Exit>)>,
    },
    /// A proxy's process is gone in good order, having cleaned up.
    GrantEnded {
        /// The grant.
        grant: GrantId,
    },
    /// A container runs.
    Runs {
        /// The grant whose proxy says so.
        grant: GrantId,
        /// The attempt.
        attempt: AttemptId,
        /// The engine's id of it.
        container: String,
        /// Where its ports are reached.
        ports: Vec<Published>,
    },
    /// A proxy found out what an image name stands for.
    ImagePinned {
        /// The image, as the job file names it.
        image: String,
        /// Its id (`sha256:...`).
        id: String,
    },
    /// An image that was not there came to a grant's machine, or was to come before it was needed and did not.
    ImageBrought {
        /// The grant whose proxy says so.
        grant: GrantId,
        /// The image, as the job file names it.
        image: String,
        /// The stage of the task that waited for it; nothing = no task needed it yet.
        stage: Option<StageId>,
        /// For how long it was brought, or waited for.
        took: Millis,
        /// Why it did not come; empty where it did.
        why: String,
    },
    /// An attempt ended. Proxies repeat it until it is acknowledged.
    Exited {
        /// The grant whose proxy says so.
        grant: GrantId,
        /// The attempt.
        attempt: AttemptId,
        /// How.
        exit: Exit,
    },
    /// What a running attempt uses now. Comes every few seconds for each.
    Used {
        /// The grant whose proxy says so.
        grant: GrantId,
        /// The attempt.
        attempt: AttemptId,
        /// What was read.
        used: Box<Usage>,
    },
    /// The answer to [`Effect::Limit`].
    Limited {
        /// The grant whose proxy says so.
        grant: GrantId,
        /// The attempt.
        attempt: AttemptId,
        /// The limit that its container has now; nothing = it keeps the one that it had.
        memory: Option<u64>,
    },
    /// The answer to [`Effect::Resize`], or the resource manager's own doing: a grant has this size now.
    Resized {
        /// The grant.
        grant: GrantId,
        /// Its size.
        size: Resources,
    },
    /// The other answer: it keeps its size; which one, a [`Event::Resized`] after it says.
    NotResized {
        /// The grant.
        grant: GrantId,
    },
    /// An ask that can never be granted; it is out no more.
    Refused {
        /// What was asked for.
        wish: Wish,
        /// Why not, as a sentence.
        why: String,
    },
    /// Whether other runs wait for room. Comes again and again as long as one of them comes first.
    OthersWait {
        /// Any of them.
        any: bool,
        /// One of them would have less than this run even with what it waits for: this run owes it a grant.
        first: bool,
    },
    /// The time that `wake` named has come.
    Tick,
}

/// What is to be done about it, in order. Everything that follows a `Record` waits until that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write it down. The machine has applied it to itself already.
    Record(Fact),
    /// Ask the resource manager for so many grants of this kind, on top of those that it gave already.
    /// It replaces the last ask of an equal wish; 0 takes it back. A grant that is given counts the ask down by one.
    Ask {
        /// How large, and where.
        wish: Wish,
        /// How many more.
        count: u32,
    },
    /// Tell the resource manager to give nothing on this machine. It never comes on one machine.
    Blacklist {
        /// Its name.
        host: String,
        /// What went wrong there, in a sentence.
        why: String,
    },
    /// Tell people.
    Warn {
        /// What.
        text: String,
    },
    /// The machine may be given again.
    Forgive {
        /// Its name.
        host: String,
    },
    /// Start the proxy of a grant: the grant is written down.
    Launch {
        /// The grant.
        grant: GrantId,
    },
    /// Give an attempt to a proxy. It may come twice for one attempt, when the proxy may have missed the first.
    Start {
        /// Where.
        grant: GrantId,
        /// What.
        attempt: AttemptId,
    },
    /// End an attempt.
    Halt {
        /// Where.
        grant: GrantId,
        /// What.
        attempt: AttemptId,
        /// Without its grace.
        now: bool,
    },
    /// Tell a proxy that the end of its attempt is written down.
    Ack {
        /// Where.
        grant: GrantId,
        /// What.
        attempt: AttemptId,
    },
    /// Give the container of an attempt this memory limit; answered by [`Event::Limited`].
    Limit {
        /// Where.
        grant: GrantId,
        /// What.
        attempt: AttemptId,
        /// In bytes.
        memory: u64,
    },
    /// Bring the image of a stage that will follow soon to the machine of this grant. Nothing waits for it.
    Prefetch {
        /// Whose proxy.
        grant: GrantId,
        /// Whose image.
        stage: StageId,
    },
    /// Have the agents of these machines bring the image of a stage that will follow soon. Nothing waits for it. It never
    /// comes on one machine.
    Bring {
        /// Whose image.
        stage: StageId,
        /// Where the run holds nothing, and tasks are likely to be asked for.
        hosts: Vec<String>,
    },
    /// Make a grant larger or smaller; answered by [`Event::Resized`] or [`Event::NotResized`]. It never comes on one
    /// machine.
    Resize {
        /// The grant.
        grant: GrantId,
        /// The size that it should have.
        size: Resources,
    },
    /// Give a grant back: its proxy cleans up and ends.
    Leave {
        /// The grant.
        grant: GrantId,
    },
    /// End what a lost proxy left, read its verdicts, and answer with [`Event::Swept`].
    Sweep {
        /// The grant.
        grant: GrantId,
    },
    /// Tell the driver machine that a stage ended (`driver::Event::StageEnded`).
    StageEnded {
        /// The stage.
        stage: StageId,
        /// How.
        end: StageEnd,
        /// Why, in a sentence; empty for a success.
        why: String,
        /// What it failed of, where no attempt of it tells that.
        cause: Option<Cause>,
    },
}
