//! Asks that can never be granted: the stages whose tasks wait for them have failed, and the rest of the run goes on.

use std::collections::BTreeSet;

use dybox_job::Sizes;
use dybox_model::{Cause, StageEnd, StageId, Wish};

use super::Master;
use super::tasks::Verdict;

impl Master {
    pub(super) fn refused(&mut self, wish: &Wish, why: &str) {
        let mut hit: BTreeSet<(u32, u32)> = BTreeSet::new();
        for (id, shapes) in self.asks.alike(wish) {
            // It is asked for anew where something waits for it later.
            self.asks.dropped(id);
            for shape in shapes {
                hit.extend(self.tasks.shapes.stages(shape).iter().map(|stage| (*stage, shape)));
            }
        }
        for (id, shape) in hit {
            let Some(stage) = self.tasks.stage(StageId(id)) else { continue };
            let task = match stage.first_in(shape).flatten() {
                Some(index) => format!("task {index}"),
                None if stage.tasks == 1 => "its task".to_owned(),
                None => "each of its tasks".to_owned(),
            };
            let next = next_step(stage.late_sizes.as_ref());
            let cause = Cause::TooLarge;
            let why = format!("{task} can never run here: {why}; {next} ({})", cause.info().code);
            self.tasks.condemn(StageId(id), Verdict { end: StageEnd::Failed, why, cause: Some(cause) });
        }
    }
}

/// What to change, by the words of the job file.
fn next_step(sizes: Option<&Sizes>) -> String {
    let Some(sizes) = sizes else { return "ask for less".to_owned() };
    let keys = [("cpus", &sizes.cpus), ("memory", &sizes.memory)];
    let keys: Vec<String> =
        keys.into_iter().filter_map(|(key, text)| Some(format!("{key}: {}", text.as_ref()?))).collect();
    format!("ask for less in {}", keys.join(" and "))
}
