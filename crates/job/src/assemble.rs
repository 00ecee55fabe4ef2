//! The plan itself: all defaults filled in.

use dybox_model::{HookId, Idle, Millis, Need, Resources, StageId, SubDagId, Timeouts};

use crate::draft::{self, Job, Words};
use crate::late::{Begins, Late};
use crate::plan::{Elastic, Grow, Hook, PLAN_VERSION, Plan, Retry, Stage, SubDag};
use crate::reader::Spot;
use crate::report::Report;
use crate::text::Span;
use crate::values::shown;

/// How many times its request a task's memory may become where `retry` makes it grow and names no `cap`.
const CAP: u64 = 4;

/// What each stage needs.
pub(crate) type Needs = Vec<Vec<(u32, Need, Span)>>;

/// Puts a checked job together.
pub(crate) fn assemble(
    job: Job,
    (needs, aparts, lates): (&Needs, &[Vec<u32>], Vec<Begins>),
    hooks: Vec<(Vec<u32>, Vec<u32>)>,
    cut: (Vec<SubDag>, Vec<SubDagId>),
) -> Plan {
    let (mut subdags, of) = cut;
    let drafts = job.stages.into_iter().zip(lates).zip(needs.iter().zip(aparts)).zip(&of);
    let mut stages: Vec<Stage> =
        drafts.map(|((draft, (needs, apart)), &subdag)| assemble_stage(draft, needs, apart, subdag)).collect();
    let ids = |list: Vec<u32>| list.into_iter().map(StageId).collect::<Vec<_>>();
    let mut planned = Vec::with_capacity(hooks.len());
    for (number, (draft, (after, holds))) in job.hooks.into_iter().zip(hooks).enumerate() {
        let (id, subdag) = (HookId(number as u32), after.first().map_or(SubDagId(0), |&stage| of[stage as usize]));
        let own = &mut subdags[subdag.0 as usize];
        own.hooks.push(id);
        let timeout = draft.timeout.unwrap_or(Millis::from_secs(600));
        let mut memory = draft.memory.unwrap_or(1 << 30);
        if let Some(body) = draft.body {
            let stage = stage_of_hook((id, *body), (&after, timeout), subdag);
            memory = stage.ask.memory;
            own.stages.push(StageId(stages.len() as u32));
            stages.push(stage);
        }
        planned.push(Hook { after: ids(after), holds: ids(holds), run: draft.run, timeout, memory, subdag });
    }
    let mut plan = Plan {
        version: PLAN_VERSION,
        name: job.name,
        tags: job.tags,
        params: job.params.iter().map(|(name, json)| (name.clone(), shown(json))).collect(),
        rules: job.rules,
        queue: job.queue.map(|text| text.value),
        priority: job.priority,
        node_label: job.node_label.map(|text| text.value),
        timeout: job.timeout,
        fail_fast: job.fail_fast,
        stages,
        hooks: planned,
        subdags,
        ground: job.ground,
    };
    if job.rightsize {
        plan.right_size(|_| None);
    }
    plan
}

/// The stage that a hook with an image is: it begins when all of `after` have succeeded.
fn stage_of_hook(
    (hook, mut body): (HookId, draft::Body),
    (after, timeout): (&[u32], Millis),
    subdag: SubDagId,
) -> Stage {
    body.timeout.run = Some(timeout);
    let name = Spot { value: draft::Hook::stage_name(hook.0 as usize), span: Span::NOWHERE };
    let needs: Vec<(u32, Need, Span)> = after.iter().map(|&id| (id, Need::Succeeded, Span::NOWHERE)).collect();
    let stage = draft::Stage::plain(name, body);
    Stage { hook: Some(hook), ..assemble_stage((stage, (Late::default(), None)), &needs, &[], subdag) }
}

fn values_of<T>(list: Option<Vec<Spot<T>>>) -> Vec<T> {
    list.into_iter().flatten().map(|spot| spot.value).collect()
}

