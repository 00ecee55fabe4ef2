//! The DAG of a plan as a picture: text for a terminal, DOT, Mermaid, SVG. Of a run, with the states of its stages.

mod dot;
mod layout;
mod mermaid;
mod rails;
mod svg;
mod text;

use dybox_model::{HookId, Need, StageId};

use crate::Plan;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

/// What a picture shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The job's name.
    pub name: String,
    /// Stages in the order of the file, then hooks; those that run as stages are among these.
    pub dots: Vec<Dot>,
    /// How many sub-DAGs there are.
    pub subdags: usize,
}

/// A stage or a hook in a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dot {
    /// Its name.
    pub name: String,
    /// Its sub-DAG.
    pub subdag: u32,
    /// How many tasks a stage has; nothing for a hook.
    pub tasks: Option<u32>,
    /// When the tasks of a stage are known, where that is not yet: `when split ends`.
    pub known: Option<String>,
    /// Places in [`Picture::dots`] of what it waits for, each with the end that it asks for.
    pub needs: Vec<(usize, Need)>,
    /// Of a run: the word for where it stands.
    pub state: Option<&'static str>,
}

impl Picture {
    /// Of a plan, nothing of it begun.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let stages = plan.stages.iter().map(|stage| Dot {
            name: stage.name.clone(),
            subdag: stage.subdag.0,
            tasks: stage.hook.is_none().then_some(stage.tasks),
            known: plan.known_when(stage),
            needs: stage.needs.iter().map(|(id, need)| (id.0 as usize, *need)).collect(),
            state: None,
        });
        let mut dots: Vec<Dot> = stages.collect();
        for (number, hook) in plan.hooks.iter().enumerate() {
            let stage = plan.stage_of_hook(HookId(u32::try_from(number).unwrap_or(u32::MAX)));
            let own = stage.map_or(dots.len(), |stage| stage.0 as usize);
            let held = |id: &StageId| hook.holds.contains(id);
            // What it holds at once; the rest waits for these.
            for id in hook.holds.iter().filter(|id| !plan.stages[id.0 as usize].needs.iter().any(|(id, _)| held(id))) {
                dots[id.0 as usize].needs.push((own, Need::Succeeded));
            }
            if stage.is_some() {
                continue;
            }
            dots.push(Dot {
                name: format!("hook {}", number + 1),
                subdag: hook.subdag.0,
                tasks: None,
                known: None,
                needs: hook.after.iter().map(|id| (id.0 as usize, Need::Succeeded)).collect(),
                state: None,
            });
        }
        Self { name: plan.name.clone(), dots, subdags: plan.subdags.len() }
    }

    /// Says where a stage stands, and how many tasks it turned out to have.
    pub fn stands(&mut self, stage: StageId, state: &'static str, tasks: u32) {
        if let Some(dot) = self.dots.get_mut(stage.0 as usize) {
            dot.state = Some(state);
            dot.tasks = dot.tasks.map(|_| tasks);
            if state != "waiting" {
                dot.known = None;
            }
        }
    }

    /// All dots, each after what it needs, chains kept together: what follows the latest comes first.
    pub(crate) fn order(&self) -> Vec<usize> {
        use std::collections::BTreeSet;
        let down = self.down();
        let mut open: Vec<usize> = self.dots.iter().map(|dot| dot.needs.len()).collect();
        let mut latest = vec![0; self.dots.len()];
        let mut ready: BTreeSet<(usize, usize)> =
            (0..self.dots.len()).filter(|&at| open[at] == 0).map(|at| (usize::MAX, at)).collect();
        let mut order = Vec::with_capacity(self.dots.len());
        while let Some((_, at)) = ready.pop_first() {
            order.push(at);
            for &next in &down[at] {
                open[next] = open[next].saturating_sub(1);
                latest[next] = order.len();
                if open[next] == 0 {
                    ready.insert((usize::MAX - latest[next], next));
                }
            }
        }
        order
    }

    /// What needs each dot.
    pub(crate) fn down(&self) -> Vec<Vec<usize>> {
        let mut down = vec![Vec::new(); self.dots.len()];
        for (at, dot) in self.dots.iter().enumerate() {
            for &(need, _) in &dot.needs {
                if let Some(down) = down.get_mut(need) {
                    down.push(at);
                }
            }
        }
        down
    }

    /// How many dots must come before each: 0 for one that needs nothing.
    pub(crate) fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.dots.len()];
        for at in self.order() {
            depths[at] = self.dots[at].needs.iter().map(|&(need, _)| depths[need] + 1).max().unwrap_or(0);
        }
        depths
    }
}

impl Dot {
    /// `4 tasks, running`: what stands below the name; nothing for a stage of one task that is not of a run.
    pub(crate) fn second_line(&self) -> String {
        let tasks = match self.tasks {
            Some(_) if self.known.is_some() => self.known.as_ref().map(|when| format!("tasks known {when}")),
            Some(1) | None => None,
            Some(tasks) => Some(format!("{tasks} tasks")),
        };
        [tasks, self.state.map(str::to_owned)].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Word at an edge that asks for another end than success.
pub(crate) const fn edge_word(need: Need) -> &'static str {
    match need {
        Need::Succeeded => "",
        Need::Failed => "failed",
        Need::Finished => "finished",
    }
}

/// Colours of a state: fill and line.
pub(crate) fn colours(state: Option<&str>) -> (&'static str, &'static str) {
    match state {
        Some("succeeded") => ("#d4edda", "#2e7d32"),
        Some("failed" | "lost") => ("#f8d7da", "#b71c1c"),
        Some("running" | "starting") => ("#d1ecf1", "#00695c"),
        Some("stopped") => ("#fff3cd", "#8a6d00"),
        Some("skipped") => ("#eeeeee", "#757575"),
        Some(_) => ("#fafafa", "#9e9e9e"),
        None => ("#eef2fb", "#3949ab"),
    }
}

/// A text without anything that can't be seen.
pub(crate) fn seen(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(|c| if crate::diagnostic::is_hidden(c) { '\u{fffd}' } else { c })
}

#[cfg(test)]
mod tests;
