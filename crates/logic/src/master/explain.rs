//! Why tasks wait, and what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{Millis, Resources, Spread, StageId, TaskId, format_bytes, format_cpus, format_duration};

use super::Master;
use super::heed::PATIENCE;
use super::shapes::Place;
use super::tasks::{Phase, Stage, State};
use crate::Waiting;

/// How a reason begins that is a pause before a further try.
pub const PAUSE: &str = "pause of ";

impl Master {
    /// Why tasks of started stages wait, in the order of the stages. Walks over what waits, not over all tasks.
    #[must_use]
    pub fn why(&self) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for shape in self.tasks.shapes.active() {
            for &stage in self.tasks.shapes.stages(shape) {
                let tasks = self.tasks.stages[stage as usize].waiting_in(shape);
                waiting.push(Waiting { stage: StageId(stage), tasks, why: self.why_no_grant(shape, tasks) });
            }
        }
        // Pauses differ from task to task.
        let mut pauses: BTreeMap<_, (u32, Millis, Millis)> = BTreeMap::new();
        for rest in self.tasks.rests() {
            let key = (rest.before.task.stage, rest.before.number + 1, rest.most);
            let (tasks, least, most) = pauses.entry(key).or_insert((0, rest.pause, rest.pause));
            (*tasks, *least, *most) = (*tasks + 1, (*least).min(rest.pause), (*most).max(rest.pause));
        }
        for ((stage, number, last), (tasks, least, most)) in pauses {
            let (least, most) = (short(format_duration(least)), short(format_duration(most)));
            let pause = if least == most { most } else { format!("{least} to {most}") };
            let why = format!("{PAUSE}{pause} before try {number} of {last}");
            waiting.push(Waiting { stage, tasks, why });
        }
        waiting.sort_by_key(|waiting| waiting.stage);
        waiting
    }

    fn why_no_grant(&self, shape: u32, tasks: u32) -> String {
        if self.barren.until.is_some() {
            return format!("{}; a pause before the next ask", self.barren.sentence());
        }
        let entry = self.tasks.shapes.get(shape);
        let asked = self.asks.of_shape(shape).iter().any(|&(wish, _)| self.asks.told(wish) > 0);
        let placed = entry.place.as_deref().map(|place| self.why_placed(shape, place, tasks));
        if !asked {
            let stuck = placed.and_then(|(_, stuck)| stuck);
            let Some(mut why) = stuck else { return "its proxy is starting".to_owned() };
            for more in self.said_by_roster(shape) {
                why.push_str(&format!("; {more}"));
            }
            return why;
        }
        let many = if tasks == 1 { "1 task wants".to_owned() } else { format!("{tasks} tasks want") };
        let mut why = format!("no room: {many} {}", words(entry.size));
        let (at, stuck) = placed.unwrap_or_default();
        why.push_str(&at);
        if !self.queue.is_empty() {
            why.push_str(&format!(" in queue {}", self.queue));
        }
        if self.pool.len() > 0 {
            why.push_str(&format!("; its sub-DAG holds {}", words(self.pool.held())));
        }
        let later = self.tasks.shapes.highest().filter(|highest| *highest > entry.priority);
        let later = later.map(|highest| format!("stages of priority {highest} come first"));
        for more in later.into_iter().chain(stuck).chain(self.left_out()).chain(self.said_by_roster(shape)) {
            why.push_str(&format!("; {more}"));
        }
        why
    }

    /// Where a placed shape asks for room, and what keeps some of its tasks from asking at all.
    fn why_placed(&self, shape: u32, place: &Place, tasks: u32) -> (String, Option<String>) {
        let placement = &place.placement;
        let wants = self.asks.of_shape(shape);
        let wishes = wants.iter().map(|&(id, _)| self.asks.get(id));
        let names: BTreeSet<&str> =
            wishes.flat_map(|wish| wish.hosts.iter().chain(&wish.racks)).map(|n| &**n).collect();
        let at = if names.is_empty() { String::new() } else { format!(" on {}", listed(names.iter().copied(), "or")) };
        let unknown = |name: &&String| !self.hosts.has(name) && !self.hosts.has_rack(name);
        let pinned = placement.nodes.iter().chain(&placement.racks);
        let unknown: Vec<&str> = pinned.filter(unknown).map(String::as_str).collect();
        let asked: u32 = wants.iter().map(|&(_, count)| count).sum();
        let stuck = if !self.hosts.known() {
            (asked < tasks).then(|| "it waits for the list of the cluster's machines".to_owned())
        } else if !unknown.is_empty() {
            Some(format!("no machine of the cluster answers to {}", listed(unknown.into_iter(), "or")))
        } else if asked == 0 && self.hosts.fitting(placement, self.tasks.shapes.get(shape).size).next().is_none() {
            Some("no machine of the cluster fits its placement".to_owned())
        } else if asked < tasks {
            Some(format!("{} of them wait for {}", tasks - asked, free(place)))
        } else {
            None
        };
        (at, stuck)
    }

    /// The machines that are left out for a while.
    fn left_out(&self) -> Option<String> {
        let (host, how) = self.hosts.left_out().next()?;
        let more = match self.hosts.left_out().count() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(format!("{host}{more} is left out for a while: {how}"))
    }

    /// The machines that the roster keeps a shape's tasks away from, and why.
    fn said_by_roster(&self, shape: u32) -> Vec<String> {
        let (roster, entry) = (&self.hosts.roster, self.tasks.shapes.get(shape));
        let placement = entry.place.as_ref().map(|place| &place.placement);
        let ours = |host: &str| {
            let known = !self.hosts.known() || self.hosts.has(host);
            known && placement.is_none_or(|placement| self.hosts.allows(placement, host))
        };
        let words = |(host, why): (&str, &str)| format!("{host} ({why})");
        let named = |all: Vec<String>| listed(all.iter().map(String::as_str), "and");
        let mut said = Vec::new();
        let closed: Vec<String> = roster.closed().filter(|(host, _)| ours(host)).map(words).collect();
        if !closed.is_empty() {
            said.push(format!("the roster closes {}", named(closed)));
        }
        if self.is_shut(shape) {
            let patience = PATIENCE.0 / 1000;
            said.push(format!("that is every machine it could go to: after {patience} s it goes there all the same"));
        }
        let poor: Vec<String> = roster.all_poor().filter(|(host, _)| ours(host)).map(words).collect();
        if !poor.is_empty() {
            said.push(format!("others come before {}", named(poor)));
        }
        said
    }

    /// What must always hold. Walks over everything.
    ///
    /// # Errors
    /// A sentence that names the broken rule.
    pub fn check(&self) -> Result<(), String> {
        let mut live = 0;
        let mut expected = vec![(0u32, 0u32); self.tasks.shapes.counts().count()];
        for (id, stage) in (0u32..).zip(&self.tasks.stages).filter(|(_, stage)| stage.ours) {
            live += self.check_stage(StageId(id), stage)?;
            for shape in stage.shapes() {
                expected[shape as usize].0 += stage.waiting_in(shape);
            }
            expected[stage.shape as usize].1 += stage.resting + u32::from(stage.phase == Phase::Unstarted);
        }
        if !self.tasks.shapes.counts().eq(expected.iter().copied()) {
            return Err("what waits and what may come is counted wrongly by shape".to_owned());
        }
        self.pool.check()?;
        let mut loads = Vec::new();
        for (id, grant) in self.pool.iter() {
            for attempt in grant.loads() {
                let task = self.tasks.task(attempt.task).ok_or_else(|| format!("grant {id} works on no task"))?;
                if !matches!(task.state, State::Live | State::Runs) || task.last != attempt.number {
                    return Err(format!("grant {id} works on {attempt}, which is not live"));
                }
                let stage = &self.tasks.stages[attempt.task.stage.0 as usize];
                let shape = stage.ladder.bottom().unwrap_or_else(|| stage.shape_of(attempt.task.index));
                if !self.tasks.shapes.get(shape).size.fits(grant.size) {
                    return Err(format!("{attempt} does not fit into grant {id}"));
                }
                loads.push(attempt.task);
            }
        }
        self.check_apart()?;
        loads.sort_unstable();
        loads.dedup();
        if loads.len() != live as usize {
            return Err(format!("{live} tasks are live, {} are in the hands of grants", loads.len()));
        }
        Ok(())
    }

    /// Checks one stage; gives how many of its tasks are live.
    fn check_stage(&self, id: StageId, stage: &Stage) -> Result<u32, String> {
        let states = (0..stage.tasks).filter_map(|index| self.tasks.task(TaskId { stage: id, index }));
        let (mut waiting, mut resting, mut live, mut succeeded) = (0, 0, 0, 0);
        for task in states {
            match task.state {
                State::Waiting => waiting += 1,
                State::Resting => resting += 1,
                State::Live | State::Runs => live += 1,
                State::Succeeded => succeeded += 1,
                State::Over => {}
            }
        }
        let open = stage.phase == Phase::Running && self.tasks.verdict(id).is_none();
        let kept = (stage.waiting, stage.resting, stage.live, stage.succeeded);
        let counted = if open { (waiting, resting, live, succeeded) } else { (0, 0, live, succeeded) };
        if kept != counted {
            return Err(format!(
                "stage {}: (waiting, resting, live, succeeded) {kept:?} in the counters, {counted:?} in the tasks",
                id.0
            ));
        }
        Ok(live)
    }
}

