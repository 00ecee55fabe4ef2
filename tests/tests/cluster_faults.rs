//! Faults on a real cluster: whatever is killed or stands still, a run ends right or says exactly why not, no task has
//! two live attempts, and nothing is left on any engine.
//!
//! Faults of single processes go side by side; those of a daemon have the cluster for themselves, and bring it back.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use dybox_tests::cluster::{Cluster, Daemon, InGrant, Options};
use dybox_tests::{Done, Follow, Workspace, eventually, overlaps};
use nix::sys::signal::Signal;

/// A chain with a hook, long enough to be hit: every payload beats while it lives.
const CHAIN: &str = concat!(
    "stages:\n  a: { script: \". /said/fns; say start; say end\" }\n",
    "  b: { needs: [a], stop_grace: 1s, script: \". /said/fns; say start; for i in $(seq 20); do [ -e /said/short ] || sleep 0.2; say beat; done; say end\" }\n",
    "  c: { needs: [b], script: \". /said/fns; say start; say end\" }\n",
    "hooks: [{ after: [a], run: [sh, -c, \"echo ran >> SAID/hooks; echo '{}'\"] }]\n",
);
/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);

static CLUSTER_IS_WHOLE: RwLock<()> = RwLock::new(());

fn cluster() -> &'static Cluster {
    let site = vec![("yarn.resourcemanager.am.max-attempts".to_owned(), "2".to_owned())];
    Cluster::shared_as(&Options { preemption: true, site, ..Options::default() })
}

/// The cluster for one test alone; all its daemons are back afterwards, whatever the test did.
struct Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>);

impl Alone {
    fn take() -> Self {
        let held = CLUSTER_IS_WHOLE.write().unwrap_or_else(PoisonError::into_inner);
        cluster().assert_idle();
        Self(held)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        for daemon in cluster().daemons() {
            match cluster().process(daemon) {
                Some(process) => process.signal(Signal::SIGCONT),
                None => cluster().revive(daemon),
            }
        }
        if !std::thread::panicking() {
            cluster().until_ready();
            cluster().assert_idle();
        }
    }
}

/// The cluster as it is, with others.
fn beside_others() -> RwLockReadGuard<'static, ()> {
    CLUSTER_IS_WHOLE.read().unwrap_or_else(PoisonError::into_inner)
}

/// A run, seen from all sides.
struct Case {
    place: Workspace,
}

impl Case {
    fn new(stages: &str) -> Self {
        let place = Workspace::of_cluster(cluster());
        let said = place.path().join("said");
        place.job(&stages.replace("SAID", &said.display().to_string()));
        Self { place }
    }

    fn follow(&self) -> Follow {
        self.place.start(&["run", "job.yaml"])
    }

    fn detached(&self) -> String {
        self.place.dybox(&["run", "--detach", "job.yaml"]).expect(0).run_id()
    }

    /// What the ResourceManager says of the run's newest application.
    fn application(&self, run: &str) -> Option<serde_json::Value> {
        cluster().applications_of(run).ok()?.pop()
    }

    /// Processes of the run in grants, whose command line holds `words`.
    fn processes(&self, run: &str, words: &str) -> Vec<InGrant> {
        let Some(id) = self.application(run).and_then(|app| app["id"].as_str().map(str::to_owned)) else {
            return Vec::new();
        };
        let number = id.trim_start_matches("application").to_owned() + "_";
        cluster().in_grants(words).into_iter().filter(|found| found.container.contains(&number)).collect()
    }

    fn master(&self, run: &str) -> InGrant {
        eventually("a master runs", LONG, || self.processes(run, "dybox master").pop())
    }

    /// The one that YARN starts after `first`.
    fn next_master(&self, run: &str, first: &InGrant) -> InGrant {
        eventually("a second master runs", LONG, || {
            self.processes(run, "dybox master").into_iter().find(|found| found.container != first.container)
        })
    }

    /// The run of this place, which another client may have submitted.
    fn run(&self) -> String {
        let file = self.place.path().join("job.yaml").display().to_string();
        eventually("the run is known", LONG, || {
            let ps = self.place.dybox(&["ps", "--all", "--output", "json"]);
            let found = serde_json::from_str::<serde_json::Value>(&ps.out).ok()?;
            let run = found["runs"].as_array()?.iter().find(|run| run["job_file"] == file.as_str())?;
            run["run"].as_str().map(str::to_owned)
        })
    }

