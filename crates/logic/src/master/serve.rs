//! What follows every event: tasks to free grants, asks for the rest, and idle grants back.

use dybox_model::{Fact, GrantId, Millis, StageId};

use super::Effect;
use super::machine::Master;
use super::pool::Stand;

/// How long a grant may do nothing while something that fits may still come.
const LONGEST_IDLE: Millis = Millis::from_secs(5);

impl Master {
    /// Does all that the facts so far call for.
    pub(super) fn serve(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.tasks.wake_up(now);
        self.give_up_if_barren();
        self.give_up_if_starved(now);
        self.halt_condemned(out);
        self.tell_ends(out);
        self.heed(now, out);
        if self.hosts.judge(now, out) {
            self.place_anew();
        }
        self.offer(now, out);
        self.hand_ahead(now, out);
        self.prefetch(out);
        self.ask(now, out);
        self.look_who_is_first(now);
        self.give_back(now, out);
    }

    fn halt_condemned(&mut self, out: &mut Vec<Effect>) {
        if std::mem::take(&mut self.tasks.condemned).is_empty() {
            return;
        }
        let busy: Vec<GrantId> = self.pool.iter().filter(|(_, grant)| grant.load.is_some()).map(|(id, _)| id).collect();
        for grant in busy {
            self.halt(grant, out);
        }
    }

    /// Ends what a grant works on, if its stage is condemned and the proxy is there and does not know it yet.
    pub(super) fn halt(&mut self, id: GrantId, out: &mut Vec<Effect>) {
        let Some(grant) = self.pool.get(id).filter(|grant| !grant.halted) else { return };
        let there = matches!(grant.stand, Stand::Here | Stand::Leaving);
        let Some(attempt) = grant.load.filter(|_| there) else { return };
        if self.tasks.verdict(attempt.task.stage).is_some() {
            // Those behind it are of the same stage, and first: none of them is to begin.
            let all: Vec<_> = grant.next.iter().rev().copied().chain([attempt]).collect();
            out.extend(all.into_iter().map(|attempt| Effect::Halt { grant: id, attempt, now: self.at_once }));
            self.pool.halted(id);
        }
    }

    fn tell_ends(&mut self, out: &mut Vec<Effect>) {
        for stage in std::mem::take(&mut self.tasks.touched).into_iter().map(StageId) {
            if let Some(told) = self.tasks.settle(stage) {
                out.push(Effect::StageEnded { stage, end: told.end, why: told.why, cause: told.cause });
            }
        }
    }

    /// Gives tasks to grants that are free. One that ended its task goes back where another run is owed one.
    fn offer(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let mut free = std::mem::take(&mut self.pool.free);
        if std::mem::take(&mut self.tasks.shapes.news) {
            free.extend(self.pool.idle().map(|(_, grant)| grant));
        }
        for grant in free {
            if !self.pool.is_free(grant) {
                continue;
            }
            let Some((used, left_out)) =
                self.pool.get(grant).map(|grant| (grant.used, self.hosts.is_left_out(&grant.host)))
            else {
                continue;
            };
            let next = self.shape_for(grant);
            let makes_room = next.is_some_and(|next| self.makes_room(grant, next, now));
            if left_out || makes_room || (used && std::mem::take(&mut self.others.owed)) {
                self.pool.leave(grant);
                out.push(Effect::Leave { grant });
            } else if let Some(attempt) = next.and_then(|shape| self.tasks.pick(shape)) {
                self.record(Fact::AttemptStarted { attempt, grant, at: now }, out);
                out.push(Effect::Start { grant, attempt });
            } else {
                self.pool.idle_since(grant, now);
            }
        }
    }

    /// Brings the asks in line with what waits.
    fn ask(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.barren.until.is_some_and(|until| until <= now) {
            self.barren.until = None;
            self.asks.all_dirty();
        }
        while let Some(shape) = self.tasks.shapes.changed.pop_first() {
            let entry = self.tasks.shapes.get(shape);
            match entry.place {
                None => self.want_anywhere(shape),
                Some(_) => {
                    let wants = self.wants_of(shape);
                    self.asks.want(shape, wants);
                }
            }
        }
        self.asks.dirty.extend(self.pool.moved.drain(..));
        while let Some(id) = self.asks.dirty.pop_first() {
            if let Some(count) = self.asks.renew(id, self.pool.away(id), self.barren.until.is_some()) {
                out.push(Effect::Ask { wish: self.asks.get(id).clone(), count });
            }
        }
    }

    /// Gives grants back: at once those that something else starves for or nothing can need, the others after a while.
    fn give_back(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let starving = self.asks.any() || self.others.wait;
        let shapes = &self.tasks.shapes;
        let useless = |since: Millis, id: GrantId| {
            let size = self.pool.get(id).map(|grant| grant.size).unwrap_or_default();
            starving || since.after(LONGEST_IDLE) <= now || !shapes.may_fit(size)
        };
        let back: Vec<GrantId> = self.pool.idle().filter(|&(since, id)| useless(since, id)).map(|(_, id)| id).collect();
        for grant in back {
            self.pool.leave(grant);
            out.push(Effect::Leave { grant });
        }
    }

    /// When the first idle grant goes back.
    pub(super) fn first_idle(&self) -> Option<Millis> {
        self.pool.idle().next().map(|(since, _)| since.after(LONGEST_IDLE))
    }
}
