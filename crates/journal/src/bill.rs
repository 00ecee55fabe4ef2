//! What was granted, over time.

use std::collections::BTreeMap;
use std::ops::Add;

use dybox_model::{GrantId, Millis, Resources};

/// Memory and cpus over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// MiB times milliseconds.
    pub mib_ms: u64,
    /// Thousandths of a cpu times milliseconds.
    pub milli_ms: u64,
}

impl Spent {
    fn of(size: Resources, over: Millis) -> Self {
        Self {
            mib_ms: (size.memory >> 20).saturating_mul(over.0),
            milli_ms: u64::from(size.cpu_milli).saturating_mul(over.0),
        }
    }

    /// GiB times hours.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn gib_hours(self) -> f64 {
        self.mib_ms as f64 / 1024.0 / 3_600_000.0
    }

    /// Cpus times hours.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn core_hours(self) -> f64 {
        self.milli_ms as f64 / 1000.0 / 3_600_000.0
    }
}

impl Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { mib_ms: self.mib_ms + other.mib_ms, milli_ms: self.milli_ms + other.milli_ms }
    }
}

/// Sizes and times of all grants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bill {
    over: Spent,
    open: BTreeMap<GrantId, (Resources, Millis)>,
}

impl Bill {
    /// A grant has this size from now on.
    pub(crate) fn begin(&mut self, grant: GrantId, size: Resources, at: Millis) {
        self.end(grant, at);
        self.open.insert(grant, (size, at));
    }

    /// A grant is over.
    pub(crate) fn end(&mut self, grant: GrantId, at: Millis) {
        if let Some((size, since)) = self.open.remove(&grant) {
            self.over = self.over + Spent::of(size, at.since(since));
        }
    }

    /// All of it until `now`.
    #[must_use]
    pub fn until(&self, now: Millis) -> Spent {
        self.open.values().fold(self.over, |sum, (size, since)| sum + Spent::of(*size, now.since(*since)))
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::SubDagId;

    use super::*;

    #[test]
    fn a_grant_costs_what_it_was_at_each_time() {
        let grant = |n| GrantId::compose(SubDagId(0), 1, n);
        let size = |mib: u64| Resources { cpu_milli: 2000, memory: mib << 20 };
        let mut bill = Bill::default();
        bill.begin(grant(1), size(4096), Millis(0));
        bill.begin(grant(1), size(512), Millis(1_800_000));
        bill.end(grant(1), Millis(3_600_000));
        bill.begin(grant(2), size(1024), Millis(3_600_000));
        let spent = bill.until(Millis(7_200_000));
        assert_eq!((spent.gib_hours(), spent.core_hours()), (2.0 + 0.25 + 1.0, 4.0));
        assert_eq!(bill.until(Millis(0)).gib_hours(), 2.25, "clocks may jump");
    }
}
