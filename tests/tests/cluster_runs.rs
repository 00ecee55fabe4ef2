//! What a user does on a cluster: real YARN, real HDFS, a Docker engine on each of two nodes, the real `dybox`.
//!
//! The tests run side by side as users do; one that fills the cluster has it for itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dybox_tests::cluster::{Answer, Cluster, Daemon, Options, node_host, request};
use dybox_tests::{Done, Follow, Workspace, eventually};
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);
/// A payload's way to wait until the test says so; it gives up in the end, so that no failure hangs.
const UNTIL_GO: &str = "for i in $(seq 600); do [ -e /said/go ] && break; sleep 0.2; done";

static ROOM: RwLock<()> = RwLock::new(());

fn cluster() -> &'static Cluster {
    Cluster::shared_as(&Options { nodes: 2, ..Options::default() })
}

/// A user's directory, and the cluster as this user sees it.
struct User {
    place: Workspace,
    _room: (Option<RwLockReadGuard<'static, ()>>, Option<RwLockWriteGuard<'static, ()>>),
}

impl User {
    fn new() -> Self {
        let room = ROOM.read().unwrap_or_else(PoisonError::into_inner);
        Self { place: Workspace::of_cluster(cluster()), _room: (Some(room), None) }
    }

    /// While nobody else is there.
    fn alone() -> Self {
        let room = ROOM.write().unwrap_or_else(PoisonError::into_inner);
        Self { place: Workspace::of_cluster(cluster()), _room: (None, Some(room)) }
    }

    /// One who has written `stages` into `job.yaml`.
    fn with(stages: &str) -> Self {
        let user = Self::new();
        user.place.job(&stages.replace("UNTIL_GO", UNTIL_GO));
        user
    }

    fn dybox(&self, args: &[&str]) -> Done {
        self.place.start(args).end(LONG)
    }

    fn run(&self, more: &[&str]) -> Done {
        self.dybox(&[&["run", "job.yaml"], more].concat())
    }

    fn detach(&self) -> String {
        self.run(&["--detach"]).expect(0).run_id()
    }

    fn go(&self) {
        self.place.write("said/go", "");
    }

    /// The only attempt so far of a task.
    fn attempt(&self, run: &str, task: &str) -> Value {
        self.place.status(&format!("{run}/{task}"))["attempts"][0].clone()
    }

    fn hosts(&self, run: &str, stage: &str, tasks: usize) -> Vec<String> {
        (0..tasks).map(|task| text(&self.attempt(run, &format!("{stage}/{task}"))["host"])).collect()
    }