    /// Promise P5: within 30 s nothing of the run is on any engine or in any grant, and its applications are over.
    #[track_caller]
    fn assert_nothing_left(&self, run: &str) {
        let left = || {
            let processes = self.processes(run, "").into_iter().map(|found| found.words);
            let found = cluster().of_run_on_engines(run).into_iter().chain(processes);
            let live = self.application(run).filter(|app| app["finishedTime"] == 0).map(|app| app["id"].to_string());
            found.chain(live).collect::<Vec<_>>()
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(30) && !left().is_empty() {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(left(), Vec::<String>::new(), "left of {run}");
    }

    /// The chain ran as it should: `b` so many times, all else once, nothing twice at once.
    #[track_caller]
    fn assert_chain(&self, run: &str, times_b: usize) {
        let said = self.place.said();
        assert!(overlaps(&said).is_empty(), "{said:?}");
        let starts = ["a", "b", "c"].map(|stage| self.place.said_by(stage, "start"));
        assert_eq!(starts, [1, times_b, 1], "{said:?}");
        let hooks = std::fs::read_to_string(self.place.path().join("said/hooks")).unwrap_or_default();
        assert_eq!(hooks, "ran\n", "the hook ran more than once");
        self.assert_ended(run, "SUCCEEDED");
    }

    #[track_caller]
    fn assert_ended(&self, run: &str, how: &str) {
        self.assert_nothing_left(run);
        let app = self.application(run).expect("YARN knows it");
        assert_eq!((app["state"].as_str(), app["finalStatus"].as_str()), (Some("FINISHED"), Some(how)), "{app}");
    }

    /// What its files tell of a chain that was killed while `b` ran and after `y` had failed: nothing runs any more.
    #[track_caller]
    fn assert_killed(&self, run: &str) {
        let told = self.place.dybox(&["status", run]).expect(0).says("killed").out;
        assert!(!told.contains("running"), "{told}");
        let status = self.place.status(run);
        let of = |key: &str| [0, 1, 2, 3, 4].map(|at| status["stages"][at][key].clone());
        assert_eq!(of("state"), ["succeeded", "stopped", "waiting", "failed", "failed"], "{status}");
        let tasks = &status["stages"][1]["tasks"];
        assert_eq!((&tasks["running"], &tasks["stopped"]), (&0.into(), &4.into()), "{status}");
        let y = &status["stages"][4];
        assert_eq!((&y["cause"], &y["tries"]), (&"C1024".into(), &0.into()), "{status}");
        let tries = self.place.status(&format!("{run}/b/0"));
        assert_eq!(tries["attempts"][0]["state"], "stopped", "{tries}");
        let all = self.place.dybox(&["ps", "--all", "-o", "json"]).expect(0).json();
        let listed = all["runs"].as_array().into_iter().flatten().find(|one| one["run"] == run).expect("it is listed");
        assert_eq!(listed["state"], "stopped", "{listed}");
    }

    /// Lets what runs longer otherwise end soon.
    fn shorten(&self) {
        self.place.write("said/short", "");
    }
}

impl Drop for Case {
    /// A failed test's run is not to stand in the way of the next one.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let file = self.place.path().join("job.yaml").display().to_string();
            let ps = self.place.start(&["ps", "--all", "--output", "json"]).end(Duration::from_secs(60));
            let found: serde_json::Value = serde_json::from_str(&ps.out).unwrap_or_default();
            let mine = found["runs"].as_array().into_iter().flatten().filter(|run| run["job_file"] == file.as_str());
            for run in mine.filter_map(|run| run["run"].as_str()) {
                self.place.start(&["stop", run, "--yes", "--now"]).end(Duration::from_secs(60));
            }
        }
    }
}

/// Ends the session `steady`, whatever the test did.
struct StopsSession<'a>(&'a Case);

impl Drop for StopsSession<'_> {
    fn drop(&mut self) {
        self.0.place.start(&["session", "stop", "steady", "--now"]).end(Duration::from_secs(240));
    }
}

fn end(follow: Follow) -> Done {
    follow.end(Duration::from_secs(240))
}

