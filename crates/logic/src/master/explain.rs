//! Why tasks wait, and what must always hold.

use std::collections::BTreeMap;

use dybox_model::{Resources, StageId, TaskId, format_bytes, format_cpus, format_duration};

use super::Master;
use super::tasks::{Phase, Stage, State};
use crate::Waiting;

impl Master {
    /// Why tasks of started stages wait, in the order of the stages. Walks over what waits, not over all tasks.
    #[must_use]
    pub fn why(&self) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for shape in self.tasks.shapes.active() {
            for &stage in self.tasks.shapes.stages(shape) {
                let tasks = self.tasks.stages[stage as usize].waiting;
                waiting.push(Waiting { stage: StageId(stage), tasks, why: self.why_no_grant(shape, tasks) });
            }
        }
        let mut pauses: BTreeMap<_, u32> = BTreeMap::new();
        for rest in self.tasks.rests() {
            *pauses.entry((rest.before.task.stage, rest.before.number + 1, rest.pause)).or_default() += 1;
        }
        for ((stage, number, pause), tasks) in pauses {
            let why = format!("pause of {} before try {number}", short(format_duration(pause)));
            waiting.push(Waiting { stage, tasks, why });
        }
        waiting.sort_by_key(|waiting| waiting.stage);
        waiting
    }

    fn why_no_grant(&self, shape: u32, tasks: u32) -> String {
        if self.barren.until.is_some() {
            return format!("{}; a pause before the next ask", self.barren.sentence());
        }
        if !self.told.contains_key(&shape) {
            return "its proxy is starting".to_owned();
        }
        let many = if tasks == 1 { "1 task wants".to_owned() } else { format!("{tasks} tasks want") };
        let (size, held) = (self.tasks.shapes.get(shape).size, self.pool.held());
        match self.pool.len() {
            0 => format!("no room: {many} {}", words(size)),
            _ => format!("no room: {many} {}; its sub-DAG holds {}", words(size), words(held)),
        }
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
            let shape = &mut expected[stage.shape as usize];
            shape.0 += stage.waiting;
            shape.1 += stage.resting + u32::from(stage.phase == Phase::Unstarted);
        }
        if !self.tasks.shapes.counts().eq(expected.iter().copied()) {
            return Err("what waits and what may come is counted wrongly by shape".to_owned());
        }
        self.pool.check()?;
        let mut loads = Vec::new();
        for (id, grant) in self.pool.iter() {
            let Some(attempt) = grant.load else { continue };
            let task = self.tasks.task(attempt.task).ok_or_else(|| format!("grant {id} works on no task"))?;
            if !matches!(task.state, State::Live | State::Runs) || task.last != attempt.number {
                return Err(format!("grant {id} works on {attempt}, which is not live"));
            }
            let shape = self.tasks.stages[attempt.task.stage.0 as usize].shape;
            if !self.tasks.shapes.get(shape).size.fits(grant.size) {
                return Err(format!("{attempt} does not fit into grant {id}"));
            }
            loads.push(attempt.task);
        }
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

fn words(size: Resources) -> String {
    let cpus = format_cpus(size.cpu_milli);
    let unit = if cpus == "1" { "cpu" } else { "cpus" };
    format!("{cpus} {unit}, {}", format_bytes(size.memory))
}

/// `10.0s` as people say it: `10s`.
fn short(text: String) -> String {
    text.strip_suffix(".0s").map(|whole| format!("{whole}s")).unwrap_or(text)
}
