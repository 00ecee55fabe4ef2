//! The samples of one attempt, as the few figures that stay of them.

use dybox_model::{Millis, Peak, Usage};

/// Figures that are kept of one series; with more samples every second one goes, then only every second one is taken.
const KEPT: usize = 512;

/// One series of figures: its percentiles stay true within what a thinned series can tell.
#[derive(Debug, Clone, Default)]
struct Series {
    kept: Vec<u64>,
    /// One of so many (a power of two) is taken; as an exponent.
    thinned: u32,
    seen: u64,
    most: u64,
}

impl Series {
    fn add(&mut self, figure: u64) {
        self.most = self.most.max(figure);
        let taken = self.seen.is_multiple_of(1 << self.thinned);
        self.seen += 1;
        if !taken {
            return;
        }
        self.kept.push(figure);
        if self.kept.len() >= KEPT {
            let mut odd = false;
            self.kept.retain(|_| {
                odd = !odd;
                odd
            });
            self.thinned += 1;
        }
    }

    /// What `percent` of 100 stayed at or below: the highest figure from 100 on.
    fn percentile(&self, percent: usize) -> u64 {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        percentile(&sorted, percent)
    }
}

/// What `percent` of 100 of these, in order, stayed at or below; 0 of none.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let place = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or(0)
}

/// Takes an attempt's samples in.
#[derive(Debug, Clone, Default)]
pub struct Gauge {
    last: Option<(Millis, Usage)>,
    working: Series,
    cpu: Series,
    cache_max: u64,
    /// Working set over time, in MiB times milliseconds.
    area: u64,
}

impl Gauge {
    /// A sample of the running payload. Gives it back with what it takes an earlier one to know.
    pub fn add(&mut self, now: Millis, sample: Usage) -> Usage {
        let mut told = self.grown(sample);
        let since = self.last.map_or(now, |(at, _)| at);
        let passed = now.since(since).0;
        let before = self.last.map_or(0, |(_, last)| last.cpu_ms);
        told.cpu_milli = (told.cpu_ms.saturating_sub(before) * 1000).checked_div(passed).unwrap_or(0);
        if passed > 0 {
            self.cpu.add(told.cpu_milli);
        }
        self.working.add(told.working_set);
        self.cache_max = self.cache_max.max(told.cache);
        self.area += (told.working_set >> 20) * passed;
        self.last = Some((now, told));
        told
    }

    /// The last look, when nothing runs any more: only what adds up still counts.
    pub fn close(&mut self, now: Millis, sample: Usage) {
        if let Some((at, last)) = self.last {
            let grown = self.grown(sample);
            self.area += (last.working_set >> 20) * now.since(at).0;
            self.last = Some((now, Usage { working_set: last.working_set, memory: last.memory, ..grown }));
        }
    }

    /// Counters only grow; a reading of a dying cgroup must not take anything back.
    fn grown(&self, now: Usage) -> Usage {
        let Some((_, before)) = self.last else { return now };
        Usage {
            cpu_ms: now.cpu_ms.max(before.cpu_ms),
            peak_memory: now.peak_memory.max(before.peak_memory),
            oom_kills: now.oom_kills.max(before.oom_kills),
            read_bytes: now.read_bytes.max(before.read_bytes),
            written_bytes: now.written_bytes.max(before.written_bytes),
            throttled_ms: now.throttled_ms.max(before.throttled_ms),
            ..now
        }
    }

    /// The last sample; zeros before the first.
    #[must_use]
    pub fn last(&self) -> Usage {
        self.last.map(|(_, last)| last).unwrap_or_default()
    }

    /// What stays.
    #[must_use]
    pub fn summary(&self) -> Peak {
        let last = self.last();
        Peak {
            cpu_ms: last.cpu_ms,
            memory: last.peak_memory,
            samples: self.working.seen,
            working_p50: self.working.percentile(50),
            working_p95: self.working.percentile(95),
            working_max: self.working.most,
            cache_max: self.cache_max,
            cpu_p95: self.cpu.percentile(95),
            read_bytes: last.read_bytes,
            written_bytes: last.written_bytes,
            throttled_ms: last.throttled_ms,
            mib_seconds: self.area / 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn used(cpu_ms: u64, working: u64) -> Usage {
        let memory = working * MIB;
        Usage { cpu_ms, memory, working_set: memory, peak_memory: memory, ..Usage::default() }
    }

    #[test]
    fn percentiles_and_sums_are_those_of_the_samples() {
        let mut gauge = Gauge::default();
        for n in 0..20 {
            let told = gauge.add(Millis(1000 + n * 2000), used(n * 1000, 100 + n));
            assert_eq!(told.cpu_milli, if n == 0 { 0 } else { 500 });
        }
        let stays = gauge.summary();
        assert_eq!((stays.samples, stays.cpu_ms, stays.cpu_p95), (20, 19_000, 500));
        assert_eq!((stays.working_p50, stays.working_p95, stays.working_max), (109 * MIB, 118 * MIB, 119 * MIB));
        assert_eq!(stays.mib_seconds, (101..120).sum::<u64>() * 2);
    }

    #[test]
    fn a_day_of_samples_takes_no_more_room_and_tells_nearly_the_same() {
        let mut gauge = Gauge::default();
        for n in 0..43_200 {
            gauge.add(Millis(n * 2000), used(n, n % 1000));
        }
        let stays = gauge.summary();
        assert!(gauge.working.kept.len() < KEPT);
        assert_eq!((stays.samples, stays.working_max), (43_200, 999 * MIB));
        assert!((900..=999).contains(&(stays.working_p95 / MIB)), "{stays:?}");
    }

    #[test]
    fn what_a_dying_cgroup_says_takes_nothing_back() {
        let mut gauge = Gauge::default();
        gauge.add(Millis(0), Usage { written_bytes: 9, ..used(500, 70) });
        gauge.close(Millis(1000), used(700, 0));
        let stays = gauge.summary();
        assert_eq!((stays.cpu_ms, stays.written_bytes, stays.working_max), (700, 9, 70 * MIB));
        assert_eq!(stays.mib_seconds, 70);
        assert_eq!(Gauge::default().summary(), Peak::default(), "nobody looked");
    }
}
