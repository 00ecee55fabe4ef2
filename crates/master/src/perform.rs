//! Effects to the world. Nothing here waits: what takes time runs beside the loop and answers as an event.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use dybox_driver::{Hook, HookEnd, RunningHook, Story, answer_of_task};
use dybox_job::Profiles;
use dybox_logic::{driver, master};
use dybox_model::roster::BringOrder;
use dybox_model::{AttemptId, Cause, Exit, GrantId, HookId, Millis, StageId, SubDagId, TaskId};
use dybox_store::RunInfo;
use dybox_wire::MasterOrder;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::cache::Cache;
use crate::event::{Effect, Event};
use crate::fill::{self, Prepared};
use crate::links::Links;
use crate::mind::Mind;
use crate::next::Rest;
use crate::policy::Policy;
use crate::rm::{Heard, News, Order, Rm};
use crate::spec::{self, OfRun};

/// Where hooks run on a cluster, in the master's working directory.
pub(crate) const HOOK_DIR: &str = "hooks";
/// Variables of the submitter that hooks see.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LANG"];

/// The ports, and what they need to know.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) info: RunInfo,
    /// With all that hooks have added.
    pub(crate) plan: Arc<dybox_job::Plan>,
    pub(crate) rest: Rest,
    pub(crate) links: Links,
    pub(crate) rm: Rm,
    pub(crate) hook_events: mpsc::UnboundedSender<HookEnd>,
    pub(crate) hooks: BTreeMap<HookId, RunningHook>,
    pub(crate) upstream: BTreeMap<SubDagId, Mind>,
    /// What the administrator allows.
    pub(crate) policy: Policy,
    /// The administrator's profiles, for stages that hooks add.
    pub(crate) profiles: Profiles,
    /// What tasks of stages that run need, made once a stage.
    pub(crate) prepared: BTreeMap<StageId, Prepared>,
    /// What is taken from earlier runs, and left for later ones.
    pub(crate) cache: Cache,
    /// Words to other masters that are under way. This process must not end before they are said.
    pub(crate) telling: JoinSet<()>,
    /// The way to agents, for images; nothing where no state server is configured.
    pub(crate) wishes: Option<mpsc::Sender<(Vec<String>, BringOrder)>>,
    /// Where hooks' stderr goes.
    pub(crate) sub_dir: PathBuf,
}

/// What the loop itself must do after an effect.
#[derive(Debug)]
pub(crate) enum After {
    Nothing,
    /// Tell the machines.
    Tell(Box<Event>),
    /// The resource manager answered at once.
    Heard(Vec<News>),
    /// The sub-DAG has ended.
    Finish,
}

impl Ports {
    pub(crate) fn perform(&mut self, effect: Effect, mind: &Mind, now: Millis) -> After {
        match effect {
            Effect::Master(effect) => return self.perform_master(effect, mind, now),
            Effect::Driver(driver::Effect::RunHook { hook }) => self.run_hook(hook, mind),
            Effect::Driver(driver::Effect::HearHook { hook, stage }) => {
                let answer = answer_of_task(mind.master.result_of(TaskId { stage, index: 0 }));
                // It comes through the loop as a child's does.
                let _ = self.hook_events.send(HookEnd { hook, answer });
            }
            Effect::Driver(driver::Effect::StopHook { hook }) => drop(self.hooks.remove(&hook)),
            Effect::Driver(driver::Effect::Finish { .. }) => return After::Finish,
            Effect::Driver(driver::Effect::LookUp { stage, tasks }) => self.look_up((stage, tasks), mind),
            Effect::Driver(driver::Effect::EndLook { stage }) => self.cache.end_look(stage),
            Effect::Driver(_) => {}
            Effect::StopRun(why) => {
                self.telling.spawn(self.rest.clone().stop_run(why, now));
            }
        }
        After::Nothing
    }

    fn perform_master(&mut self, effect: master::Effect, mind: &Mind, now: Millis) -> After {
        match effect {
            master::Effect::Ask { wish, count } => return self.order(Order::Ask { wish, count }),
            master::Effect::Blacklist { host, why } => {
                tracing::warn!("nothing more is asked for on {host}: {why}");
                return self.order(Order::Blacklist { host });
            }
            master::Effect::Warn { text } => return After::Heard(vec![News::Trouble { text, cause: None }]),
            master::Effect::Forgive { host } => return self.order(Order::Forgive { host }),
            master::Effect::Launch { grant } => return self.order(Order::Launch { grant }),
            master::Effect::Sweep { grant } => return self.order(Order::Sweep { grant }),
            master::Effect::Start { grant, attempt } => return self.give(grant, attempt, mind, now),
            master::Effect::Halt { grant, attempt, now } => {
                self.links.send(grant, MasterOrder::Halt { attempt, now });
            }
            master::Effect::Limit { grant, attempt, memory } => {
                self.links.send(grant, MasterOrder::Limit { attempt, memory });
            }
            master::Effect::Prefetch { grant, stage } => {
                let image = self.plan.stages[stage.0 as usize].image.clone();
                self.links.send(grant, MasterOrder::Prefetch { image });
            }
            master::Effect::Bring { stage, hosts } => self.wish(stage, hosts),
            master::Effect::Resize { grant, size } => return self.order(Order::Resize { grant, size }),
            master::Effect::Ack { grant, attempt } => self.links.send(grant, MasterOrder::Ack { attempt }),
            master::Effect::Leave { grant } => self.links.send(grant, MasterOrder::Leave),
            // These stay inside the mind.
            master::Effect::Record(_) | master::Effect::StageEnded { .. } => {}
        }
        After::Nothing
    }