    /// What is promised after every run: nothing of it is left on an engine or in YARN, and it can be read.
    fn over(&self, run: &str) {
        cluster().assert_over(run);
        self.dybox(&["status", run]).expect(0);
        self.dybox(&["logs", run]).expect(0);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn apps(run: &str) -> Vec<Value> {
    cluster().applications_of(run).expect("the ResourceManager answers")
}

fn app(run: &str) -> Value {
    let [app] = &apps(run)[..] else { panic!("{run} has no application or several: {:?}", apps(run)) };
    app.clone()
}

/// The application once YARN knows how it ended: a moment after the client does.
fn ended_app(run: &str) -> Value {
    eventually("YARN knows the end", LONG, || Some(app(run)).filter(|app| app["state"] == "FINISHED"))
}

/// How many YARN containers an application was ever given.
fn grants_ever(app: &str) -> usize {
    let prefix = format!("{}_", app.replace("application", "container"));
    let log = cluster().log(Daemon::ResourceManager);
    let ids = log.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with(&prefix));
    ids.collect::<BTreeSet<_>>().len()
}

/// Entries of a directory in HDFS.
fn hdfs_list(dir: &str) -> Vec<Value> {
    let answer = cluster().get(Daemon::NameNode, &format!("/webhdfs/v1{dir}?op=LISTSTATUS&user.name=root"));
    let answer = answer.expect("the NameNode answers").json().expect("JSON");
    answer["FileStatuses"]["FileStatus"].as_array().cloned().unwrap_or_else(|| panic!("no {dir}: {answer}"))
}

/// Bytes that were ever written to the file system.
fn hdfs_written() -> u64 {
    let answer = cluster().get(Daemon::DataNode, "/jmx?qry=Hadoop:service=DataNode,name=DataNodeActivity*");
    let answer = answer.expect("the DataNode answers").json().expect("JSON");
    answer["beans"][0]["BytesWritten"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

/// The page of a run through the ResourceManager's proxy.
fn tracked(app: &str, query: &str) -> Answer {
    cluster().get(Daemon::ResourceManager, &format!("/proxy/{app}/{query}")).expect("the proxy answers")
}

#[test]
fn wordcount_has_the_same_result_as_on_one_machine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let prepare = |place: &Workspace| {
        for name in ["job.yaml", "decide.sh"] {
            place.write(name, &std::fs::read_to_string(root.join("jobs/wordcount").join(name)).expect("a job"));
        }
        let pages = ["docs", "docs/reference"].map(|dir| std::fs::read_dir(root.join(dir)).expect("docs"));
        for entry in pages.into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "md") {
                let page = std::fs::read_to_string(entry.path()).expect("a page");
                place.write(&format!("corpus/{}", entry.file_name().to_string_lossy()), &page);
            }
        }
        place.write("work/.keep", "");
    };
    let (user, local) = (User::new(), Workspace::new());
    prepare(&user.place);
    prepare(&local);
    let run = user.run(&[]).expect(0).run_id();
    local.start(&["run", "job.yaml", "--local"]).end(LONG).expect(0);
    for name in ["work/result", "work/report.txt"] {
        let read = |place: &Workspace| std::fs::read_to_string(place.path().join(name)).expect("a result");
        assert!(read(&user.place) == read(&local) && read(&local).lines().count() > 5, "{name}");
    }
    // The hook between the stages decided how many tasks count.
    let status = user.place.status(&run);
    let tasks = |at: usize| status["stages"][at]["tasks"]["succeeded"].as_u64();
    assert!(tasks(1) > Some(1) && tasks(1) == tasks(2), "{status}");
    user.dybox(&["logs", "--no-prefix", &run, "report"]).expect(0).says("most frequent words");
    user.over(&run);
    local.assert_nothing_left();
}

#[test]
fn a_dag_uses_all_nodes_within_what_yarn_granted_and_its_results_travel() {
    let user = User::with(concat!(
        "stages:\n  a: { script: \"echo '{\\\"n\\\": 7}' > $DYBOX_RESULT\" }\n",
        "  b: { needs: [a], parallelism: 4, cpus: 0.5, memory: 100MiB, placement: { spread: host }, script: \". /said/fns; say start; UNTIL_GO; echo $DYBOX_TASK_INDEX > $DYBOX_RESULT\" }\n",
        "  c: { needs: [a, b], script: \"cat $DYBOX_NEEDS\" }\n",
    )
    .replace("parallelism: 4", "parallelism: 2")
    .as_str());
    let run = user.detach();
    user.place.until_said("b", "start", 2);
    let app = text(&app(&run)["id"]);
    for node in 1..=2 {
        let engine = cluster().engine(node);
        let limits: Vec<(u64, u64)> = (engine.containers_of(&run).iter())
            .map(|name| {
                engine.inspect(name, "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuQuota}}")
            })
            .map(|words| {
                let mut numbers = words.split(' ').map(|word| word.parse::<u64>().expect("a number"));
                let (memory, nano, quota) = (numbers.next(), numbers.next(), numbers.next());
                (memory.expect("memory"), (nano.expect("cpus") / 1_000_000).max(quota.expect("a quota") / 100))
            })
            .collect();
        assert!(!limits.is_empty(), "nothing runs on node {node}");
        assert!(limits.iter().all(|&(memory, milli)| memory > 0 && milli > 0), "{limits:?}");
        let granted = granted_on(node, &app);
        let sum = limits.iter().fold((0, 0), |sum, limit| (sum.0 + limit.0, sum.1 + limit.1));
        assert!(sum.0 <= granted.0 && sum.1 <= granted.1, "node {node}: limits {sum:?}, granted {granted:?}");
    }
    user.go();
    user.place.until_state(&run, "succeeded");
    user.dybox(&["logs", &run, "c"]).expect(0).says("\"n\":7").says("[0,1]");
    assert_eq!(user.hosts(&run, "b", 2).into_iter().collect::<BTreeSet<_>>().len(), 2);
    user.over(&run);
}

