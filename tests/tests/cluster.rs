//! The test cluster itself: it works, its daemons can be killed, and it leaves nothing.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use dybox_tests::cluster::{Cluster, Daemon, Options, VERSION, distributed_shell, leftovers};
use dybox_tests::{eventually, pid_alive};

#[test]
fn a_cluster_runs_docker_survives_kills_and_leaves_nothing() {
    let cluster = Cluster::start(&Options { nodes: 2, ..Options::default() });
    let dir = cluster.layout().root().to_owned();
    let namespaces = net_namespaces();

    if cluster.version() == VERSION {
        let command = "docker run --name said dybox-test/busybox:1 echo from $HADOOP_CONF_DIR";
        let run = distributed_shell(&cluster, 2, 64, command);
        assert!(run.worked, "{}", run.said);
        assert!(run.master_kib > 0 && run.phases["first grant"] < run.phases["last grant done"], "{run:?}");
        assert!(run.phases["finished"] < run.took, "{run:?}");
        let said: Vec<_> = (1..=2).map(|node| cluster.engine(node).docker(&["logs", "said"]).stdout).collect();
        let said: String = said.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert!(said.contains("/conf/node-"), "a container's output: {said}");
        assert!(cluster.on_engines().iter().all(|name| name.ends_with(" said")), "{:?}", cluster.on_engines());
        (1..=2).for_each(|node| drop(cluster.engine(node).docker(&["rm", "said"])));
        cluster.assert_idle();
    }
    let apps = cluster.rest("/ws/v1/cluster/metrics").expect("the ResourceManager answers");
    assert_eq!(apps["clusterMetrics"]["activeNodes"].as_u64(), Some(2));

    let sleeper = cluster.engine(1).docker(&["run", "-d", "dybox-test/busybox:1", "sleep", "1000"]);
    assert!(sleeper.status.success(), "{}", String::from_utf8_lossy(&sleeper.stderr));
    for daemon in
        [Daemon::ResourceManager, Daemon::NodeManager(2), Daemon::DataNode, Daemon::NameNode, Daemon::Engine(1)]
    {
        let before = cluster.process(daemon).expect("it is up").pid();
        cluster.restart(daemon);
        assert_ne!(cluster.process(daemon).expect("it is up again").pid(), before, "{daemon}");
    }

    let engine = cluster.process(Daemon::Engine(1)).expect("it is up").pid();
    let namespace = std::fs::read_link(format!("/proc/{engine}/ns/net")).expect("its namespace");
    assert!(!namespaces.is_empty() && net_namespaces().contains(&namespace));
    cluster.down().expect("all of it ends");
    assert_eq!(leftovers(&dir), Vec::<String>::new());
    assert!(!net_namespaces().contains(&namespace), "its network namespace is gone");
}

/// Network namespaces that processes are in.
fn net_namespaces() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| std::fs::read_link(entry.path().join("ns/net")).ok()).collect()
}

#[test]
fn a_killed_test_leaves_no_cluster() {
    let program = env!("CARGO_BIN_EXE_cluster");
    let place = tempfile::Builder::new().prefix("dyt-").tempdir_in("/tmp").expect("a directory");
    let dir = place.path().join("c");
    let mut up = std::process::Command::new(program);
    up.args(["up", "--nodes", "1", "--no-engines", "--dir"]).arg(&dir).stdout(Stdio::null());
    let mut up = up.spawn().expect("the program `cluster`");
    eventually("a daemon is up", Duration::from_secs(30), || dir.join("pid/resourcemanager").exists().then_some(()));
    let text = std::fs::read_to_string(dir.join("pid/resourcemanager")).expect("a pid");
    let pid = text.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    up.kill().expect("it can be killed");
    up.wait().expect("it can be waited for");
    eventually("its cluster is gone", Duration::from_secs(20), || {
        (leftovers(&dir).is_empty() && !pid_alive(pid)).then_some(())
    });
}

#[test]
fn what_a_killed_keeper_left_is_taken_down() {
    let program = env!("CARGO_BIN_EXE_cluster");
    let place = tempfile::Builder::new().prefix("dyt-").tempdir_in("/tmp").expect("a directory");
    let dir = place.path().join("c");
    let run = |words: &[&str]| {
        let done = std::process::Command::new(program).args(words).arg("--dir").arg(&dir).output().expect("it runs");
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    let (up, said) = run(&["up", "--nodes", "1"]);
    assert!(up && said.contains("export HADOOP_CONF_DIR="), "{said}");
    let (again, said) = run(&["up"]);
    assert!(!again && said.contains("is up in"), "{said}");
    assert!(run(&["status"]).1.contains("http://127.0.0.2:"));

    let container = std::process::Command::new("/usr/bin/docker")
        .args(["-H", &format!("unix://{}", dir.join("node-1/docker.sock").display())])
        .args(["run", "-d", "dybox-test/busybox:1", "sleep", "1000"])
        .output()
        .expect("docker's client");
    assert!(container.status.success(), "{}", String::from_utf8_lossy(&container.stderr));
    let keeper = keeper_of(&dir).expect("a cluster has a keeper");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(keeper), nix::sys::signal::Signal::SIGKILL).expect("it is ours");
    eventually("the keeper is gone", Duration::from_secs(5), || (!pid_alive(keeper)).then_some(()));

    let (down, said) = run(&["down"]);
    assert!(down, "{said}");
    assert_eq!(leftovers(&dir), Vec::<String>::new());
    assert_eq!(run(&["down"]), (true, "nothing is up\n".to_owned()));
    assert!(!run(&["status"]).0);
}

fn keeper_of(dir: &std::path::Path) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let line = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let ours = format!("\0keep\0{}\0", dir.display());
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| pid_alive(*pid) && String::from_utf8_lossy(&line(pid)).ends_with(&ours))
}

#[test]
fn the_default_release_is_the_one_that_prepare_installs() {
    let pom = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("hadoop/pom.xml");
    let pom = std::fs::read_to_string(pom).expect("the pom");
    assert!(pom.contains(&format!("<hadoop.version>{VERSION}</hadoop.version>")));
}
