//! The roster in use, on real YARN: an agent for the engine of each of three nodes, two state servers, and masters that
//! heed them; judged by what YARN and the engines have.

use std::time::Duration;

use dybox_tests::cluster::{Cluster, Daemon, Options, node_host};
use dybox_tests::{Done, Follow, Part, RosterWorld, Workspace, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);
/// Two tasks on each node, and one that waits, so that somebody can be asked why; then as many that may go anywhere.
const JOB: &str = concat!(
    "stages:\n",
    "  a: { parallelism: 7, placement: { max_per_host: 2, hard: true }, script: \". /said/fns; say start; UNTIL(go)\" }\n",
    "  b: { needs: [a], parallelism: 6, script: \". /said/fns; say start; UNTIL(go2)\" }\n",
);

fn cluster() -> &'static Cluster {
    Cluster::shared_as(&Options::default())
}

/// Lets an engine go on, whatever the test did.
struct Frozen(usize);

impl Frozen {
    fn engine(number: usize) -> Self {
        cluster().signal(Daemon::Engine(number), Signal::SIGSTOP);
        Self(number)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        cluster().signal(Daemon::Engine(self.0), Signal::SIGCONT);
    }
}

/// A user who knows the state servers.
struct User<'a> {
    place: Workspace,
    roster: &'a RosterWorld,
    servers: &'a str,
}

impl<'a> User<'a> {
    fn of(roster: &'a RosterWorld, servers: &'a str) -> Self {
        let place = Workspace::of_cluster(cluster());
        let until =
            |file: &str| format!("for i in $(seq 900); do [ -e /said/{file} ] && exit 0; sleep 0.2; done; exit 8");
        place.job(&JOB.replace("UNTIL(go)", &until("go")).replace("UNTIL(go2)", &until("go2")));
        Self { place, roster, servers }
    }

    fn dybox(&self, args: &[&str]) -> Done {
        let mut command = self.place.command(args);
        command.env("DYBOX_STATE_SERVERS", self.servers);
        command.env("DYBOX_STATE_IDENTITY", self.roster.file("reader.pem"));
        Follow::start(&mut command).end(LONG)
    }

    fn detach(&self) -> String {
        self.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id()
    }

    fn go(&self, file: &str) {
        self.place.write(&format!("said/{file}"), "");
    }

    fn until_started(&self, stage: &str, count: usize) {
        let said = || self.place.said().iter().filter(|line| line.stage == stage && line.what == "start").count();
        eventually(&format!("{count} of {stage} run"), LONG, || (said() >= count).then_some(()));
        assert_eq!(said(), count, "{stage}");
    }

    fn until_why(&self, run: &str, words: &str) {
        eventually(&format!("`why` says {words:?}"), LONG, || {
            self.dybox(&["why", run]).expect(0).out.contains(words).then_some(())
        });
    }

    fn until_succeeded(&self, run: &str) {
        eventually(&format!("{run} has succeeded"), LONG, || {
            let status = self.dybox(&["status", run, "-o", "json"]).expect(0).json();
            (status["run"]["state"] == "succeeded").then_some(())
        });
    }

    fn plan(&self) -> (String, Value) {
        let plan = |more: &[&str]| self.dybox(&[&["plan", "job.yaml"], more].concat()).expect(0);
        (plan(&[]).out, plan(&["-o", "json"]).json()["plans"][0]["cluster"]["roster"].clone())
    }

    /// The roster as a plan sees it, once that is so. The machine may be too busy for an answer within 200 ms.
    fn until_plan(&self, fits: impl Fn(&str, &Value) -> bool) -> (String, Value) {
        eventually("a plan shows it", LONG, || Some(self.plan()).filter(|(text, json)| fits(text, json)))
    }
}

/// How many containers of a run live on a node's engine.
fn on_node(run: &str, number: usize) -> usize {
    let filter = format!("label=dybox.run={run}");
    let done = cluster().engine(number).docker(&["ps", "-q", "--filter", &filter]);
    String::from_utf8_lossy(&done.stdout).lines().count()
}

