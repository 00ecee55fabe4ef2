//! Stages that may be taken from earlier runs: what is looked at before one starts, and what is written down of one that
//! succeeded. All of it is beside the loop; the driver machine bounds the time and decides what follows.

mod image;
mod look;
mod places;
mod seen;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dybox_driver::StageStory;
use dybox_logic::cache::{Begun, fields, key_of, never, print_of};
use dybox_logic::driver;
use dybox_model::cache::{Fields, Print, Success};
use dybox_model::{Fact, Millis, StageEnd, StageId};
use dybox_store::{HdfsConf, cache};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use self::look::Look;
use self::places::Places;
pub(crate) use self::seen::Seen;
use crate::mind::Mind;
use crate::perform::Ports;

/// A sub-DAG with more stages leaves successes only of those that say `cache: true`: a file each is too many.
const FEW: usize = 100;
/// For so long an end waits until what later runs may take is written down.
const SETTLES: Duration = Duration::from_secs(2);

/// What looks, and what is looked at.
#[derive(Debug)]
pub(crate) struct Cache {
    /// This program: another process of it asks the engine.
    program: PathBuf,
    /// How `hdfs://` places are reached; nothing = as this process's environment says.
    hdfs: Option<HdfsConf>,
    seen: Seen,
    looks: BTreeMap<StageId, AbortHandle>,
    tell: mpsc::UnboundedSender<driver::Event>,
    /// Successes that are being written down.
    pub(crate) writes: JoinSet<()>,
}

impl Cache {
    /// And where the answers come.
    pub(crate) fn new(
        program: PathBuf,
        hdfs: Option<HdfsConf>,
        seen: Seen,
    ) -> (Self, mpsc::UnboundedReceiver<driver::Event>) {
        let (tell, found) = mpsc::unbounded_channel();
        (Self { program, hdfs, seen, looks: BTreeMap::new(), tell, writes: JoinSet::new() }, found)
    }

    pub(crate) fn end_look(&mut self, stage: StageId) {
        if let Some(look) = self.looks.remove(&stage) {
            look.abort();
        }
    }
}

impl Ports {
    /// Starts to look whether a stage can be taken; the answer comes as an event.
    pub(crate) fn look_up(&mut self, (stage, tasks): (StageId, u32), mind: &Mind) {
        let planned = &self.plan.stages[stage.0 as usize];
        let fields = self.fields((stage, tasks), mind);
        let kept = |path: &str, place: &str| print_of((path, place), self.cache.seen.kept());
        let look = Look {
            key: key_of(&fields),
            fields,
            job: self.plan.name.clone(),
            stage: planned.name.clone(),
            image: planned.image.clone(),
            pinned: mind.master.pinned(&planned.image).map(str::to_owned),
            pull: planned.pull,
            inputs: planned.inputs.clone(),
            kept: planned.inputs.iter().filter_map(|one| kept(&one.path, &one.place)).collect(),
            places: self.places(),
            program: self.cache.program.clone(),
        };
        let tell = self.cache.tell.clone();
        let task = tokio::spawn(async move {
            let (answer, inputs) = look.look().await;
            let _ = tell.send(driver::Event::LookedUp { stage, answer, inputs });
        });
        self.cache.looks.insert(stage, task.abort_handle());
    }

    fn places(&self) -> Places {
        let (store, dir) = (self.rest.store.clone(), self.rest.dir.clone());
        Places { store, dir, run: self.info.run.clone(), scratch: self.sub_dir.clone(), hdfs: self.cache.hdfs.clone() }
    }

    fn fields(&self, (stage, tasks): (StageId, u32), mind: &Mind) -> Fields {
        let planned = &self.plan.stages[stage.0 as usize];
        let mut params = self.plan.params.clone();
        params.extend(mind.driver.params_of(stage));
        let items = planned.late.items().or_else(|| mind.driver.items_of(stage));
        let none = || StageStory::new("", Vec::new(), std::iter::empty());
        let told =
            |id: StageId| (self.plan.stages[id.0 as usize].name.clone(), self.story(id, mind).unwrap_or_else(none));
        let needs = planned.needs.iter().map(|(id, _)| told(*id));
        let needs = needs.map(|(name, story)| (name, serde_json::to_value(&story).unwrap_or_default()));
        let afar = planned.late.reads.iter().map(|id| told(*id)).map(|(name, story)| (name, story.result()));
        // What it needs says more than what it reads.
        let read = afar.chain(needs).collect();
        fields(&Begun { plan: &self.plan, stage, tasks, params, items, read })
    }

