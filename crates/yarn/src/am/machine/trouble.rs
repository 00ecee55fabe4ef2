//! What becomes of a call without an answer that counts.

use dybox_model::Millis;

use super::talk::{Effect, Failure, Heartbeat, Welcome};
use super::{Am, Away, Call, LONGEST_PAUSE, MOST_REFUSALS, Phase, QUIET, SHORTEST_PAUSE};
use crate::am::event::Event;

impl Am {
    pub(super) fn failed(&mut self, now: Millis, failure: Failure, out: &mut Vec<Effect>) {
        let Some(call) = self.call.take() else { return };
        match (failure, call) {
            (Failure::Away(why), call) => self.gone_away(now, why, call, out),
            (Failure::Over(why), _) => self.over(why, out),
            (Failure::NotRegistered, _) => self.register_again(now),
            (Failure::AlreadyRegistered, Call::Register) => {
                let welcome = Welcome { counts_cpus: self.counts_cpus, ..Welcome::default() };
                self.registered(now, welcome, out);
            }
            (Failure::BadAsk(why), Call::Beat(said)) => {
                self.reached(now, out);
                if let Some(wish) = self.asks.refused(&said.asks) {
                    out.push(Effect::Tell(Event::Refused { wish, why }));
                }
            }
            (Failure::BadCall(why), Call::Beat(said)) => self.bad_call(now, why, &said, out),
            (Failure::AlreadyRegistered | Failure::BadAsk(_) | Failure::BadCall(_), Call::Register | Call::Finish) => {
                self.over("the ResourceManager does not take this attempt's word".to_owned(), out);
            }
            (Failure::AlreadyRegistered, Call::Beat(_)) => self.register_again(now),
        }
    }

    /// Nothing of the heartbeat was done, and it is not the asks: what can be wrong is left out from now on.
    fn bad_call(&mut self, now: Millis, why: String, said: &Heartbeat, out: &mut Vec<Effect>) {
        self.reached(now, out);
        self.due = now.after(LONGEST_PAUSE);
        self.refused_in_a_row += 1;
        if self.refused_in_a_row >= MOST_REFUSALS {
            return self.over(format!("the ResourceManager refuses every heartbeat: {why}"), out);
        }
        for id in self.grants.drop_orders(&said.release, &said.resizes) {
            out.push(Effect::Tell(Event::UpdateFailed { id, why: why.clone() }));
        }
        self.avoided.clone_from(&self.avoided_there);
        out.push(Effect::Tell(Event::Trouble { text: format!("the ResourceManager refused a heartbeat: {why}") }));
    }

    fn gone_away(&mut self, now: Millis, why: String, call: Call, out: &mut Vec<Effect>) {
        if let (Call::Beat(said), Phase::Beating) = (call, self.phase) {
            self.again = Some(said);
        }
        let away = self.away.get_or_insert(Away { since: now, pause: SHORTEST_PAUSE, told: false });
        let gone_for = now.since(away.since);
        self.due = now.after(away.pause);
        away.pause = away.pause.after(away.pause).min(LONGEST_PAUSE);
        if gone_for >= self.rules.patience {
            let secs = gone_for.0 / 1000;
            return self.over(format!("the ResourceManager has not answered for {secs} s: {why}"), out);
        }
        if gone_for >= QUIET && !away.told {
            away.told = true;
            let text = format!("the ResourceManager does not answer: {why}; running tasks go on, it is tried again");
            out.push(Effect::Tell(Event::Trouble { text }));
        }
    }

    pub(super) fn register_again(&mut self, now: Millis) {
        self.phase = Phase::Registering;
        self.again = None;
        self.due = now;
        self.asks.forgotten();
        self.grants.forgotten();
        self.avoided_there.clear();
    }

    pub(super) fn over(&mut self, why: String, out: &mut Vec<Effect>) {
        let said_goodbye = self.end.as_ref().is_some_and(|end| end.heard);
        self.phase = Phase::Over;
        // It forgets an attempt right after it has written its end down.
        out.push(Effect::Tell(if said_goodbye { Event::Finished } else { Event::Dead { why } }));
    }
}
