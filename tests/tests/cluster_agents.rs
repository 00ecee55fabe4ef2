//! Agents on the nodes of a real cluster: what an application left whose proxies had no time to clear up goes without
//! its user, and a run that lives beside it is left alone. And what they bring: images for stages that follow.

use std::path::PathBuf;
use std::time::Duration;

use dybox_tests::cluster::{Cluster, Options, node_host};
use dybox_tests::{Done, Follow, Part, Registry, RosterWorld, Workspace, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);

fn cluster() -> &'static Cluster {
    Cluster::shared_as(&Options { nodes: 2, ..Options::default() })
}

/// The homes of users on a node.
fn homes(node: usize) -> Vec<PathBuf> {
    let users = std::fs::read_dir(cluster().layout().at(&format!("node-{node}/local/usercache"))).expect("users");
    users.flatten().map(|user| user.path().join("dybox")).filter(|home| home.exists()).collect()
}

/// What homes have of a run: its directory, and shares of its grants.
fn of_run(run: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for home in (1..=2).flat_map(homes) {
        found.extend([home.join("runs").join(run)].into_iter().filter(|dir| dir.exists()));
        let shares = std::fs::read_dir(home.join("machine/shares")).into_iter().flatten().flatten();
        found.extend(shares.map(|share| share.path()).filter(|path| path.to_string_lossy().contains(run)));
    }
    found
}

fn on_engines(run: &str) -> usize {
    (1..=2).map(|node| cluster().engine(node).containers_of(run).len()).sum()
}

fn job(place: &Workspace) -> String {
    place.job(
        "stages:\n  a: { parallelism: 2, placement: { max_per_host: 1, hard: true }, script: \". /said/fns; say start; echo first words; for i in $(seq 900); do [ -e /said/go ] && exit 0; sleep 0.2; done; exit 8\" }\n",
    );
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    place.until_said("a", "start", 2);
    run
}

/// What somebody left behind who was killed between two steps of moving out of a node: scratch that nobody holds, with
/// an archive that is not in the store. Copied from a run that has one.
fn scratch(of: &str) -> (PathBuf, String) {
    const RUN: &str = "01jd0000000000scratch00001";
    let mut all = of_run(of).into_iter();
    let from = all.rfind(|dir| dir.join("store.json").exists()).expect("a run's directory");
    let to = from.with_file_name(RUN);
    std::fs::create_dir_all(to.join("logs")).expect("a directory");
    for name in ["secret", "store.json"] {
        std::fs::copy(from.join(name), to.join(name)).expect("a copy");
    }
    let mut archives = std::fs::read_dir(from.join("logs")).expect("archives").flatten();
    let archive = archives.next().expect("an archive");
    std::fs::copy(archive.path(), to.join("logs").join(archive.file_name())).expect("a copy");
    (to, format!(".dybox/runs/{RUN}/logs/{}", archive.file_name().to_string_lossy()))
}

fn is_in_hdfs(name: &str) -> bool {
    let shell = ["org.apache.hadoop.fs.FsShell", "-test", "-e", name];
    cluster().java(&shell).output().expect("java").status.success()
}