/// Memory in bytes and thousandths of cores that an application's grants have on a node.
fn granted_on(node: usize, app: &str) -> (u64, u64) {
    let answer = cluster().get(Daemon::NodeManager(node), "/ws/v1/node/containers").expect("the node answers");
    let answer = answer.json().expect("JSON");
    let prefix = app.replace("application", "container");
    let of = |container: &&Value| text(&container["id"]).starts_with(&prefix);
    let all = answer["containers"]["container"].as_array().cloned().unwrap_or_default();
    let sum = |key: &str| all.iter().filter(of).filter_map(|container| container[key].as_u64()).sum::<u64>();
    (sum("totalMemoryNeededMB") << 20, sum("totalVCoresNeeded") * 1000)
}

#[test]
fn later_sub_dags_are_submitted_when_the_client_has_left() {
    let user = User::with(concat!(
        "stages:\n  a: { subdag: one, script: \". /said/fns; say start; UNTIL_GO; echo '{\\\"n\\\": 7}' > $DYBOX_RESULT\" }\n",
        "  b: { subdag: two, script: \"UNTIL_GO\" }\n",
        "  c: { subdag: three, needs: [a, b], script: \"cat $DYBOX_NEEDS\" }\n",
    ));
    let run = user.detach();
    user.place.until_said("a", "start", 1);
    assert_eq!(apps(&run).len(), 2, "the last one waits for both");
    user.dybox(&["ps", "-o", "json"]).expect(0).says(&run).says("running");
    user.go();
    user.place.until_state(&run, "succeeded");
    let tags: BTreeSet<_> = apps(&run).iter().map(|app| text(&app["applicationTags"])).collect();
    let of = |tag: String| tags.iter().any(|tags| tags.split(',').any(|seen| seen == tag));
    assert!(tags.len() == 3 && (0..3).all(|n| of(format!("dybox-sub:{n}"))), "{tags:?}");
    assert_eq!(user.place.status(&run)["run"]["applications"].as_array().map(Vec::len), Some(3));
    user.dybox(&["logs", &run, "c"]).expect(0).says("\"n\":7");
    user.over(&run);
    assert!(apps(&run).iter().all(|app| app["finalStatus"] == "SUCCEEDED"), "{:?}", apps(&run));
}

#[test]
fn a_shell_is_one_container_in_the_masters_own_grant() {
    let user = User::new();
    let shell = ["shell", "--image", "dybox-test/busybox:1", "--memory", "64MiB"];
    let done = user.dybox(&[&shell[..], &["--", "sh", "-c", "echo out; echo err >&2; exit 5"]].concat()).expect(5);
    assert_eq!(done.out, "out\n");
    assert!(done.err.lines().any(|line| line == "err") && !done.err.contains("out\n"), "{}", done.err);
    let runs = user.dybox(&["ps", "--name", "shell", "-o", "json"]).expect(0).json();
    let run = text(&runs["runs"][0]["run"]);
    assert_eq!(ended_app(&run)["finalStatus"], "FAILED");
    assert_eq!(grants_ever(&text(&app(&run)["id"])), 1);
    let fed = user.place.dybox_fed(&[&shell[..], &["-i", "--", "sort"]].concat(), b"b\nc\na\n").expect(0);
    assert_eq!(fed.out, "a\nb\nc\n");
    user.over(&run);
}

#[test]
fn a_job_of_one_task_needs_no_second_grant() {
    let user =
        User::with("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO; exit 3\", retry: { max: 0 } }\n");
    let run = user.detach();
    user.place.until_said("a", "start", 1);
    assert_eq!(app(&run)["runningContainers"].as_u64(), Some(1));
    user.go();
    user.place.until_state(&run, "failed");
    let app = ended_app(&run);
    assert_eq!(grants_ever(&text(&app["id"])), 1);
    assert!(text(&app["diagnostics"]).contains("stage a failed: exit code 3"), "{app}");
    user.over(&run);
}

