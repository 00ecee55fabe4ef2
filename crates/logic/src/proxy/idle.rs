//! A payload that does nothing: it runs, holds a grant, and takes next to no time of a cpu.
//!
//! Only looks decide, never the clock alone: of a payload that nobody could look at nothing is known.

use dybox_model::{AttemptId, Cause, Idle, Millis, Usage, format_cpus, format_duration};

use super::Ending;
use super::machine::Proxy;
use super::work::{Phase, Step};

/// Bytes a second from and to disks that are no use yet: a program that only waits still writes lines to a log.
const STILL_BYTES: u64 = 16 << 10;

/// How long a payload has done nothing, up to the last look at it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Still {
    since: Millis,
    last: (Millis, Usage),
}

impl Still {
    /// What is known after one more look. The first one only says where to count from.
    fn after(before: Option<Self>, now: Millis, usage: Usage, limit: Idle) -> Self {
        let last = (now, usage);
        match before {
            Some(still) if !in_use(still.last, last, limit) => Self { last, ..still },
            _ => Self { since: now, last },
        }
    }
}

/// Whether the payload was of use between two looks. One that its limit held back wanted to be.
fn in_use((from, before): (Millis, Usage), (to, after): (Millis, Usage), limit: Idle) -> bool {
    let passed = to.since(from).0;
    let cpu_ms = after.cpu_ms.saturating_sub(before.cpu_ms);
    let disk = |usage: Usage| usage.read_bytes.saturating_add(usage.written_bytes);
    let bytes = disk(after).saturating_sub(disk(before));
    cpu_ms.saturating_mul(1000) >= u64::from(limit.cpu_milli).saturating_mul(passed)
        || bytes.saturating_mul(1000) >= STILL_BYTES.saturating_mul(passed)
        || after.throttled_ms > before.throttled_ms
}

impl Proxy {
    /// Takes a look at what runs in; ends it when it did too little for too long.
    pub(super) fn used(&mut self, attempt: AttemptId, usage: Usage, now: Millis, out: &mut Vec<super::Effect>) {
        let Some(work) = self.work_on(attempt) else { return };
        let Some(limit) = work.spec.timeout.idle else { return };
        let Phase::Running { still, stop: Step::None, .. } = &mut work.phase else { return };
        let found = Still::after(*still, now, usage, limit);
        *still = Some(found);
        if now >= found.since.after(limit.after) {
            let (cpus, time) = (format_cpus(limit.cpu_milli), format_duration(limit.after));
            let text = format!("used under {cpus} cpus for {time}");
            self.stop(Ending { cause: Cause::Idle, text }, Some(Millis(u64::MAX)), now, out);
        }
    }
}