/// A payload may speak a moment before its engine calls its container running.
fn until_on_nodes(run: &str, wanted: [usize; 3]) {
    let there = || [1, 2, 3].map(|number| on_node(run, number));
    eventually(&format!("{wanted:?} on the nodes"), LONG, || (there() == wanted).then_some(()));
}

/// Nodes on which YARN holds containers of a run, but for the master's own.
fn granted_on(run: &str) -> Vec<String> {
    let apps = cluster().rest(&format!("/ws/v1/cluster/apps?applicationTags=dybox-run:{run}")).expect("it answers");
    let id = apps["apps"]["app"][0]["id"].as_str().unwrap_or_default().to_owned();
    let attempt = format!("{}_000001", id.replace("application", "appattempt"));
    let all =
        cluster().rest(&format!("/ws/v1/cluster/apps/{id}/appattempts/{attempt}/containers")).expect("it answers");
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = all["container"].as_array().cloned().unwrap_or_default().into_iter();
    let live =
        all.filter(|one| text(one, "containerState") != "COMPLETE" && !text(one, "containerId").ends_with("_000001"));
    live.map(|one| text(&one, "assignedNodeId").split(':').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn no_task_goes_where_the_roster_says_no_and_without_it_runs_work_as_before() {
    let hosts: Vec<String> = (1..=3).map(node_host).collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let roster = RosterWorld::new(&names);
    let ((mut one, port_one), (two, port_two)) = (roster.server("one", 0), roster.server("two", 0));
    let (first, both) = (format!("127.0.0.1:{port_one}"), format!("127.0.0.1:{port_one},127.0.0.1:{port_two}"));
    let agent = |number: usize| {
        let (host, socket) = (node_host(number), cluster().layout().docker(number));
        roster.agent(&host, &format!("node-{host}.pem"), &socket, &both)
    };
    let _agents: Vec<Part> = (1..=3).map(agent).collect();
    for host in &names {
        roster.until(&format!("{host} is known"), &first, host, |node| node["health"] != "unknown");
    }

    drained(&roster, &both, &hosts[1]);
    frozen(&roster, &both, &hosts[2]);
    in_session(&roster, &both);

    // In the middle of a run one state server dies, and one stands still, which takes lines and never answers: nobody
    // misses them.
    let user = User::of(&roster, &both);
    let run = user.detach();
    user.until_started("a", 6);
    one.kill();
    two.signal(Signal::SIGSTOP);
    user.go("go");
    user.until_started("b", 6);
    user.go("go2");
    user.until_succeeded(&run);
    // And from the start.
    let user = User::of(&roster, &both);
    assert!(user.plan().0.contains("roster: no state server answers within 200 ms; a run goes on without"));
    let plans = |servers: &str| {
        let user = User::of(&roster, servers);
        (0..5).map(|_| user.dybox(&["plan", "job.yaml"]).expect(0).took).min().expect("five")
    };
    let (without, with) = (plans(""), plans(&both));
    // Half a second more where the machine is busy; a dial waits for two.
    assert!(with < without + Duration::from_millis(700), "a plan took {with:?}, without state servers {without:?}");
    user.go("go");
    user.go("go2");
    user.dybox(&["run", "job.yaml"]).expect(0);
}

/// A drain while a run has tasks there: they end, and nothing new comes.
fn drained(roster: &RosterWorld, servers: &str, host: &str) {
    let user = User::of(roster, servers);
    let run = user.detach();
    user.until_started("a", 6);
    until_on_nodes(&run, [2, 2, 2]);
    let done = roster.ask(servers, "operator.pem", &["nodes", "drain", host, "--why", "new disk"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    user.until_why(&run, &format!("the roster closes {host} (drained by "));
    assert_eq!([1, 2, 3].map(|number| on_node(&run, number)), [2, 2, 2], "what runs there is left alone");
    let (text, json) = user.until_plan(|_, json| json["server"].is_string());
    assert!(text.contains(&format!("nothing is asked for on: {host} (drained by ")), "{text}");
    assert_eq!(json["closed"][0]["host"], host, "{json}");
    assert_eq!(json["images"]["dybox-test/busybox:1"].as_array().map(Vec::len), Some(3), "{json}");
    user.go("go");
    user.until_started("b", 6);
    eventually("the drained machine is empty", LONG, || (on_node(&run, 2) == 0).then_some(()));
    assert!(!granted_on(&run).contains(&host.to_owned()), "{:?}", granted_on(&run));
    user.go("go2");
    user.until_succeeded(&run);
    // No task was tried twice.
    let tries = user.place.said().iter().filter(|line| line.what == "start").count();
    assert_eq!(tries, 13);
    assert!(roster.ask(servers, "operator.pem", &["nodes", "undrain", host]).status.success());
}

/// A drain of a machine on which a session holds warm grants: they stay, and get no task of its runs.
fn in_session(roster: &RosterWorld, servers: &str) {
    let user = User::of(roster, servers);
    let start = ["session", "start", "warm", "--grants", "6", "--max", "12", "--memory", "256MiB"];
    user.dybox(&start).expect(0);
    let all = user.dybox(&["session", "ls", "-o", "json"]).expect(0).json();
    let grants = all["sessions"][0]["grants"].as_array().cloned().unwrap_or_default();
    let on = |host: &str| grants.iter().filter(|grant| grant["host"] == *host).count();
    let number = (1..=3).max_by_key(|number| on(&node_host(*number))).expect("three nodes");
    let host = node_host(number);
    assert!(on(&host) > 0, "{grants:?}");
    let drain = ["nodes", "drain", &host, "--why", "new disk"];
    assert!(roster.ask(servers, "operator.pem", &drain).status.success());
    user.until_plan(|text, _| text.contains(&format!("nothing is asked for on: {host} (drained by ")));
    let run = user.dybox(&["run", "job.yaml", "--session", "warm", "--detach"]).expect(0).run_id();
    // Two on each of the other machines, as its first stage wants it; the rest waits, and says for whom.
    user.until_started("a", 4);
    user.until_why(&run, &format!("the roster closes {host} (drained by "));
    assert_eq!(on_node(&run, number), 0);
    user.go("go");
    user.until_started("b", 6);
    assert_eq!(on_node(&run, number), 0);
    let all = user.dybox(&["session", "ls", "-o", "json"]).expect(0).json();
    let busy = |grant: &&Value| grant["host"] == host.as_str() && grant["state"] == "busy";
    let grants = all["sessions"][0]["grants"].as_array().cloned().unwrap_or_default();
    assert_eq!(grants.iter().filter(busy).count(), 0, "{grants:?}");
    assert!(roster.ask(servers, "operator.pem", &["nodes", "undrain", &host]).status.success());
    user.go("go2");
    user.until_succeeded(&run);
    user.dybox(&["session", "stop", "warm"]).expect(0);
}

/// An engine that stands still before a run comes, and goes on while it waits.
fn frozen(roster: &RosterWorld, servers: &str, host: &str) {
    let user = User::of(roster, servers);
    let engine = Frozen::engine(3);
    let server = servers.split(',').next().unwrap_or_default();
    roster.until_health(server, host, "unusable");
    user.until_plan(|text, _| text.contains(&format!("nothing is asked for on: {host} (the engine ")));
    let run = user.detach();
    user.until_started("a", 4);
    user.until_why(&run, &format!("the roster closes {host} (the engine "));
    assert!(!granted_on(&run).contains(&host.to_owned()), "{:?}", granted_on(&run));
    drop(engine);
    // None there until now, and it is used as soon as it is well.
    user.until_started("a", 6);
    until_on_nodes(&run, [2, 2, 2]);
    user.go("go");
    user.go("go2");
    user.until_succeeded(&run);
}