#[test]
fn an_application_that_yarn_kills_leaves_nothing_and_resume_finishes_it() {
    let _held = beside_others();
    // What wants more than any machine has, as long as x has no result, ends without a try.
    let more = concat!(
        "  x: { needs: [a], retry: { max: 0 }, script: \"[ -e /said/short ] || exit 3; echo 64 > $DYBOX_RESULT\" }\n",
        "  y: { needs: { x: finished }, memory: \"${results.x == 64 ? 64 : 900000}MiB\", command: [\"true\"] }\nhooks:",
    );
    let chain = CHAIN.replace("b: {", "b: { parallelism: 4,").replace("seq 20", "seq 1000").replace("hooks:", more);
    let case = Case::new(&chain);
    let follow = case.follow();
    case.place.until_said("b", "beat", 4);
    let run = case.run();
    eventually("y has failed", LONG, || (case.place.status(&run)["stages"][4]["state"] == "failed").then_some(()));
    let id = case.application(&run).expect("YARN knows it")["id"].as_str().expect("an id").to_owned();
    let kill = ["org.apache.hadoop.yarn.client.cli.ApplicationCLI", "application", "-kill", &id];
    assert!(cluster().java(&kill).output().expect("java").status.success());
    case.assert_nothing_left(&run);
    end(follow).expect(6).says("killed").says("dybox resume");
    case.assert_killed(&run);
    case.shorten();
    // It goes on where it was killed, with what had failed.
    case.place.dybox(&["resume", &run]).expect(1).says("c succeeded");
    assert_eq!(
        (case.place.said_by("a", "start"), case.place.said_by("b", "start"), case.place.said_by("c", "start")),
        (1, 8, 1)
    );
    assert!(overlaps(&case.place.said()).is_empty());
    case.assert_ended(&run, "FAILED");
}

#[test]
fn a_stopped_run_leaves_nothing() {
    let _held = beside_others();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let run = case.detached();
    case.place.until_said("b", "beat", 1);
    case.place.dybox(&["stop", &run, "--yes"]).expect(0);
    case.assert_nothing_left(&run);
    case.place.dybox(&["status", &run]).says("stopped");
    assert_eq!((case.place.said_by("b", "start"), case.place.said_by("c", "start")), (1, 0));
}

#[test]
fn a_killed_master_is_replaced_while_its_tasks_run_on() {
    let _held = beside_others();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let first = case.master(&run);
    first.process.signal(Signal::SIGKILL);
    case.next_master(&run, &first);
    case.shorten();
    end(follow).expect(0);
    case.assert_chain(&run, 1);
    assert_eq!(case.place.said().iter().filter(|line| line.attempt > 1).count(), 0);
}

#[test]
fn a_master_killed_between_a_decision_and_its_effect_leaves_the_same_stages_to_the_next() {
    let _held = beside_others();
    let case = Case::new(concat!(
        "stages:\n  a: { script: \". /said/fns; say start; say end\" }\n",
        "hooks: [{ after: [a], run: [sh, -c, \"echo ran >> SAID/hooks; cat SAID/answer\"] }]\n",
        "on_exit: { tell: { command: [echo, \"it ${run.state}\"] } }\n",
    ));
    case.place.write(
        "said/answer",
        r#"{"add": {
             "b": {"parallelism": 2, "memory": "96MiB", "script": ". /said/fns; say start; sleep 3; echo 7 > $DYBOX_RESULT; say end"},
             "c": {"needs": ["b"], "script": ". /said/fns; say start; echo ${results.b[1]}; say end"}}}"#,
    );
    let follow = case.follow();
    let run = case.run();
    let first = case.master(&run);
    // Its tasks need grants of a size that nobody has asked for yet: what is added is known some time before it runs.
    eventually("the decision is written down", LONG, || {
        let status: serde_json::Value =
            serde_json::from_str(&case.place.dybox(&["status", &run, "-o", "json"]).out).ok()?;
        status.to_string().contains("\"b\"").then_some(())
    });
    first.process.signal(Signal::SIGKILL);
    case.next_master(&run, &first);
    end(follow).expect(0);
    case.assert_chain(&run, 2);
    case.place.dybox(&["logs", &run, "c"]).expect(0).says("7");
    case.place.dybox(&["logs", &run, "tell"]).expect(0).says("it succeeded");
    case.place.dybox(&["graph", &run]).expect(0).says("c  succeeded");
}

#[test]
fn masters_that_die_too_often_end_the_run_and_resume_finishes_it() {
    let _held = beside_others();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let first = case.master(&run);
    first.process.signal(Signal::SIGKILL);
    let second = case.next_master(&run, &first);
    // It may die before or after it is in control.
    second.process.signal(Signal::SIGKILL);
    end(follow).expect(9).says("dybox resume");
    case.assert_nothing_left(&run);
    case.place.dybox(&["status", &run]).says("lost").says("failed 2 times");
    let ended = case.place.said().len();
    case.shorten();
    case.place.dybox(&["resume", &run]).expect(0);
    assert!(case.place.said().len() > ended);
    case.assert_chain(&run, 2);
}

