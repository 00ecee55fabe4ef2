//! The loop: asks wait here for room, and proxies and sweeps are looked after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dybox_model::GrantId;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::LocalError;
use crate::event::{Event, Order};
use crate::ledger::{Ask, Ledger, Others, Round, Taken, is_locked, remove};
use crate::notify::Changes;
use crate::share::Short;
use crate::spawn::{self, Dead};

/// With asks that wait: how often to look without a sign, and to say that one waits.
const LOOK: Duration = Duration::from_secs(1);
/// How long a share of another run is dead before somebody else than its master sweeps it.
const ORPHANED: Duration = Duration::from_secs(10);
const SWEEP_AGAIN: Duration = Duration::from_secs(2);
const ADOPTED_LOOK: Duration = Duration::from_millis(250);

/// A running resource manager of one master. Dropping it leaves the proxies alone.
#[derive(Debug)]
pub struct Local {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Local {
    /// Starts it on the current runtime; events come through `events`.
    #[must_use]
    pub fn start(ledger: Ledger, events: mpsc::UnboundedSender<Event>) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let conf = ledger.conf();
        let changes = Changes::of(&[&conf.shares, &conf.waiting]);
        let manager = Desk {
            ledger,
            events,
            asks: Vec::new(),
            taken: BTreeMap::new(),
            dead: BTreeMap::new(),
            proxies: BTreeMap::new(),
            unborn: BTreeSet::new(),
            said: (String::new(), Others::default(), String::new()),
            look: None,
        };
        let task = tokio::spawn(manager.serve(inbox, changes));
        Self { orders, task }
    }

    /// Ends it; shares whose proxies were not started are given back.
    pub async fn close(self) {
        drop(self.orders);
        // The loop ends with its inbox; it has nothing to say any more.
        let _ = self.task.await;
    }

    /// Gives an order; its outcome comes as an event.
    pub fn order(&self, order: Order) {
        // The loop ends with this handle alone, so somebody listens.
        let _ = self.orders.send(order);
    }
}

struct Desk {
    ledger: Ledger,
    events: mpsc::UnboundedSender<Event>,
    /// By priority, then in the order of the first ask of each size.
    asks: Vec<Ask>,
    /// Shares that are taken and whose proxy has not been started.
    taken: BTreeMap<GrantId, Taken>,
    /// Proxies that this process started, and how to kill each.
    proxies: BTreeMap<GrantId, oneshot::Sender<()>>,
    /// Grants whose proxy could not even be started: there is nothing to sweep.
    unborn: BTreeSet<GrantId>,
    /// Dead shares of other runs, since when.
    dead: BTreeMap<std::path::PathBuf, Instant>,
    /// What was said last: why asks wait, whether others wait, what is wrong.
    said: (String, Others, String),
    look: Option<Instant>,
}

