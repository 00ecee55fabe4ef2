//! Sessions on a cluster: real YARN, real HDFS, a Docker engine on each of two nodes, the real `dybox`.

use std::collections::BTreeSet;
use std::time::Duration;

use dybox_tests::cluster::{Cluster, Options};
use dybox_tests::{Done, Workspace, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);
/// A payload's way to wait until the test says so; it gives up in the end, so that no failure hangs.
const UNTIL_GO: &str = "for i in $(seq 600); do [ -e /said/go ] && break; sleep 0.2; done";

fn cluster() -> &'static Cluster {
    Cluster::shared_as(&Options { nodes: 2, ..Options::default() })
}

/// A user with a session, which is stopped when this is dropped.
struct User {
    place: Workspace,
    name: &'static str,
}

impl User {
    fn with(name: &'static str, more: &[&str]) -> Self {
        let user = Self { place: Workspace::of_cluster(cluster()), name };
        let words = ["session", "start", name, "--memory", "256MiB"];
        user.dybox(&[&words[..], more].concat()).expect(0);
        user
    }

    fn dybox(&self, args: &[&str]) -> Done {
        self.place.start(args).end(LONG)
    }

    fn job(&self, stages: &str) {
        self.place.job(&stages.replace("UNTIL_GO", UNTIL_GO));
    }

    fn run(&self, more: &[&str]) -> Done {
        self.dybox(&[&["run", "job.yaml", "--session", self.name], more].concat())
    }

    fn detach(&self) -> String {
        self.run(&["--detach"]).expect(0).run_id()
    }

    fn go(&self) {
        self.place.write("said/go", "");
    }

    fn session(&self) -> Option<Value> {
        let all = self.dybox(&["session", "ls", "-o", "json"]).expect(0).json();
        all["sessions"].as_array()?.iter().find(|session| session["session"] == self.name).cloned()
    }

    fn grants(&self) -> BTreeSet<String> {
        let session = self.session().expect("a session");
        let grants = session["grants"].as_array().cloned().unwrap_or_default();
        grants.iter().map(|grant| text(&grant["container"])).collect()
    }

    /// Ends a process of this session's application: its master, or the agent in a container.
    fn kill(&self, words: &str, container: Option<&str>) {
        let application = text(&self.session().expect("a session")["application"]).replace("application", "container");
        let of = |found: &str| match container {
            Some(container) => found == container,
            None => found.starts_with(&application),
        };
        let found: Vec<_> = cluster().in_grants(words).into_iter().filter(|found| of(&found.container)).collect();
        assert!(!found.is_empty(), "nobody runs {words}");
        found.iter().for_each(|found| found.process.signal(Signal::SIGKILL));
    }

    /// What is promised after every run: nothing of it is left on an engine, and it can be read.
    fn over(&self, run: &str) {
        eventually(&format!("nothing of {run} is left"), Duration::from_secs(60), || {
            cluster().of_run_on_engines(run).is_empty().then_some(())
        });
        assert_eq!(applications(run), 0, "a run in a session has no application of its own");
        self.dybox(&["logs", run]).expect(0);
    }
}

