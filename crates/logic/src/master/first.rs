//! What comes first where room is short: a grant that what waits with a higher priority can't use goes back when it is
//! free, and runs no more of what comes later. So room for the larger one comes together.

use dybox_model::{GrantId, Millis};

use super::Master;

/// On a cluster with room an ask is answered within this time; on one machine at once.
const ANSWERED: Millis = Millis::from_secs(2);

impl Master {
    /// Notes since when room is asked for with the priority that is the highest now.
    pub(super) fn look_who_is_first(&mut self, now: Millis) {
        let asks = |shape: u32| self.asks.of_shape(shape).iter().any(|&(id, _)| self.asks.told(id) > 0);
        let highest = self.tasks.shapes.highest();
        let short = highest.filter(|_| self.tasks.shapes.first().any(asks));
        self.first = match (short, self.first) {
            (Some(priority), Some((same, since))) if same == priority => Some((priority, since)),
            (short, _) => short.map(|priority| (priority, now)),
        };
    }

    /// Whether a free grant, that would take a task of this shape next, goes back for what comes first.
    pub(super) fn makes_room(&self, grant: GrantId, next: u32, now: Millis) -> bool {
        let Some((priority, since)) = self.first else { return false };
        let shapes = &self.tasks.shapes;
        let answered = if self.resizes { since.after(ANSWERED) } else { since };
        if shapes.get(next).priority >= priority || now < answered {
            return false;
        }
        let host = self.pool.get(grant).map(|grant| grant.host.as_str()).unwrap_or_default();
        let there = |shape: u32| {
            let place = shapes.get(shape).place.as_ref();
            place.is_none_or(|place| place.may_go_anywhere() || self.hosts.allows(&place.placement, host))
        };
        shapes.first().any(there)
    }
}
