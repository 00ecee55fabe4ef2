//! Sessions on a cluster: real YARN, real HDFS, a Docker engine on each of two nodes, the real `dybox`.

use std::collections::BTreeSet;
use std::time::Duration;

use dybox_tests::cluster::{Answer, Cluster, Daemon, Options, request};
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

    fn application(&self) -> String {
        text(&self.session().expect("a session")["application"])
    }

    fn grants(&self) -> BTreeSet<String> {
        let session = self.session().expect("a session");
        let grants = session["grants"].as_array().cloned().unwrap_or_default();
        grants.iter().map(|grant| text(&grant["container"])).collect()
    }

    /// Ends a process of this session's application: its master, or the agent in a container.
    fn kill(&self, words: &str, container: Option<&str>) {
        // A ResourceManager that was restarted puts its epoch before this.
        let application = format!("{}_", self.application().trim_start_matches("application"));
        let of = |found: &str| match container {
            Some(container) => found == container,
            None => found.contains(&application),
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

/// A page behind the tracking URL of an application, through the ResourceManager's proxy.
fn tracked(application: &str, query: &str) -> Answer {
    let path = format!("/proxy/{application}/{query}");
    cluster().get(Daemon::ResourceManager, &path).expect("the proxy answers")
}

fn links(page: &Answer) -> Vec<String> {
    let all = page.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    all.map(|link| link.replace("&amp;", "&").replace("&#38;", "&")).collect()
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
    // The session lives, and its other proxy wrote of other runs.
    let told = user.dybox(&["logs", "--system", &third]).expect(0).out;
    let wrote = |who: &str| {
        let names = told.lines().filter_map(|line| line.split_once(" | ")).map(|(name, _)| name);
        names.filter(|name| name.starts_with(who)).collect::<BTreeSet<_>>().len()
    };
    assert_eq!((wrote("master 0"), wrote("proxy ")), (1, 1), "{told}");
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

#[test]
fn the_tracking_url_shows_the_session_and_below_it_its_runs() {
    let user = User::with("pages", &["--grants", "1"]);
    let app = user.application();
    user.job("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO\" }\n");
    let told = user.run(&["--detach"]).expect(0);
    let run = told.run_id();
    told.says(&format!("/proxy/{app}/?run={run}"));
    user.place.until_said("a", "start", 1);
    let second = user.detach();
    let page = eventually("the page tells why the second waits", LONG, || {
        Some(tracked(&app, "")).filter(|page| page.body.contains("session pages has all of its 1 grants in use"))
    });
    assert_eq!(page.status, 200);
    for part in [&run, &second, "1 of at most 1 grants: 1 busy", "1 grant is kept ready, each of 1 cpu, 256MiB", &app] {
        assert!(page.body.contains(part), "{part} is not in {page:?}");
    }
    let grant = user.grants().pop_first().expect("a grant");
    let logs = links(&page).into_iter().find(|link| link.contains(&grant)).expect("a link to the grant's log page");
    assert!(logs.starts_with("http://") && logs.contains("/node/containerlogs/container_"), "{logs}");
    let json = tracked(&app, "?format=json").json().expect("JSON");
    assert_eq!((&json["grants"][0]["run"], &json["grants"][0]["state"]), (&Value::from(run.as_str()), &"busy".into()));
    // Every link to a run, and from its pages to itself, leads where it says.
    let of_run = links(&page).into_iter().find(|link| *link == format!("?run={run}")).expect("a link to the run");
    let page = tracked(&app, &of_run);
    assert!(page.status == 200 && page.body.contains("running") && page.body.contains(&run), "{page:?}");
    assert_eq!(page.body.matches("/node/containerlogs/container_").count(), 1, "{page:?}");
    let stage = links(&page).into_iter().find(|link| link.contains("stage=a")).expect("a link to the stage");
    let stage = tracked(&app, &stage);
    assert!(stage.status == 200 && stage.body.contains("dybox-test/busybox:1"), "{stage:?}");
    assert!(links(&stage).contains(&format!("?run={run}&")) && links(&page).contains(&"?".to_owned()));
    assert!(tracked(&app, &format!("?run={run}&format=json")).json().expect("JSON").to_string().contains(&run));
    assert_eq!(tracked(&app, "?run=01jd0000000000000000000000").status, 404);
    let denied = request("POST", &cluster().page(Daemon::ResourceManager).expect("a page"), &format!("/proxy/{app}/"));
    assert_ne!(denied.expect("an answer").status, 200);
    user.go();
    user.place.until_state(&second, "succeeded");
    let page = eventually("both are over", LONG, || {
        Some(tracked(&app, "")).filter(|page| page.body.matches("succeeded\">").count() == 2)
    });
    assert!(page.body.contains("Runs in hand</h2>\n<p class=\"dim\">none"), "{page:?}");
    let page = tracked(&app, &of_run);
    assert!(page.status == 200 && page.body.contains("1 of 1 succeeded"), "{page:?}");
    assert!(!page.body.contains("http-equiv=\"refresh\""), "nothing more comes");
    user.over(&run);
    user.dybox(&["session", "stop", "pages"]).expect(0);
    let after = eventually("its master is gone", LONG, || Some(tracked(&app, "")).filter(|page| page.status != 200));
    assert!(after.status == 302 && after.head.contains(&format!("/cluster/app/{app}")), "{after:?}");
}

/// Ends an application as an administrator does.
fn kill_application(id: &str) {
    let kill = ["org.apache.hadoop.yarn.client.cli.ApplicationCLI", "application", "-kill", id];
    assert!(cluster().java(&kill).output().expect("java").status.success());
}

#[test]
fn a_run_goes_on_in_a_session_in_the_same_one_again_and_without_one() {
    let user = User::with("again", &["--grants", "1"]);
    user.job("stages:\n  a: { script: \". /said/fns; say start\" }\n  b: { needs: [a], script: \". /said/fns; say try; [ -e /said/good ]\" }\n  c: { subdag: two, needs: [b], script: \". /said/fns; say start; UNTIL_GO\" }\n");
    let run = user.dybox(&["run", "job.yaml"]).expect(1).run_id();
    let before = applications(&run);
    let resume = |more: &[&str]| user.dybox(&[&["resume", &run], more].concat());
    resume(&["--session", "nobody"]).expect(7);
    resume(&["--session", "again"]).expect(1).says("in session again");
    resume(&["--session", "again"]).expect(1);
    assert_eq!(
        (user.place.said_by("a", "start"), user.place.said_by("b", "try")),
        (1, 3),
        "what finished stays, the rest ran each time"
    );
    assert_eq!(applications(&run), before, "a session needs no new application");
    user.place.write("said/good", "");
    resume(&["--session", "again", "--detach"]).expect(0);
    user.place.until_said("c", "start", 1);
    // It lives there: nobody else gets it.
    resume(&["--session", "again"]).expect(8).says("session again, application_");
    resume(&[]).expect(8).says("session again, application_");
    user.dybox(&["ps", "-o", "json"]).expect(0).says(&run);
    // The session dies with it, and it goes on in an application of its own.
    kill_application(&user.application());
    eventually("the run is known to be over", LONG, || {
        let state = text(&user.place.status(&run)["run"]["state"]);
        (state != "running" && state != "submitted").then_some(())
    });
    user.go();
    resume(&[]).expect(0);
    assert!(applications(&run) > before);
    assert_eq!(
        (user.place.said_by("a", "start"), user.place.said_by("b", "try"), user.place.said_by("c", "start")),
        (1, 4, 2)
    );
    resume(&["--session", "again"]).expect(7);
    user.dybox(&["logs", &run]).expect(0);
}

#[test]
fn a_run_that_is_submitted_while_the_master_dies_is_taken_or_said_not_to_be() {
    let user = User::with("hasty", &["--grants", "1"]);
    user.job("stages:\n  a: { script: \". /said/fns; say start\" }\n");
    for (round, pause) in [0, 60, 120].into_iter().enumerate() {
        let submits = user.place.start(&["run", "job.yaml", "--session", "hasty", "--detach"]);
        std::thread::sleep(Duration::from_millis(pause));
        user.kill("dybox master", None);
        // YARN starts the next master within the time that a client waits for it.
        let run = submits.end(LONG).expect(0).run_id();
        user.place.until_state(&run, "succeeded");
        assert_eq!(user.place.said_by("a", "start"), round + 1, "each ran once");
        user.over(&run);
    }
}

#[test]
fn the_same_request_id_twice_in_a_session_is_one_run() {
    let user = User::with("twice", &[]);
    user.job("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO\" }\n");
    let request = format!("nightly-{}", std::process::id());
    let words = ["run", "job.yaml", "--session", user.name, "--detach", "--request-id", &request];
    // Two at once, whoever is faster.
    let both = [user.place.start(&words), user.place.start(&words)];
    let [first, second] = both.map(|one| one.end(LONG).expect(0).run_id());
    assert_eq!(first, second);
    user.place.until_said("a", "start", 1);
    let again = user.dybox(&words).expect(0).says("same request id");
    assert_eq!(again.run_id(), first);
    let runs = user.session().expect("a session")["runs"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs}");
    user.go();
    user.place.until_state(&first, "succeeded");
    assert_eq!(user.dybox(&words).expect(0).run_id(), first, "also when it is over");
    assert_eq!(user.place.said_by("a", "start"), 1, "it ran once");
    user.over(&first);
    user.job("stages:\n  other: { command: [\"true\"] }\n");
    let taken = user.dybox(&words);
    assert_ne!(taken.code, 0, "{taken:?}");
    taken.says(&first);
}
