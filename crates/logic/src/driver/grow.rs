//! Stages that a hook adds: from its decision on they are as those of the plan.

use std::collections::{BTreeMap, BTreeSet};

use dybox_job::Stage;
use dybox_model::{Added, Decision, StageId};

use super::look::Cached;
use super::state::{Book, Doom, Node, State};

/// Whether stages that a decision adds fit what is there now. They were checked as a job file is; this is what must hold
/// whatever came in between.
///
/// # Errors
/// What does not, as a sentence for the hook's author.
pub(super) fn check(book: &Book, decision: &Decision) -> Result<(), String> {
    let mut new: BTreeMap<StageId, Stage> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for added in &decision.add {
        let (id, name) = (added.outline.id, &added.outline.name);
        let wrong = |why: &str| Err(format!("its decision adds stage \"{name}\", {why}"));
        let Some(stage) = Stage::of_added(added).filter(|stage| stage.name == *name && !stage.is_gap()) else {
            return wrong("which can't be read");
        };
        if book.names.find(name).is_some() || !names.insert(name.clone()) {
            return wrong("which the run has already");
        }
        let free = new.keys().next_back().is_none_or(|last| *last < id) && book.is_free(id.0);
        if !free || stage.subdag != book.subdag {
            return wrong("which has the number of another one");
        }
        new.insert(id, stage);
    }
    let named = |key: &str, name: &String| {
        let hint = "write it into the stage itself";
        let message = format!("its decision names stage \"{name}\" under \"{key}\", which it adds itself; {hint}");
        if names.contains(name) { Err(message) } else { Ok(()) }
    };
    decision.skip.iter().try_for_each(|name| named("skip", name))?;
    decision.parallelism.keys().try_for_each(|name| named("parallelism", name))?;
    in_order(book, &new)
}

/// Each new stage needs what is there, or new stages, and none of them itself by a way around.
fn in_order(book: &Book, new: &BTreeMap<StageId, Stage>) -> Result<(), String> {
    let mut open: BTreeSet<StageId> = new.keys().copied().collect();
    loop {
        let known = |id: StageId| new.contains_key(&id) || !book.is_free(id.0);
        let met = |id: &StageId| new[id].needs.iter().all(|(need, _)| known(*need) && !open.contains(need));
        let ready: Vec<StageId> = open.iter().copied().filter(met).collect();
        if ready.is_empty() {
            break;
        }
        ready.iter().for_each(|id| _ = open.remove(id));
    }
    match open.first() {
        Some(id) => Err(format!("its decision adds stage \"{}\", whose needs can't be met", new[id].name)),
        None => Ok(()),
    }
}

impl Book {
    /// Whether no stage has this number.
    fn is_free(&self, id: u32) -> bool {
        self.nodes.len() <= id as usize || self.names.of(id).is_empty()
    }

    /// Takes new stages in, before the hook that adds them lets go of what it holds.
    pub(super) fn grow(&mut self, hook: u32, added: &[Added]) {
        let new = added.iter().filter(|added| self.is_free(added.outline.id.0));
        let new: BTreeMap<u32, Stage> =
            new.filter_map(|added| Some((added.outline.id.0, Stage::of_added(added)?))).collect();
        let Some(&last) = new.keys().next_back() else { return };
        let count = self.nodes.len().max(last as usize + 1);
        self.nodes.resize_with(count, || Node::waiting(false, 0));
        self.fanned.resize(count, false);
        self.cached.resize(count, Cached::No);
        let mut names: Vec<String> = (0u32..).take(self.names.len()).map(|id| self.names.of(id).to_owned()).collect();
        names.resize(count, String::new());
        for (&id, stage) in &new {
            names[id as usize].clone_from(&stage.name);
            self.nodes[id as usize] = Node::waiting(stage.subdag == self.subdag, stage.tasks);
            self.fanned[id as usize] = stage.late.each.is_some();
            self.cached[id as usize] = Cached::of(stage);
        }
        self.names = super::graph::Names::build(names.iter().map(String::as_str));
        let needs =
            new.iter().flat_map(|(&to, stage)| stage.needs.iter().map(move |&(from, need)| (from.0, (to, need))));
        self.down = self.down.grown(count, needs.collect());
        self.after = self.after.grown(count, Vec::new());
        self.hold(hook, &new);
        for (&id, stage) in &new {
            self.begins.add(id, stage, |read| self.names.of(read).to_owned());
            self.enter(id, stage);
        }
    }

    /// New stages wait for the hook that added them, and for those that come after a stage upstream of them.
    fn hold(&mut self, hook: u32, new: &BTreeMap<u32, Stage>) {
        let mut held = Vec::new();
        for other in (0u32..).take(self.hooks.len()) {
            let below = if other == hook { Vec::new() } else { self.below(other) };
            let ours = self.hooks[other as usize].ours;
            let waits = |id: u32| other == hook || (ours && below.get(id as usize).is_some_and(|below| *below));
            held.extend(new.keys().filter(|id| waits(**id)).map(|id| (other, *id)));
        }
        self.held = self.held.grown(self.hooks.len(), held);
    }

    /// What is downstream of a hook's `after`.
    fn below(&self, hook: u32) -> Vec<bool> {
        let all = (0u32..).take(self.nodes.len());
        let mut seen = vec![false; self.nodes.len()];
        let mut stack: Vec<u32> = all.filter(|stage| self.after.of(*stage).contains(&hook)).collect();
        while let Some(stage) = stack.pop() {
            for &(to, _) in self.down.of(stage) {
                if !std::mem::replace(&mut seen[to as usize], true) {
                    stack.push(to);
                }
            }
        }
        seen
    }

    /// Counts what a new stage waits for.
    fn enter(&mut self, id: u32, stage: &Stage) {
        let mut doom = None;
        let mut unmet = 0;
        for &(from, need) in &stage.needs {
            match self.nodes[from.0 as usize].state {
                State::Ended(end) if need.met_by(end) => continue,
                State::Ended(_) => doom = doom.or(Some(Doom::Need(from.0, need))),
                _ => {}
            }
            unmet += 1;
        }
        let holding =
            (0u32..).zip(&self.hooks).filter(|(hook, node)| node.state.holds() && self.held.of(*hook).contains(&id));
        unmet += holding.fold(0, |sum, _| sum + 1);
        let node = &mut self.nodes[id as usize];
        (node.unmet, node.doom) = (unmet, doom);
        if node.ours {
            self.waiting += 1;
            if unmet == 0 || doom.is_some() {
                self.ready.push_back(id);
            }
        }
    }
}
