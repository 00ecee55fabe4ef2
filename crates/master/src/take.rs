//! What comes in, on its way to the machines.

use dybox_logic::{driver, master};
use dybox_model::{AttemptId, Cause, Exit, GrantId, Note, Want};
use dybox_wire::{Ask, Call, LinkId, MasterOrder, ProxyNews};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::actor::{Actor, Batch};
use crate::event::Event;
use crate::inbox::Came;
use crate::rm::{Heard, News, Order};
use crate::watch::Watch;

impl Actor {
    pub(crate) fn take_in(&mut self, came: Came, batch: &mut Batch) {
        match came {
            Came::Call(call) => self.take_call(call, batch),
            Came::Rm(event) => {
                let news = self.ports.rm.take(event);
                self.take_news_of_rm(news, batch);
            }
            Came::Hook(end) => self.hook_ended(end, batch),
            Came::Found(event) => batch.events.push(event.into()),
            Came::Roster(advice) => batch.events.push(master::Event::Roster(advice).into()),
            Came::Time => {
                for grant in self.awaited.late(Instant::now()) {
                    self.give_up(grant, batch);
                }
                let news = self.ports.rm.tick();
                self.take_news_of_rm(news, batch);
                batch.events.extend([Event::from(driver::Event::Tick), master::Event::Tick.into()]);
            }
        }
    }

    /// A proxy that does not answer is ended, for nobody can tell what it would still do; its containers end by sweep.
    fn give_up(&mut self, grant: GrantId, batch: &mut Batch) {
        tracing::warn!("the proxy of {grant} does not answer: it is killed");
        self.ports.links.forget(grant);
        let news = self.ports.rm.order(Order::Kill { grant });
        self.take_news_of_rm(news, batch);
        let how = "did not answer and was killed".to_owned();
        batch.events.push(master::Event::ProxyLost { grant, how }.into());
    }

    fn take_call(&mut self, call: Call, batch: &mut Batch) {
        match call {
            Call::Linked { link, orders, relay } => self.ports.links.open(link, orders, Some(relay)),
            Call::News { link, news } => self.take_news(link, news, batch),
            Call::Unlinked { link, .. } => self.unlinked(link, batch),
            Call::Watch { from, notes, watcher } => {
                let (store, journal) = self.mirror.clone();
                let first = if notes { self.live.all_notes() } else { Vec::new() };
                let notes = notes.then(|| self.notes.subscribe());
                let watch = Watch { store, journal, from, durable: self.book.durable(), first, notes, watcher };
                tokio::spawn(watch.serve());
                // It was not there when the reasons were told.
                self.note_waiting();
            }
            Call::Stop { why, now, uid, done } => {
                let asked = || uid.map_or_else(|| "asked to stop".to_owned(), |uid| format!("asked by uid {uid}"));
                let why = if why.is_empty() { asked() } else { why };
                batch.events.push(driver::Event::StopAsked { why, now }.into());
                batch.written.push(done);
            }
            Call::Why { answer } => {
                let mut waiting = self.mind.why();
                for why in waiting.iter_mut().filter(|why| !self.room.is_empty() && why.why.starts_with("no room")) {
                    why.why = format!("{} ({})", why.why, self.room);
                }
                waiting.extend(self.live.moving());
                let _ = answer.send(waiting);
            }
            Call::Grants { answer } => drop(answer.send(self.live.grants(&self.ports.links))),
            Call::Relay { grant, ask } => self.relay(grant, ask, batch),
        }
    }

    /// What looks into a task is passed on once it is written down who did.
    fn relay(&self, grant: GrantId, ask: Ask, batch: &mut Batch) {
        let Some(relay) = self.ports.links.relay(grant) else { return ask.refuse(&dybox_wire::no_line(grant)) };
        let Some((attempt, visit)) = ask.visit() else { return relay.pass(ask) };
        // A container may be kept for a look after its attempt.
        let runs = self.mind.master.attempts_at(grant).any(|at| at == attempt);
        if !runs && matches!(visit.want, Want::Exec(_)) {
            return ask.refuse(&format!("{attempt} does not run any more"));
        }
        let (by, want) = (visit.by.clone(), visit.want.in_short());
        batch.events.push(master::Event::Visited { attempt, by, want }.into());
        let (done, written) = oneshot::channel();
        batch.written.push(done);
        let relay = relay.clone();
        tokio::spawn(async move {
            if written.await.is_ok() {
                relay.pass(ask);
            }
        });
    }

