//! One grant of the application, as the desk keeps it.

use tokio::time::Instant;

use super::words::{Place, Room};

/// A grant.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) room: Room,
    pub(super) place: Place,
    /// It is there to sweep, the machine knows nothing of it.
    pub(super) sweeper: bool,
    pub(super) stand: Stand,
    pub(super) linked: bool,
    pub(super) left: bool,
    /// When it is taken from its proxy, unless that is gone by then.
    pub(super) until: Option<Instant>,
    /// When YARN reported its end, and whether its process was known to be dead.
    pub(super) over: Option<(Instant, bool)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// Of the journal; YARN has not told of it yet.
    Known,
    Given,
    Launched,
    /// Its proxy never ran.
    Unborn,
}

impl Held {
    pub(super) fn new(room: Room, stand: Stand) -> Self {
        let (place, sweeper, linked, left) = (Place::Container, false, false, false);
        Self { room, place, sweeper, stand, linked, left, until: None, over: None }
    }

    /// Whether its proxy can be given something to do.
    pub(super) fn works(&self) -> bool {
        self.linked && !self.left && self.over.is_none()
    }
}
