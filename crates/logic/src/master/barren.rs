//! Grants that end before they are of use: a proxy that can't start must not burn the machine, nor wait for ever.

use dybox_model::{GrantId, Millis, StageEnd, StageId};

use super::Master;
use super::pool::Stand;
use super::tasks::Verdict;

/// First and longest pause before asking again.
const PAUSE: Millis = Millis::from_secs(1);
const LONGEST_PAUSE: Millis = Millis::from_secs(8);
/// After so many rounds in a row nothing more is tried: about forty seconds.
const MOST: u32 = 8;

/// What is known of such grants.
#[derive(Debug, Default)]
pub(super) struct Barren {
    /// Rounds in a row; grants that end in one pause are one round.
    pub(super) count: u32,
    /// Nothing is asked for until then.
    pub(super) until: Option<Millis>,
    /// How the last one ended.
    pub(super) how: String,
}

impl Barren {
    /// What went wrong, for people.
    pub(super) fn sentence(&self) -> String {
        let how = if self.how.is_empty() { String::new() } else { format!("; the last one {}", self.how) };
        format!("{} proxies in a row ended before they did anything{how}", self.count)
    }
}

impl Master {
    /// A grant ends: if it was of no use, the next ask waits.
    pub(super) fn pause_if_barren(&mut self, id: GrantId, how: String, now: Millis) {
        let Some(grant) = self.pool.get(id).filter(|grant| !grant.used && grant.taken.is_none()) else { return };
        let host = grant.host.clone();
        self.hosts.fault(&host, format!("a proxy {}", if how.is_empty() { "ended at once" } else { &how }), now);
        if !how.is_empty() {
            self.barren.how = how;
        }
        if self.barren.until.is_none() {
            self.barren.count += 1;
            let doubled = PAUSE.0 << (self.barren.count - 1).min(5);
            self.barren.until = Some(now.after(Millis(doubled.min(LONGEST_PAUSE.0))));
            self.asks.all_dirty();
        }
    }

    /// Grants are of use again: what was not asked for is asked for now.
    pub(super) fn bear(&mut self) {
        if std::mem::take(&mut self.barren).until.is_some() {
            self.asks.all_dirty();
        }
    }

    /// After too many rounds what waits is lost, unless a proxy is there that can still do it.
    pub(super) fn give_up_if_barren(&mut self) {
        let works = |stand| matches!(stand, Stand::Here | Stand::Leaving);
        if self.barren.count < MOST || self.pool.iter().any(|(_, grant)| grant.load.is_some() || works(grant.stand)) {
            return;
        }
        let why = self.barren.sentence();
        for stage in (0u32..).take(self.tasks.stages.len()).map(StageId) {
            self.tasks.condemn(stage, Verdict { end: StageEnd::Lost, why: why.clone(), cause: None });
        }
    }
}
