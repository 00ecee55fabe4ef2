//! What one report alone says.

use dybox_model::Millis;
use dybox_model::roster::{Disk, Health, Ill, Pulse, Scarce};

/// Shares of a minute, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// From here on something is wrong.
    pub from: u16,
    /// It stays so until there is less than this.
    pub until: u16,
}

/// When something is wrong, and how long it must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// An answer of the engine that takes longer is slow.
    pub slow: Millis,
    /// Less of a disk, in thousandths, is tight.
    pub tight: u64,
    /// Less of a disk, in thousandths, is full.
    pub full: u64,
    /// Processes wait for cpus. Where all cpus are at work, which is what they are for, somebody waits now and then:
    /// only where that is nearly always so would tasks be faster elsewhere.
    pub cpu: Band,
    /// All processes wait for disks: nothing at all is done meanwhile, so a fifth of the time is much.
    pub io: Band,
    /// All processes wait for memory: a machine that goes on so is about to thrash.
    pub memory: Band,
    /// So many reports in a row must be worse before the node is.
    pub worse_after: u32,
    /// So many reports in a row must be better before the node is.
    pub better_after: u32,
    /// A node of which nothing came for so long is unknown.
    pub silent_after: Millis,
    /// A node that is silent for so long is forgotten, unless somebody drained it.
    pub forget_after: Millis,
    /// Changes that are kept of each node.
    pub history: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            slow: Millis(2000),
            tight: 100,
            full: 20,
            cpu: Band { from: 800, until: 500 },
            io: Band { from: 200, until: 100 },
            memory: Band { from: 100, until: 50 },
            worse_after: 2,
            better_after: 3,
            silent_after: Millis(15_000),
            forget_after: Millis(7 * 24 * 3_600_000),
            history: 100,
        }
    }
}

/// Everything that is wrong, the worst first. `before`: what the node counts as now.
#[must_use]
pub fn judge(pulse: &Pulse, rules: &Rules, before: &[Ill]) -> (Health, Vec<Ill>) {
    let mut ills = Vec::new();
    match (pulse.ping, pulse.list) {
        (None, _) => ills.push(Ill::EngineAway { why: pulse.trouble.clone() }),
        (Some(_), None) => ills.push(Ill::EngineHangs),
        (Some(ping), Some(list)) => {
            let took = ping.max(list);
            if took > rules.slow {
                ills.push(Ill::EngineSlow { took });
            }
        }
    }
    if let Some(canary) = pulse.canary.as_ref().filter(|canary| !canary.why.is_empty()) {
        ills.push(Ill::NoStart { why: canary.why.clone() });
    }
    for disk in &pulse.disks {
        let share = thousandths(disk);
        if share < rules.full {
            ills.push(Ill::DiskFull { disk: disk.clone() });
        } else if share < rules.tight {
            ills.push(Ill::DiskTight { disk: disk.clone() });
        }
    }
    let pressures = [
        (Scarce::Cpu, pulse.pressure.cpu, rules.cpu),
        (Scarce::Io, pulse.pressure.io, rules.io),
        (Scarce::Memory, pulse.pressure.memory, rules.memory),
    ];
    for (by, share, band) in pressures {
        let was = before.iter().any(|ill| matches!(ill, Ill::Pressed { by: other, .. } if *other == by));
        if let Some(share) = share.filter(|share| *share >= if was { band.until } else { band.from }) {
            ills.push(Ill::Pressed { by, tenths: u8::try_from(share / 100).unwrap_or(u8::MAX) });
        }
    }
    ills.sort_by_key(|ill| !ill.is_fatal());
    let health = match ills.first() {
        None => Health::Healthy,
        Some(ill) if ill.is_fatal() => Health::Unusable,
        Some(_) => Health::Degraded,
    };
    (health, ills)
}

/// How much of it is free. A disk whose size is not known is not judged.
fn thousandths(disk: &Disk) -> u64 {
    disk.free.saturating_mul(1000).checked_div(disk.total).unwrap_or(1000)
}