#[test]
fn a_killed_proxy_costs_no_retry_of_the_user() {
    let _held = beside_others();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let proxies = case.processes(&run, "dybox proxy");
    assert!(!proxies.is_empty());
    proxies.iter().for_each(|proxy| proxy.process.signal(Signal::SIGKILL));
    case.place.until_said("b", "start", 2);
    case.shorten();
    end(follow).expect(0);
    case.assert_chain(&run, 2);
    case.place.dybox(&["why", &format!("{run}/b/0")]).expect(0).says("C2008");
}

#[test]
fn a_resource_manager_that_comes_back_finds_the_run_going_on() {
    let _alone = Alone::take();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 40"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    cluster().kill(Daemon::ResourceManager);
    case.place.until_said("b", "beat", 5);
    cluster().revive(Daemon::ResourceManager);
    end(follow).expect(0);
    // The run may end before it answers, and what can't be asked about looks as if nothing were left.
    cluster().until_ready();
    case.assert_chain(&run, 1);
}

#[test]
fn a_resource_manager_that_comes_back_finds_a_session_with_its_run() {
    let _alone = Alone::take();
    let case = Case::new(
        "stages:\n  a: { stop_grace: 1s, script: \". /said/fns; say start; for i in $(seq 600); do [ -e /said/short ] && break; say beat; sleep 0.2; done; say end\" }\n",
    );
    let start = ["session", "start", "steady", "--grants", "2", "--memory", "256MiB"];
    case.place.dybox(&start).expect(0);
    let _stops = StopsSession(&case);
    let run = || case.place.start(&["run", "job.yaml", "--session", "steady", "--detach"]);
    let first = end(run()).expect(0).run_id();
    case.place.until_said("a", "beat", 1);
    cluster().kill(Daemon::ResourceManager);
    // Nobody can find the session now: nothing is submitted, and that is said.
    end(run()).expect(5).says("resourcemanager");
    let beats = case.place.said_by("a", "beat");
    cluster().revive(Daemon::ResourceManager);
    eventually("the ResourceManager answers", LONG, || {
        (case.place.start(&["session", "ls"]).end(LONG).code == 0).then_some(())
    });
    // The session may register again a little later: its runs are reached, and new ones wait for it.
    case.place.until_said("a", "beat", beats + 2);
    end(case.place.start(&["stop", &first, "--yes", "--now"])).expect(0);
    let second = end(run()).expect(0).run_id();
    case.place.until_said("a", "start", 2);
    case.shorten();
    for (run, state) in [(&first, "stopped"), (&second, "succeeded")] {
        eventually(&format!("{run} is {state}"), LONG, || {
            case.place.dybox(&["status", run]).out.contains(state).then_some(())
        });
    }
    assert_eq!(case.place.said_by("a", "start"), 2, "nothing ran twice");
    for run in [&first, &second] {
        assert_eq!(cluster().of_run_on_engines(run), Vec::<String>::new());
    }
}

#[test]
fn a_node_manager_that_comes_back_soon_loses_nothing() {
    let _alone = Alone::take();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 40"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let node = case.processes(&run, "dybox proxy").pop().expect("a proxy runs").node;
    cluster().restart(Daemon::NodeManager(node));
    end(follow).expect(0);
    case.assert_chain(&run, 1);
}