#[test]
fn logs_can_be_read_while_a_task_runs_and_are_whole_afterwards() {
    let user = User::with(
        "stages:\n  a: { parallelism: 2, script: \"echo begun; echo oops >&2; UNTIL_GO; for i in $(seq 2000); do echo line $i; done\" }\n",
    );
    let run = user.detach();
    eventually("both run", LONG, || {
        let status = user.place.status(&run);
        (status["stages"][0]["tasks"]["running"].as_u64() == Some(2)).then_some(())
    });
    let follow = user.place.start(&["logs", "-f", &run, "a/1"]);
    follow.until("begun", LONG);

    let attempt = user.attempt(&run, "a/1");
    let (host, container) = (text(&attempt["host"]), text(&attempt["yarn_container"]));
    let node = (1..=2).find(|node| node_host(*node) == host).expect("a node");
    let page = |path: String| cluster().get(Daemon::NodeManager(node), &path).expect("the node's page").body;
    let listed = page(format!("/ws/v1/node/containers/{container}/logs"));
    assert!(listed.contains("a-1-1.stdout") && listed.contains("a-1-1.stderr"), "{listed}");
    let shown = page(format!("/node/containerlogs/{container}/root/a-1-1.stdout/?start=0"));
    assert!(shown.contains("begun"), "{shown}");

    user.go();
    let followed = follow.end(LONG).expect(0);
    assert!(followed.out.ends_with("line 2000\n") && followed.out.contains("oops"), "{:.2000}", followed.out);
    user.place.until_state(&run, "succeeded");
    let whole: String =
        std::iter::once("begun\n".to_owned()).chain((1..=2000).map(|i| format!("line {i}\n"))).collect();
    for task in ["a/0", "a/1"] {
        let logs = user.dybox(&["logs", "--raw", "--no-prefix", "--stdout", &run, task]).expect(0);
        assert!(logs.out == whole, "{task}: {} bytes of {}", logs.out.len(), whole.len());
    }

    // What DYbox itself wrote comes from the files that YARN gathers.
    eventually("YARN has gathered the logs", LONG, || (app(&run)["logAggregationStatus"] == "SUCCEEDED").then_some(()));
    user.dybox(&["logs", "--system", &run])
        .expect(0)
        .says("in control")
        .says("serving")
        .says("proxy g0-1-")
        .says("succeeded");
    user.over(&run);
}

#[test]
fn what_waits_says_why_and_a_stopped_run_is_stopped() {
    let user = User::alone();
    // The master takes a little of one node: two tasks of a whole node never run at once.
    user.place.job(&format!(
        "stages:\n  a: {{ parallelism: 2, memory: 8GiB, stop_grace: 1s, script: \". /said/fns; say start; {UNTIL_GO}\" }}\n"
    ));
    let follow = user.place.start(&["run", "job.yaml", "-o", "jsonl"]);
    user.place.until_said("a", "start", 1);
    let run = text(&user.dybox(&["ps", "--state", "running", "-o", "json"]).expect(0).json()["runs"][0]["run"]);
    let why = eventually("the reason is known", LONG, || {
        let why = user.dybox(&["why", &run]).expect(0).out;
        (why.contains("YARN has not granted it yet")).then_some(why)
    });
    // Hadoop before 3.4 tells a master only the last word of its queue's path.
    let ours = ["queue root.default has", "queue default has"].iter().any(|ours| why.contains(ours));
    assert!(why.contains("1 task wants 1 cpu, 8GiB") && ours, "{why}");
    assert!(why.contains("queue default: ") && why.contains("1 cpu and 8GiB asked for"), "{why}");
    assert!(why.contains("the cluster: ") && why.contains("free on 2 nodes"), "{why}");
    assert_eq!(user.place.status(&run)["stages"][0]["tasks"]["waiting"].as_u64(), Some(1));

    user.dybox(&["stop", &run, "--yes"]).expect(0);
    follow.end(LONG).expect(6);
    let status = user.place.status(&run);
    assert_eq!((&status["run"]["state"], &status["run"]["resumable"]), (&"stopped".into(), &true.into()));
    let app = ended_app(&run);
    assert_eq!(app["finalStatus"], "KILLED", "{app}");
    user.dybox(&["ps", "--state", "stopped", "-o", "name"]).expect(0).says(&run);
    user.over(&run);
    cluster().assert_idle();
}