#[test]
fn what_a_killed_application_left_on_its_nodes_goes_and_what_lives_beside_it_stays() {
    let (place, living) = (Workspace::of_cluster(cluster()), Workspace::of_cluster(cluster()));
    let run = job(&place);
    let words = || place.dybox(&["logs", &run, "--no-prefix"]).out.matches("first words").count();
    eventually("their output is in their archives", LONG, || (words() == 2).then_some(()));
    // They stand still, so they hear no TERM, and YARN kills them.
    let proxies = cluster().in_grants("dybox proxy");
    proxies.iter().for_each(|proxy| proxy.process.signal(Signal::SIGSTOP));
    let other = job(&living);
    let apps = cluster().applications_of(&run).expect("YARN answers");
    let id = apps[0]["id"].as_str().expect("an id").to_owned();
    let kill = ["org.apache.hadoop.yarn.client.cli.ApplicationCLI", "application", "-kill", &id];
    assert!(cluster().java(&kill).output().expect("java").status.success());
    eventually("its proxies are gone", LONG, || proxies.iter().all(|proxy| !proxy.process.lives()).then_some(()));
    assert_eq!((on_engines(&run), of_run(&run).len()), (2, 4), "{:?}", of_run(&run));
    let lists = of_run(&other).into_iter().filter_map(|dir| std::fs::read_to_string(dir.join("images.json")).ok());
    assert_eq!(lists.collect::<Vec<_>>(), [r#"["dybox-test/busybox:1"]"#; 2], "its nodes know what it needs");

    let (scratch, archive) = scratch(&other);
    assert!(!is_in_hdfs(&archive));
    let hosts: Vec<String> = (1..=2).map(node_host).collect();
    let roster = RosterWorld::new(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let (_server, port) = roster.server("one", 0);
    let at = format!("127.0.0.1:{port}");
    let agent = |node: usize| {
        let local = cluster().layout().text(&format!("node-{node}/local"));
        let args = ["--local-dir", &local, "--sweep-min-age", "1s", "--sweep-every", "1h", "--keep-logs-for", "1s"];
        roster.agent_with(&node_host(node), &cluster().layout().docker(node), &at, &args)
    };
    let _agents: Vec<Part> = (1..=2).map(agent).collect();
    for host in &hosts {
        roster.until(&format!("{host} reports"), &at, host, |node| node["engine"] != "");
    }
    eventually("nothing is left of it", LONG, || {
        let output = roster.ask(&at, "operator.pem", &["gc", "--all", "-o", "json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(output.status.success(), "{answer:#}");
        assert_eq!(answer["sweeps"].as_array().map(Vec::len), Some(2), "{answer:#}");
        (on_engines(&run) == 0 && of_run(&run).is_empty() && !scratch.exists()).then_some(())
    });
    assert_eq!(words(), 2, "it is in the store, whole");
    assert!(is_in_hdfs(&archive), "output is brought to the store before it goes");

    assert_eq!((on_engines(&other), of_run(&other).len()), (2, 4), "it was left alone");
    living.write("said/go", "");
    living.until_state(&other, "succeeded");
    cluster().assert_over(&other);
    eventually("nothing is left of it either", LONG, || of_run(&other).is_empty().then_some(()));
}

/// Nodes on which YARN holds containers of a run, but for the master's own.
fn granted_on(run: &str) -> Vec<String> {
    let apps = cluster().applications_of(run).expect("YARN answers");
    let id = apps[0]["id"].as_str().expect("an id").to_owned();
    let attempt = format!("{}_000001", id.replace("application", "appattempt"));
    let all =
        cluster().rest(&format!("/ws/v1/cluster/apps/{id}/appattempts/{attempt}/containers")).expect("it answers");
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = all["container"].as_array().cloned().unwrap_or_default().into_iter();
    let tasks = all.filter(|one| !text(one, "containerId").ends_with("_000001"));
    tasks.map(|one| text(&one, "assignedNodeId").split(':').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_image_of_the_next_stage_is_brought_to_a_machine_where_the_run_holds_nothing() {
    let registry = Registry::of_cluster(cluster());
    let image = registry.put(&cluster().engine(1), "next:1");
    let hosts: Vec<String> = (1..=2).map(node_host).collect();
    let roster = RosterWorld::new(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let (_server, port) = roster.server("one", 0);
    let at = format!("127.0.0.1:{port}");
    let agent = |node: usize| {
        let lib = roster.path().join(format!("lib-{node}"));
        roster.agent_in(&node_host(node), &cluster().layout().docker(node), &at, &lib)
    };
    let _agents: Vec<Part> = (1..=2).map(agent).collect();
    for host in &hosts {
        roster.until_health(&at, host, "healthy");
    }
    let place = Workspace::of_cluster(cluster());
    let dybox = |args: &[&str]| -> Done {
        let mut command = place.command(args);
        command.env("DYBOX_STATE_SERVERS", &at).env("DYBOX_STATE_IDENTITY", roster.file("master.pem"));
        Follow::start(&mut command).end(LONG)
    };
    // One task, and then one on each machine at the same time.
    let until = |file: &str| {
        format!(
            ". /said/fns; say start; for i in $(seq 900); do [ -e /said/{file} ] && exit 0; sleep 0.2; done; exit 8"
        )
    };
    place.job(&format!(
        "stages:\n  a: {{ script: {:?} }}\n  b: {{ needs: [a], image: \"{image}\", parallelism: 2, placement: {{ max_per_host: 1, hard: true }}, script: {:?} }}\n",
        until("go"),
        until("both")
    ));
    let has = |node: usize| cluster().engine(node).docker(&["image", "inspect", &image]).status.success();
    assert!(!has(1) && !has(2));
    let run = dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    place.until_said("a", "start", 1);
    eventually("both engines have it", LONG, || (has(1) && has(2)).then_some(()));
    let held = granted_on(&run);
    assert_eq!(held.len(), 1, "{held:?}");
    let other = hosts.iter().find(|host| !held.contains(host)).expect("another machine");
    let next = || dybox(&["status", &run, "-o", "json"]).expect(0).json()["stages"][1].clone();
    let ahead = |stage: &Value| stage["image_ahead"].as_array().cloned().unwrap_or_default();
    let there = |stage: &Value| ahead(stage).iter().any(|one| one["host"] == other.as_str() && one["why"] == "");
    eventually("the master has written it down", LONG, || there(&next()).then_some(()));
    place.write("said/go", "");
    place.until_said("b", "start", 2);
    place.write("said/both", "");
    place.until_state(&run, "succeeded");
    // By the journal: the ResourceManager forgets grants that have ended.
    let host = |task: u32| {
        let attempts = dybox(&["status", &format!("{run}/b/{task}"), "-o", "json"]).expect(0).json();
        attempts["attempts"][0]["host"].as_str().unwrap_or_default().to_owned()
    };
    assert!([host(0), host(1)].contains(other), "its task ran there");
    assert_eq!(next()["image_waited_seconds"], 0.0, "{:#}", next());
    let text = dybox(&["status", &run, "--timeline"]).expect(0).out;
    assert!(text.contains("brought ahead to 2 machines in") && text.contains("while a ran"), "{text}");
    cluster().assert_over(&run);
    for node in [1, 2] {
        cluster().engine(node).docker(&["rmi", &image]);
    }
}
