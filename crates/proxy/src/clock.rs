//! Time for the machine: wall clock at the start, from then on the monotonic clock, so that jumps end nothing.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dybox_model::Millis;

/// A clock that never jumps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    wall: Millis,
    at: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall: Millis(whole_millis(wall)), at: Instant::now() }
    }

    pub(crate) fn now(&self) -> Millis {
        self.wall.after(Millis(whole_millis(self.at.elapsed())))
    }

    /// The instant at which `now` will have reached `when`.
    pub(crate) fn instant(&self, when: Millis) -> tokio::time::Instant {
        // One more: `now` cuts the fraction off, and waking too early would mean waking twice.
        let ahead = Duration::from_millis(when.since(self.wall).0.saturating_add(1).min(1 << 40));
        tokio::time::Instant::from_std(self.at + ahead)
    }
}

fn whole_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