#[test]
fn a_failed_run_says_why_and_resume_runs_only_what_failed() {
    let user = User::with(concat!(
        "stages:\n  good: { parallelism: 2, script: \". /said/fns; say start\" }\n",
        "  bad: { needs: [good], script: \". /said/fns; say start; [ -e /said/go ] || { echo no such luck >&2; exit 3; }\" }\n",
        "  after: { needs: [bad], script: \". /said/fns; say start\" }\n",
    ));
    let run = user.run(&[]).expect(1).says("no such luck").says("exit code 3").run_id();
    let first = ended_app(&run);
    assert_eq!(first["finalStatus"], "FAILED");
    assert!(text(&first["diagnostics"]).contains("stage bad failed: exit code 3"), "{first}");
    user.dybox(&["why", &run]).expect(0).says("bad").says("no such luck");
    user.dybox(&["status", &run]).expect(0).says("skipped").says(&format!("dybox why {run}"));
    assert_eq!(user.place.status(&run)["run"]["resumable"], true);

    user.go();
    user.dybox(&["resume", &run]).expect(0);
    assert_eq!(
        (user.place.said_by("good", "start"), user.place.said_by("bad", "start"), user.place.said_by("after", "start")),
        (2, 2, 1)
    );
    let both = eventually("YARN knows the end", LONG, || {
        Some(apps(&run)).filter(|apps| apps.len() == 2 && apps[1]["state"] == "FINISHED")
    });
    assert_eq!(both[1]["finalStatus"], "SUCCEEDED");
    assert_eq!(user.place.status(&run)["run"]["state"], "succeeded");
    user.over(&run);
}

#[test]
fn a_retry_uses_the_rules_of_its_stage() {
    let user = User::with(concat!(
        "stages:\n  a: { retry: { max: 2, backoff: 100ms, on: [\"exit:75\"] }, script: \". /said/fns; say start; [ $DYBOX_ATTEMPT = 3 ] || exit 75\" }\n",
        "  b: { needs: { a: finished }, retry: { max: 2, backoff: 100ms, on: [\"exit:75\"] }, script: \". /said/fns; say start; exit 4\" }\n",
    ));
    let run = user.run(&[]).expect(1).run_id();
    assert_eq!((user.place.said_by("a", "start"), user.place.said_by("b", "start")), (3, 1));
    user.over(&run);
}

#[test]
fn tasks_go_where_their_placement_says() {
    let user = User::with(&format!(
        concat!(
            "split: none\nstages:\n",
            "  spread: {{ parallelism: 2, placement: {{ spread: host }}, script: \". /said/fns; say start; UNTIL_GO\" }}\n",
            "  pinned: {{ parallelism: 2, placement: {{ nodes: [\"{second}\"] }}, command: [\"true\"] }}\n",
            "  away: {{ parallelism: 2, placement: {{ avoid: [\"{second}\"] }}, command: [\"true\"] }}\n",
        ),
        second = node_host(2)
    ));
    let run = user.detach();
    user.place.until_said("spread", "start", 2);
    user.go();
    user.place.until_state(&run, "succeeded");
    let hosts = |stage| user.hosts(&run, stage, 2).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(hosts("spread"), BTreeSet::from([node_host(1), node_host(2)]));
    assert_eq!(hosts("pinned"), BTreeSet::from([node_host(2)]));
    assert_eq!(hosts("away"), BTreeSet::from([node_host(1)]));
    user.over(&run);
}

#[test]
fn tasks_and_stages_that_are_kept_apart_share_no_machine() {
    let user = User::with(concat!(
        "stages:\n",
        "  pairs: { parallelism: 2, placement: { max_per_host: 2, apart_from: [other] }, script: \". /said/fns; say start; UNTIL_GO\" }\n",
        "  other: { parallelism: 2, script: \". /said/fns; say start; UNTIL_GO\" }\n",
    ));
    let run = user.detach();
    user.place.until_said("pairs", "start", 2);
    user.place.until_said("other", "start", 2);
    user.go();
    user.place.until_state(&run, "succeeded");
    let hosts = |stage| user.hosts(&run, stage, 2).into_iter().collect::<BTreeSet<_>>();
    let (pairs, other) = (hosts("pairs"), hosts("other"));
    assert!(pairs.is_disjoint(&other) && pairs.len() == 1 && other.len() == 1, "{pairs:?} {other:?}");
    user.over(&run);
}

