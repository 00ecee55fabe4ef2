//! Why stages wait, and what must always hold.

use std::collections::BTreeMap;

use dybox_model::{StageEnd, StageId};

use super::Driver;
use super::state::{HookState, State};
use crate::Waiting;

impl Driver {
    /// Why stages of this sub-DAG have not started, in their order. Walks over everything.
    #[must_use]
    pub fn why(&self) -> Vec<Waiting> {
        let book = &self.book;
        let mut causes: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for stage in (0u32..).take(book.nodes.len()) {
            if !matches!(book.nodes[stage as usize].state, State::Ended(_)) {
                for &(to, _) in book.down.of(stage) {
                    causes.entry(to).or_default().push(format!("stage \"{}\"", book.names.of(stage)));
                }
            }
        }
        for (hook, node) in (0u32..).zip(&book.hooks).filter(|(_, node)| node.state.holds()) {
            let stage = node.stage.map(|stage| format!(" (stage \"{}\")", book.names.of(stage))).unwrap_or_default();
            for &to in book.held.of(hook) {
                causes.entry(to).or_default().push(format!("hook \"{}\"{stage}", node.label));
            }
        }
        let looked_up = self.looks.stages().map(|stage| Waiting {
            stage,
            tasks: 0,
            why: "looks whether an earlier success of it can be taken".to_owned(),
        });
        let waits = |stage: u32| {
            let node = &book.nodes[stage as usize];
            node.ours && node.state == State::Waiting
        };
        let of = |(stage, list): (u32, Vec<String>)| Waiting {
            stage: StageId(stage),
            tasks: book.nodes[stage as usize].tasks,
            why: format!("waits for {}", some_of(&list)),
        };
        causes.into_iter().filter(|&(stage, _)| waits(stage)).map(of).chain(looked_up).collect()
    }

    /// What must always hold. Walks over everything.
    ///
    /// # Errors
    /// A sentence that names the broken rule.
    pub fn check(&self) -> Result<(), String> {
        let book = &self.book;
        let count = |state: fn(State) -> bool| {
            book.nodes.iter().filter(|node| node.ours && state(node.state)).fold(0u32, |sum, _| sum + 1)
        };
        same("stages that wait", book.waiting, count(|state| state == State::Waiting))?;
        same("stages that run", book.running, count(|state| state == State::Running))?;
        same("stages that failed", book.failed, count(|state| state == State::Ended(StageEnd::Failed)))?;
        same("stages that were lost", book.lost, count(|state| state == State::Ended(StageEnd::Lost)))?;
        let runs = book.hooks.iter().filter(|node| node.state == HookState::Running).fold(0u32, |sum, _| sum + 1);
        same("hooks that run", self.hooks_running, runs)?;
        self.check_needs()?;
        if book.ended.is_some() && book.waiting + book.running + runs > 0 {
            return Err("the sub-DAG has ended and something of it has not".to_owned());
        }
        Ok(())
    }

    fn check_needs(&self) -> Result<(), String> {
        let book = &self.book;
        let mut unmet = vec![0u32; book.nodes.len()];
        for stage in (0u32..).take(book.nodes.len()) {
            for &(to, need) in book.down.of(stage) {
                let met = matches!(book.nodes[stage as usize].state, State::Ended(end) if need.met_by(end));
                unmet[to as usize] += u32::from(!met);
            }
        }
        for (hook, _) in (0u32..).zip(&book.hooks).filter(|(_, node)| node.state.holds()) {
            for &to in book.held.of(hook) {
                unmet[to as usize] += 1;
            }
        }
        for ((stage, node), unmet) in (0u32..).zip(&book.nodes).zip(unmet) {
            let name = book.names.of(stage);
            same(&format!("unmet needs of \"{name}\""), node.unmet, unmet)?;
            let moves = (unmet == 0 || node.doom.is_some()) && !self.looks.has(StageId(stage));
            if self.opened && node.ours && node.state == State::Waiting && moves {
                return Err(format!("stage \"{name}\" waits for nothing"));
            }
        }
        Ok(())
    }
}

fn same(what: &str, kept: u32, counted: u32) -> Result<(), String> {
    if kept == counted { Ok(()) } else { Err(format!("{what}: {kept} in the counter, {counted} in the states")) }
}

/// The first three, and how many more.
fn some_of(list: &[String]) -> String {
    let shown = list[..list.len().min(3)].join(", ");
    if list.len() > 3 { format!("{shown} and {} more", list.len() - 3) } else { shown }
}
