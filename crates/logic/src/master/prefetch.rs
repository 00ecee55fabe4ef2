//! Images along the DAG: while the stages before it run, the image of the next one is brought to the machines that the
//! run works on. A favour that nothing waits for: what does not come is pulled when a task needs it, as ever.

use std::collections::{BTreeMap, BTreeSet};

use dybox_job::{Plan, Stage};
use dybox_model::{Fact, GrantId, Millis, PullPolicy, StageId, SubDagId};

use super::Effect;
use super::machine::Master;
use super::pool::Stand;
use super::tasks::Phase;

/// What became of a wish that an agent bring an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wished {
    /// Nothing yet; when an earlier arrival of the same there was, by the agent's clock.
    Open(Option<Millis>),
    /// It came.
    Came,
    /// It did not.
    Failed,
}

/// A stage with an image that none of those it needs has.
#[derive(Debug)]
struct Later {
    needs: Vec<StageId>,
    /// Number of its image.
    image: u32,
    /// As planned; a hook may change it.
    tasks: u32,
}

/// What is to be brought, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Prefetch {
    later: BTreeMap<StageId, Later>,
    /// The images' names, by number.
    names: Vec<String>,
    /// The stages of `later` that need this one.
    after: BTreeMap<StageId, Vec<StageId>>,
    /// Those that have not begun, and all that they need has.
    soon: BTreeSet<StageId>,
    /// Machines, with the image that each was told to bring.
    told: BTreeSet<(String, u32)>,
    /// Machines and images that agents were asked for.
    wishes: BTreeMap<(String, u32), Wished>,
    /// A stage began, a proxy came or the cluster changed, and nobody has looked since.
    news: bool,
    /// What is written down of images that came: image, machine, and the stage that waited. One word of each is enough.
    heard: BTreeSet<(String, String, Option<StageId>)>,
}

impl Prefetch {
    pub(super) fn of(plan: &Plan, subdag: SubDagId) -> Self {
        let mut images: BTreeMap<&str, u32> = BTreeMap::new();
        let mut all = Self::default();
        for (id, stage) in (0u32..).map(StageId).zip(&plan.stages) {
            // What another sub-DAG had to do is over when this one's master is there.
            let ours = |need: &StageId| plan.stages.get(need.0 as usize).is_some_and(|stage| stage.subdag == subdag);
            let needs: Vec<StageId> = stage.needs.iter().map(|(need, _)| *need).filter(ours).collect();
            let there = needs.iter().any(|need| plan.stages[need.0 as usize].image == stage.image)
                // Its login is its tasks' own.
                || stage.registry_auth.is_some()
                || stage.late.image;
            if stage.subdag != subdag || stage.pull == PullPolicy::Never || needs.is_empty() || there {
                continue;
            }
            let number = u32::try_from(images.len()).unwrap_or(u32::MAX);
            let image = *images.entry(stage.image.as_str()).or_insert_with(|| {
                all.names.push(stage.image.clone());
                number
            });
            needs.iter().for_each(|need| all.after.entry(*need).or_default().push(id));
            all.later.insert(id, Later { needs, image, tasks: stage.tasks });
        }
        all
    }

    /// A stage is new; `began` tells of those that it needs. An image that is there already costs nothing to bring.
    pub(super) fn add(&mut self, id: StageId, stage: &Stage, began: impl Fn(StageId) -> bool) {
        let needs: Vec<StageId> = stage.needs.iter().map(|(need, _)| *need).collect();
        let late = stage.late.image || stage.registry_auth.is_some();
        if stage.pull == PullPolicy::Never || needs.is_empty() || late || self.later.contains_key(&id) {
            return;
        }
        let known = self.names.iter().position(|name| *name == stage.image);
        let image = known.unwrap_or_else(|| {
            self.names.push(stage.image.clone());
            self.names.len() - 1
        });
        if needs.iter().all(|need| began(*need)) {
            self.news |= self.soon.insert(id);
        }
        needs.iter().for_each(|need| self.after.entry(*need).or_default().push(id));
        let image = u32::try_from(image).unwrap_or(u32::MAX);
        self.later.insert(id, Later { needs, image, tasks: stage.tasks });
    }

    /// Somebody is there who can bring something.
    pub(super) fn look(&mut self) {
        self.news = true;
    }

    /// A stage has begun; `began` tells it of all.
    pub(super) fn begin(&mut self, stage: StageId, began: impl Fn(StageId) -> bool) {
        self.soon.remove(&stage);
        for &next in self.after.get(&stage).into_iter().flatten() {
            let ready = self.later.get(&next).is_some_and(|later| later.needs.iter().all(|need| began(*need)));
            if ready && !began(next) {
                self.news |= self.soon.insert(next);
            }
        }
    }

    /// What did not succeed begins anew: its image may be on other machines than those that come now.
    fn reopen(&mut self, began: impl Fn(StageId) -> bool) {
        let soon = |(id, later): (&StageId, &Later)| {
            (!began(*id) && later.needs.iter().all(|need| began(*need))).then_some(*id)
        };
        self.soon = self.later.iter().filter_map(soon).collect();
        self.told.clear();
        self.wishes.clear();
        self.news = true;
    }

