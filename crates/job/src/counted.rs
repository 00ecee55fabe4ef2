//! How many tasks there are, as far as that is known before a run.

use std::collections::BTreeMap;

use crate::late::Each;
use crate::plan::{Plan, Stage};
use crate::report::listed;

/// How many tasks a plan, or a part of it, has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// No less than these.
    pub least: u64,
    /// The stages whose tasks are known only later, and when: `when split ends`.
    pub later: BTreeMap<String, String>,
}

impl Counted {
    /// `1 task`, `at least 5 tasks`.
    #[must_use]
    pub fn words(&self) -> String {
        let least = if self.later.is_empty() { "" } else { "at least " };
        let s = if self.least == 1 { "" } else { "s" };
        format!("{least}{} task{s}", self.least)
    }
}

impl Plan {
    /// How many tasks it has.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.counted_of(self.stages.iter())
    }

    pub(crate) fn counted_of<'a>(&'a self, stages: impl Iterator<Item = &'a Stage>) -> Counted {
        let mut counted = Counted::default();
        for stage in stages {
            match self.known_when(stage) {
                Some(when) => drop(counted.later.insert(stage.name.clone(), when)),
                None => counted.least += u64::from(stage.tasks),
            }
        }
        counted
    }

    /// When the tasks of a stage are known, where that is not now.
    #[must_use]
    pub fn known_when(&self, stage: &Stage) -> Option<String> {
        let Some(Each::Of(list)) = &stage.late.each else { return None };
        let names = stage.late.reads.iter().map(|id| self.stages[id.0 as usize].name.as_str());
        let read = |name: &&str| list.contains(*name) || list.contains(&name.replace('-', "_"));
        let read: Vec<&str> = names.filter(read).collect();
        Some(match read.len() {
            0 => "when it begins".to_owned(),
            1 => format!("when {} ends", read[0]),
            _ => format!("when {} have ended", listed(read.into_iter())),
        })
    }
}
