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
    /// Since when it has held what it holds, in milliseconds since 1970: of two equals the one that waits longer is next.
    #[serde(default)]
    pub since: u64,
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

/// Whether `me` may take what it asks for out of `budget`, of which `shares` are taken and for which `waiters` wait.
///
/// Fairness: nobody takes room while a run waits that would hold less than he even after both had what they ask for;
/// of two that would hold the same the one that holds less now is next, then the one that has waited longer. So the run
/// that has least is next, and a large ask is not starved by small ones of a run that has much.
#[must_use]
pub fn verdict(me: &Waiter, budget: Resources, shares: &[Share], waiters: &[Waiter]) -> Verdict {
    let (run, ask) = (&me.run, me.ask);
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
    let turn = |of: &Waiter| (weight(&of.run, of.ask, budget, shares), held_by(&of.run, budget, shares), of.since);
    let mine = (turn(me), &me.run);
    let first = waiters
        .iter()
        .filter(|waiter| waiter.run != *run && waiter.ask.fits(budget))
        .find(|waiter| (turn(waiter), &waiter.run) < mine);
    first.map_or(Verdict::Fits, |waiter| Verdict::Waits(Short::Yields(waiter.run.clone())))
}

/// Whether `run`, which holds room, owes `waiter` some: it would have less than `run` even with what it asks for, or it
/// has nothing at all and would have no more. What is given back so does not come back by [`verdict`] at once.
pub(crate) fn is_owed(run: &RunId, waiter: &Waiter, budget: Resources, shares: &[Share]) -> bool {
    let mine = held_by(run, budget, shares);
    let its = weight(&waiter.run, waiter.ask, budget, shares);
    let poor = held_by(&waiter.run, budget, shares) == 0;
    waiter.run != *run && waiter.ask.fits(budget) && mine > 0 && (its < mine || (poor && its <= mine))
}

fn held_by(run: &RunId, budget: Resources, shares: &[Share]) -> u64 {
    weight(run, Resources::default(), budget, shares)
}

fn weight(run: &RunId, more: Resources, budget: Resources, shares: &[Share]) -> u64 {
    let own = shares.iter().filter(|share| share.run == *run);
    dominant(own.fold(more, |sum, share| sum + share.size), budget)
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

    fn asks(of: u8, ask: Resources) -> Waiter {
        Waiter { run: run(of), ask, since: 0 }
    }

    #[test]
    fn what_is_larger_than_the_machine_never_fits() {
        assert_eq!(verdict(&asks(1, size(4001, 1)), BUDGET, &[], &[]), Verdict::Waits(Short::Never));
        let sentence = Short::Never.sentence(size(8000, 512), BUDGET);
        assert_eq!(sentence, "it asks for 8 cpus and 512MiB, this machine gives 4 cpus and 4GiB in all");
    }

    #[test]
    fn either_of_cpus_and_memory_can_run_out() {
        let taken = [share(1, 1, size(1000, 4000))];
        assert_eq!(verdict(&asks(1, size(1000, 96)), BUDGET, &taken, &[]), Verdict::Fits);
        assert!(matches!(verdict(&asks(1, size(1000, 97)), BUDGET, &taken, &[]), Verdict::Waits(Short::Taken { .. })));
    }

    #[test]
    fn who_has_less_comes_first() {
        let taken = [share(1, 1, size(1000, 1)), share(1, 2, size(1000, 1))];
        let waiters = [asks(2, size(1000, 1))];
        let yields = Verdict::Waits(Short::Yields(run(2)));
        assert_eq!(verdict(&asks(1, size(1000, 1)), BUDGET, &taken, &waiters), yields);
        assert_eq!(verdict(&asks(2, size(1000, 1)), BUDGET, &taken, &waiters), Verdict::Fits);
        let never = [asks(2, size(9000, 1))];
        assert_eq!(verdict(&asks(1, size(1000, 1)), BUDGET, &taken, &never), Verdict::Fits);
    }

    #[test]
    fn of_two_equals_the_one_that_waits_longer_is_next() {
        let all = Resources { cpu_milli: 4000, memory: 1 };
        let (long, late) = (asks(1, all), Waiter { since: 5, ..asks(2, all) });
        let waiters = [long.clone(), late.clone()];
        assert_eq!(verdict(&late, BUDGET, &[], &waiters), Verdict::Waits(Short::Yields(run(1))));
        assert_eq!(verdict(&long, BUDGET, &[], &waiters), Verdict::Fits);
    }

    #[test]
    fn who_has_nothing_is_owed_a_turn_and_equals_are_left_alone() {
        let one = size(1000, 1);
        let held = |n: u8, count: u32| (0..count).map(move |k| share(n, k, one));
        let owes = |shares: &[Share], ask| is_owed(&run(1), &asks(2, ask), BUDGET, shares);
        assert!(owes(&held(1, 1).collect::<Vec<_>>(), one), "its only one, task by task");
        assert!(owes(&held(1, 4).collect::<Vec<_>>(), one));
        assert!(!owes(&held(1, 2).chain(held(2, 2)).collect::<Vec<_>>(), one));
        assert!(!owes(&held(1, 2).chain(held(2, 1)).collect::<Vec<_>>(), one), "it would only turn around");
        assert!(owes(&held(1, 3).chain(held(2, 1)).collect::<Vec<_>>(), one));
        assert!(!owes(&held(1, 2).collect::<Vec<_>>(), size(3000, 1)));
        assert!(!owes(&[], one));
    }

    proptest! {
        #[test]
        fn what_is_given_back_does_not_come_back_at_once(mine in 1u32..5, its in 0u32..4, ask in 1u32..5) {
            let one = size(1000, 1);
            let shares: Vec<_> = (0..mine).map(|n| share(1, n, one)).chain((0..its).map(|n| share(2, n, one))).collect();
            let waiter = asks(2, size(ask * 1000, 1));
            if mine + its <= 4 && is_owed(&run(1), &waiter, BUDGET, &shares) {
                let me = Waiter { since: 9, ..asks(1, one) };
                let after = verdict(&me, BUDGET, &shares[1..], std::slice::from_ref(&waiter));
                prop_assert_eq!(after, Verdict::Waits(Short::Yields(run(2))));
            }
        }


        #[test]
        fn somebody_can_always_go_on_and_the_sum_never_passes_the_budget(
            wants in prop::collection::vec((0u8..4, 1u32..4000, 1u64..4096), 1..60),
        ) {
            let mut shares: Vec<Share> = Vec::new();
            for (n, chunk) in wants.chunks(4).enumerate() {
                let waiters: Vec<_> =
                    chunk.iter().map(|&(r, cpu, mib)| asks(r, size(cpu, mib))).collect();
                let used = shares.iter().fold(Resources::default(), |sum, share| sum + share.size);
                let room = waiters.iter().all(|w| (used + w.ask).fits(BUDGET));
                let mut granted = 0;
                for &(r, cpu, mib) in chunk {
                    if verdict(&asks(r, size(cpu, mib)), BUDGET, &shares, &waiters) == Verdict::Fits {
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
