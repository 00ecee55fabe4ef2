//! What the grants of one application stand for: a plain value between YARN's events and the loop.
//!
//! Enters: what YARN, proxies and the loop tell ([`In`]). Leaves: what to do about it ([`Out`]). Never: a socket, a
//! clock, a token.
//!
//! ```text
//! grant:  paced -> given -> launched -> over   paced: not written down; over: YARN reported the end of its container
//! sweep:  asked -> ordered (a proxy on the same machine, or a small grant there) -> swept
//!               \-> nobody can look: over, then lease, grace and margin -> swept, ends unknown
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dybox_model::{GrantId, SubDagId, Wish};
use tokio::time::Instant;

use super::News;
use super::exit::Verdict;
use super::held::{Held, Stand};
use super::pace::Pace;
use super::sweep::Sweep;
use super::words::{In, Out, Place, Room};

/// A proxy that said that it leaves ends within this time, or its grant is taken from it.
const GONE: Duration = Duration::from_secs(15);

/// All grants of the application.
#[derive(Debug)]
pub(crate) struct Desk {
    subdag: SubDagId,
    epoch: u32,
    next: u32,
    /// Room for tasks in the master's own container, and who is in it.
    pub(super) own: Option<(Room, Option<GrantId>)>,
    pub(super) held: BTreeMap<GrantId, Held>,
    pub(super) by_container: BTreeMap<String, GrantId>,
    pub(super) sweeps: BTreeMap<GrantId, Sweep>,
    /// Small grants that were asked for to sweep, and how often, by machine.
    pub(super) sweepers: BTreeMap<String, u32>,
    /// Asks of the machine that are not answered yet, also not by a grant that waits in `pace`.
    asked: BTreeMap<Wish, u32>,
    pace: Pace,
    /// Machines that nothing is to be put on; YARN heeds that itself.
    avoided: BTreeSet<String>,
    pub(super) registered: bool,
}

impl Desk {
    /// `known`: grants of the journal that are not over. `own`: room for tasks in the master's own container.
    pub(crate) fn new((subdag, epoch): (SubDagId, u32), known: BTreeMap<GrantId, Room>, own: Option<Room>) -> Self {
        let by_container = known.iter().map(|(grant, room)| (room.container.clone(), *grant)).collect();
        let held = known.into_iter().map(|(grant, room)| (grant, Held::new(room, Stand::Known))).collect();
        let own = own.map(|room| (room, None));
        let (next, sweeps, sweepers, asked) = (1, BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (pace, avoided) = (Pace::default(), BTreeSet::new());
        Self { subdag, epoch, next, own, held, by_container, sweeps, sweepers, asked, pace, avoided, registered: false }
    }

    pub(crate) fn handle(&mut self, now: Instant, event: In, out: &mut Vec<Out>) {
        match event {
            In::Asked { wish, count } => self.ask(wish, count, out),
            In::Avoided { host, avoid: true } => drop(self.avoided.insert(host)),
            In::Avoided { host, .. } => drop(self.avoided.remove(&host)),
            In::Launch(grant) => self.launch(grant, out),
            In::Kill(grant) => self.kill(grant, now, out),
            In::Sweep(grant) => self.begin_sweep(grant, now, out),
            In::Registered { previous } => self.register(previous, now, out),
            In::Found { found } => self.find(found, out),
            In::Granted { room, wish } => self.take(room, wish, out),
            In::Completed { container, verdict } => self.complete(&container, verdict, now, out),
            In::NotStarted { grant, how, sure } => self.not_started(grant, how, sure, out),
            In::OwnEnded { grant, clean, how } => self.own_ended(grant, (clean, how), now, out),
            In::Resized { container, size } => self.resized(&container, size, out),
            In::NotResized { container, why } => self.not_resized(&container, why, out),
            In::Preempts(containers) => {
                let grants = containers.iter().filter_map(|container| self.by_container.get(container));
                out.extend(grants.map(|grant| Out::Tell(News::Preempts { grant: *grant })));
            }
            In::Joined(grant) => self.join(grant, out),
            In::Given(grant) => self.give(grant, now),
            In::Works(grant) => self.works(grant, now),
            In::Cut(grant) => self.on(grant, |held| held.linked = false),
            In::Leaving(grant) => self.leaving(grant, now, out),
            In::Swept { by, grant, exits } => self.swept(by, grant, exits, out),
            In::Tick => self.tick(now, out),
        }
        self.admit(now, out);
    }

    /// When to call `handle` with [`In::Tick`] next.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let letting = self.held.values().filter(|held| held.over.is_none()).filter_map(|held| held.until);
        letting.chain(self.sweeps.keys().filter_map(|grant| self.due(*grant))).chain(self.pace.wake()).min()
    }

    /// Where a grant is; empty where it is not known.
    pub(crate) fn room(&self, grant: GrantId) -> Option<&Room> {
        self.held.get(&grant).map(|held| &held.room)
    }

    /// Whether it is there to sweep: the machine knows nothing of it.
    pub(crate) fn is_sweeper(&self, grant: GrantId) -> bool {
        self.held.get(&grant).is_some_and(|held| held.sweeper)
    }