#[test]
fn a_node_manager_that_stays_away_costs_one_attempt() {
    let _alone = Alone::take();
    // On another machine than its master, so that one loss is looked at.
    let case = Case::new(&CHAIN.replace("seq 20", "seq 200"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let node = case.processes(&run, "dybox proxy").pop().expect("a proxy runs").node;
    cluster().kill(Daemon::NodeManager(node));
    case.place.until_said("b", "start", 2);
    case.shorten();
    end(follow).expect(0);
    cluster().revive(Daemon::NodeManager(node));
    cluster().until_ready();
    case.assert_chain(&run, 2);
}

#[test]
fn a_run_that_ends_beside_a_dead_node_manager_does_not_wait_for_it() {
    let _alone = Alone::take();
    let case = Case::new(concat!(
        "stages:\n  a: { parallelism: 3, placement: { spread: host }, ",
        "script: \". /said/fns; say start; until [ -e /said/short ]; do sleep 0.2; done; say end\" }\n",
    ));
    let follow = case.follow();
    case.place.until_said("a", "start", 3);
    let run = case.run();
    let master = case.master(&run).node;
    let proxies = case.processes(&run, "dybox proxy");
    let node = proxies.iter().map(|proxy| proxy.node).find(|node| *node != master).expect("it uses all nodes");
    cluster().kill(Daemon::NodeManager(node));
    case.shorten();
    end(follow).expect(0);
    // A master waits for half a minute where a proxy does not leave. All have left, and YARN can't tell that of one.
    eventually("its application has ended", Duration::from_secs(25), || {
        (case.application(&run)?["state"] == "FINISHED").then_some(())
    });
    cluster().revive(Daemon::NodeManager(node));
    cluster().until_ready();
    case.assert_nothing_left(&run);
}

#[test]
fn an_engine_that_stands_still_keeps_what_runs_and_gets_nothing_new() {
    let _alone = Alone::take();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let node = case.processes(&run, "dybox proxy").pop().expect("a proxy runs").node;
    cluster().signal(Daemon::Engine(node), Signal::SIGSTOP);
    case.shorten();
    end(follow).expect(0);
    let tries = case.place.said().iter().filter(|line| line.stage == "c").map(|line| line.attempt).max();
    assert!(tries > Some(1), "{:?}", case.place.said());
    case.place.dybox(&["why", &format!("{run}/c/0")]).expect(0).says("C2003");
    cluster().signal(Daemon::Engine(node), Signal::SIGCONT);
    case.assert_chain(&run, 1);
}

#[test]
fn an_engine_that_is_killed_loses_its_tasks() {
    let _alone = Alone::take();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let node = case.processes(&run, "dybox proxy").pop().expect("a proxy runs").node;
    cluster().kill(Daemon::Engine(node));
    case.place.until_said("b", "beat", 2);
    cluster().revive(Daemon::Engine(node));
    case.shorten();
    end(follow).expect(0);
    let times = case.place.said_by("b", "start");
    assert!(times <= 2);
    case.assert_chain(&run, times);
}

#[test]
fn a_file_system_that_restarts_holds_up_nothing_but_the_end() {
    let _alone = Alone::take();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    cluster().kill(Daemon::NameNode);
    cluster().kill(Daemon::DataNode);
    case.shorten();
    case.place.until_said("b", "end", 1);
    cluster().revive(Daemon::NameNode);
    cluster().revive(Daemon::DataNode);
    end(follow).expect(0);
    case.assert_chain(&run, 1);
    case.place.dybox(&["logs", &run]).expect(0);
}

#[test]
fn an_old_master_that_wakes_up_is_fenced() {
    let _held = beside_others();
    let case = Case::new(&CHAIN.replace("seq 20", "seq 1000"));
    let follow = case.follow();
    case.place.until_said("b", "beat", 1);
    let run = case.run();
    let first = case.master(&run);
    first.process.signal(Signal::SIGSTOP);
    let second = case.next_master(&run, &first);
    first.process.signal(Signal::SIGCONT);
    eventually("the first has left", LONG, || (!first.process.lives()).then_some(()));
    assert!(second.process.lives());
    case.shorten();
    end(follow).expect(0);
    case.assert_chain(&run, 1);
}

#[test]
fn what_a_queue_takes_back_is_tried_again() {
    let _alone = Alone::take();
    let case = Case::new(
        "stages:\n  b: { parallelism: 5, memory: 4GiB, stop_grace: 1s, retry: { max: 0 }, script: \". /said/fns; say start; for i in $(seq 1000); do [ -e /said/short ] || sleep 0.2; done; say end\" }\n",
    );
    let follow = case.follow();
    case.place.until_said("b", "start", 5);
    let run = case.run();
    let other = Case::new(
        "stages:\n  b: { parallelism: 2, memory: 4GiB, stop_grace: 1s, script: \". /said/fns; say start; say end\" }\n",
    );
    end(other.place.start(&["run", "--queue", "etl", "job.yaml"])).expect(0);
    case.shorten();
    end(follow).expect(0);
    let said = case.place.said();
    assert!(overlaps(&said).is_empty(), "{said:?}");
    assert!(case.place.said_by("b", "start") > 5, "nothing was preempted");
    assert_eq!(case.place.said_by("b", "end"), 5);
    case.assert_ended(&run, "SUCCEEDED");
}
