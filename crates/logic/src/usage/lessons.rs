//! What the ended tasks of a stage teach about the next ones.

use super::gauge::percentile;

const MIB: u64 = 1 << 20;
/// Ends that teach enough.
const ENOUGH: usize = 3;
/// The last so many ends count.
const KEPT: usize = 256;

/// What to ask for where so much was measured: a fifth more, 16 MiB at least, whole MiB.
#[must_use]
pub const fn with_margin(measured: u64) -> u64 {
    let fifth = measured / 5;
    let margin = if fifth > 16 * MIB { fifth } else { 16 * MIB };
    measured.saturating_add(margin).div_ceil(MIB).saturating_mul(MIB)
}

/// The memory that tasks needed, in bytes.
#[derive(Debug, Clone, Default)]
pub struct Lessons {
    needs: Vec<u64>,
    next: usize,
}

impl Lessons {
    /// A task needed so much; 0 teaches nothing.
    pub fn add(&mut self, needed: u64) {
        if needed == 0 {
            return;
        }
        if self.needs.len() < KEPT {
            self.needs.push(needed);
        } else {
            self.needs[self.next] = needed;
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// How many ends count.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.needs.len()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.needs.is_empty()
    }

    /// What 95 of 100 tasks needed at most; 0 of none.
    #[must_use]
    pub fn p95(&self) -> u64 {
        let mut sorted = self.needs.clone();
        sorted.sort_unstable();
        percentile(&sorted, 95)
    }

    /// What the next tasks should ask for; nothing while too little is known.
    #[must_use]
    pub fn advice(&self) -> Option<u64> {
        (self.needs.len() >= ENOUGH).then(|| with_margin(self.p95()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ends_are_enough_and_the_last_ones_count() {
        let mut lessons = Lessons::default();
        lessons.add(0);
        lessons.add(100 * MIB);
        lessons.add(90 * MIB);
        assert_eq!(lessons.advice(), None);
        lessons.add(95 * MIB);
        assert_eq!(lessons.advice(), Some(120 * MIB));
        for _ in 0..2 * KEPT {
            lessons.add(10 * MIB + 1);
        }
        assert_eq!((lessons.len(), lessons.advice()), (KEPT, Some(27 * MIB)));
    }
}