impl Drop for User {
    fn drop(&mut self) {
        drop(self.place.start(&["session", "stop", self.name, "--now"]).end(LONG));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn applications(run: &str) -> usize {
    let answer = cluster().rest(&format!("/ws/v1/cluster/apps?applicationTags=dybox-run:{run}"));
    let answer = answer.expect("the ResourceManager answers");
    answer["apps"]["app"].as_array().map_or(0, Vec::len)
}

#[test]
fn runs_share_the_grants_of_a_session_and_end_with_it() {
    let user = User::with("share", &["--grants", "2"]);
    let warm = user.grants();
    assert_eq!(warm.len(), 2);
    user.job("stages:\n  a: { script: \"echo '{\\\"n\\\": 7}' > $DYBOX_RESULT\" }\n  b: { needs: [a], script: \"cat $DYBOX_NEEDS\" }\n");
    for _ in 0..2 {
        let run = user.run(&[]).expect(0).run_id();
        user.dybox(&["logs", &run, "b"]).expect(0).says("\"n\":7");
        user.over(&run);
    }
    // Two at once, and a third that waits with a reason.
    user.job("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO\" }\n");
    let runs = [user.detach(), user.detach()];
    user.place.until_said("a", "start", 2);
    let third = user.detach();
    eventually("it says why it waits", LONG, || {
        user.dybox(&["why", &third]).out.contains("session share has all of its 2 grants in use").then_some(())
    });
    user.dybox(&["ps", "-o", "json"]).expect(0).says(&third);
    user.go();
    for run in runs.iter().chain([&third]) {
        user.place.until_state(run, "succeeded");
        user.over(run);
    }
    assert_eq!(user.grants(), warm, "no grant was taken or given back for a run");
    let shell = ["shell", "--session", "share", "--image", "dybox-test/busybox:1", "--memory", "64MiB"];
    let done = user.dybox(&[&shell[..], &["--", "sh", "-c", "echo out; exit 5"]].concat()).expect(5);
    assert_eq!(done.out, "out\n");
    // Sub-DAGs that come later are in the session, too.
    user.job(
        "stages:\n  a: { subdag: one, script: \"true\" }\n  b: { subdag: two, needs: [a], script: \"echo later\" }\n",
    );
    let run = user.run(&[]).expect(0).run_id();
    user.dybox(&["logs", &run, "b"]).expect(0).says("later");
    user.over(&run);
    // A session that is stopped ends its runs as `dybox stop` does.
    std::fs::remove_file(user.place.path().join("said/go")).expect("it is there");
    user.job("stages:\n  a: { script: \". /said/fns; say last; UNTIL_GO\", stop_grace: 1s }\n");
    let run = user.detach();
    user.place.until_said("a", "last", 1);
    user.dybox(&["session", "stop", "share"]).expect(0);
    assert_eq!(user.place.status(&run)["run"]["state"], "stopped");
    user.over(&run);
    assert_eq!(user.session(), None);
    user.dybox(&["session", "stop", "share"]).expect(7);
}

#[test]
fn the_death_of_a_sessions_master_costs_no_task() {
    let user = User::with("phoenix", &["--grants", "2"]);
    user.job("stages:\n  a: { parallelism: 2, script: \". /said/fns; say start; UNTIL_GO\" }\n  b: { needs: [a], script: \"echo whole\" }\n");
    let run = user.detach();
    user.place.until_said("a", "start", 2);
    let grants = user.grants();
    user.kill("dybox master", None);
    eventually("the next master knows its agents", LONG, || {
        let session = user.session().filter(|session| session["grants"].is_array())?;
        let busy = |grant: &Value| grant["state"] == "busy";
        (session["grants"].as_array()?.iter().filter(|grant| busy(grant)).count() == 2).then_some(())
    });
    assert_eq!(user.grants(), grants);
    user.go();
    user.place.until_state(&run, "succeeded");
    assert_eq!(user.place.said_by("a", "start"), 2, "each task ran once");
    user.over(&run);
    let run = user.run(&[]).expect(0).run_id();
    user.over(&run);
}

/// What is left of the runs on all engines, made by whichever of them.
fn left(runs: &[String]) -> Vec<String> {
    runs.iter().flat_map(|run| cluster().of_run_on_engines(run)).collect()
}

#[test]
fn a_warm_container_outlives_its_run_and_takes_the_same_task_of_the_next() {
    let user = User::with("warm", &["--grants", "1"]);
    let job =
        "stages:\n  a: { reuse: true, script: \"cat /tmp/old; echo $DYBOX_RUN | tee /tmp/old; echo more >&2\" }\n";
    let container = |run: &str| text(&user.place.status(&format!("{run}/a/0"))["attempts"][0]["container"]);
    user.job(job);
    let runs: Vec<_> = (0..3).map(|_| user.run(&[]).expect(0).run_id()).collect();
    for run in &runs {
        let said = user.dybox(&["logs", run, "--no-prefix"]).expect(0).out;
        let lines: BTreeSet<_> = said.lines().filter(|line| !line.contains("/tmp/old")).collect();
        assert_eq!(lines, BTreeSet::from([run.as_str(), "more"]), "its own output and variables, and an empty /tmp");
    }
    let warm = container(&runs[0]);
    assert!(!warm.is_empty() && runs.iter().all(|run| container(run) == warm), "one container for all");
    // Another task gets another container, and the one that waited is gone.
    user.job("stages:\n  a: { reuse: true, script: \"echo other\" }\n");
    let other = user.run(&[]).expect(0).run_id();
    assert_ne!(container(&other), warm);
    eventually("the first one is gone", LONG, || left(&runs).is_empty().then_some(()));
    // The agent dies: what waits dies with it, and whoever works there next clears up.
    user.job(job);
    let run = user.run(&[]).expect(0).run_id();
    eventually("one container waits", LONG, || (left(std::slice::from_ref(&run)).len() == 1).then_some(()));
    let grant = user.grants().pop_first().expect("a grant");
    user.kill("dybox proxy", Some(&grant));
    // On the same node or the other: a run of two that can't be on one machine has a proxy on each.
    let both = "stages:\n  b: { parallelism: 2, placement: { max_per_host: 1 }, memory: 64MiB, script: \"sleep 2\" }\n";
    user.job(both);
    let sweeps = user.dybox(&["run", "job.yaml"]).expect(0).run_id();
    cluster().assert_over(&sweeps);
    eventually("its container was swept", LONG, || left(std::slice::from_ref(&run)).is_empty().then_some(()));
    // With the session goes what waits in it.
    user.job(job);
    let last = user.run(&[]).expect(0).run_id();
    user.dybox(&["session", "stop", "warm"]).expect(0);
    eventually("nothing is left", LONG, || left(std::slice::from_ref(&last)).is_empty().then_some(()));
}

#[test]
fn an_agent_that_dies_is_replaced_and_its_task_runs_again() {
    let user = User::with("agents", &["--grants", "1"]);
    user.job("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO; echo done\" }\n");
    let run = user.detach();
    user.place.until_said("a", "start", 1);
    let container = user.grants().pop_first().expect("a grant");
    user.kill("dybox proxy", Some(&container));
    user.place.until_said("a", "start", 2);
    user.go();
    user.place.until_state(&run, "succeeded");
    user.over(&run);
    assert!(!user.grants().contains(&container));
}

#[test]
fn what_nobody_uses_goes_back_to_yarn_and_comes_again() {
    let user = User::with("idle", &["--grants", "1", "--idle", "2s", "--keep", "20s"]);
    eventually("the grant went back", LONG, || user.grants().is_empty().then_some(()));
    user.job("stages:\n  a: { script: \"echo here\" }\n");
    let run = user.run(&[]).expect(0).run_id();
    user.over(&run);
    eventually("nobody came, it ended by itself", LONG, || user.session().is_none().then_some(()));
}

#[test]
fn what_makes_no_session_is_refused() {
    let user = User::with("once", &["--grants", "0", "--max", "1"]);
    user.dybox(&["session", "start", "once"]).expect(8);
    user.dybox(&["session", "start", "Bad:Name"]).expect(2);
    user.job("stages:\n  a: { script: \"true\" }\n");
    user.dybox(&["run", "job.yaml", "--session", "nobody"]).expect(7);
    user.dybox(&["run", "job.yaml", "--session", "once", "--local"]).expect(2);
    user.run(&[]).expect(0);
}