    /// Agents bring it or not: nobody hears of that here.
    fn wish(&self, stage: StageId, hosts: Vec<String>) {
        let image = self.plan.stages[stage.0 as usize].image.clone();
        let order = BringOrder { image, run: self.info.run.to_string() };
        if let Some(wishes) = &self.wishes {
            // Too many at a time are less than no favour: they would come when nobody needs them.
            let _ = wishes.try_send((hosts, order));
        }
    }

    fn order(&mut self, order: Order) -> After {
        After::Heard(self.rm.order(order))
    }

    fn give(&mut self, grant: GrantId, attempt: AttemptId, mind: &Mind, now: Millis) -> After {
        let id = attempt.task.stage;
        if !self.prepared.contains_key(&id) {
            let state = self.plan.is_last(self.rest.own).then(|| fill::state_of(&self.upstream));
            let run = fill::run_words(&self.plan, &self.info.run, state);
            let mut prepared = Prepared::new((&self.plan, run), id, mind, |id| self.story(id, mind));
            if self.plan.stages[id.0 as usize].hook.is_some() {
                prepared.needs = spec::bounded(self.run_so_far(mind).text(), "the results of the run so far");
            }
            self.prepared.insert(id, prepared);
        }
        let prepared = self.prepared.get_mut(&id).expect("it was just made");
        let plan = self.plan.clone();
        let (stage, tasks) = (&plan.stages[id.0 as usize], mind.master.tasks_of(id));
        let refuse = |cause, why: String| {
            let exit = Exit::not_started(cause, why, now);
            After::Tell(Box::new(master::Event::Exited { grant, attempt, exit }.into()))
        };
        let (stage, item) = match prepared.fill(stage, (attempt.task.index, tasks)) {
            Ok(filled) => filled,
            Err(why) => return refuse(Cause::BadTemplate, why),
        };
        let needs = match &prepared.needs {
            Ok(needs) => needs,
            Err(why) => return refuse(Cause::BadResult, why.clone()),
        };
        let (params, item) = (prepared.params.as_slice(), item.as_deref());
        let of = OfRun { run: &self.info.run, job: &plan.name, stage: &stage, params, item };
        let pinned = mind.master.pinned(&stage.image);
        let room = || mind.master.size_of(grant).unwrap_or_default().memory;
        let memory = mind.master.step_of(id, grant).unwrap_or_else(|| stage.limit_in(room()));
        let mut spec = spec::spec(of, (attempt, memory), tasks, needs, pinned);
        if let Some(why) = self.policy.refuses_task(&spec) {
            return refuse(Cause::Policy, why);
        }
        self.policy.narrow(&mut spec);
        self.links.send(grant, MasterOrder::Start(Box::new(spec)));
        After::Heard(self.rm.heard(grant, Heard::Given))
    }

    /// A stage that ended needs no texts any more.
    pub(crate) fn forget(&mut self, stage: StageId) {
        self.prepared.remove(&stage);
    }

    pub(crate) fn story(&self, stage: StageId, mind: &Mind) -> Option<dybox_driver::StageStory> {
        let of = self.plan.stages[stage.0 as usize].subdag;
        let fanned = self.plan.stages[stage.0 as usize].late.each.is_some();
        Some(self.upstream.get(&of).unwrap_or(mind).story(stage)?.fanned(fanned))
    }

    /// What hooks read. Hooks that are stages are none of the user's.
    fn run_so_far(&self, mind: &Mind) -> Story {
        let mut story = Story {
            run: self.info.run.clone(),
            job: self.plan.name.clone(),
            params: self.plan.params.iter().map(|(name, text)| (name.clone(), self.plan.param(name, text))).collect(),
            stages: BTreeMap::new(),
            results: BTreeMap::new(),
        };
        for (id, stage) in self.plan.numbered().filter(|(_, stage)| stage.hook.is_none()) {
            if let Some(told) = self.story(id, mind) {
                story.tell(&stage.name, told);
            }
        }
        story
    }

    fn run_hook(&mut self, id: HookId, mind: &Mind) {
        let planned = &self.plan.hooks[id.0 as usize];
        let hook = Hook {
            hook: id,
            run: planned.run.clone(),
            cwd: self.hook_dir(),
            env: self.hook_env(),
            stdin: self.run_so_far(mind).text(),
            timeout: planned.timeout,
            memory: planned.memory,
            log: self.sub_dir.join(format!("hook-{}.log", id.0)),
            pid_file: self.sub_dir.join(format!("hook-{}.pid", id.0)),
        };
        self.hooks.insert(id, dybox_driver::start(hook, self.hook_events.clone()));
    }

    /// On a cluster this machine has no more of the job file's directory than what came along.
    fn hook_dir(&self) -> PathBuf {
        let came = self.sub_dir.join(HOOK_DIR);
        if came.is_dir() { came } else { self.job_dir() }
    }

    /// The job file's directory, as it was where the run was submitted.
    pub(crate) fn job_dir(&self) -> PathBuf {
        let file = self.info.job_file.as_ref().map(|file| self.info.cwd.join(file));
        file.and_then(|file| file.parent().map(PathBuf::from)).unwrap_or_else(|| self.info.cwd.clone())
    }

    fn hook_env(&self) -> BTreeMap<String, OsString> {
        let passed = PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)));
        let ours = [("DYBOX_RUN", self.info.run.to_string()), ("DYBOX_JOB", self.plan.name.clone())];
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), OsString::from(value)));
        let params = spec::params(self.plan.params.clone()).map(|(name, value)| (name, OsString::from(value)));
        passed.chain(ours).chain(params).collect()
    }
}