    /// Whether YARN has it no more.
    pub(crate) fn is_over(&self, grant: GrantId) -> bool {
        self.held.get(&grant).is_none_or(|held| held.over.is_some())
    }

    /// Asks of the machine that YARN has not answered.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (&Wish, u32)> {
        let open = self.asked.keys().map(|wish| (wish, self.open(wish)));
        open.filter(|(_, count)| *count > 0)
    }

    fn on(&mut self, grant: GrantId, change: impl FnOnce(&mut Held)) {
        if let Some(held) = self.held.get_mut(&grant) {
            change(held);
        }
    }

    fn leaving(&mut self, grant: GrantId, now: Instant, out: &mut Vec<Out>) {
        self.starts_nothing(grant);
        self.on(grant, |held| (held.left, held.until) = (true, Some(now + GONE)));
        if self.sweeps.contains_key(&grant) {
            // It was thought lost, and has cleaned up itself.
            self.tell_swept(grant, Vec::new(), out);
        }
    }

    fn ask(&mut self, wish: Wish, mut count: u32, out: &mut Vec<Out>) {
        let anywhere = wish.racks.is_empty() && wish.hosts.is_empty();
        let here = |room: &Room| anywhere || wish.relaxed || wish.hosts.contains(&room.host);
        if let Some((room, None)) = &self.own
            && count > 0
            && here(room)
            && !self.avoided.contains(&room.host)
            && wish.size.fits(room.size)
        {
            count -= 1;
            let grant = self.enter(room.clone(), Place::Own);
            self.tell_granted(grant, &wish, out);
        }
        match count {
            0 => drop(self.asked.remove(&wish)),
            _ => drop(self.asked.insert(wish.clone(), count)),
        }
        out.extend(self.pace.keep(&wish, count).into_iter().map(|room| Out::Release(room.container)));
        self.ask_yarn(wish, out);
    }

    /// What YARN has still to give of a wish.
    fn open(&self, wish: &Wish) -> u32 {
        self.asked.get(wish).map_or(0, |count| count.saturating_sub(self.pace.count(wish)))
    }

    fn ask_yarn(&self, wish: Wish, out: &mut Vec<Out>) {
        let count = self.open(&wish);
        out.push(Out::Ask { wish, count });
    }

    /// Tells of the grants whose machines are ready for one more proxy.
    fn admit(&mut self, now: Instant, out: &mut Vec<Out>) {
        while let Some((room, wish)) = self.pace.pop(now) {
            match self.asked.get_mut(&wish) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.asked.remove(&wish)),
            }
            let host = room.host.clone();
            let grant = self.enter(room, Place::Container);
            self.pace.starts(grant, &host, now);
            self.tell_granted(grant, &wish, out);
        }
    }

    /// Takes a room in as a grant.
    pub(super) fn enter(&mut self, room: Room, place: Place) -> GrantId {
        let grant = GrantId::compose(self.subdag, self.epoch, self.next);
        self.next += 1;
        match (&mut self.own, place) {
            (Some((_, inhabitant)), Place::Own) => *inhabitant = Some(grant),
            _ => drop(self.by_container.insert(room.container.clone(), grant)),
        }
        self.held.insert(grant, Held { place, ..Held::new(room, Stand::Given) });
        grant
    }

    fn tell_granted(&self, grant: GrantId, wish: &Wish, out: &mut Vec<Out>) {
        let Room { container, host, size } = self.held[&grant].room.clone();
        out.push(Out::Tell(News::Granted { grant, size, host, container, wish: Some(wish.clone()) }));
    }

    fn take(&mut self, room: Room, wish: Wish, out: &mut Vec<Out>) {
        // A session gives the same container again, once the last grant of it is over.
        let known = self.by_container.get(&room.container).and_then(|grant| self.held.get(grant));
        if known.is_some_and(|held| held.over.is_none()) || self.pace.has(&room.container) {
            return;
        }
        if self.is_to_sweep(&wish) {
            return self.take_sweeper(room, out);
        }
        match self.open(&wish) {
            // Taken back while it was on its way.
            0 => out.push(Out::Release(room.container)),
            _ => self.pace.push(room, wish),
        }
    }

    pub(super) fn launch(&mut self, grant: GrantId, out: &mut Vec<Out>) {
        if let Some(held) = self.held.get_mut(&grant).filter(|held| held.stand == Stand::Given && held.over.is_none()) {
            held.stand = Stand::Launched;
            out.push(Out::Start { grant, place: held.place });
        }
    }

    fn kill(&mut self, grant: GrantId, now: Instant, out: &mut Vec<Out>) {
        let Some(held) = self.held.get_mut(&grant).filter(|held| held.over.is_none()) else { return };
        // Where its NodeManager does not answer either, YARN is told.
        (held.linked, held.until) = (false, Some(now + GONE));
        out.push(Out::Stop { grant, place: held.place });
    }

    fn register(&mut self, previous: Vec<Room>, now: Instant, out: &mut Vec<Out>) {
        self.registered = true;
        for room in previous {
            match self.by_container.get(&room.container).and_then(|grant| self.held.get_mut(grant).map(|h| (grant, h)))
            {
                Some((grant, held)) => {
                    held.stand = Stand::Launched;
                    out.push(Out::Tell(News::Expect { grant: *grant }));
                    if held.room.size != room.size {
                        // The master before this one had asked for it and did not live to write it down.
                        held.room.size = room.size;
                        out.push(Out::Tell(News::Resized { grant: *grant, size: room.size }));
                    }
                }
                None => out.push(Out::Release(room.container)),
            }
        }
        let unknown = self.held.iter_mut().filter(|(_, held)| held.stand == Stand::Known);
        for (&grant, held) in unknown {
            // It ended while no master was there, or its whole application did: nobody says when.
            (held.stand, held.over) = (Stand::Launched, Some((now, false)));
            let how = "ended while no master was there".to_owned();
            out.push(Out::Tell(News::Gone { grant, clean: false, how }));
        }
    }

    /// YARN forgot them for a while (its ResourceManager was restarted): they live.
    fn find(&mut self, found: Vec<Room>, out: &mut Vec<Out>) {
        for room in found {
            let grant = self.by_container.get(&room.container).copied();
            match grant.and_then(|grant| self.held.get_mut(&grant)) {
                Some(held) => held.over = None,
                None if self.pace.has(&room.container) => {}
                None => out.push(Out::Release(room.container)),
            }
        }
    }

    fn complete(&mut self, container: &str, verdict: Verdict, now: Instant, out: &mut Vec<Out>) {
        if let Some(wish) = self.pace.remove(container) {
            return self.ask_yarn(wish, out);
        }
        let Some(&grant) = self.by_container.get(container) else { return };
        self.starts_nothing(grant);
        let Some(held) = self.held.get_mut(&grant).filter(|held| held.over.is_none()) else { return };
        (held.over, held.linked) = (Some((now, verdict.dead)), false);
        if held.stand == Stand::Given {
            held.stand = Stand::Unborn;
        }
        let clean = held.left || verdict.clean;
        self.end(grant, Verdict { clean, ..verdict }, out);
    }

    fn own_ended(&mut self, grant: GrantId, (clean, how): (bool, String), now: Instant, out: &mut Vec<Out>) {
        if let Some((_, inhabitant)) = &mut self.own
            && *inhabitant == Some(grant)
        {
            *inhabitant = None;
        }
        let Some(held) = self.held.get_mut(&grant).filter(|held| held.over.is_none()) else { return };
        (held.over, held.linked) = (Some((now, true)), false);
        let clean = clean || held.left;
        self.end(grant, Verdict { clean, dead: true, cause: None, how }, out);
    }

    /// Its process is gone, or YARN says so.
    fn end(&mut self, grant: GrantId, verdict: Verdict, out: &mut Vec<Out>) {
        if self.is_sweeper(grant) {
            self.held.remove(&grant);
        } else if !self.sweeps.contains_key(&grant) {
            let Verdict { clean, how, .. } = verdict;
            out.push(Out::Tell(match verdict.cause {
                _ if clean => News::Gone { grant, clean, how },
                Some(cause) => News::Taken { grant, cause, how },
                None => News::Gone { grant, clean, how },
            }));
        }
        // Whoever was to sweep may be gone.
        self.look_again(grant, out);
    }

    fn not_started(&mut self, grant: GrantId, how: String, sure: bool, out: &mut Vec<Out>) {
        self.starts_nothing(grant);
        let Some(held) = self.held.get_mut(&grant) else { return };
        out.push(Out::Release(held.room.container.clone()));
        if held.over.is_none() && sure {
            held.stand = Stand::Unborn;
            let (place, sweeper) = (held.place, held.sweeper);
            if let (Some((_, inhabitant)), Place::Own) = (&mut self.own, place) {
                *inhabitant = None;
            }
            match sweeper {
                true => drop(self.held.remove(&grant)),
                false => out.push(Out::Tell(News::Gone { grant, clean: false, how })),
            }
        }
    }

    fn give(&mut self, grant: GrantId, now: Instant) {
        if let Some(held) = self.held.get(&grant).filter(|held| held.place == Place::Container) {
            self.pace.task_starts(grant, &held.room.host, now);
        }
    }

    fn works(&mut self, grant: GrantId, now: Instant) {
        if let Some(held) = self.held.get(&grant) {
            self.pace.works(grant, &held.room.host, now);
        }
    }

    fn starts_nothing(&mut self, grant: GrantId) {
        if let Some(held) = self.held.get(&grant) {
            self.pace.is_gone(grant, &held.room.host);
        }
    }

    fn join(&mut self, grant: GrantId, out: &mut Vec<Out>) {
        self.on(grant, |held| held.linked = true);
        self.order_sweeps(grant, out);
    }

    fn tick(&mut self, now: Instant, out: &mut Vec<Out>) {
        for held in self.held.values_mut().filter(|held| held.over.is_none()) {
            if held.until.is_some_and(|until| until <= now) {
                held.until = None;
                if held.place == Place::Container {
                    out.push(Out::Release(held.room.container.clone()));
                }
            }
        }
        self.give_up_sweeps(now, out);
    }
}
