//! Sizes that follow what is used, on real YARN: judged by what the ResourceManager and the engines say.

use std::time::Duration;

use dybox_tests::cluster::{Cluster, Options};
use dybox_tests::{Done, Engine, Workspace, eventually};
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);
const MIB: u64 = 1 << 20;
/// Puts so many MiB into a tmpfs, some each second, and then waits until the test says so.
const FILL: &str = "for i in $(seq STEPS); do dd if=/dev/zero of=/big/$i bs=1M count=STEP 2>/dev/null || exit 9; sleep 1; done; for i in $(seq 600); do [ -e /said/go ] && exit 0; sleep 0.2; done; exit 8";

fn cluster() -> &'static Cluster {
    // Queue `etl` never has more than a fifth of it: 3276 MiB.
    let queue = |name: &str, key: &str| format!("yarn.scheduler.capacity.root.{name}.{key}");
    let site = [("default", "capacity", "80"), ("etl", "capacity", "20"), ("etl", "maximum-capacity", "20")];
    let site = site.map(|(name, key, percent)| (queue(name, key), percent.to_owned())).to_vec();
    Cluster::shared_as(&Options { nodes: 2, site, ..Options::default() })
}

fn fill(steps: u32, step: u32) -> String {
    FILL.replace("STEPS", &steps.to_string()).replace("STEP", &step.to_string())
}

struct User(Workspace);

impl User {
    fn with(stages: &str) -> Self {
        let user = Self(Workspace::of_cluster(cluster()));
        user.0.job(stages);
        user
    }

    fn dybox(&self, args: &[&str]) -> Done {
        self.0.start(args).end(LONG)
    }

    fn detach(&self, more: &[&str]) -> String {
        self.dybox(&[&["run", "job.yaml", "--detach"], more].concat()).expect(0).run_id()
    }

    fn succeeds(&self, run: &str) {
        self.0.write("said/go", "");
        eventually(&format!("{run} has succeeded"), LONG, || {
            let state = self.dybox(&["status", run, "-o", "json"]).expect(0).json()["run"]["state"].clone();
            (state == "succeeded").then_some(())
        });
    }

