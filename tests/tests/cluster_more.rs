//! A cluster as large ones are: two ResourceManagers, node labels, keys that roll, logs that are gathered while they are
//! written, a queue that is full, a registry for the images.
//!
//! The tests run side by side as users do; the one that takes a ResourceManager away has the cluster for itself.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dybox_tests::cluster::{Cluster, Daemon, Options, node_host};
use dybox_tests::{Done, Follow, Registry, Workspace, eventually, overlaps};
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);
/// A payload's way to wait until the test says so; it gives up in the end, so that no failure hangs.
const UNTIL_GO: &str = "for i in $(seq 900); do [ -e /said/go ] && break; sleep 0.2; say beat; done";

static ROOM: RwLock<()> = RwLock::new(());

fn cluster() -> &'static Cluster {
    static READY: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared_as(&options());
    READY.get_or_init(|| {
        let admin = |words: &[&str]| cluster.rm_admin(words).unwrap_or_else(|error| panic!("{error}"));
        admin(&["-addToClusterNodeLabels", "gpu"]);
        let node = format!("{}:{}=gpu", node_host(2), cluster.ports().of("nm.rpc"));
        admin(&["-replaceLabelsOnNode", &node]);
    });
    cluster
}

fn options() -> Options {
    let mut site = vec![("yarn.node-labels.enabled".to_owned(), "true".to_owned())];
    let mut set = |key: &str, value: &str| site.push((key.to_owned(), value.to_owned()));
    // Node 2 is `gpu`, for queue `default` alone.
    let queues = "yarn.scheduler.capacity.root";
    set(&format!("{queues}.accessible-node-labels"), "*");
    set(&format!("{queues}.accessible-node-labels.gpu.capacity"), "100");
    set(&format!("{queues}.default.accessible-node-labels"), "gpu");
    set(&format!("{queues}.default.accessible-node-labels.gpu.capacity"), "100");
    set(&format!("{queues}.etl.accessible-node-labels.gpu.capacity"), "0");
    // One master fills queue `etl`.
    set(&format!("{queues}.etl.maximum-am-resource-percent"), "0.001");
    // A key is in use 15 s (1.5 times the expiry) after it was made, and the next one is made after twice that at least.
    set("yarn.resourcemanager.rm.container-allocation.expiry-interval-ms", "10000");
    for keys in ["am-rm-tokens", "nm-tokens", "container-tokens"] {
        set(&format!("yarn.resourcemanager.{keys}.master-key-rolling-interval-secs"), "31");
    }
    set("yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds", "5");
    set("yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds.min", "1");
    Options { nodes: 2, rms: 2, expiry_ms: 10_000, site, ..Options::default() }
}

/// A user's directory, and the cluster as this user sees it.
struct User {
    place: Workspace,
    _room: (Option<RwLockReadGuard<'static, ()>>, Option<RwLockWriteGuard<'static, ()>>),
}

impl User {
    /// One who has written `stages` into `job.yaml`.
    fn with(stages: &str) -> Self {
        let room = ROOM.read().unwrap_or_else(PoisonError::into_inner);
        Self::of(stages, (Some(room), None))
    }

    /// While nobody else is there.
    fn alone(stages: &str) -> Self {
        let room = ROOM.write().unwrap_or_else(PoisonError::into_inner);
        Self::of(stages, (None, Some(room)))
    }

    fn of(stages: &str, room: (Option<RwLockReadGuard<'static, ()>>, Option<RwLockWriteGuard<'static, ()>>)) -> Self {
        let user = Self { place: Workspace::of_cluster(cluster()), _room: room };
        user.place.job(&stages.replace("UNTIL_GO", UNTIL_GO));
        user
    }

    fn dybox(&self, args: &[&str]) -> Done {
        self.place.start(args).end(LONG)
    }

    fn follow(&self) -> Follow {
        self.place.start(&["run", "job.yaml"])
    }

    fn detach(&self, more: &[&str]) -> String {
        self.dybox(&[&["run", "--detach", "job.yaml"], more].concat()).expect(0).run_id()
    }

    fn go(&self) {
        self.place.write("said/go", "");
    }