    /// Stages whose images are to come.
    pub(super) fn soon(&self) -> Vec<StageId> {
        self.soon.iter().copied().collect()
    }

    /// How many tasks a stage is planned to have.
    pub(super) fn tasks_of(&self, stage: StageId) -> u32 {
        self.later.get(&stage).map_or(0, |later| later.tasks)
    }

    /// The image of a stage; empty where it needs none in advance.
    pub(super) fn image_of(&self, stage: StageId) -> &str {
        let later = self.later.get(&stage);
        later.and_then(|later| self.names.get(later.image as usize)).map_or("", String::as_str)
    }

    /// What became of the wish that an agent bring the image of a stage.
    pub(super) fn wish(&self, host: &str, stage: StageId) -> Option<Wished> {
        self.wishes.get(&(host.to_owned(), self.later.get(&stage)?.image)).copied()
    }

    /// How many machines were asked for the image of a stage, and how many wishes of any image are open.
    pub(super) fn wishes(&self, stage: StageId) -> (usize, usize) {
        let image = self.later.get(&stage).map(|later| later.image);
        let asked = self.wishes.keys().filter(|(_, of)| Some(*of) == image).count();
        (asked, self.wishes.values().filter(|wish| matches!(wish, Wished::Open(_))).count())
    }

    /// An agent is asked.
    pub(super) fn wished(&mut self, host: &str, stage: StageId, last: Option<Millis>) {
        if let Some(later) = self.later.get(&stage) {
            self.wishes.insert((host.to_owned(), later.image), Wished::Open(last));
        }
    }

    /// An agent says that an image came, or why it did not: whether that answers a wish.
    pub(super) fn came(&mut self, host: &str, (image, at, well): (&str, Millis, bool)) -> bool {
        let number = (0u32..).zip(&self.names).find(|(_, name)| *name == image).map(|(number, _)| number);
        let wish = number.and_then(|number| self.wishes.get_mut(&(host.to_owned(), number)));
        let Some(wish) = wish.filter(|wish| matches!(wish, Wished::Open(last) if *last != Some(at))) else {
            return false;
        };
        *wish = if well { Wished::Came } else { Wished::Failed };
        true
    }

    /// Whether it is written down how an image came to a machine before a task needed it.
    pub(super) fn knows(&self, image: &str, host: &str) -> bool {
        self.heard.contains(&(image.to_owned(), host.to_owned(), None))
    }

    /// It is written down how an image came.
    pub(super) fn heard(&mut self, image: &str, host: &str, stage: Option<StageId>) {
        self.heard.insert((image.to_owned(), host.to_owned(), stage));
    }
}

impl Master {
    /// Has one proxy of each machine bring what will be needed there, and agents of others.
    pub(super) fn prefetch(&mut self, out: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.prefetch.news) || self.prefetch.soon.is_empty() {
            return;
        }
        let mut hosts: BTreeMap<&str, GrantId> = BTreeMap::new();
        for (id, grant) in self.pool.iter().filter(|(_, grant)| grant.stand == Stand::Here) {
            hosts.entry(grant.host.as_str()).or_insert(id);
        }
        let Prefetch { later, soon, told, .. } = &mut self.prefetch;
        for stage in soon.iter().filter(|stage| self.tasks.verdict(**stage).is_none()) {
            let Some(later) = later.get(stage) else { continue };
            for (&host, &grant) in &hosts {
                if told.insert((host.to_owned(), later.image)) {
                    out.push(Effect::Prefetch { grant, stage: *stage });
                }
            }
        }
        self.bring_there(out);
    }

    /// Takes the start of a stage in.
    pub(super) fn begin(&mut self, stage: StageId, tasks: u32) {
        self.tasks.begin(stage, tasks);
        let began = |id: StageId| self.tasks.stage(id).is_some_and(|stage| stage.phase != Phase::Unstarted);
        self.prefetch.begin(stage, began);
    }

    /// Takes in that what did not succeed may run again.
    pub(super) fn reopen(&mut self) {
        self.tasks.reopen();
        let began = |id: StageId| self.tasks.stage(id).is_some_and(|stage| stage.phase != Phase::Unstarted);
        self.prefetch.reopen(began);
    }

    /// Writes down what an image name stands for, once.
    pub(super) fn pin(&mut self, image: String, id: String, out: &mut Vec<Effect>) {
        if self.is_open() && !self.pinned.contains_key(&image) {
            self.record(Fact::ImagePinned { image, id }, out);
        }
    }

    /// Writes down how an image came to the machine of a grant, once for each of both and each stage.
    pub(super) fn brought(&mut self, grant: GrantId, fact: Fact, out: &mut Vec<Effect>) {
        let (Some(grant), Fact::ImageBrought { image, stage, took, at, why, .. }) = (self.pool.get(grant), fact) else {
            return;
        };
        let host = grant.host.clone();
        let known = self.prefetch.heard.contains(&(image.clone(), host.clone(), stage));
        if self.is_open() && !known {
            self.record(Fact::ImageBrought { image, host, stage, took, at, why }, out);
        }
    }

    /// Whether there is work left: word of an image may come when all is over.
    pub(super) fn is_open(&self) -> bool {
        self.tasks.stages.iter().any(|stage| stage.ours && !matches!(stage.phase, Phase::Ended(_)))
    }
}
