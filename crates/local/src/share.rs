//! The arithmetic of shares, as values.

use std::path::PathBuf;

use dybox_model::{GrantId, Resources, RunId, SubDagId, format_bytes, format_cpus};
use serde::{Deserialize, Serialize};

/// A part of the budget, as its file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How much.
    pub size: Resources,
    /// Whose.
    pub run: RunId,
    /// The run's directory, for whoever sweeps.
    pub run_dir: PathBuf,
    /// The sub-DAG.
    pub subdag: SubDagId,
    /// The grant.
    pub grant: GrantId,
    /// The master that took it.
    pub pid: u32,
    /// Where a sweep writes what it found.
    pub swept: PathBuf,
    /// Where its proxy, and its sweep, write their stderr.
    pub log: PathBuf,
}

/// Somebody who waits for room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiter {
    /// The run.
    pub run: RunId,
    /// The smallest that it asks for.
    pub ask: Resources,
}

/// Why an ask is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Short {
    /// It is larger than the whole budget: it never fits.
    Never,
    /// Others hold the room.
    Taken {
        /// What is free.
        free: Resources,
        /// What other runs hold.
        others: Resources,
    },
    /// There may be room, but a run that has less comes first.
    Yields(RunId),
}

/// The answer to an ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It fits.
    Fits,
    /// It does not, now or ever.
    Waits(Short),
}

/// Whether `run` may take `ask` out of `budget`, of which `shares` are taken and for which `waiters` wait.
///
/// Fairness: nobody takes room while a run waits that would hold less than he even after both had what they ask for.
/// So the run that has least is next, and a large ask is not starved by small ones of a run that has much.
#[must_use]
pub fn verdict(run: &RunId, ask: Resources, budget: Resources, shares: &[Share], waiters: &[Waiter]) -> Verdict {
    if !ask.fits(budget) {
        return Verdict::Waits(Short::Never);
    }
    let held = |of: &dyn Fn(&Share) -> bool| {
        shares.iter().filter(|share| of(share)).fold(Resources::default(), |sum, share| sum + share.size)
    };
    let used = held(&|_| true);
    let others = held(&|share| share.run != *run);
    let (cpu, memory) = (used.cpu_milli.checked_add(ask.cpu_milli), used.memory.checked_add(ask.memory));
    let fits = cpu.is_some_and(|cpu| cpu <= budget.cpu_milli) && memory.is_some_and(|memory| memory <= budget.memory);
    if !fits {
        return Verdict::Waits(Short::Taken { free: budget - used, others });
    }
    let weight = |of: &RunId, more: Resources| dominant(held(&|share| share.run == *of) + more, budget);
    let mine = weight(run, ask);
    let first = waiters
        .iter()
        .filter(|waiter| waiter.run != *run && waiter.ask.fits(budget))
        .find(|waiter| weight(&waiter.run, waiter.ask) < mine);
    first.map_or(Verdict::Fits, |waiter| Verdict::Waits(Short::Yields(waiter.run.clone())))
}

/// The larger part of the budget that `held` is, in millionths.
fn dominant(held: Resources, budget: Resources) -> u64 {
    let part = |have: u128, all: u128| u64::try_from(have * 1_000_000 / all.max(1)).unwrap_or(u64::MAX);
    part(held.cpu_milli.into(), budget.cpu_milli.into()).max(part(held.memory.into(), budget.memory.into()))
}