#[test]
fn a_plan_shows_what_the_cluster_gives_and_what_it_never_could() {
    let user = User::with(concat!(
        "stages:\n  a: { parallelism: 3, memory: 70MiB, command: [\"true\"] }\n",
        "  b: { needs: [a], cpus: 1.5, command: [\"true\"] }\n",
    ));
    let plan = user.dybox(&["plan", "job.yaml"]).expect(0);
    for words in [
        "1 vcore, 70MiB",
        "1 vcore, 80MiB",
        "2 vcores, 64MiB",
        "queue default (guaranteed 50%",
        "largest grant: 16 cpus, 8GiB",
    ] {
        assert!(plan.out.contains(words), "no {words} in\n{}", plan.out);
    }
    let json = user.dybox(&["plan", "job.yaml", "-o", "json"]).expect(0).json();
    assert!(json["plans"][0]["asks"].is_array() || json["asks"].is_array(), "{json}");

    let before = cluster().applications("").expect("applications").len();
    user.place.job("stages:\n  a: { memory: 9GiB, command: [\"true\"] }\n");
    user.dybox(&["plan", "job.yaml"]).expect(3).says("9GiB").says("8GiB");
    user.run(&[]).expect(3).says("9GiB").says("8GiB").says("job.yaml:");
    user.place.job("stages:\n  a: { placement: { nodes: [\"127.0.0.99\"] }, command: [\"true\"] }\n");
    user.run(&[]).expect(3).says("127.0.0.99").says("job.yaml:");
    user.place.job("stages:\n  a: { command: [\"true\"] }\n");
    let refused = user.run(&["--queue", "nope"]).says("nope").says("etl");
    assert!([3, 4].contains(&refused.code), "{refused:?}");
    assert!(cluster().applications("").expect("applications").len() >= before);
    let runs = user.dybox(&["ps", "--all", "-o", "json"]).expect(0).json();
    let ours = |run: &&Value| text(&run["job_file"]).starts_with(&*user.place.path().to_string_lossy());
    assert_eq!(runs["runs"].as_array().map(|runs| runs.iter().filter(ours).count()), Some(0), "nothing was submitted");
}

#[test]
fn the_same_request_id_twice_is_one_run() {
    let user = User::with("stages:\n  a: { script: \". /said/fns; say start\" }\n");
    let request = format!("r-{}", std::process::id());
    let first = user.run(&["--request-id", &request]).expect(0).run_id();
    let second = user.run(&["--request-id", &request]).expect(0).run_id();
    assert_eq!((first.as_str(), user.place.said_by("a", "start"), apps(&first).len()), (second.as_str(), 1, 1));
    user.over(&first);
}

#[test]
fn the_tracking_url_shows_the_run_and_afterwards_the_application() {
    let user = User::with("stages:\n  a: { parallelism: 2, script: \". /said/fns; say start; UNTIL_GO\" }\n");
    let run = user.detach();
    user.place.until_said("a", "start", 2);
    let app = text(&app(&run)["id"]);
    let page = tracked(&app, "");
    assert!(page.status == 200 && page.body.contains(&run) && page.body.contains("running"), "{page:?}");
    assert_eq!(
        page.body.matches("/node/containerlogs/container_").count(),
        2,
        "each task leads to its output: {page:?}"
    );
    let stage = tracked(&app, "?stage=a");
    assert!(stage.status == 200 && stage.body.contains("dybox-test/busybox:1"), "{stage:?}");
    let json = tracked(&app, "?format=json").json().expect("JSON");
    assert!(json.to_string().contains(&run), "{json}");
    let denied = request("POST", &cluster().page(Daemon::ResourceManager).expect("a page"), &format!("/proxy/{app}/"));
    assert_ne!(denied.expect("an answer").status, 200);
    user.go();
    user.place.until_state(&run, "succeeded");
    let after = eventually("the master is gone", LONG, || Some(tracked(&app, "")).filter(|page| page.status != 200));
    assert!(after.status == 302 && after.head.contains(&format!("/cluster/app/{app}")), "{after:?}");
    user.over(&run);
}

/// All files below a directory of HDFS, which are for their owner only, as the directories are.
fn files_of_owner(dir: &str) -> BTreeSet<String> {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![dir.to_owned()]);
    while let Some(dir) = todo.pop() {
        for entry in hdfs_list(&dir) {
            let path = format!("{dir}/{}", text(&entry["pathSuffix"]));
            let allowed = if entry["type"] == "DIRECTORY" { "700" } else { "600" };
            assert_eq!((text(&entry["permission"]), text(&entry["owner"])), (allowed.into(), "root".into()), "{path}");
            match allowed {
                "700" => todo.push(path),
                _ => drop(seen.insert(path)),
            }
        }
    }
    seen
}