/// One stage of the plan.
pub(crate) fn assemble_stage(
    (draft, (late, largest)): (draft::Stage, Begins),
    needs: &[(u32, Need, Span)],
    apart: &[u32],
    subdag: SubDagId,
) -> Stage {
    let tasks = tasks_of(&draft);
    let body = draft.body;
    let moved = |list: Option<Vec<Spot<draft::Moved>>>| {
        list.into_iter().flatten().map(|spot| spot.value.planned(late.places)).collect()
    };
    let image = body.image_words.filter(|_| late.image).map(|words| words.value.template()).or(body.image);
    let cpu_milli = largest.filter(|_| body.cpus_words.is_some()).map(|size| size.cpu_milli).or(body.cpus);
    let largest = largest.filter(|_| body.memory_words.is_some()).map(|size| size.memory);
    let text = |words: Words| words.planned(late.texts);
    let texts = |list: Option<Vec<Words>>| list.map(|list| list.into_iter().map(text).collect());
    let env = body.file_env.into_iter().chain(body.env).map(|(name, value)| (name, text(value))).collect();
    let memory = body.memory.unwrap_or(draft::Memory { request: 256 << 20, limit: None });
    let memory = largest.map_or(memory, |request| draft::Memory { request, limit: None });
    Stage {
        name: draft.name.value,
        subdag,
        needs: needs.iter().map(|&(id, need, _)| (StageId(id), need)).collect(),
        tasks,
        image: image.unwrap_or_default(),
        pull: body.pull.unwrap_or_default(),
        entrypoint: texts(body.entrypoint),
        command: texts(body.command),
        script: body.script.map(text),
        workdir: body.workdir.map(text),
        env,
        user: body.user,
        ask: Resources { cpu_milli: cpu_milli.unwrap_or(1_000), memory: memory.request },
        elastic: elastic(memory),
        shm: body.shm_size,
        pids: body.pids.unwrap_or(512),
        volumes: values_of(body.volumes),
        inputs: moved(body.inputs),
        outputs: moved(body.outputs),
        tmpfs: values_of(body.tmpfs),
        secrets: values_of(body.secrets),
        registry_auth: body.registry_auth,
        network: body.network.unwrap_or_default(),
        ports: values_of(body.ports),
        timeout: timeouts(body.timeout, body.idle),
        stop_signal: body.stop_signal,
        stop_grace: body.stop_grace.unwrap_or(Millis::from_secs(10)),
        retry: retry(body.retry, memory.request),
        priority: body.priority.unwrap_or(0),
        placement: body.placement.to_plan(apart),
        profile: draft.profile,
        results: draft.results,
        keep_failed: body.keep_failed.unwrap_or(false),
        reuse: body.reuse.is_some_and(|spot| spot.value),
        taken: None,
        cache: body.cache.unwrap_or(false),
        late,
        attach: None,
        added: None,
        hook: None,
    }
}

fn timeouts(draft::TimeoutDraft { run, pull, silence, queue }: draft::TimeoutDraft, idle: Option<Idle>) -> Timeouts {
    Timeouts { run, pull, silence, queue, idle }
}

fn elastic(draft::Memory { request, limit }: draft::Memory) -> Option<Elastic> {
    let most = limit.filter(|&limit| limit > request)?;
    Some(Elastic { requested: request, least: request, most, learns: false })
}

fn retry(asked: draft::RetryDraft, request: u64) -> Retry {
    Retry {
        max: asked.max.unwrap_or(0),
        backoff: asked.backoff.unwrap_or(Millis::from_secs(1)),
        on: asked.on.unwrap_or_default(),
        grow: asked.memory.map(|memory| Grow {
            percent: memory.value,
            cap: asked.cap.map_or(request.saturating_mul(CAP), |cap| cap.value),
        }),
    }
}

/// How many tasks a stage has, as far as that is known; one where its list is known later.
pub(crate) fn tasks_of(stage: &draft::Stage) -> u32 {
    let items = stage.each.as_ref().map(|each| each.items.as_ref().map_or(1, Vec::len));
    items.map_or(stage.body.parallelism.unwrap_or(1), |items| u32::try_from(items).unwrap_or(u32::MAX))
}

/// `retry` with `memory` and `cap`: against the memory that they begin with.
pub(crate) fn check_growth(report: &mut Report, job: &Job) {
    for stage in &job.stages {
        let (retry, memory) = (&stage.body.retry, stage.body.memory);
        let name = &stage.name.value;
        let Some(grows) = &retry.memory else {
            if let Some(cap) = &retry.cap {
                let message = format!("retry of stage {name:?} has a cap and no memory that grows");
                report.error("E0207", cap.span, message).help("add memory: x1.5, or take cap away");
            }
            continue;
        };
        let request = memory.map_or(256 << 20, |memory| memory.request);
        if let Some(cap) = retry.cap.as_ref().filter(|cap| cap.value <= request) {
            let message = format!("stage {name:?} begins with all of the cap");
            report.error("E0207", cap.span, message).help("write a cap that is larger than memory");
        }
        if stage.body.memory_words.is_some() {
            let message = format!("memory of stage {name:?} differs from task to task, and retry makes it grow");
            report.error("E0206", grows.span, message).help("keep one of them");
        }
        if memory.is_some_and(|memory| memory.limit.is_some()) || stage.body.reuse.as_ref().is_some_and(|r| r.value) {
            let message = format!("stage {name:?} has retry with memory, and a memory limit or reuse");
            let help = "keep one of them: a limit is given at once where a task needs it, and reuse keeps one size";
            report.error("E0206", grows.span, message).help(help);
        }
        if retry.max.unwrap_or(0) == 0 {
            let message = format!("stage {name:?} gets more memory for further tries, and has none");
            report.error("E0207", grows.span, message).help("add max: 2");
        }
    }
}
