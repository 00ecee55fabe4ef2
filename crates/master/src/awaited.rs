//! Proxies that should say Hello: after their start, or again after their line or an earlier master ended.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_model::GrantId;
use tokio::time::Instant;

/// A wake-up that comes later than this means that this process stood still (a stop, a machine without air): what the
/// proxies said meanwhile has not been read yet.
const STOOD_STILL: Duration = Duration::from_secs(3);

/// Who is awaited, and until when. Not by the wall clock, which may jump.
#[derive(Debug, Default)]
pub(crate) struct Awaited(BTreeMap<GrantId, Instant>);

impl Awaited {
    pub(crate) fn expect(&mut self, grant: GrantId, now: Instant, within: Duration) {
        self.0.insert(grant, now + within);
    }

    /// It said Hello, or is gone.
    pub(crate) fn settle(&mut self, grant: GrantId) {
        self.0.remove(&grant);
    }

    /// Those whose time is over; they are awaited no more.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<GrantId> {
        for until in self.0.values_mut().filter(|until| **until + STOOD_STILL < now) {
            *until = now + STOOD_STILL;
        }
        self.0.extract_if(.., |_, until| *until <= now).map(|(grant, _)| grant).collect()
    }

    /// When the next one's time is over.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::SubDagId;

    use super::*;

    #[test]
    fn nobody_is_late_because_the_master_stood_still() {
        let (a, b) = (GrantId::compose(SubDagId(0), 1, 1), GrantId::compose(SubDagId(0), 1, 2));
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut awaited = Awaited::default();
        awaited.expect(a, start, 10 * second);
        awaited.expect(b, start, 20 * second);
        assert_eq!(awaited.next(), Some(start + 10 * second));
        assert_eq!(awaited.late(start + 9 * second), []);
        assert_eq!(awaited.late(start + 10 * second), [a]);
        let woke = start + 80 * second;
        assert_eq!((awaited.late(woke), awaited.next()), (vec![], Some(woke + 3 * second)));
        assert_eq!(awaited.late(woke + 3 * second), [b]);
        awaited.expect(a, woke, second);
        awaited.settle(a);
        assert_eq!(awaited.next(), None);
    }
}