#[test]
fn a_second_submission_sends_the_plan_and_its_directory_is_for_its_owner_only() {
    let user = User::with("stages:\n  a: { script: \"echo hello\" }\n");
    user.run(&[]).expect(0);
    let programs = hdfs_list("/user/root/.dybox/bin");
    let written = hdfs_written();
    let run = user.run(&[]).expect(0).run_id();
    assert_eq!(hdfs_list("/user/root/.dybox/bin"), programs, "the program is not touched");
    // Others write here at the same time, but nobody writes a program.
    let size = programs[0]["length"].as_u64().expect("a length");
    assert!(hdfs_written() - written < size / 10, "{} of {size} bytes", hdfs_written() - written);

    let dir = format!("/user/root/.dybox/runs/{run}");
    let names = ["run.json", "plan.json", "job.yaml", "secret", "credentials", "sub/0/journal", "logs/g0-1-1.log"];
    // The master writes what nobody waits for beside its work, and may have ended a moment ago.
    eventually("all is written", LONG, || {
        let seen = files_of_owner(&dir);
        names.iter().all(|name| seen.contains(&format!("{dir}/{name}"))).then_some(())
    });
    let runs = hdfs_list("/user/root/.dybox").into_iter().find(|entry| entry["pathSuffix"] == "runs");
    assert_eq!(runs.map(|entry| text(&entry["permission"])), Some("700".to_owned()));
    user.over(&run);
}

#[test]
fn a_follower_that_leaves_does_not_end_the_run() {
    let user = User::with("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO\" }\n");
    let follow: Follow = user.place.start(&["run", "job.yaml"]);
    user.place.until_said("a", "start", 1);
    follow.signal(nix::sys::signal::Signal::SIGINT);
    let run = follow.end(LONG).expect(130).run_id();
    assert_eq!(user.place.status(&run)["run"]["state"], "running");
    user.go();
    user.place.until_state(&run, "succeeded");
    user.over(&run);
}

#[test]
fn a_person_looks_into_a_task_and_runs_a_part_again() {
    let user = User::with(
        "stages:\n  a: { command: [sh, -c, 'echo 7 > $DYBOX_RESULT'] }\n  b:\n    needs: [a]\n    command: [sh, -c, '. /said/fns; say start; UNTIL_GO; cat $DYBOX_NEEDS']\n",
    );
    // A name of its own: the users share a store, and old runs of this job are removed below.
    let run = user.run(&["--detach", "--name", "looked-into"]).expect(0).run_id();
    user.place.until_said("b", "start", 1);
    let task = format!("{run}/b/0");
    eventually("it is known to run", LONG, || (user.attempt(&run, "b/0")["state"] == "running").then_some(()));
    let done =
        user.dybox(&["exec", &task, "--", "sh", "-c", "echo $DYBOX_STAGE; echo kept > /tmp/it; exit 5"]).expect(5);
    assert_eq!(done.out, "b\n");
    user.dybox(&["cp", &format!("{task}:/tmp/it"), "."]).expect(0);
    assert_eq!(std::fs::read_to_string(user.place.path().join("it")).expect("a file"), "kept\n");
    assert_eq!(user.attempt(&run, "b/0")["visits"].as_array().map(Vec::len), Some(2));
    user.go();
    user.dybox(&["watch", &run]).expect(0).says("succeeded");
    user.dybox(&["exec", &task, "--", "true"]).expect(8).says("b/0 does not run");
    let again = user.dybox(&["rerun", &run, "b"]).expect(0).says(&format!("from run {run}: a")).run_id();
    assert_eq!(user.place.status(&again)["stages"][0]["taken_from"], run.as_str());
    assert!(user.dybox(&["logs", &again]).expect(0).out.contains("[7]"), "results are carried over");
    user.dybox(&["prune", "--job", "looked-into", "--keep", "1", "--yes"]).expect(0).says("freed: 1 run");
    user.dybox(&["status", &run]).expect(7);
    user.dybox(&["status", &again]).expect(0);
}
