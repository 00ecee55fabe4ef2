//! What a master orders, and what it is told.

use dybox_model::{Node, Resources, Wish};

use crate::application::FinalStatus;
use crate::container::Container;
use crate::ids::ContainerId;

/// What a master wants of YARN.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// So many grants for this wish, on top of those given. Replaces the last ask of the same wish; 0 takes it back.
    Ask {
        /// What kind.
        wish: Wish,
        /// How many more.
        count: u32,
    },
    /// Give a grant back; its process is killed if it runs. Its end comes as [`Event::Completed`].
    Release(ContainerId),
    /// No grants on these hosts or racks; again on those.
    Blacklist {
        /// From now on avoided.
        add: Vec<String>,
        /// No longer avoided.
        remove: Vec<String>,
    },
    /// How far the run is, 0 to 1.
    Progress(f32),
    /// The master's page has moved.
    Tracking(String),
    /// Make a grant larger or smaller. Answered by [`Event::Updated`] or [`Event::UpdateFailed`].
    Update {
        /// The grant.
        container: ContainerId,
        /// Its new size.
        size: Resources,
    },
    /// The run is over: say so until the ResourceManager has written it down. Answered by [`Event::Finished`].
    Finish {
        /// How it ended.
        status: FinalStatus,
        /// Why, for the ResourceManager's page.
        diagnostics: String,
        /// What the page's link shows from now on; empty = the ResourceManager's own page.
        url: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The ResourceManager knows this attempt. Comes once.
    Registered {
        /// The largest container; everything when not known (the answer to an earlier try was lost).
        max: Resources,
        /// The queue that it runs in.
        queue: String,
        /// Grants of earlier attempts that still run.
        previous: Vec<Container>,
    },
    /// More grants of earlier attempts, found later (NodeManagers come back after a restart of the ResourceManager).
    Found(Vec<Container>),
    /// A grant. The wish counts one less from now on.
    Granted {
        /// What was given.
        container: Container,
        /// What was asked for.
        wish: Wish,
    },
    /// A grant has ended, by itself or by somebody's hand. Comes once for each.
    Completed {
        /// Which.
        id: ContainerId,
        /// How, see [`crate::exit`].
        exit: i32,
        /// More about it.
        diagnostics: String,
    },
    /// All nodes of the cluster, also those that can't be used; comes when something changed.
    Nodes(Vec<Node>),
    /// What the queue would still give to this application, and how many nodes there are; comes when it changed.
    Headroom {
        /// Room.
        free: Resources,
        /// Nodes.
        nodes: u32,
    },
    /// The scheduler will take these grants soon.
    Preempts(Vec<ContainerId>),
    /// A wish that is never granted; it is forgotten.
    Refused {
        /// What was asked for.
        wish: Wish,
        /// Why not, in a sentence.
        why: String,
    },
    /// A grant has a new size: pass it to its NodeManager ([`crate::NodeManagers::update`]) when it grew.
    Updated(Container),
    /// A grant keeps its size.
    UpdateFailed {
        /// Which.
        id: ContainerId,
        /// Why.
        why: String,
    },
    /// The ResourceManager came back without memory of us; registered again, everything is asked for again.
    Restarted,
    /// This attempt is over (killed, or another one runs): stop, say goodbye to nobody.
    Dead {
        /// Why.
        why: String,
    },
    /// The ResourceManager has written the end down: the process may leave.
    Finished,
    /// Something that a person should know; it is tried again.
    Trouble {
        /// What, in a sentence.
        text: String,
    },
    /// The ResourceManager answers again.
    Recovered,
}
