//! A stage and a task of it, as what a proxy needs to know: a pure function.

use std::collections::BTreeMap;

use dybox_driver::StageStory;
use dybox_job::{Plan, Stage};
use dybox_model::{AttemptId, Resources, RunId, StageId, TaskSpec, Transfer};

/// Where a task writes its result.
pub(crate) const RESULT: &str = "/.dybox/out/result";
/// Where a task reads of what it needs.
pub(crate) const NEEDS: &str = "/.dybox/in/needs.json";
/// Longest text of `$DYBOX_NEEDS`.
pub(crate) const NEEDS_MAX: usize = 4 << 20;

/// What of the run goes into every task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfRun<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) job: &'a str,
    /// The stage, with all filled in for this task.
    pub(crate) stage: &'a Stage,
    /// `DYBOX_PARAM_<NAME>` of every parameter.
    pub(crate) params: &'a [(String, String)],
    pub(crate) item: Option<&'a str>,
}

/// The attempt, ready to be started with so many bytes of memory.
pub(crate) fn spec(
    of: OfRun<'_>,
    (attempt, memory): (AttemptId, u64),
    tasks: u32,
    needs: &str,
    pinned: Option<&str>,
) -> TaskSpec {
    let stage = of.stage;
    let limits = Resources { memory, ..stage.ask };
    TaskSpec {
        run: of.run.clone(),
        job: of.job.to_owned(),
        stage: stage.name.clone(),
        attempt,
        tasks,
        image: stage.image.clone(),
        pinned: pinned.map(str::to_owned),
        pull: stage.pull,
        entrypoint: stage.entrypoint.clone(),
        command: stage.command.clone(),
        script: stage.script.clone(),
        workdir: stage.workdir.clone(),
        env: env(of, (attempt, limits), tasks),
        user: stage.user.clone(),
        limits,
        shm: stage.shm,
        pids: stage.pids,
        volumes: stage.volumes.clone(),
        tmpfs: stage.tmpfs.clone(),
        inputs: stage.inputs.clone(),
        outputs: stage.outputs.iter().map(|output| own_place(output, attempt.task.index)).collect(),
        secrets: stage.secrets.clone(),
        registry_auth: stage.registry_auth.clone(),
        network: stage.network.clone(),
        ports: stage.ports.clone(),
        timeout: stage.timeout,
        stop_grace: stage.stop_grace,
        stop_signal: stage.stop_signal.clone(),
        keep_failed: stage.keep_failed,
        attach: stage.attach,
        reuse: stage.reuse,
        results: stage.results.clone(),
        needs: needs.to_owned(),
        hook: stage.hook.is_some(),
    }
}

/// An output whose place ends in `/` goes below it, under a name of the task's own.
fn own_place(output: &Transfer, index: u32) -> Transfer {
    let mut own = output.clone();
    if own.place.ends_with('/') {
        let name = own.path.rsplit('/').next().unwrap_or_default();
        own.place = format!("{}/{name}-{index}", own.place.trim_end_matches('/'));
    }
    own
}

/// The user's variables first, then ours: nobody can pretend to be another task.
fn env(of: OfRun<'_>, (attempt, limits): (AttemptId, Resources), tasks: u32) -> Vec<(String, String)> {
    let user = of.stage.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let ours = [
        ("DYBOX_RUN", of.run.to_string()),
        ("DYBOX_JOB", of.job.to_owned()),
        ("DYBOX_STAGE", of.stage.name.clone()),
        ("DYBOX_TASK_INDEX", attempt.task.index.to_string()),
        ("DYBOX_TASK_COUNT", tasks.to_string()),
        ("DYBOX_ATTEMPT", attempt.number.to_string()),
        ("DYBOX_CPUS", dybox_model::format_cpus(limits.cpu_milli)),
        ("DYBOX_MEMORY_BYTES", limits.memory.to_string()),
        ("DYBOX_RESULT", RESULT.to_owned()),
        ("DYBOX_NEEDS", NEEDS.to_owned()),
    ];
    let item = of.item.map(|item| ("DYBOX_ITEM", item.to_owned()));
    let ours = ours.into_iter().chain(item).map(|(name, value)| (name.to_owned(), value));
    user.chain(ours).chain(of.params.iter().cloned()).collect()
}

/// `DYBOX_PARAM_<NAME>` of every parameter.
pub(crate) fn params(params: BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let shout = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    params
        .into_iter()
        .map(move |(name, value)| (format!("DYBOX_PARAM_{}", name.chars().map(shout).collect::<String>()), value))
}

/// The text of `$DYBOX_NEEDS`: every needed stage by name.
///
/// # Errors
/// A sentence, when the results in it are too large together.
pub(crate) fn needs(
    plan: &Plan,
    stage: StageId,
    story: impl Fn(StageId) -> Option<StageStory>,
) -> Result<String, String> {
    let needed = plan.stages[stage.0 as usize].needs.iter();
    let told: BTreeMap<&str, StageStory> =
        needed.filter_map(|(id, _)| story(*id).map(|told| (plan.stages[id.0 as usize].name.as_str(), told))).collect();
    let text = serde_json::to_string(&told).expect("its keys are text");
    bounded(text, "the results of the stages that it needs")
}

/// The text for `$DYBOX_NEEDS`, where it is not too long; `what` makes it long.
///
/// # Errors
/// A sentence.
pub(crate) fn bounded(text: String, what: &str) -> Result<String, String> {
    match text.len() > NEEDS_MAX {
        true => Err(format!(
            "{what} are {} together, at most {} can be given to a task",
            dybox_model::format_bytes(text.len() as u64),
            dybox_model::format_bytes(NEEDS_MAX as u64),
        )),
        false => Ok(text),
    }
}