impl Desk {
    async fn serve(mut self, mut inbox: mpsc::UnboundedReceiver<Order>, changes: Changes) {
        loop {
            let look = self.look;
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => {
                        self.obey(order);
                        // Orders come in bunches: look once for all of them.
                        while let Ok(order) = inbox.try_recv() {
                            self.obey(order);
                        }
                    }
                    None => break,
                },
                () = changes.changed(), if look.is_some() => {}
                () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => {}
            }
            self.round().await;
        }
        let _ = self.ledger.wait_for(None);
        // Nothing ever ran in these.
        for grant in self.taken.keys() {
            let _ = remove(&self.ledger.share_path(&self.ledger.conf().run, *grant));
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask { size, priority, count } => self.ask(Ask { size, priority, count }),
            Order::Launch { grant } => self.launch(grant),
            Order::Adopt { grant } => self.adopt(grant),
            Order::Kill { grant } => self.kill(grant),
            Order::Sweep { grant } => self.sweep(grant),
        }
    }

    fn ask(&mut self, ask: Ask) {
        match self.asks.iter_mut().find(|asked| asked.is_like(&ask)) {
            Some(asked) => asked.count = ask.count,
            None => {
                let behind = self.asks.partition_point(|asked| asked.priority >= ask.priority);
                self.asks.insert(behind, ask);
            }
        }
        self.asks.retain(|ask| ask.count > 0);
    }

    fn tell(&self, event: Event) {
        // Whoever listened is about to end; nothing is lost, shares are files.
        let _ = self.events.send(event);
    }

    /// One look at everything that waits.
    async fn round(&mut self) {
        if self.asks.is_empty() && self.look.is_none() {
            return;
        }
        let asks = self.asks.clone();
        match self.ledger.round(&asks).await {
            Ok(round) => self.settle(round),
            Err(error) => self.trouble(&error),
        }
        // What waits behind another ask of its own run does not count: others could not help it.
        let first = self.asks.first().map(|ask| ask.priority);
        let smallest = self.asks.iter().filter(|ask| Some(ask.priority) == first).map(|ask| ask.size).min();
        if let Err(error) = self.ledger.wait_for(smallest) {
            self.trouble(&error);
        }
        self.look_for_orphans();
        // Without asks there is one more look a second while shares are held: others may wait for an idle one.
        self.look = Some(Instant::now() + LOOK);
    }

    fn settle(&mut self, round: Round) {
        for taken in round.taken {
            if let Some(ask) = self.asks.iter_mut().find(|ask| (ask.size, ask.priority) == (taken.size, taken.priority))
            {
                ask.count -= 1;
            }
            self.tell(Event::Granted { grant: taken.grant, size: taken.size, priority: taken.priority });
            self.taken.insert(taken.grant, taken);
        }
        let budget = self.ledger.conf().budget;
        for (size, short) in &round.short {
            if *short == Short::Never {
                self.asks.retain(|ask| ask.size != *size);
                self.tell(Event::Refused { size: *size, why: short.sentence(*size, budget) });
            }
        }
        self.asks.retain(|ask| ask.count > 0);
        let waits = round.short.iter().find(|(_, short)| *short != Short::Never);
        let why = waits.map(|(size, short)| short.sentence(*size, budget)).unwrap_or_default();
        if self.said.0 != why {
            self.said.0.clone_from(&why);
            self.tell(Event::Waits { why });
        }
        if self.said.1 != round.others || round.others.first {
            self.said.1 = round.others;
            self.tell(Event::OthersWait { any: round.others.any, first: round.others.first });
        }
        self.said.2.clear();
    }

    fn trouble(&mut self, error: &LocalError) {
        let text = explain(error);
        if self.said.2 != text {
            self.said.2.clone_from(&text);
            self.tell(Event::Trouble { text });
        }
    }

    fn launch(&mut self, grant: GrantId) {
        let Some(taken) = self.taken.remove(&grant) else { return };
        let conf = self.ledger.conf();
        let share = self.ledger.share_path(&conf.run, grant);
        match spawn::proxy(conf, taken, &share) {
            Ok(mut child) => {
                let (events, log) = (self.events.clone(), conf.log(grant));
                let (kill, killed) = oneshot::channel();
                self.proxies.retain(|_, kill| !kill.is_closed());
                self.proxies.insert(grant, kill);
                tokio::spawn(async move {
                    let status = tokio::select! {
                        status = child.wait() => status,
                        Ok(()) = killed => {
                            let _ = child.start_kill();
                            child.wait().await
                        }
                    };
                    let clean = status.as_ref().is_ok_and(|status| status.success()) && !share.exists();
                    let how = status.map_or_else(|error| error.to_string(), spawn::how);
                    let how = if clean { how } else { spawn::with_words(how, &log) };
                    let _ = events.send(Event::Gone { grant, clean, how });
                });
            }
            Err(error) => {
                self.unborn.insert(grant);
                self.tell(Event::Gone { grant, clean: false, how: explain(&error) });
            }
        }
    }

    /// An earlier master's proxy is no child of ours: its lock tells when it is gone.
    fn adopt(&self, grant: GrantId) {
        let share = self.ledger.share_path(&self.ledger.conf().run, grant);
        let events = self.events.clone();
        tokio::spawn(async move {
            while is_locked(&share) {
                sleep(ADOPTED_LOOK).await;
            }
            let clean = !share.exists();
            let _ = events.send(Event::Gone { grant, clean, how: "ended under an earlier master".to_owned() });
        });
    }

    /// One that this process started, or that an earlier master did: whoever holds the share as its standard input.
    fn kill(&mut self, grant: GrantId) {
        if let Some(kill) = self.proxies.remove(&grant) {
            let _ = kill.send(());
        } else {
            spawn::kill_holder(&self.ledger.share_path(&self.ledger.conf().run, grant));
        }
    }

    fn sweep(&mut self, grant: GrantId) {
        // A share that was never launched is ours: let go of its lock.
        self.taken.remove(&grant);
        let conf = self.ledger.conf();
        if self.unborn.remove(&grant) {
            // Where its file can't be removed it stays a dead share, which somebody sweeps.
            let _ = remove(&self.ledger.share_path(&conf.run, grant));
            return self.tell(Event::Swept { grant, exits: Vec::new() });
        }
        let dead = Dead {
            grant,
            subdag: conf.subdag,
            run_dir: conf.run_dir.clone(),
            share: self.ledger.share_path(&conf.run, grant),
            swept: conf.swept(grant),
            log: conf.log(grant),
        };
        let (binary, events) = (conf.binary.clone(), self.events.clone());
        tokio::spawn(async move {
            loop {
                match spawn::sweep(&binary, &dead).await {
                    Ok(exits) => break drop(events.send(Event::Swept { grant, exits })),
                    Err(error) => drop(events.send(Event::Trouble { text: explain(&error) })),
                }
                if events.is_closed() {
                    break;
                }
                sleep(SWEEP_AGAIN).await;
            }
        });
    }

    /// Sweeps shares of other sub-DAGs, of any run, whose proxy and whose master are gone: they hold room that nobody else frees.
    fn look_for_orphans(&mut self) {
        let own = (self.ledger.conf().run.clone(), self.ledger.conf().subdag);
        let shares = self.ledger.shares().unwrap_or_default();
        let mut dead = BTreeMap::new();
        for share in shares.into_iter().filter(|share| (&share.run, share.subdag) != (&own.0, own.1)) {
            let path = self.ledger.share_path(&share.run, share.grant);
            if is_locked(&path) || !path.exists() {
                continue;
            }
            let since = self.dead.get(&path).copied().unwrap_or_else(Instant::now);
            if since.elapsed() < ORPHANED {
                dead.insert(path, since);
                continue;
            }
            let binary = self.ledger.conf().binary.clone();
            // Its findings stay in their file, for the `resume` of its run. A failure is tried at a later look.
            tokio::spawn(async move { spawn::sweep_share(share, &path, &binary).await });
        }
        self.dead = dead;
    }
}

/// An error with its sources and the next step, in one line.
fn explain(error: &LocalError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(next) = source {
        text.push_str(&format!(": {next}"));
        source = next.source();
    }
    format!("{text}; {}", error.advice())
}