/// What a task of a stage that is kept apart waits for.
fn free(place: &Place) -> String {
    let placement = &place.placement;
    let rack = placement.spread == Some(Spread::Rack);
    let mut words = vec![format!("a {} without a task of", if rack { "rack" } else { "machine" })];
    let names = place.apart.iter().map(|apart| apart.name.as_str());
    match placement.most_on_host() {
        None => words.push(listed(names, "or")),
        Some(1) => words.push(listed(["this stage"].into_iter().chain(names), "or")),
        Some(most) => {
            words = vec![format!("a machine with less than {most} tasks of this stage")];
            if !place.apart.is_empty() {
                words.push(format!("and none of {}", listed(names, "or")));
            }
        }
    }
    words.join(" ")
}

/// `a, b or c`; cut where there are many.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>, last: &str) -> String {
    const MOST: usize = 4;
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., end] if names.len() <= MOST => format!("{} {last} {end}", first.join(", ")),
        many => format!("{} {last} {} more", many[..MOST - 1].join(", "), many.len() - MOST + 1),
    }
}

fn words(size: Resources) -> String {
    let cpus = format_cpus(size.cpu_milli);
    let unit = if cpus == "1" { "cpu" } else { "cpus" };
    format!("{cpus} {unit}, {}", format_bytes(size.memory))
}

/// `10.0s` as people say it: `10s`.
fn short(text: String) -> String {
    text.strip_suffix(".0s").map(|whole| format!("{whole}s")).unwrap_or(text)
}