    /// All tries of a task.
    fn tries(&self, task: &str) -> usize {
        self.dybox(&["status", task, "-o", "json"]).expect(0).json()["attempts"].as_array().map_or(0, Vec::len)
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// MiB of each container of a run's application but the master's, as the ResourceManager tells.
fn granted(run: &str) -> Vec<u64> {
    let apps = cluster().rest(&format!("/ws/v1/cluster/apps?applicationTags=dybox-run:{run}")).expect("it answers");
    let Some(app) = apps["apps"]["app"].get(0) else { return Vec::new() };
    let (id, attempt) = (app["id"].as_str().unwrap_or_default(), "000001");
    let attempt = format!("{}_{attempt}", id.replace("application", "appattempt"));
    let path = format!("/ws/v1/cluster/apps/{id}/appattempts/{attempt}/containers");
    let Ok(all) = cluster().rest(&path) else { return Vec::new() };
    let all = all["container"].as_array().cloned().unwrap_or_default();
    let of_tasks = all.iter().filter(|one| !one["containerId"].as_str().unwrap_or_default().ends_with("_000001"));
    let live = of_tasks.filter(|one| one["containerState"].as_str().unwrap_or("RUNNING") == "RUNNING");
    live.map(|one| number(&one["allocatedMB"])).collect()
}

/// The memory limit of each container of a run, in bytes, as its engine tells.
fn limits(run: &str) -> Vec<u64> {
    let of = |engine: Engine| {
        let containers = engine.containers_of(run);
        let limit =
            |container: &String| engine.inspect(container, "{{.HostConfig.Memory}}").trim().parse().unwrap_or(0);
        containers.iter().map(limit).collect::<Vec<u64>>()
    };
    (1..=cluster().nodes()).flat_map(|node| of(cluster().engine(node))).collect()
}

#[test]
fn a_task_that_nears_its_limit_gets_more_before_it_runs_out() {
    let user = User::with(&format!(
        "stages:\n  grow:\n    memory: {{ request: 128MiB, limit: 1GiB }}\n    tmpfs: [\"/big:size=1GiB\"]\n    script: '{}'\n",
        fill(25, 15)
    ));
    let run = user.detach(&[]);
    let (granted, limit) = eventually("it has room for 375 MiB", LONG, || {
        // First what the engine gives, then what YARN does: the grant grows first.
        let limit = *limits(&run).first()?;
        let granted = *granted(&run).first()?;
        (limit >= 500 * MIB).then_some((granted, limit))
    });
    assert!(granted * MIB >= limit, "never above the grant: {limit} bytes in {granted} MiB");
    assert!(limit <= 1024 * MIB, "{limit}");
    user.succeeds(&run);
    assert_eq!(user.tries(&format!("{run}/grow/0")), 1);
}

#[test]
fn a_task_that_uses_little_gives_the_rest_of_its_grant_back() {
    let user = User::with(&format!(
        "stages:\n  give:\n    memory: 1GiB\n    parallelism: 2\n    tmpfs: [\"/big:size=64MiB\"]\n    script: '{}'\n",
        fill(1, 40)
    ));
    let run = user.detach(&["--right-size"]);
    eventually("both are asked for in full", LONG, || (granted(&run).iter().sum::<u64>() >= 2048).then_some(()));
    eventually("YARN has most of it back, and the engines give no more", LONG, || {
        let (granted, limits) = (granted(&run), limits(&run));
        let small = granted.len() == 2 && granted.iter().all(|&mib| mib <= 256);
        let inside = limits.len() == 2 && limits.iter().max() <= granted.iter().max().map(|mib| mib * MIB).as_ref();
        Some(()).filter(|()| small && inside)
    });
    // Its limit is that of the last sample.
    let tasks = eventually("top has seen the new limits", LONG, || {
        let top = user.dybox(&["top", &run, "-o", "json"]).expect(0).json();
        let tasks = top["tasks"].as_array().cloned().unwrap_or_default();
        let small = |task: &Value| number(&task["granted"]) <= 256 * MIB && number(&task["limit"]) <= 256 * MIB;
        (tasks.len() == 2 && tasks.iter().all(small)).then_some(tasks)
    });
    for task in &tasks {
        assert!((40 * MIB..=100 * MIB).contains(&number(&task["working_set"])), "{task}");
    }
    user.succeeds(&run);
}

#[test]
fn the_next_run_asks_by_what_this_one_used() {
    let user = User::with(&format!(
        "stages:\n  learn:\n    memory: 1GiB\n    parallelism: 3\n    tmpfs: [\"/big:size=64MiB\"]\n    script: 'dd if=/dev/zero of=/big/x bs=1M count=40 2>/dev/null; sleep 3; {}'\n",
        fill(0, 1)
    ));
    user.0.write("said/go", "");
    let done = user.dybox(&["run", "job.yaml"]).expect(0);
    assert!(
        done.out.contains("learn: you asked for 1GiB and used")
            || done.err.contains("learn: you asked for 1GiB and used")
    );
    let plan = || user.dybox(&["plan", "job.yaml", "--right-size", "-o", "json"]).expect(0).json();
    let learned = eventually("it is written down", LONG, || {
        let learned = plan()["plans"][0]["learned"][0].clone();
        (number(&learned["learned"]) > 0).then_some(learned)
    });
    assert_eq!(number(&learned["requested"]), 1024 * MIB);
    assert!((40 * MIB..=128 * MIB).contains(&number(&learned["asks"])), "{learned}");
    std::fs::remove_file(user.0.path().join("said/go")).unwrap();
    let run = user.detach(&["--right-size"]);
    let granted = eventually("three are granted", LONG, || Some(granted(&run)).filter(|all| all.len() == 3));
    assert!(granted.iter().all(|&mib| mib <= 160), "{granted:?}");
    user.succeeds(&run);
}

/// MiB that the ResourceManager is still asked for, of each open request of a run.
fn wished(run: &str) -> Vec<u64> {
    let apps = cluster().rest(&format!("/ws/v1/cluster/apps?applicationTags=dybox-run:{run}")).expect("it answers");
    let requests = apps["apps"]["app"][0]["resourceRequests"].as_array().cloned().unwrap_or_default();
    let open = requests.iter().filter(|request| number(&request["numContainers"]) > 0);
    open.map(|request| number(&request["capability"]["memorySize"]).max(number(&request["capability"]["memory"])))
        .collect()
}

/// What YARN can't give at once it keeps as a wish: the task goes on as it was, and gets more when there is room.
#[test]
fn a_task_that_its_queue_has_no_more_for_goes_on_as_it_was() {
    let wait = "for i in $(seq 900); do [ -e /said/room ] && exit 0; sleep 0.2; done; exit 8";
    let user = User::with(&format!(
        "queue: etl\nsplit: none\nstages:\n  full: {{ memory: 2200MiB, script: '{wait}' }}\n  grow:\n    memory: {{ request: 512MiB, limit: 2GiB }}\n    tmpfs: [\"/big:size=1GiB\"]\n    script: '{}'\n",
        fill(1, 430)
    ));
    let run = user.detach(&[]);
    let all = |mut list: Vec<u64>| {
        list.sort_unstable();
        list
    };
    let before = eventually("both run", LONG, || Some(all(granted(&run))).filter(|all| all.len() == 2));
    assert!((512..640).contains(&before[0]) && (2200..2400).contains(&before[1]), "{before:?}");
    eventually("YARN is asked for 512 MiB more, and has not got them", LONG, || {
        wished(&run).iter().any(|mib| (512..640).contains(mib)).then_some(())
    });
    assert_eq!(all(granted(&run)), before, "the grant is as it was");
    let limits_now = all(limits(&run));
    assert!(limits_now.len() == 2 && limits_now[0] <= before[0] * MIB, "and so is its container: {limits_now:?}");
    user.0.write("said/room", "");
    eventually("there is room now", LONG, || (*limits(&run).first()? >= 1000 * MIB).then_some(()));
    user.succeeds(&run);
    assert_eq!(user.tries(&format!("{run}/grow/0")), 1);
}
