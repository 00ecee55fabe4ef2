//! What comes in and what goes out.

use dybox_model::{AttemptId, Exit, GrantId, Resources};

/// What a master wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// So many grants of this size, on top of those given. Replaces the last ask of the same size and priority; 0 takes it
    /// back.
    Ask {
        /// How large.
        size: Resources,
        /// As long as an ask of a higher one waits, none of a lower one is given.
        priority: i32,
        /// How many more.
        count: u32,
    },
    /// Start the proxy of a grant that was given.
    Launch {
        /// The grant.
        grant: GrantId,
    },
    /// Tell when the proxy of an earlier master's grant is gone.
    Adopt {
        /// The grant.
        grant: GrantId,
    },
    /// End a proxy's process at once: it does not answer. Its end comes as [`Event::Gone`].
    Kill {
        /// The grant.
        grant: GrantId,
    },
    /// End what a lost proxy left. Tried again until it works.
    Sweep {
        /// The grant.
        grant: GrantId,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is room: the share is taken.
    Granted {
        /// The new grant.
        grant: GrantId,
        /// Its size, as asked.
        size: Resources,
        /// The priority, as asked.
        priority: i32,
    },
    /// An ask that can never be granted.
    Refused {
        /// What was asked for.
        size: Resources,
        /// Why not, in a sentence.
        why: String,
    },
    /// A proxy's process is gone.
    Gone {
        /// Its grant.
        grant: GrantId,
        /// Whether it cleaned up and gave its share back. Else it must be swept.
        clean: bool,
        /// How it ended, in a phrase, with its own words where it left some.
        how: String,
    },
    /// A lost proxy's grant is swept: nothing of it runs any more, its share is free.
    Swept {
        /// The grant.
        grant: GrantId,
        /// Its attempts, with the ends that are known.
        exits: Vec<(AttemptId, Option<Exit>)>,
    },
    /// Why asks wait now; empty when none does.
    Waits {
        /// In a sentence.
        why: String,
    },
    /// Whether other runs wait for room. Comes at every look as long as one of them comes first.
    OthersWait {
        /// Any of them.
        any: bool,
        /// One of them would have less than this run even with what it waits for, or has nothing.
        first: bool,
    },
    /// Something that a person should know; it is tried again.
    Trouble {
        /// What, in a sentence.
        text: String,
    },
}
