//! Stages that are looked up before they start: for a bounded time, and what comes of it is written down before they start.

use std::collections::BTreeMap;

use dybox_job::Stage;
use dybox_model::cache::{Found, Missed, Print};
use dybox_model::{Fact, Millis, StageId, format_duration};

use super::{Driver, Effect};
use crate::cache::never;

/// A look-up that takes longer finds nothing.
const LONGEST: Millis = Millis::from_secs(30);

/// Whether a stage is looked up before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cached {
    No,
    Yes,
    /// That was asked for, and it always runs.
    Never(&'static str),
}

impl Cached {
    pub(super) fn of(stage: &Stage) -> Self {
        match never(stage) {
            // What it came to is known already, whoever said so.
            _ if !stage.cache || stage.taken.is_some() || stage.hook.is_some() => Self::No,
            Some(why) => Self::Never(why),
            None => Self::Yes,
        }
    }
}

/// Those that are under way: with their tasks, and when they are given up.
#[derive(Debug, Default)]
pub(super) struct Looks(BTreeMap<StageId, (u32, Millis)>);

impl Looks {
    pub(super) fn wake(&self) -> Option<Millis> {
        self.0.values().map(|(_, until)| *until).min()
    }

    pub(super) fn has(&self, stage: StageId) -> bool {
        self.0.contains_key(&stage)
    }

    pub(super) fn stages(&self) -> impl Iterator<Item = StageId> + '_ {
        self.0.keys().copied()
    }
}

impl Driver {
    /// It is about to start; once.
    pub(super) fn look_up(&mut self, stage: StageId, tasks: u32, now: Millis, out: &mut Vec<Effect>) {
        if self.looks.0.insert(stage, (tasks, now.after(LONGEST))).is_none() {
            out.push(Effect::LookUp { stage, tasks });
        }
    }

    pub(super) fn looked_up(
        &mut self,
        stage: StageId,
        (answer, inputs): (Result<Found, Missed>, Vec<Print>),
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some((tasks, _)) = self.looks.0.remove(&stage) else { return };
        match answer {
            Ok(found) if found.results.len() == tasks as usize => {
                self.record(Fact::StageStarted { stage, tasks, at: now }, out);
                out.push(Effect::TakeStage { stage, tasks, found });
            }
            Ok(found) => {
                let missed = Missed::because(format!("run {} has another number of tasks of it", found.from));
                self.miss(stage, (tasks, missed, inputs), now, out);
            }
            Err(missed) => self.miss(stage, (tasks, missed, inputs), now, out),
        }
    }

    /// It runs, and why is written down.
    pub(super) fn miss(
        &mut self,
        stage: StageId,
        (tasks, missed, inputs): (u32, Missed, Vec<Print>),
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        self.record(Fact::CacheMissed { stage, missed, inputs, at: now }, out);
        self.start(stage, tasks, now, out);
    }

    /// What takes too long finds nothing.
    pub(super) fn give_up_looks(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let late: Vec<StageId> =
            self.looks.0.iter().filter(|(_, (_, until))| *until <= now).map(|(stage, _)| *stage).collect();
        for stage in late {
            out.push(Effect::EndLook { stage });
            let missed = Missed::because(format!("the look-up took longer than {}", format_duration(LONGEST)));
            self.looked_up(stage, (Err(missed), Vec::new()), now, out);
        }
    }

    /// Nothing starts any more.
    pub(super) fn end_looks(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.looks.stages().map(|stage| Effect::EndLook { stage }));
        self.looks.0.clear();
    }
}
