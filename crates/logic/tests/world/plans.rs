//! Plans as values: small ones for stories, random ones for seeds.

use std::collections::{BTreeMap, BTreeSet};

use dybox_job::{Elastic, Hook, PLAN_VERSION, Plan, Retry, RetryOn, Stage, SubDag};
use dybox_model::{
    HookId, Millis, Need, Network, Placement, PullPolicy, Resources, Spread, StageId, SubDagId, Timeouts,
};

use super::rng::Rng;

/// One cpu and so many MiB.
pub(crate) const fn mib(memory: u64) -> Resources {
    Resources { cpu_milli: 1000, memory: memory << 20 }
}

/// A plan without stages.
pub(crate) fn empty() -> Plan {
    Plan {
        version: PLAN_VERSION,
        name: "test".to_owned(),
        tags: Vec::new(),
        params: BTreeMap::new(),
        queue: None,
        priority: None,
        node_label: None,
        rules: BTreeMap::new(),
        timeout: None,
        fail_fast: false,
        stages: Vec::new(),
        hooks: Vec::new(),
        subdags: vec![SubDag {
            stages: Vec::new(),
            hooks: Vec::new(),
            needs: Vec::new(),
            name: None,
            queue: None,
            node_label: None,
        }],
        ground: None,
    }
}

/// A stage that needs others.
pub(crate) fn stage(name: &str, tasks: u32, needs: &[(u32, Need)]) -> Stage {
    Stage {
        name: name.to_owned(),
        subdag: SubDagId(0),
        needs: needs.iter().map(|&(stage, need)| (StageId(stage), need)).collect(),
        tasks,
        image: "busybox".to_owned(),
        pull: PullPolicy::Missing,
        entrypoint: None,
        command: None,
        script: None,
        workdir: None,
        env: BTreeMap::new(),
        user: None,
        ask: mib(64),
        elastic: None,
        shm: None,
        pids: 64,
        volumes: Vec::new(),
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::None,
        timeout: Timeouts::default(),
        stop_grace: Millis::from_secs(10),
        stop_signal: None,
        ports: Vec::new(),
        retry: Retry { max: 0, backoff: Millis::from_secs(1), on: Vec::new(), grow: None },
        priority: 0,
        keep_failed: false,
        placement: Default::default(),
        profile: None,
        taken: None,
        cache: false,
        attach: None,
        added: None,
        hook: None,
        reuse: false,
        results: None,
        late: Default::default(),
    }
}

/// A plan of these stages in one sub-DAG.
pub(crate) fn of(stages: impl IntoIterator<Item = Stage>) -> Plan {
    let mut plan = empty();
    plan.stages = stages.into_iter().collect();
    for (id, stage) in (0u32..).zip(&plan.stages) {
        if stage.subdag == SubDagId(0) {
            plan.subdags[0].stages.push(StageId(id));
        }
    }
    plan
}

/// Adds a hook that holds all that is downstream of `after`.
pub(crate) fn hook(plan: &mut Plan, after: &[u32], label: &str) {
    let mut upstream: BTreeSet<u32> = after.iter().copied().collect();
    let mut downstream = BTreeSet::new();
    let users = |(_, stage): &(u32, &Stage)| stage.hook.is_none();
    let numbered: Vec<(u32, &Stage)> = (0u32..).zip(&plan.stages).filter(users).collect();
    for &(id, stage) in numbered.iter().rev() {
        if upstream.contains(&id) {
            upstream.extend(stage.needs.iter().map(|(need, _)| need.0));
        }
    }
    for &(id, stage) in &numbered {
        if stage.needs.iter().any(|(need, _)| after.contains(&need.0) || downstream.contains(&need.0)) {
            downstream.insert(id);
        }
    }
    let id = HookId(u32::try_from(plan.hooks.len()).expect("few hooks"));
    plan.subdags[0].hooks.push(id);
    plan.hooks.push(Hook {
        after: after.iter().copied().map(StageId).collect(),
        holds: downstream.difference(&upstream).copied().map(StageId).collect(),
        run: vec![label.to_owned()],
        timeout: Millis::from_secs(60),
        memory: 1 << 30,
        subdag: SubDagId(0),
    });
}