    /// The run of this place, which another client has submitted.
    fn run(&self) -> String {
        let file = self.place.path().join("job.yaml").display().to_string();
        eventually("the run is known", LONG, || {
            let found = self.dybox(&["ps", "--all", "-o", "json"]).expect(0).json();
            let run = found["runs"].as_array()?.iter().find(|run| run["job_file"] == file.as_str())?;
            run["run"].as_str().map(str::to_owned)
        })
    }

    /// Hosts of the only attempts of a stage's tasks.
    fn hosts(&self, run: &str, stage: &str, tasks: usize) -> BTreeSet<String> {
        let host = |task: usize| {
            let task = self.place.status(&format!("{run}/{stage}/{task}"));
            let [attempt] = &task["attempts"].as_array().cloned().unwrap_or_default()[..] else {
                panic!("not one attempt: {task}")
            };
            text(&attempt["host"])
        };
        (0..tasks).map(host).collect()
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

#[test]
fn a_run_goes_on_when_the_other_resource_manager_takes_over() {
    // The second stage needs grants that only the second ResourceManager can give.
    let user = User::alone(concat!(
        "stages:\n  a: { parallelism: 2, script: \". /said/fns; say start; UNTIL_GO; say end\" }\n",
        "  b: { needs: [a], parallelism: 2, memory: 200MiB, script: \". /said/fns; say start; say end\" }\n",
    ));
    let follow = user.follow();
    user.place.until_said("a", "beat", 2);
    let run = user.run();
    let (first, second) = match cluster().active() {
        Daemon::ResourceManager => (Daemon::ResourceManager, Daemon::SecondResourceManager),
        _ => (Daemon::SecondResourceManager, Daemon::ResourceManager),
    };
    cluster().kill(first);
    let beats = user.place.said_by("a", "beat");
    user.place.until_said("a", "beat", beats + 4);
    cluster().activate(second).unwrap_or_else(|error| panic!("{error}"));
    user.dybox(&["ps"]).expect(0).says(&run);
    eventually("its master is back", LONG, || (user.place.status(&run)["run"]["state"] == "running").then_some(()));
    user.dybox(&["why", &run]).expect(0);
    user.go();
    follow.end(LONG).expect(0);
    let said = user.place.said();
    assert!(overlaps(&said).is_empty(), "{said:?}");
    assert_eq!(["a", "b"].map(|stage| user.place.said_by(stage, "start")), [2, 2], "{said:?}");
    cluster().revive(first);
    user.over(&run);
    assert!(apps(&run).iter().all(|app| app["finalStatus"] == "SUCCEEDED"), "{:?}", apps(&run));
}

#[test]
fn a_session_goes_on_when_the_other_resource_manager_takes_over() {
    // Its second stage needs a grant more than the session has, which only the second ResourceManager can give.
    let user = User::alone(concat!(
        "stages:\n  a: { parallelism: 2, script: \". /said/fns; say start; UNTIL_GO; say end\" }\n",
        "  b: { needs: [a], memory: 400MiB, script: \". /said/fns; say start; say end\" }\n",
    ));
    let start = ["session", "start", "pair", "--grants", "2", "--max", "4", "--memory", "256MiB"];
    user.dybox(&start).expect(0);
    let run = user.detach(&["--session", "pair"]);
    user.place.until_said("a", "beat", 2);
    let (first, second) = match cluster().active() {
        Daemon::ResourceManager => (Daemon::ResourceManager, Daemon::SecondResourceManager),
        _ => (Daemon::SecondResourceManager, Daemon::ResourceManager),
    };
    cluster().kill(first);
    let beats = user.place.said_by("a", "beat");
    user.place.until_said("a", "beat", beats + 4);
    cluster().activate(second).unwrap_or_else(|error| panic!("{error}"));
    eventually("the session is found", LONG, || user.dybox(&["session", "ls"]).out.contains("pair").then_some(()));
    user.go();
    eventually("the run succeeds", LONG, || (user.place.status(&run)["run"]["state"] == "succeeded").then_some(()));
    let said = user.place.said();
    assert!(overlaps(&said).is_empty(), "{said:?}");
    assert_eq!(["a", "b"].map(|stage| user.place.said_by(stage, "start")), [2, 1], "{said:?}");
    // It takes the next run, too.
    user.dybox(&["run", "job.yaml", "--session", "pair"]).expect(0);
    cluster().revive(first);
    user.dybox(&["session", "stop", "pair"]).expect(0);
    eventually("nothing of it is on an engine", LONG, || cluster().of_run_on_engines(&run).is_empty().then_some(()));
    user.dybox(&["logs", &run]).expect(0);
}

/// How often the ResourceManager has done this to its keys: for masters, for nodes, for grants.
fn keys(done: &str) -> [usize; 3] {
    let log = cluster().log(cluster().active());
    let of = |owner: &str| log.lines().filter(|line| line.contains(owner) && line.contains(done)).count();
    [of(".AMRMTokenSecretManager"), of(".NMTokenSecretManagerInRM"), of(".RMContainerTokenSecretManager")]
}

#[test]
fn a_run_outlives_the_keys_that_it_began_with_and_its_logs_are_whole() {
    let user = User::with(concat!(
        "stages:\n  a: { script: \". /said/fns; echo begun; say start; UNTIL_GO; echo done\" }\n",
        "  b: { needs: [a], parallelism: 2, memory: 200MiB, script: \"echo after\" }\n",
    ));
    let run = user.detach(&[]);
    user.place.until_said("a", "beat", 1);
    for what in ["Rolling master-key", "Activating next master key"] {
        let before = keys(what);
        eventually(what, LONG, || (0..3).all(|owner| keys(what)[owner] > before[owner]).then_some(()));
    }
    user.go();
    eventually("it succeeds", LONG, || (user.place.status(&run)["run"]["state"] == "succeeded").then_some(()));
    assert_eq!(user.hosts(&run, "a", 1).len(), 1);
    user.over(&run);
    user.dybox(&["logs", "--system", &run]).expect(0).says("in control").says("serving");
    // YARN has looked several times at what it may gather, and took nothing away under the writer.
    let app = text(&apps(&run)[0]["id"]);
    eventually("YARN has gathered all", LONG, || {
        let gathered = cluster().java(&["org.apache.hadoop.yarn.client.cli.LogsCLI", "-applicationId", &app]).output();
        let gathered = String::from_utf8_lossy(&gathered.expect("java").stdout).into_owned();
        let there = ["a-0-1.stdout", "begun\ndone\n", "b-0-1.stdout", "b-1-1.stdout", "in control"];
        there.iter().all(|words| gathered.contains(words)).then_some(())
    });
}

#[test]
fn a_stage_with_a_label_runs_on_nodes_with_it_only() {
    let user = User::with(concat!(
        "stages:\n  a: { parallelism: 3, node_label: gpu, script: \"echo $DYBOX_STAGE\" }\n",
        "  b: { needs: [a], parallelism: 3, script: \"echo $DYBOX_STAGE\" }\n",
    ));
    let plan = user.dybox(&["plan", "job.yaml"]).expect(0).says("label gpu").says("node labels: gpu");
    assert!(!plan.out.contains("W0901"), "{}", plan.out);
    user.place.start(&["run", "job.yaml"]).end(LONG).expect(0);
    let run = user.run();
    assert_eq!(user.hosts(&run, "a", 3), BTreeSet::from([node_host(2)]));
    assert_eq!(user.hosts(&run, "b", 3), BTreeSet::from([node_host(1)]));
    user.over(&run);
}

#[test]
fn a_run_that_waits_for_room_in_its_queue_can_be_stopped() {
    let stages = "stages:\n  a: { parallelism: 2, script: \". /said/fns; say start; UNTIL_GO\" }\n";
    let (runs, waits) = (User::with(stages), User::with(stages));
    let first = runs.detach(&["--queue", "etl"]);
    runs.place.until_said("a", "start", 2);
    let second = waits.detach(&["--queue", "etl"]);
    waits.dybox(&["why", &second]).expect(0).says("AM resource limit");
    assert_eq!(apps(&second)[0]["state"], "ACCEPTED");
    waits.dybox(&["stop", "--yes", &second]).expect(0);
    waits.dybox(&["status", &second]).expect(0).says("stopped");
    waits.dybox(&["resume", &second]).expect(7).says("dybox run");
    waits.over(&second);
    runs.go();
    eventually("the other goes on", LONG, || (runs.place.status(&first)["run"]["state"] == "succeeded").then_some(()));
    assert_eq!(waits.place.said_by("a", "start"), 0);
    runs.over(&first);
}

#[test]
fn a_plan_that_is_too_large_for_a_launch_context_travels_by_hdfs() {
    // 240 KB that no compression makes much smaller.
    let mut seed = 7_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        format!("{seed:016x}{:016x}", seed.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    };
    let vars: String =
        (0..60).map(|n| format!("    V{n}: \"{}\"\n", (0..125).map(|_| next()).collect::<String>())).collect();
    let user = User::with(&format!(
        "stages:\n  a:\n    parallelism: 2\n    script: \"echo $V59 | wc -c\"\n    env:\n{}",
        vars.replace("    V", "      V")
    ));
    user.follow().end(LONG).expect(0);
    let run = user.run();
    let logs = user.dybox(&["logs", "--no-prefix", &run]).expect(0);
    assert_eq!(logs.out, "4001\n4001\n");
    user.over(&run);
}

#[test]
fn a_shell_has_a_terminal() {
    let user = User::with("stages:\n  a: { command: [\"true\"] }\n");
    let args = [
        "shell",
        "-it",
        "--image",
        "dybox-test/busybox:1",
        "--memory",
        "64MiB",
        "--",
        "sh",
        "-c",
        "tty; read a; echo got-$a; exit 7",
    ];
    let shell = user.place.command(&args);
    let words: Vec<_> = std::iter::once(shell.get_program())
        .chain(shell.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut script = Command::new("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]).current_dir(user.place.path());
    script.envs(shell.get_envs().filter_map(|(key, value)| Some((key, value?)))).env_remove("HADOOP_CONF_DIR");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("script");
    let mut input = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, b"typed\n").expect("written");
    let done = child.wait_with_output().expect("it ends");
    drop(input);
    let out = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(7), "{out}{}", String::from_utf8_lossy(&done.stderr));
    assert!(out.contains("/dev/pts/") && out.contains("got-typed"), "{out}");
}

#[test]
fn an_image_is_pulled_from_a_registry_on_every_node() {
    let registry = Registry::of_cluster(cluster());
    let image = registry.put(&cluster().engine(1), "pulled:1");
    let user = User::with(&format!(
        "stages:\n  a: {{ image: \"{image}\", script: \"echo here\" }}\n  b: {{ image: \"{image}\", node_label: gpu, script: \"echo there\" }}\n  c: {{ image: \"{}\", retry: {{ max: 0 }}, script: \"echo never\" }}\n",
        registry.reference("nobody-put-it:1")
    ));
    let follow = user.follow();
    follow.end(LONG).expect(1);
    let run = user.run();
    assert_eq!(
        [user.hosts(&run, "a", 1), user.hosts(&run, "b", 1)].map(|hosts| hosts.into_iter().next()),
        [Some(node_host(1)), Some(node_host(2))]
    );
    user.dybox(&["logs", &run]).expect(0).says("here").says("there");
    user.dybox(&["why", &format!("{run}/c/0")]).expect(0).says("nobody-put-it:1");
    user.over(&run);
    for node in 1..=2 {
        let found = cluster().engine(node).docker(&["rmi", &image]);
        assert!(found.status.success(), "node {node} has not pulled it: {}", String::from_utf8_lossy(&found.stderr));
    }
}

/// Puts a text of this machine into HDFS, as an administrator does.
fn put(text: &str, place: &Workspace, at: &str) {
    let file = place.write("for-hdfs", text).display().to_string();
    let done = cluster().java(&["org.apache.hadoop.fs.FsShell", "-put", "-f", &file, at]).output().expect("java");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn profiles_come_from_the_registry_in_hdfs() {
    let user = User::with(
        "stages:\n  a: { profile: small, memory: 48MiB, script: 'echo \"$KIND of $FROM\"' }\n  b: { profile: { labels: { kind: idler } }, command: [sleep, \"600\"] }\n",
    );
    let registry = |from: &str| {
        format!(
            "version: 1\nprofiles:\n  small:\n    labels: {{ kind: small }}\n    memory: 64MiB\n    env: {{ KIND: small, FROM: {from} }}\n  idle-one:\n    labels: {{ kind: idler }}\n    idle: {{ after: 5s, cpus: 0.05 }}\n    stop_grace: 1s\n"
        )
    };
    // One for everybody, where a setting says.
    let place = format!("{}/tmp/profiles-{}.yaml", cluster().hdfs(), std::process::id());
    put(&registry("everybody"), &user.place, &place);
    let with = |place: &str, words: &[&str]| {
        let mut command = user.place.command(words);
        command.env("DYBOX_PROFILES", place);
        Follow::start(&mut command).end(LONG)
    };
    with(&place, &["plan", "job.yaml"])
        .expect(0)
        .says(&format!("profile small (kind=small), {place}:3"))
        .says("memory    48MiB  from the stage, over the profile and defaults")
        .says("5.0s under 0.05 cpus  from the profile");
    with(&format!("{place}.gone"), &["plan", "job.yaml"]).expect(3).says("E0330").says(&format!("{place}.gone"));
    let run = with(&place, &["run", "--detach", "job.yaml"]).expect(0).run_id();
    user.place.until_state(&run, "failed");
    user.dybox(&["logs", &run]).expect(0).says("small of everybody");
    user.dybox(&["why", &run]).expect(0).says("C1018").says("used under 0.05 cpus for 5.0s");
    user.over(&run);
    // The user's own, in the store, which is there since that run.
    user.dybox(&["plan", "job.yaml"]).expect(3).says("E0330").says("/.dybox/profiles.yaml");
    put(&registry("store"), &user.place, ".dybox/profiles.yaml");
    user.dybox(&["plan", "job.yaml"]).expect(0).says("/.dybox/profiles.yaml:3");
    let words = ["org.apache.hadoop.fs.FsShell", "-rm", "-skipTrash", &place, ".dybox/profiles.yaml"];
    assert!(cluster().java(&words).status().expect("java").success());
}

/// What answers at an address on the machine `number`: its engine has a network namespace of its own.
fn asked_there(number: usize, address: &str) -> Option<String> {
    let pid = std::fs::read_to_string(cluster().layout().at(&format!("node-{number}/docker.pid"))).ok()?;
    let (host, port) = address.rsplit_once(':')?;
    let talk =
        format!("ip link set lo up; exec 3<>/dev/tcp/{host}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    let mut command = Command::new("timeout");
    command.args(["10", "nsenter", "--net", "--target", pid.trim(), "bash", "-c", &talk]);
    let said = command.stderr(Stdio::null()).output().ok()?.stdout;
    Some(String::from_utf8_lossy(&said).into_owned()).filter(|said| !said.is_empty())
}

#[test]
fn a_task_is_reached_at_the_port_of_its_machine() {
    let user = User::with(concat!(
        "stages:\n  web: { ports: [8080], stop_grace: 1s, script: \"mkdir /tmp/w; echo hello from $DYBOX_STAGE > ",
        "/tmp/w/index.html; httpd -f -p 8080 -h /tmp/w\" }\n",
    ));
    let run = user.detach(&[]);
    let address = eventually("its port is known", LONG, || {
        let status = user.place.status(&run);
        status["stages"][0]["ports"][0]["address"].as_str().map(str::to_owned)
    });
    let task = user.place.status(&format!("{run}/web/0"));
    let host = text(&task["attempts"][0]["host"]);
    assert!(address.starts_with(&format!("{host}:")), "{address} of {task}");
    assert_eq!(host, node_host(1));
    let said = eventually("it answers", LONG, || asked_there(1, &address));
    assert!(said.contains("hello from web"), "{said}");
    user.dybox(&["stop", &run, "--yes"]).expect(0);
    user.over(&run);
}

#[test]
fn a_port_that_is_taken_on_a_machine_is_tried_again_without_using_a_try() {
    // Only one machine is without a label: both tasks come there.
    let user = User::with(concat!(
        "stages:\n  a: { parallelism: 2, ports: [\"8099:80\"], script: \". /said/fns; say start; UNTIL_GO\" }\n",
        "  low: { needs: [a], ports: [\"80:80\"], script: \"true\" }\n",
    ));
    user.dybox(&["check", "job.yaml"]).expect(4).says("E0809").says("W0532");
    let text = std::fs::read_to_string(user.place.path().join("job.yaml")).expect("it is there");
    let only = text.split("  low:").next().expect("a stage before it");
    std::fs::write(user.place.path().join("job.yaml"), only).expect("it is written");
    let follow = user.follow();
    let (_, before) = follow.until("C2017", LONG);
    assert!(before.contains("port 8099 of"), "{before}");
    user.go();
    let done = follow.end(LONG).expect(0);
    assert_eq!(user.place.said_by("a", "start"), 2);
    user.over(&done.run_id());
}
