//! State servers that run on a real cluster themselves, as the job of `jobs/state-server`.

use std::path::Path;
use std::time::Duration;

use dybox_tests::cluster::{Cluster, InGrant, Options, node_host};
use dybox_tests::{Part, RosterWorld, Workspace, eventually, own_image};
use nix::sys::signal::Signal;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);

fn cluster() -> &'static Cluster {
    Cluster::shared_as(&Options { nodes: 2, ..Options::default() })
}

/// State servers that are the job of `jobs/state-server`, and what is under their authority.
struct Served {
    place: Workspace,
    roster: RosterWorld,
    run: String,
}

/// At which address agents of a machine find the state server that runs there: each has a network of its own.
fn served_at(node: usize) -> String {
    format!("{}:7311", node_host(node))
}

impl Served {
    /// Starts one on each of the first machines.
    fn start(servers: usize) -> Self {
        const IMAGE: &str = "dybox-test/dybox:1";
        let hosts: Vec<String> = (1..=servers).map(node_host).collect();
        (1..=servers).for_each(|node| own_image(&cluster().engine(node), IMAGE));
        let roster = RosterWorld::new(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
        let place = Workspace::of_cluster(cluster());
        let job = Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobs/state-server/job.yaml");
        let mut text = std::fs::read_to_string(job).expect("the example");
        if servers > 1 {
            let nodes = format!("parallelism: {servers}\n    placement: {{ nodes: {hosts:?}");
            text = text.replace("placement: { nodes: [\"${params.host}\"]", &nodes);
        }
        place.write("job.yaml", &text);
        std::fs::copy(roster.file("server.pem"), place.path().join("server.pem")).expect("a certificate");
        let (on, image) = (format!("host={}", hosts[0]), format!("image={IMAGE}"));
        let words = ["run", "--detach", "job.yaml", "--param", &on, "--param", &image];
        let run = place.dybox(&words).expect(0).run_id();
        Self { place, roster, run }
    }

    fn agent(&mut self, node: usize) -> Part {
        self.roster.move_to(cluster(), node);
        let lib = self.roster.path().join(format!("lib-{node}"));
        self.roster.agent_in(&node_host(node), &cluster().layout().docker(node), &served_at(node), &lib)
    }

    /// Waits until attempt `number` of the only server runs, and has heard of its machine; its container.
    fn until_back(&self, number: usize) -> String {
        let task = format!("{}/serve/0", self.run);
        eventually(&format!("attempt {number} runs"), LONG, || {
            // No attempt is known before the master has begun.
            let told = self.place.dybox(&["status", &task, "-o", "json"]);
            let last = (told.code == 0).then(|| told.json()["attempts"].as_array()?.last().cloned())??;
            (last["attempt"] == number && last["ports"][0]["address"] == served_at(1).as_str()).then_some(())
        });
        self.roster.until_health(&served_at(1), &node_host(1), "healthy");
        let all = cluster().engine(1).containers_of(&self.run);
        all.into_iter().find(|name| cluster().engine(1).inspect(name, "{{.State.Running}}") == "true").expect("it runs")
    }

    /// A part of the run in its grant.
    fn part(&self, words: &str) -> InGrant {
        let apps = cluster().applications_of(&self.run).expect("YARN answers");
        let id = apps[0]["id"].as_str().and_then(|id| id.strip_prefix("application_")).expect("an id").to_owned();
        let own = |found: &InGrant| found.container.contains(&id);
        eventually(words, LONG, || cluster().in_grants(words).into_iter().find(own))
    }

    fn stop(&self) {
        self.place.dybox(&["stop", &self.run, "--yes"]).expect(0);
        self.place.until_state(&self.run, "stopped");
        cluster().assert_over(&self.run);
    }
}

/// Kills the program in a container, as its own crash would.
fn kill_program(container: &str) {
    let said = cluster().engine(1).docker(&["top", container, "-eo", "pid,args"]).stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let line = said.lines().map(str::trim).find(|line| line.contains(" dybox state-server")).expect("it runs");
    let pid = line.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
}

fn one_server_is_there_again_whatever_dies() {
    let mut served = Served::start(1);
    let _agent = served.agent(1);
    let first = served.until_back(1);
    // Of a machine that has no agent: only the database can know it later.
    let drain = served.roster.ask(&served_at(1), "operator.pem", &["nodes", "drain", "worker9", "--why", "a new disk"]);
    assert!(drain.status.success(), "{}", String::from_utf8_lossy(&drain.stderr));

    kill_program(&first);
    let second = served.until_back(2);
    served.roster.until("its database is there", &served_at(1), "worker9", |node| node["drained"] == true);
    cluster().engine(1).docker(&["kill", &second]);
    served.until_back(3);
    served.part("dybox proxy").process.signal(Signal::SIGKILL);
    let last = served.until_back(4);
    let master = served.part("dybox master");
    master.process.signal(Signal::SIGKILL);
    eventually("YARN starts the next master", LONG, || {
        (served.part("dybox master").process != master.process).then_some(())
    });
    assert_eq!(served.until_back(4), last, "it has gone on without a master");

    served.stop();
    let ends = served.place.status(&format!("{}/serve/0", served.run))["attempts"].clone();
    let causes: Vec<&str> =
        ends.as_array().into_iter().flatten().filter_map(|end| end["cause_name"].as_str()).collect();
    assert_eq!(causes, ["signal", "killed-outside", "proxy-lost", "stopped"], "{ends:#}");
    assert!(served.roster.nodes(&served_at(1)).is_empty(), "nobody listens there any more");
}

fn two_servers_have_one_certificate_and_a_machine_each() {
    let mut served = Served::start(2);
    let _agents = [served.agent(1), served.agent(2)];
    for node in [1, 2] {
        served.roster.move_to(cluster(), node);
        served.roster.until_health(&served_at(node), &node_host(node), "healthy");
    }
    served.stop();
}

/// One after the other: they want one port of the same machine.
#[test]
fn state_servers_run_as_a_job_of_the_cluster() {
    one_server_is_there_again_whatever_dies();
    two_servers_have_one_certificate_and_a_machine_each();
    for node in [1, 2] {
        cluster().engine(node).docker(&["rmi", "dybox-test/dybox:1"]);
    }
}