/// The same as a hook that is a stage of its own: `hook-1` for the first.
pub(crate) fn hook_task(plan: &mut Plan, after: &[u32], label: &str) {
    hook(plan, after, label);
    let needs: Vec<(u32, Need)> = after.iter().map(|&stage| (stage, Need::Succeeded)).collect();
    let hook = HookId(u32::try_from(plan.hooks.len() - 1).expect("few hooks"));
    let name = format!("hook-{}", plan.hooks.len());
    plan.subdags[0].stages.push(StageId(u32::try_from(plan.stages.len()).expect("few stages")));
    plan.stages.push(Stage { hook: Some(hook), ..stage(&name, 1, &needs) });
}

/// Any plan.
pub(crate) fn any(rng: &mut Rng) -> Plan {
    let count = 1 + rng.below(12);
    let mut stages = Vec::new();
    for id in 0..count {
        let mut needs = Vec::new();
        for up in 0..id {
            if rng.percent(160 / count) {
                let kind = rng.of(&[Need::Succeeded, Need::Succeeded, Need::Succeeded, Need::Failed, Need::Finished]);
                needs.push((u32::try_from(up).expect("few stages"), kind));
            }
        }
        let reuse = rng.percent(20);
        let tasks = if reuse { rng.of(&[2, 12, 40]) } else { rng.of(&[1, 1, 1, 2, 3, 8, 20]) };
        let mut stage = stage(&format!("s{id}"), tasks, &needs);
        stage.ask = rng.of(&[mib(64), mib(64), mib(128), Resources { cpu_milli: 500, memory: 256 << 20 }]);
        stage.network = if rng.percent(25) { Network::Bridge } else { Network::None };
        let on = rng.of(&[None, None, Some(RetryOn::Oom), Some(RetryOn::Exit(1, 75)), Some(RetryOn::Any)]);
        let max = rng.of(&[0, 0, 1, 3]);
        stage.reuse = reuse;
        // Not drawn: seeds tell the stories that they always told.
        stage.priority = if count.is_multiple_of(3) { [0, 5, -5, 5][usize::try_from(id % 4).expect("few")] } else { 0 };
        stage.retry = Retry { max, backoff: Millis(rng.below(4000)), on: on.into_iter().collect(), grow: None };
        stages.push(stage);
    }
    let mut plan = of(stages);
    plan.fail_fast = rng.percent(15);
    if rng.percent(40) {
        for label in ["first", "second"].iter().take(1 + usize::from(rng.percent(40))) {
            let after = u32::try_from(rng.below(count)).expect("few stages");
            // Not drawn, either.
            let make = if count % 3 == 1 { hook_task } else { hook };
            make(&mut plan, &[after], label);
        }
    }
    plan
}

/// Lets the memory of some stages move.
pub(crate) fn stretch(plan: &mut Plan, rng: &mut Rng) {
    for stage in &mut plan.stages {
        let (requested, least) = (stage.ask.memory, 16 << 20);
        stage.elastic = match rng.below(4) {
            0 => Some(Elastic { requested, least: requested, most: requested + (48 << 20), learns: false }),
            1 => Some(Elastic { requested, least, most: requested, learns: true }),
            _ => None,
        };
    }
}

/// Gives some stages placements that four machines in two racks can keep.
pub(crate) fn place(plan: &mut Plan, rng: &mut Rng) {
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<String>>();
    let count = u32::try_from(plan.stages.len()).expect("few stages");
    for (own, stage) in (0u32..).zip(&mut plan.stages) {
        let hard = rng.percent(60);
        let mut placement = Placement { hard, ..Placement::default() };
        if rng.percent(20) && count > 1 {
            placement.apart_from = vec![StageId((own + 1) % count)];
        }
        if rng.percent(15) {
            placement.max_per_host = Some(rng.of(&[1, 2, 3]));
        }
        match rng.below(8) {
            0 => placement.spread = Some(Spread::Host),
            1 => (placement.spread, placement.max_per_host) = (Some(Spread::Rack), None),
            2 => placement.avoid = list(&["n1", "n3"]),
            3 => placement.nodes = list(&["n2"]),
            4 => placement.racks = list(&["r2"]),
            5 => {
                placement.spread = Some(Spread::Host);
                placement.avoid = list(&["n4"]);
            }
            _ => {}
        }
        stage.placement = placement;
    }
}
