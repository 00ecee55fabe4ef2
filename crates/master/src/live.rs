//! The grants that live, and how much of the work is done, as the facts say it: for those who ask.

use std::collections::BTreeMap;

use dybox_job::Plan;
use dybox_logic::usage::Lessons;
use dybox_model::{AttemptId, Fact, GrantId, Millis, Note, StageId, format_bytes};
use dybox_store::learned::Learned;
use dybox_wire::{LiveGrant, Waiting};

use crate::links::Links;

/// Kept beside the machines, from the same facts.
#[derive(Debug, Default)]
pub(crate) struct Live {
    grants: BTreeMap<GrantId, LiveGrant>,
    /// What each attempt that runs was last seen to use.
    uses: BTreeMap<AttemptId, Note>,
    /// What is brought or put for each attempt, by its place.
    moves: BTreeMap<(AttemptId, String), Note>,
    /// What the tasks of each stage that ended well needed.
    lessons: BTreeMap<StageId, Lessons>,
    /// Tasks of stages that have begun, and those of them that have ended for good.
    begun: u32,
    done: u32,
}

impl Live {
    pub(crate) fn of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut live = Self::default();
        facts.into_iter().for_each(|fact| live.apply(fact));
        live
    }

    pub(crate) fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::GrantGot { grant, size, at, host, container } => {
                let container = Some(container.clone()).filter(|container| !container.is_empty());
                let (grant, host, size) = (*grant, host.clone(), *size);
                self.grants.insert(grant, LiveGrant { grant, host, container, size, since: *at, linked: false });
            }
            Fact::GrantResized { grant, size, .. } => {
                self.grants.entry(*grant).and_modify(|live| live.size = *size);
            }
            Fact::GrantEnded { grant, .. } => drop(self.grants.remove(grant)),
            Fact::StageStarted { tasks, .. } => self.begun += tasks,
            Fact::AttemptEnded { attempt, exit, again } => {
                self.uses.remove(attempt);
                self.moves.retain(|(of, _), _| of != attempt);
                if exit.ok() {
                    self.lessons.entry(attempt.task.stage).or_default().add(exit.used.needed());
                }
                self.done += u32::from(!again);
            }
            Fact::StageTaken { results, .. } => self.done += u32::try_from(results.len()).unwrap_or(0),
            Fact::Reopened { .. } => (self.begun, self.done) = (0, 0),
            _ => {}
        }
    }

    /// Takes in what an attempt that runs uses.
    pub(crate) fn uses(&mut self, attempt: AttemptId, note: &Note) {
        self.uses.insert(attempt, note.clone());
    }

    /// Takes in what is brought or put for an attempt.
    pub(crate) fn moves(&mut self, note: &Note) {
        let Note::Moves { attempt, place, over, .. } = note else { return };
        match over {
            true => drop(self.moves.remove(&(*attempt, place.clone()))),
            false => drop(self.moves.insert((*attempt, place.clone()), note.clone())),
        }
    }

    /// What is brought and put now, as a reason why its task does not run, or has not ended.
    pub(crate) fn moving(&self) -> impl Iterator<Item = Waiting> {
        self.moves.values().filter_map(|note| {
            let Note::Moves { attempt, out, place, have, total, .. } = note else { return None };
            let what = if *out { "its output is put to" } else { "its input is fetched from" };
            let far = match (have, total) {
                (0, 0) => String::new(),
                (_, total) if *out => format!(", {}", format_bytes(*total)),
                (have, total) => format!(", {} of {}", format_bytes(*have), format_bytes(*total)),
            };
            let (stage, index) = (attempt.task.stage, attempt.task.index);
            Some(Waiting { stage, tasks: 1, why: format!("task {index}: {what} {place}{far}") })
        })
    }

    /// What all that run were last seen to use, and what is brought for them: a watcher that comes now did not hear it.
    pub(crate) fn all_notes(&self) -> Vec<Note> {
        self.uses.values().chain(self.moves.values()).cloned().collect()
    }

    /// What the next run of the job may ask for, by what this one's tasks needed.
    pub(crate) fn learned(&self, plan: &Plan, at: Millis) -> Vec<Learned> {
        let of = |(id, lessons): (&StageId, &Lessons)| {
            let stage = plan.stages.get(id.0 as usize).filter(|_| !lessons.is_empty())?;
            let (stage, image) = (stage.name.clone(), stage.image.clone());
            Some(Learned { stage, image, memory: lessons.p95(), tasks: u32::try_from(lessons.len()).ok()?, at })
        };
        self.lessons.iter().filter_map(of).collect()
    }

    /// All of them, each with whether its proxy has a line.
    pub(crate) fn grants(&self, links: &Links) -> Vec<LiveGrant> {
        let told = |live: &LiveGrant| LiveGrant { linked: links.is_linked(live.grant), ..live.clone() };
        self.grants.values().map(told).collect()
    }

    /// From 0 to 1, of `tasks` in all.
    #[expect(clippy::cast_precision_loss, reason = "a part of a whole, for people")]
    pub(crate) fn progress(&self, tasks: u32) -> f32 {
        let all = tasks.max(self.begun).max(1);
        (self.done as f32 / all as f32).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::TaskId;

    use super::*;

    #[test]
    fn what_is_on_its_way_is_a_reason_until_it_has_come_or_its_attempt_has_ended() {
        let attempt = AttemptId { task: TaskId { stage: StageId(1), index: 2 }, number: 1 };
        let moves =
            |out, place: &str, have, over| Note::Moves { attempt, out, place: place.into(), have, total: 8, over };
        let mut live = Live::default();
        live.moves(&moves(false, "run:a", 3, false));
        live.moves(&moves(false, "run:a", 4, false));
        live.moves(&moves(true, "hdfs://n/b", 0, false));
        let told = |live: &Live| live.moving().map(|waiting| waiting.why).collect::<Vec<_>>();
        let wanted =
            ["task 2: its output is put to hdfs://n/b, 8B", "task 2: its input is fetched from run:a, 4B of 8B"];
        assert_eq!((told(&live), live.all_notes().len()), (wanted.map(str::to_owned).to_vec(), 2));
        live.moves(&moves(false, "run:a", 8, true));
        assert_eq!(told(&live).len(), 1);
        let exit = dybox_model::Exit::not_started(dybox_model::Cause::DataFailed, "no", Millis(1));
        live.apply(&Fact::AttemptEnded { attempt, exit, again: false });
        assert!(told(&live).is_empty());
    }
}