    /// Takes facts in that are not written down yet, and begins to write down what later runs may take. Called before the
    /// facts take effect: who hears of the end may look at once.
    pub(crate) fn remember(&mut self, facts: &[Fact], mind: &Mind) {
        for fact in facts {
            self.cache.seen.apply(fact);
            if let Fact::StageEnded { stage, end, at, .. } = fact {
                if *end == StageEnd::Succeeded
                    && let Some(success) = self.success(*stage, *at, mind)
                {
                    self.write_down(*stage, success);
                }
                self.cache.seen.forget(*stage);
            }
        }
    }

    /// What a stage that succeeded came to; nothing where later runs can't or need not take it.
    fn success(&self, stage: StageId, at: Millis, mind: &Mind) -> Option<Success> {
        let planned = &self.plan.stages[stage.0 as usize];
        let few = self.plan.subdags[self.rest.own.0 as usize].stages.len() <= FEW;
        if never(planned).is_some() || self.cache.seen.is_taken(stage) || !(planned.cache || few) {
            return None;
        }
        let image = match planned.image.contains("@sha256:") {
            true => planned.image.clone(),
            false => mind.master.pinned(&planned.image)?.to_owned(),
        };
        let inputs = self.cache.seen.inputs(stage);
        if inputs.len() != planned.inputs.len() {
            // What they were before it began is not known.
            return None;
        }
        let tasks = mind.master.tasks_of(stage);
        let result = |index| mind.master.result_of(dybox_model::TaskId { stage, index }).map(str::to_owned);
        Some(Success {
            version: cache::VERSION,
            run: self.info.run.clone(),
            at,
            fields: self.fields((stage, tasks), mind),
            image,
            inputs: inputs.to_vec(),
            outputs: Vec::new(),
            kept: Vec::new(),
            results: (0..tasks).map(result).collect(),
        })
    }

    fn write_down(&mut self, stage: StageId, mut success: Success) {
        let (places, planned) = (self.places(), &self.plan.stages[stage.0 as usize]);
        let (job, name, inputs) = (self.plan.name.clone(), planned.name.clone(), planned.inputs.clone());
        let outs = self.cache.seen.outs(stage);
        self.cache.writes.spawn(async move {
            for out in outs {
                if out.place.starts_with("run:") {
                    success.kept.push(out);
                    continue;
                }
                match places.print(&out.path, &out.place).await {
                    Ok(Some(print)) if print.bytes == out.bytes => success.outputs.push(print),
                    // Somebody else was there meanwhile, or nobody here can tell.
                    _ => return,
                }
            }
            for input in inputs.iter().filter(|input| !input.place.starts_with("run:")) {
                // They may have been changed while the tasks ran: nobody could say what those have read.
                let was = success.inputs.iter().find(|was| was.place == input.place && was.path == input.path);
                let is = places.print(&input.path, &input.place).await.ok().flatten();
                if is.as_ref().map(|is| &is.sum) != was.map(|was: &Print| &was.sum) {
                    return;
                }
            }
            let key = key_of(&success.fields);
            if let Err(error) = cache::put(&places.store, (&job, &name), &key, &success).await {
                tracing::warn!("later runs can't take stage {name}, which could not be written down: {error}");
            }
        });
    }

    /// Before anybody hears of the end: who asks for the cache finds this run in it at once. A file in HDFS takes half a
    /// second, for which only those wait whose job says `cache: true`; the others' are written while the master leaves.
    pub(crate) async fn settle_cache(&mut self) {
        let own = &self.plan.subdags[self.rest.own.0 as usize].stages;
        if !self.rest.store.is_remote() || own.iter().any(|id| self.plan.stages[id.0 as usize].cache) {
            written(std::mem::take(&mut self.cache.writes)).await;
        }
    }
}

/// Waits for a moment until what later runs may take is written down.
pub(crate) async fn written(mut writes: JoinSet<()>) {
    let _ = timeout(SETTLES, async { while writes.join_next().await.is_some() {} }).await;
}
