//! What the sweeps of all homes come to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dybox_model::sweep::{HomeSweep, Stranger, Sweep, Tally};

/// Troubles that are told one by one.
const TOLD: usize = 10;

/// One sweep of all of them. What one home does not prove another may: unproven is what no home that answered proves.
pub(super) fn merge(homes: &[(PathBuf, Result<HomeSweep, String>)]) -> Sweep {
    let mut sweep = Sweep::default();
    let mut strangers: Option<BTreeSet<&Stranger>> = None;
    for (home, found) in homes {
        let trouble = |why: &String| format!("{}: {why}", home.display());
        match found {
            Err(why) => sweep.troubles.push(trouble(why)),
            Ok(found) => {
                sweep.removed += found.removed;
                sweep.kept = sweep.kept.saturating_add(found.kept);
                sweep.troubles.extend(found.troubles.iter().map(trouble));
                let its: BTreeSet<_> = found.unproven.iter().collect();
                strangers = Some(strangers.map_or_else(|| its.clone(), |known| &known & &its));
            }
        }
    }
    let strangers = strangers.unwrap_or_default();
    let of = |kind| u32::try_from(strangers.iter().filter(|one| one.kind == kind).count()).unwrap_or(u32::MAX);
    sweep.unproven = Tally { containers: of("container"), networks: of("network"), ..Tally::default() };
    let more = sweep.troubles.len().saturating_sub(TOLD);
    if more > 0 {
        sweep.troubles.truncate(TOLD);
        sweep.troubles.push(format!("{more} more; see the agent's log"));
    }
    sweep
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(strangers: &[&str], removed: u32) -> (PathBuf, Result<HomeSweep, String>) {
        let stranger = |id: &&str| Stranger { kind: "container".to_owned(), id: (*id).to_owned() };
        let removed = Tally { containers: removed, ..Tally::default() };
        let unproven = strangers.iter().map(stranger).collect();
        ("/h".into(), Ok(HomeSweep { removed, unproven, ..HomeSweep::default() }))
    }

    #[test]
    fn what_another_home_proves_is_no_stranger() {
        let sweep = merge(&[home(&["forged", "of-two"], 1), home(&["forged", "of-one"], 2)]);
        assert_eq!((sweep.removed.containers, sweep.unproven.containers), (3, 1));
        assert_eq!(merge(&[]).unproven, Tally::default());
    }

    #[test]
    fn a_home_that_does_not_answer_is_trouble_and_hides_nobody() {
        let sweep = merge(&[home(&["forged"], 0), ("/u".into(), Err("it hangs".to_owned()))]);
        assert_eq!((sweep.unproven.containers, sweep.troubles), (1, vec!["/u: it hangs".to_owned()]));
        let many: Vec<_> = (0..30).map(|_| ("/u".into(), Err("no".to_owned()))).collect();
        assert_eq!(merge(&many).troubles.len(), TOLD + 1);
    }
}
