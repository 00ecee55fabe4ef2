//! From a job file on the command line to a plan. Everything that is wrong with it is printed here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_client::{Here, ReadError, read_job};
use dybox_job::{Cluster, Diagnostic, Part, Plan, Policy, Source, Submit, exit_of, render_painted};
use dybox_logic::usage::with_margin;
use dybox_model::policy::Rules;
use dybox_model::{ExitCode, Resources};
use dybox_store::learned::{self, Learned};
use dybox_store::policy::{POLICY_FILE, of_store};

use super::Context;
use crate::conf::bad_policy;
use crate::report::{Failure, Paint, Screen};

/// A job file and what a submission adds to it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct JobArgs {
    /// The job file
    #[arg(value_name = "JOB.yaml")]
    pub file: PathBuf,
    /// Value of a parameter; may be given many times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param, help_heading = "Job")]
    pub params: Vec<(String, String)>,
    /// Values of parameters, as a YAML or JSON file; `--param` comes before it
    #[arg(long = "params", value_name = "FILE", help_heading = "Job")]
    pub params_file: Option<PathBuf>,
    /// Name of the run's job, instead of the file's `name`
    #[arg(long, value_name = "NAME", help_heading = "Job")]
    pub name: Option<String>,
    /// YARN queue, instead of the file's `queue`; one machine has none
    #[arg(long, value_name = "QUEUE", help_heading = "Job")]
    pub queue: Option<String>,
    /// Ask by what earlier tasks and runs used, never above what the file asks for
    #[arg(long, help_heading = "Job")]
    pub right_size: bool,
}

/// `NAME=VALUE` in two.
pub(crate) fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// A job that was read and checked.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The text of the file.
    pub text: Vec<u8>,
    /// The file, absolute.
    pub path: PathBuf,
    /// The plan, where there is no error.
    pub plan: Option<Plan>,
    /// All problems; warnings too.
    pub problems: Vec<Diagnostic>,
    /// What earlier runs of this job used, by stage and image; read by [`Checked::learn`].
    pub learned: BTreeMap<(String, String), Learned>,
}

impl Checked {
    /// Reads what earlier runs of the job used, and lets it decide where the plan wants that. The store may be away: then
    /// nothing is known.
    pub(crate) async fn learn(&mut self, context: &Context) -> Result<(), Failure> {
        let Some(plan) = &mut self.plan else { return Ok(()) };
        match learned::of_job(context.client()?.store(), &plan.name).await {
            Ok(learned) => self.learned = learned,
            Err(error) => context.screen.warn(&format!("what earlier runs used can't be read: {error}")),
        }
        let known = &self.learned;
        if plan.stages.iter().any(|stage| stage.elastic.is_some_and(|elastic| elastic.learns)) {
            plan.right_size(|stage| {
                let learned = known.get(&(stage.name.clone(), stage.image.clone()))?;
                Some(with_margin(learned.memory))
            });
        }
        Ok(())
    }

    /// Whether the plan asks by what was used.
    pub(crate) fn learns(&self) -> bool {
        let learns = |stage: &dybox_job::Stage| stage.elastic.is_some_and(|elastic| elastic.learns);
        self.plan.as_ref().is_some_and(|plan| plan.stages.iter().any(learns))
    }

    /// What a command returns that only checks.
    pub(crate) fn exit(&self) -> ExitCode {
        exit_of(&self.problems)
    }
}

/// A command waits for HDFS so long before it says that the policy can't be read.
const PATIENCE: Duration = Duration::from_secs(20);
/// The code of what one machine leaves aside.
const ONE_MACHINE: &str = "W0901";

/// Where a job is to run, as a plan must know it.
#[derive(Debug, Clone)]
pub(crate) enum Room {
    /// This machine, with so much for a run.
    Machine(Resources),
    /// A cluster as it stands now, and the policy in its store.
    Cluster(Box<Cluster>, Option<Rules>),
    /// A cluster that did not answer: sizes, queues and labels are not checked.
    Unknown,
}

impl Room {
    /// What is there now: this machine's budget, or what the ResourceManager says. `queue`: `--queue`.
    ///
    /// # Errors
    /// The ResourceManager's; the policy in the store can't be read, or not understood.
    pub(crate) async fn now(context: &Context, queue: Option<&str>) -> Result<Self, Failure> {
        if !context.is_cluster()? {
            return Ok(Self::Machine(budget(context)));
        }
        let client = context.client()?;
        let store = client.store().with_deadline(PATIENCE);
        let (facts, policy) = tokio::join!(client.facts(), of_store(&store));
        let mut facts = facts?.unwrap_or_default();
        if let Some(queue) = queue {
            facts.default_queue = Some(queue.to_owned());
        }
        let policy = policy.map_err(dybox_client::ClientError::from)?.transpose().map_err(bad_policy)?;
        Ok(Self::Cluster(Box::new(facts), policy))
    }