    fn unlinked(&mut self, link: LinkId, batch: &mut Batch) {
        let Some(grant) = self.ports.links.close(link) else { return };
        if self.mind.master.size_of(grant).is_some() {
            self.awaited.expect(grant, Instant::now(), self.ports.rm.patience());
        }
        let news = self.ports.rm.heard(grant, Heard::Cut);
        self.take_news_of_rm(news, batch);
    }

    fn take_news(&mut self, link: LinkId, news: ProxyNews, batch: &mut Batch) {
        if let ProxyNews::Hello { grant, attempts, .. } = news {
            self.awaited.settle(grant);
            self.ports.links.bind(link, grant);
            self.ports.links.send(grant, MasterOrder::Welcome { epoch: self.epoch });
            if self.ports.rm.is_over(grant) {
                // What it has may be given out again, or is already.
                return self.send_away(grant, &attempts);
            }
            if !self.ports.rm.is_sweeper(grant) {
                batch.events.push(master::Event::ProxyJoined { grant, attempts }.into());
            }
            let news = self.ports.rm.heard(grant, Heard::Joined);
            return self.take_news_of_rm(news, batch);
        }
        // Who did not say who it is has nothing to say.
        let Some(grant) = self.ports.links.grant(link) else { return };
        match news {
            ProxyNews::Hello { .. } => {}
            ProxyNews::Runs { attempt, container, image, image_id, ports } => {
                if !image_id.is_empty() {
                    batch.events.push(master::Event::ImagePinned { image, id: image_id }.into());
                }
                batch.events.push(master::Event::Runs { grant, attempt, container, ports }.into());
                let news = self.ports.rm.heard(grant, Heard::Works);
                self.take_news_of_rm(news, batch);
            }
            ProxyNews::Exited { attempt, exit } => {
                let exit = self.as_taken(grant, exit);
                batch.events.push(master::Event::Exited { grant, attempt, exit }.into());
                let news = self.ports.rm.heard(grant, Heard::Works);
                self.take_news_of_rm(news, batch);
            }
            ProxyNews::Noted(note) => self.take_note(grant, note, batch),
            ProxyNews::Limited { attempt, memory, why_not } => {
                if let Some(why) = &why_not {
                    tracing::info!("the limit of {attempt} stays as it is: {why}");
                }
                let memory = Some(memory).filter(|_| why_not.is_none());
                batch.events.push(master::Event::Limited { grant, attempt, memory }.into());
            }
            ProxyNews::Swept { grant: swept, exits } => {
                let news = self.ports.rm.heard(grant, Heard::Swept { grant: swept, exits });
                self.take_news_of_rm(news, batch);
            }
            ProxyNews::Leaving { .. } => {
                if !self.ports.rm.is_sweeper(grant) {
                    batch.events.push(master::Event::ProxyLeaving { grant }.into());
                }
                let news = self.ports.rm.heard(grant, Heard::Leaving);
                self.take_news_of_rm(news, batch);
            }
        }
    }

    /// How images came is for the machine, and what is used is for it too. A note that was overtaken by its attempt's end is nobody's.
    fn take_note(&mut self, grant: GrantId, note: Note, batch: &mut Batch) {
        if let Note::Brought { image, stage, took, why } = note {
            return batch.events.push(master::Event::ImageBrought { grant, image, stage, took, why }.into());
        }
        if let Note::Moves { attempt, .. } = &note {
            if self.mind.master.attempts_at(grant).any(|at| at == *attempt) {
                self.live.moves(&note);
            }
            return self.note(note);
        }
        if let Note::Uses { attempt, now, .. } = &note {
            if self.mind.master.attempts_at(grant).next() != Some(*attempt) {
                return;
            }
            self.live.uses(*attempt, &note);
            let (attempt, used) = (*attempt, now.clone());
            batch.events.push(master::Event::Used { grant, attempt, used }.into());
        }
        self.note(note);
    }

    /// Ends what a proxy has at once, and the proxy.
    fn send_away(&self, grant: GrantId, attempts: &[AttemptId]) {
        for &attempt in attempts {
            self.ports.links.send(grant, MasterOrder::Halt { attempt, now: true });
        }
        self.ports.links.send(grant, MasterOrder::Leave);
    }

