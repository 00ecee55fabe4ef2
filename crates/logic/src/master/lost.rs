//! Grants that are gone: what they worked on ends as far as anybody knows, or is swept first.

use dybox_model::{AttemptId, Cause, EndedBy, Exit, Fact, GrantId, Millis};

use super::pool::Stand;
use super::tasks::State;
use super::{Effect, Master};

impl Master {
    pub(super) fn lose(&mut self, grant: GrantId, how: String, now: Millis, out: &mut Vec<Effect>) {
        if self.pool.get(grant).is_some_and(|grant| grant.stand != Stand::Sweeping) {
            self.pause_if_barren(grant, how, now);
            self.pool.sweep(grant);
            out.push(Effect::Sweep { grant });
        }
    }

    pub(super) fn swept(
        &mut self,
        id: GrantId,
        exits: Vec<(AttemptId, Option<Exit>)>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(grant) = self.pool.get(id).filter(|grant| grant.stand == Stand::Sweeping) else { return };
        for attempt in grant.loads().collect::<Vec<_>>() {
            let found = exits.iter().find(|(swept, _)| *swept == attempt).and_then(|(_, exit)| exit.clone());
            let exit = found.unwrap_or_else(|| self.lost_exit(id, attempt, now));
            self.settle(attempt, exit, out);
        }
        self.record(Fact::GrantEnded { grant: id, at: now }, out);
    }

    fn lost_exit(&self, grant: GrantId, attempt: AttemptId, now: Millis) -> Exit {
        let ran = self.tasks.task(attempt.task).is_some_and(|task| task.state == State::Runs);
        let by = if ran { EndedBy::Lease } else { EndedBy::NotStarted };
        let taken = self.pool.get(grant).and_then(|grant| grant.taken);
        let text = match taken {
            Some(cause) => format!("grant {grant}: {}", cause.info().phrase),
            None => format!("the proxy of grant {grant} died"),
        };
        Exit { by, ..Exit::not_started(taken.unwrap_or(Cause::ProxyLost), text, now) }
    }

    pub(super) fn end_grant(&mut self, id: GrantId, now: Millis, out: &mut Vec<Effect>) {
        let Some(grant) = self.pool.get(id).filter(|grant| grant.stand != Stand::Sweeping) else { return };
        if grant.load.is_some() {
            // It went without a word about its task: see what is left of it.
            self.lose(id, String::new(), now, out);
        } else {
            self.pause_if_barren(id, String::new(), now);
            self.record(Fact::GrantEnded { grant: id, at: now }, out);
        }
    }
}