    /// The world of a job whose file lies in `dir`.
    pub(crate) fn world(&self, context: &Context, dir: &Path) -> Here {
        let here = context.conf.policy.clone();
        match self {
            Self::Machine(largest) => {
                let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
                Here::new(Some(*largest), policy(here.into_iter().collect(), Some(dir)))
            }
            Self::Cluster(cluster, there) => {
                let rules = there.clone().into_iter().chain(here).collect();
                Here::of_cluster((**cluster).clone(), policy(rules, None))
            }
            Self::Unknown => Here::of_silent_cluster(policy(here.into_iter().collect(), None)),
        }
    }
}

/// Reads, checks and plans for what is there. Prints nothing.
pub(crate) async fn check(context: &Context, args: &JobArgs, room: &Room) -> Result<Checked, Failure> {
    let text = read_job(&args.file).map_err(unread)?;
    let path = std::path::absolute(&args.file)
        .map_err(|e| Failure::new(ExitCode::Invalid, "the path of the job file can't be found").source(e))?;
    let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
    let name = args.file.display().to_string();
    let far = !matches!(room, Room::Machine(_));
    let submit = Submit {
        params: args.params.iter().cloned().collect::<BTreeMap<_, _>>(),
        params_file: args.params_file.as_deref().map(params_of).transpose()?,
        name: args.name.clone(),
        queue: args.queue.clone().filter(|_| far),
    };
    let mut here = room.world(context, &dir);
    if takes_profiles(&text) {
        here = here.with_profiles(context.client()?.profiles(context.conf.profiles.value.as_deref()).await);
    }
    let outcome = dybox_job::check(&Source { name: &name, bytes: &text, dir: &dir }, &submit, &here);
    let mut problems = outcome.diagnostics;
    // What counts on a cluster only does count there.
    let linted = outcome.plan.iter().flat_map(dybox_job::lint);
    problems.extend(linted.filter(|problem| !far || problem.code != ONE_MACHINE));
    let mut plan = outcome.plan.filter(|_| problems.iter().all(Diagnostic::is_warning));
    if let (Some(plan), Some(queue)) = (&mut plan, &args.queue) {
        to_queue(plan, queue);
    }
    if let Some(plan) = plan.as_mut().filter(|_| args.right_size) {
        plan.right_size(|_| None);
    }
    Ok(Checked { text, path, plan, problems, learned: BTreeMap::new() })
}

/// The file of `--params`.
fn params_of(file: &Path) -> Result<(String, Vec<u8>), Failure> {
    let name = file.display().to_string();
    match std::fs::read(file) {
        Ok(bytes) => Ok((name, bytes)),
        Err(error) => {
            let failure = Failure::new(ExitCode::Invalid, format!("the file of --params, {name}, can't be read"));
            Err(failure.source(error))
        }
    }
}

/// Whether a job may take a profile: the registry is read for no other.
fn takes_profiles(text: &[u8]) -> bool {
    const KEY: &[u8] = b"profile";
    text.windows(KEY.len()).any(|word| word == KEY)
}

/// `--queue`: what goes to the job's queue goes to this one. Stages that name a queue of their own keep it.
pub(crate) fn to_queue(plan: &mut Plan, queue: &str) {
    let before = plan.queue.replace(queue.to_owned());
    for subdag in plan.subdags.iter_mut().filter(|subdag| subdag.queue.is_none() || subdag.queue == before) {
        subdag.queue = Some(queue.to_owned());
    }
}

/// What one run may use: the configured budget, or the machine.
pub(crate) fn budget(context: &Context) -> Resources {
    let machine = dybox_local::machine();
    Resources {
        cpu_milli: context.conf.cpus.value.unwrap_or(machine.cpu_milli),
        memory: context.conf.memory.value.unwrap_or(machine.memory),
    }
}

/// Prints problems to stderr.
pub(crate) fn print_problems(screen: &Screen, problems: &[Diagnostic]) {
    for problem in problems {
        let text = render_painted(problem, &|part, text| screen.paint_err(paint_of(part), text));
        screen.hint(&text);
    }
}

const fn paint_of(part: Part) -> Paint {
    match part {
        Part::Error | Part::Caret => Paint::Bad,
        Part::Warning => Paint::Warn,
        Part::Message | Part::Word => Paint::Bold,
        Part::Frame => Paint::Dim,
    }
}

fn unread(error: ReadError) -> Failure {
    let next = error.advice();
    let code = match &error {
        ReadError::Missing { .. } => Some("E0101"),
        ReadError::Directory { .. } | ReadError::Special { .. } => Some("E0102"),
        ReadError::Io { .. } => Some("E0103"),
        ReadError::TooLarge { .. } => Some("E0105"),
    };
    let mut failure = Failure::new(error.exit(), error.to_string()).next(next).because(error);
    failure.code = code;
    failure
}

/// What the administrator allows. Without a policy, mounts are allowed under `own`; on a cluster nothing of a machine is
/// given away then, for a path of this one means nothing there.
fn policy(rules: Vec<Rules>, own: Option<PathBuf>) -> Policy {
    let me = (nix::unistd::geteuid(), nix::unistd::getegid());
    let name = nix::unistd::User::from_uid(me.0).ok().flatten().map(|user| user.name).unwrap_or_default();
    let submitter = (name, me.0.as_raw(), me.1.as_raw());
    let none = Policy { mount_roots: own.into_iter().collect(), ..Policy::none(POLICY_FILE) };
    Policy::of(rules, submitter, none)
}