    /// What was told to end because its grant goes was not stopped by anybody.
    fn as_taken(&self, grant: GrantId, exit: Exit) -> Exit {
        match (exit.cause, self.taken.get(&grant)) {
            (Some(Cause::Stopped), Some(&cause)) => {
                Exit { cause: Some(cause), text: "it was told to end because its grant goes".to_owned(), ..exit }
            }
            _ => exit,
        }
    }

    pub(crate) fn take_news_of_rm(&mut self, news: Vec<News>, batch: &mut Batch) {
        for news in news {
            if let Some(event) = self.told_by_rm(news) {
                batch.events.push(event);
            }
        }
    }

    fn told_by_rm(&mut self, news: News) -> Option<Event> {
        let told: Event = match news {
            News::Granted { grant, size, host, container, wish } => {
                master::Event::Granted { grant, size, host, container, wish }.into()
            }
            News::Resized { grant, size } => master::Event::Resized { grant, size }.into(),
            News::NotResized { grant, why } => {
                tracing::info!("{grant} keeps its size: {why}");
                master::Event::NotResized { grant }.into()
            }
            News::Gone { grant, clean: true, .. } => {
                self.awaited.settle(grant);
                master::Event::GrantEnded { grant }.into()
            }
            News::Gone { grant, how, .. } => {
                self.awaited.settle(grant);
                tracing::warn!("the proxy of {grant} {how}");
                master::Event::ProxyLost { grant, how }.into()
            }
            News::Taken { grant, cause, how } => {
                self.awaited.settle(grant);
                tracing::warn!("the proxy of {grant} {how}");
                // It may live on a machine that YARN has lost.
                self.taken.insert(grant, cause);
                let attempts: Vec<_> = self.mind.master.attempts_at(grant).collect();
                self.send_away(grant, &attempts);
                master::Event::GrantTaken { grant, cause, how }.into()
            }
            News::Swept { grant, exits } => master::Event::Swept { grant, exits }.into(),
            News::Nodes(nodes) => master::Event::Nodes(nodes).into(),
            News::OthersWait { any, first } => master::Event::OthersWait { any, first }.into(),
            News::Stop { why } => driver::Event::StopAsked { why, now: false }.into(),
            News::Preempts { grant } => return self.preempt(grant),
            News::Refused { wish, why } => master::Event::Refused { wish, why }.into(),
            other => {
                self.do_for_rm(other);
                return None;
            }
        };
        Some(told)
    }

    /// What changes nothing for the machines.
    fn do_for_rm(&mut self, news: News) {
        match news {
            News::Expect { grant } => self.awaited.expect(grant, Instant::now(), self.ports.rm.patience()),
            News::OrderSweep { by, grant } => self.ports.links.send(by, MasterOrder::Sweep { grant }),
            News::OrderLeave { grant } => self.ports.links.send(grant, MasterOrder::Leave),
            News::Waits { why } => {
                self.room = why;
                self.note_waiting();
            }
            News::Trouble { text, cause } => {
                tracing::warn!("{text}");
                self.note(Note::Warns { text, cause });
            }
            News::Over { why } => self.over = Some(why),
            // The rest was told to the machines, or concerns the end.
            _ => {}
        }
    }

    /// Uses the notice: its task ends with its grace, and nothing new is given to it.
    fn preempt(&mut self, grant: GrantId) -> Option<Event> {
        self.mind.master.size_of(grant)?;
        if self.taken.insert(grant, Cause::Preempted).is_some() {
            return None;
        }
        tracing::info!("YARN will take {grant}: its task is told to end");
        for attempt in self.mind.master.attempts_at(grant) {
            self.ports.links.send(grant, MasterOrder::Halt { attempt, now: false });
        }
        self.ports.links.send(grant, MasterOrder::Leave);
        Some(master::Event::ProxyLeaving { grant }.into())
    }

    fn note(&self, note: Note) {
        // Nobody may be watching.
        let _ = self.notes.send(note);
    }

    /// Tells watchers why tasks wait: for room that is not there, or for their next try.
    pub(crate) fn note_waiting(&self) {
        for waiting in self.mind.master.why() {
            let told = !self.room.is_empty() || waiting.why.starts_with(master::PAUSE);
            let why = if told { waiting.why } else { String::new() };
            self.note(Note::Waits { stage: waiting.stage, why });
        }
    }
}