impl Short {
    /// In a sentence, for `dybox why`.
    #[must_use]
    pub fn sentence(&self, ask: Resources, budget: Resources) -> String {
        let of = |what: Resources| format!("{} cpus and {}", format_cpus(what.cpu_milli), format_bytes(what.memory));
        match self {
            Self::Never => format!("it asks for {}, this machine gives {} in all", of(ask), of(budget)),
            Self::Taken { free, others } if *others == Resources::default() => {
                format!("it asks for {}, {} are free; this run's own tasks hold the rest", of(ask), of(*free))
            }
            Self::Taken { free, others } => {
                format!("it asks for {}, {} are free; other runs hold {}", of(ask), of(*free), of(*others))
            }
            Self::Yields(run) => format!("run {run} waits too and holds less, so it comes first"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(n: u8) -> RunId {
        format!("01jd00000000000000000000{n:02}").parse().unwrap()
    }

    fn size(cpu_milli: u32, mib: u64) -> Resources {
        Resources { cpu_milli, memory: mib << 20 }
    }

    fn share(of: u8, n: u32, size: Resources) -> Share {
        let path = PathBuf::from("/r");
        Share {
            size,
            run: run(of),
            run_dir: path.clone(),
            subdag: SubDagId(0),
            grant: GrantId::compose(SubDagId(0), 1, n),
            pid: 1,
            swept: path.clone(),
            log: path,
        }
    }

    const BUDGET: Resources = Resources { cpu_milli: 4000, memory: 4 << 30 };

    #[test]
    fn what_is_larger_than_the_machine_never_fits() {
        assert_eq!(verdict(&run(1), size(4001, 1), BUDGET, &[], &[]), Verdict::Waits(Short::Never));
        let sentence = Short::Never.sentence(size(8000, 512), BUDGET);
        assert_eq!(sentence, "it asks for 8 cpus and 512MiB, this machine gives 4 cpus and 4GiB in all");
    }

    #[test]
    fn either_of_cpus_and_memory_can_run_out() {
        let taken = [share(1, 1, size(1000, 4000))];
        assert_eq!(verdict(&run(1), size(1000, 96), BUDGET, &taken, &[]), Verdict::Fits);
        assert!(matches!(verdict(&run(1), size(1000, 97), BUDGET, &taken, &[]), Verdict::Waits(Short::Taken { .. })));
    }

    #[test]
    fn who_has_less_comes_first() {
        let taken = [share(1, 1, size(1000, 1)), share(1, 2, size(1000, 1))];
        let waiters = [Waiter { run: run(2), ask: size(1000, 1) }];
        let yields = Verdict::Waits(Short::Yields(run(2)));
        assert_eq!(verdict(&run(1), size(1000, 1), BUDGET, &taken, &waiters), yields);
        assert_eq!(verdict(&run(2), size(1000, 1), BUDGET, &taken, &waiters), Verdict::Fits);
        let never = [Waiter { run: run(2), ask: size(9000, 1) }];
        assert_eq!(verdict(&run(1), size(1000, 1), BUDGET, &taken, &never), Verdict::Fits);
    }

    proptest! {
        #[test]
        fn somebody_can_always_go_on_and_the_sum_never_passes_the_budget(
            asks in prop::collection::vec((0u8..4, 1u32..4000, 1u64..4096), 1..60),
        ) {
            let mut shares: Vec<Share> = Vec::new();
            for (n, chunk) in asks.chunks(4).enumerate() {
                let waiters: Vec<_> =
                    chunk.iter().map(|&(r, cpu, mib)| Waiter { run: run(r), ask: size(cpu, mib) }).collect();
                let used = shares.iter().fold(Resources::default(), |sum, share| sum + share.size);
                let room = waiters.iter().all(|w| (used + w.ask).fits(BUDGET));
                let mut granted = 0;
                for &(r, cpu, mib) in chunk {
                    if verdict(&run(r), size(cpu, mib), BUDGET, &shares, &waiters) == Verdict::Fits {
                        shares.push(share(r, u32::try_from(n).unwrap(), size(cpu, mib)));
                        granted += 1;
                        break;
                    }
                }
                prop_assert!(granted == 1 || !room, "all yield to each other");
                let used = shares.iter().fold(Resources::default(), |sum, share| sum + share.size);
                prop_assert!(used.fits(BUDGET));
            }
        }
    }
}
