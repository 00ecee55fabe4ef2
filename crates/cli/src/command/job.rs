//! From a job file on the command line to a plan. Everything that is wrong with it is printed here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dybox_client::{Here, ReadError, read_job};
use dybox_job::{Cluster, Diagnostic, Part, Plan, Policy, Source, Submit, exit_of, render_painted};
use dybox_logic::usage::with_margin;
use dybox_model::{ExitCode, Resources, format_bytes, format_cpus};
use dybox_store::learned::{self, Learned};

use super::Context;
use crate::conf::{POLICY_FILE, PolicyFile};
use crate::report::{Failure, Paint, Screen, codes};

/// A job file and what a submission adds to it.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct JobArgs {
    /// The job file
    #[arg(value_name = "JOB.yaml")]
    pub file: PathBuf,
    /// Value of a parameter; may be given many times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param, help_heading = "Job")]
    pub params: Vec<(String, String)>,
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

/// The code of what one machine leaves aside.
const ONE_MACHINE: &str = "W0901";

/// Where a job is to run, as a plan must know it.
#[derive(Debug, Clone)]
pub(crate) enum Room {
    /// This machine, with so much for a run.
    Machine(Resources),
    /// A cluster as it stands now.
    Cluster(Box<Cluster>),
    /// A cluster that did not answer: sizes, queues and labels are not checked.
    Unknown,
}

impl Room {
    /// What is there now: this machine's budget, or what the ResourceManager says. `queue`: `--queue`.
    ///
    /// # Errors
    /// The ResourceManager's.
    pub(crate) async fn now(context: &Context, queue: Option<&str>) -> Result<Self, Failure> {
        if !context.is_cluster()? {
            return Ok(Self::Machine(budget(context)));
        }
        let mut facts = context.client()?.facts().await?.unwrap_or_default();
        if let Some(queue) = queue {
            facts.default_queue = Some(queue.to_owned());
        }
        Ok(Self::Cluster(Box::new(facts)))
    }

    /// The world of a job whose file lies in `dir`.
    pub(crate) fn world(&self, context: &Context, dir: &Path) -> Here {
        match self {
            Self::Machine(largest) => Here::new(Some(*largest), policy(&context.conf.policy, dir)),
            Self::Cluster(cluster) => Here::of_cluster((**cluster).clone(), far_policy(context, dir)),
            Self::Unknown => Here::of_silent_cluster(far_policy(context, dir)),
        }
    }
}

/// The policy of a cluster: without the administrator's word nothing of a node is mounted, for a path of this machine
/// means nothing there.
fn far_policy(context: &Context, dir: &Path) -> Policy {
    let mut policy = policy(&context.conf.policy, dir);
    if context.conf.policy.path.is_none() {
        policy.mount_roots.clear();
    }
    policy
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
        name: args.name.clone(),
        queue: args.queue.clone().filter(|_| far),
    };
    let mut here = room.world(context, &dir);
    if takes_profiles(&text) {
        here = here.with_profiles(context.client()?.profiles(context.conf.profiles.value.as_deref()).await);
    }
    let outcome = dybox_job::check(&Source { name: &name, bytes: &text, dir: &dir }, &submit, &here);
    let mut problems = outcome.diagnostics;
    problems.extend(outcome.plan.iter().flat_map(|plan| refused(&context.conf.policy, plan)));
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

/// The administrator's rules about mounts and registries; without a policy, mounts under the job's own directory.
pub(crate) fn policy(file: &PolicyFile, dir: &Path) -> Policy {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let roots = match (&file.path, &file.mount_roots) {
        (Some(_), roots) => roots.as_deref().unwrap_or_default().iter().map(|root| real(root)).collect(),
        (None, _) => vec![real(dir)],
    };
    Policy {
        file: PathBuf::from(POLICY_FILE),
        exists: file.path.is_some(),
        mount_roots: roots,
        registries: file.trusted_registries.clone(),
    }
}

/// The administrator's rules that `job` does not know: sizes, users, digests.
pub(crate) fn refused(file: &PolicyFile, plan: &Plan) -> Vec<Diagnostic> {
    let me = nix::unistd::geteuid().as_raw();
    plan.stages.iter().flat_map(|stage| broken_rules(file, stage, me)).collect()
}

fn broken_rules(file: &PolicyFile, stage: &dybox_job::Stage, me: u32) -> Vec<Diagnostic> {
    let mut broken = Vec::new();
    let mut say = |rule: &str, what: String| broken.push(refusal(file, &stage.name, rule, &what));
    if let Some(most) = file.max_cpus.filter(|&most| stage.ask.cpu_milli > most) {
        let (asks, most) = (format_cpus(stage.ask.cpu_milli), format_cpus(most));
        say("max_cpus", format!("asks for {asks} cpus, and at most {most} are allowed"));
    }
    if let Some(most) = file.max_memory.filter(|&most| stage.most_memory() > most) {
        let (asks, most) = (format_bytes(stage.most_memory()), format_bytes(most));
        say("max_memory", format!("asks for {asks} of memory, and at most {most} is allowed"));
    }
    if file.require_digest && !stage.image.contains('@') {
        say("require_digest", format!("names its image {:?} without a digest", stage.image));
    }
    if let (Some(allowed), Some(user)) = (&file.may_run_as, &stage.user) {
        let name = user.split(':').next().unwrap_or(user);
        if name != me.to_string() && !allowed.iter().any(|known| known == name) {
            say("may_run_as", format!("wants to run as {user:?}, which is not allowed"));
        }
    }
    broken
}

fn refusal(file: &PolicyFile, stage: &str, rule: &str, what: &str) -> Diagnostic {
    let policy = file.path.as_deref().unwrap_or(Path::new(POLICY_FILE)).display();
    Diagnostic {
        code: codes::REFUSED.code,
        severity: dybox_job::Severity::Error,
        message: format!("stage {stage:?} {what}"),
        place: None,
        label: String::new(),
        notes: vec![format!("`{rule}` in {policy} decides")],
        help: codes::REFUSED.next.to_owned(),
    }
}
