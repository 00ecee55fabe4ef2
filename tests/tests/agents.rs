//! What a node's agent cleans up, on real engines: what is left of the dead goes where it is proven, and nothing else.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dybox_engine::{Identity, Role};
use dybox_model::roster::BringOrder;
use dybox_tests::{Engine, Follow, Part, Registry, RosterWorld as World, Workspace, eventually};
use dybox_wire::roster::{RosterClient, read_identity};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(120);
const IMAGE: &str = "dybox-test/busybox:1";

fn machine() -> PathBuf {
    PathBuf::from("/var/run/docker.sock")
}

/// A state server, and an agent that sweeps when it is told to.
struct Stage {
    world: World,
    server: Part,
    agent: Part,
    at: String,
}

/// It sweeps when it is told to.
const WHEN_TOLD: [&str; 4] = ["--sweep-min-age", "1s", "--sweep-every", "1h"];

impl Stage {
    fn new(socket: &Path, args: &[&str]) -> Self {
        let world = World::new(&["n1"]);
        let (server, port) = world.server("one", 0);
        let at = format!("127.0.0.1:{port}");
        let agent = world.agent_with("n1", socket, &at, &[&WHEN_TOLD, args].concat());
        world.until("n1 reports", &at, "n1", |node| node["engine"] != "");
        Self { world, server, agent, at }
    }

    /// Another agent in the place of the one there.
    fn again(&mut self, args: &[&str]) {
        self.agent.kill();
        self.until_lines(0);
        self.agent = self.world.agent_with("n1", &machine(), &self.at, &[&WHEN_TOLD, args].concat());
        self.until_lines(1);
    }

    fn until_lines(&self, count: u32) {
        let words = format!("dybox_roster_lines {count}\n");
        eventually("so many agents have a line", LONG, || self.metrics().contains(&words).then_some(()));
    }

    /// What `gc --all` says of the one agent.
    fn gc(&self, args: &[&str]) -> Value {
        let output = self.world.ask(&self.at, "operator.pem", &[&["gc", "--all", "-o", "json"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
        assert!(output.status.success(), "{answer:#}\n{said}");
        answer["sweeps"][0].clone()
    }
}

impl Stage {
    fn metrics(&self) -> String {
        let port = self.server.said.rsplit(' ').next().and_then(|word| word.trim().parse().ok()).expect("a port");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("a page");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("a request");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }
}

/// A task of a run of this place, which nobody looks after, with its labels proven by `secret`.
fn orphan(engine: &Engine, run: &str, number: u32, secret: &str) -> String {
    let identity = Identity {
        role: Role::Task,
        run: run.parse().expect("a run"),
        grant: Some(format!("g0-7-{number}").parse().expect("a grant")),
        attempt: Some(format!("s0-{number}-1").parse().expect("an attempt")),
        name: format!("dybox-agents-{}-{number}", &run[16..]),
    };
    let labels: Vec<String> =
        identity.labels(secret).into_iter().map(|(key, value)| format!("--label={key}={value}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let made = engine.docker(&[&["create", "--name", &identity.name][..], &labels, &[IMAGE, "true"]].concat());
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    identity.name
}

/// Containers that are removed at the end, however the test ends.
struct Made<'a>(&'a Engine, Vec<String>);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let names: Vec<&str> = self.1.iter().map(String::as_str).collect();
        self.0.docker(&[&["rm", "-f"][..], &names].concat());
    }
}

/// Images whose names are taken away at the end, however the test ends.
struct Images<'a>(&'a Engine, Vec<String>);

impl Drop for Images<'_> {
    fn drop(&mut self) {
        for image in &self.1 {
            self.0.docker(&["rmi", image]);
        }
    }
}

/// An image like no other in the registry, and not on the engine.
fn pushed(engine: &Engine, registry: &Registry, name: &str) -> String {
    let own = format!("dybox-agents-{name}-{}", std::process::id());
    engine.docker(&["create", "--name", &own, IMAGE, "true"]);
    let made = engine.docker(&["commit", "--change", &format!("LABEL made-for={own}"), &own, &own]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    engine.docker(&["rm", &own]);
    let reference = registry.put_image(engine, &own, &format!("{name}:1"));
    engine.docker(&["rmi", &own]);
    reference
}

/// A user without a name, a group or any right.
const USER: u32 = 47_110;

/// Makes the home of a place, and the way to it, another user's.
fn give(place: &Workspace, user: u32) {
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("a way in");
    let home = place.home().display().to_string();
    let done = std::process::Command::new("chown").args(["-R", &format!("{user}:{user}"), &home]).status();
    assert!(done.expect("chown").success());
}

/// What in a directory is not of this user.
fn strangers_files(dir: &Path, user: u32) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |path: PathBuf| {
        let seen = path.symlink_metadata().ok();
        let own = seen.as_ref().is_none_or(|seen| seen.uid() == user);
        let below = if seen.is_some_and(|seen| seen.is_dir()) { strangers_files(&path, user) } else { Vec::new() };
        below.into_iter().chain((!own).then_some(path)).collect::<Vec<_>>()
    };
    entries.flat_map(|entry| of(entry.path())).collect()
}

#[test]
fn what_is_kept_for_a_look_goes_when_its_time_is_over() {
    let place = Workspace::new();
    place.job("stages:\n  a: { keep_failed: true, script: \"exit 3\" }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    place.until_idle();
    let home = place.home().display().to_string();
    let stage = Stage::new(&machine(), &["--sweep-home", &home, "--keep-failed-for", "1h"]);
    let swept = stage.gc(&[]);
    assert_eq!((swept["sweep"]["kept"].as_u64(), place.containers().len()), (Some(1), 1), "{swept:#}");
    drop(stage);
    let stage = Stage::new(&machine(), &["--sweep-home", &home, "--keep-failed-for", "1s"]);
    let swept = eventually("it goes", LONG, || Some(stage.gc(&[])).filter(|_| place.containers().is_empty()));
    assert_eq!(swept["sweep"]["kept"], 0, "{swept:#}");
    let mark = place.home().join(format!("runs/{run}/grants"));
    let grants = std::fs::read_dir(mark).expect("grants").flatten().flat_map(|grant| std::fs::read_dir(grant.path()));
    assert!(!grants.flatten().flatten().any(|file| file.path().extension().is_some_and(|end| end == "kept")));
    place.assert_nothing_left();
}

#[test]
fn what_a_dead_run_left_goes_and_forged_things_and_the_living_stay() {
    let (place, living) = (Workspace::new(), Workspace::new());
    place.job("stages:\n  a: { parallelism: 2, network: inside, script: \". /said/fns; say start; sleep 100\" }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    living.job("stages:\n  a: { script: \". /said/fns; say start; sleep 1000\" }\n");
    let other = living.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let running = |place: &Workspace| std::fs::read_to_string(place.path().join("said/lines")).unwrap_or_default();
    eventually("all run", LONG, || {
        (running(&place).lines().count() == 2 && running(&living).lines().count() == 1).then_some(())
    });
    place.kill_all("master");
    place.kill_all("proxy");
    // It is another user's, and the agent is root.
    give(&place, USER);
    // Labels that say that they are of the dead run, and of the living one.
    let forged = vec![orphan(place.engine(), &run, 1, "guess"), orphan(place.engine(), &other, 2, "guess")];
    let forged = Made(place.engine(), forged);

    let homes = [place.home(), living.home()].map(|home| home.display().to_string());
    let stage = Stage::new(&machine(), &["--sweep-home", &homes[0], "--sweep-home", &homes[1]]);
    let mut swept = Value::Null;
    // Its leases may be over late, and what still writes is left alone.
    eventually("the dead are gone", LONG, || {
        let dry = stage.gc(&["--dry-run"]);
        assert_eq!(dry["sweep"]["dry_run"], true, "{dry:#}");
        let before = place.containers().len();
        swept = stage.gc(&[]);
        let gone = swept["sweep"]["removed"]["containers"].as_u64().expect("a count");
        assert!(gone as usize <= before, "{swept:#}");
        (place.containers().len() == 1 && place.networks().is_empty() && place.shares() == 0).then_some(())
    });
    assert_eq!(place.containers(), [forged.1[0].clone()], "what nobody proves stays");
    // Other tests' containers are strangers to these homes, too.
    assert!(swept["sweep"]["unproven"]["containers"].as_u64() >= Some(2), "{swept:#}");
    assert_eq!(living.containers().len(), 2, "the living run and its forgery stay");
    assert_eq!((living.pids("proxy").len(), swept["sweep"]["homes"].as_u64()), (1, Some(2)));
    assert_eq!(strangers_files(&place.home(), USER), Vec::<PathBuf>::new(), "it was swept with its owner's rights");
    // The run can still be taken up: a sweep keeps what its master needs.
    place.dybox(&["resume", &run, "--detach"]).expect(0);
    eventually("it runs again", LONG, || (running(&place).lines().count() > 2).then_some(()));

    let node = String::from_utf8(stage.world.ask(&stage.at, "reader.pem", &["nodes", "n1"]).stdout).expect("text");
    assert!(node.contains("last sweep") && node.contains("nobody proves whose: "), "{node}");
    let refused = stage.world.ask(&stage.at, "reader.pem", &["gc", "--all"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only an operator"), "{refused:?}");
    for (place, run) in [(&place, &run), (&living, &other)] {
        place.dybox(&["stop", run, "--yes"]).expect(0);
    }
    drop(forged);
    place.assert_nothing_left();
    living.assert_nothing_left();
}

#[test]
fn of_a_hundred_orphans_and_a_hundred_forgeries_only_the_proven_go() {
    let place = Workspace::new();
    let run = "01jd00000000000agents00100";
    let dir = place.home().join("runs").join(run);
    std::fs::create_dir_all(dir.join("grants")).expect("a directory");
    std::fs::write(dir.join("secret"), "5ec2e7").expect("a secret");
    let engine = place.engine();
    let mut made = Made(engine, Vec::new());
    for number in 0..200 {
        made.1.push(orphan(engine, run, number, if number < 100 { "5ec2e7" } else { "forged" }));
    }
    let home = place.home().display().to_string();
    let stage = Stage::new(&machine(), &["--sweep-home", &home]);
    let swept = eventually("all are old enough", LONG, || {
        let swept = stage.gc(&[]);
        (engine.containers_of(run).len() == 100).then_some(swept)
    });
    assert!(swept["sweep"]["unproven"]["containers"].as_u64() >= Some(100), "{swept:#}");
    assert_eq!(swept["sweep"]["troubles"], serde_json::json!([]), "{swept:#}");
    let metrics = stage.metrics();
    assert!(metrics.contains("dybox_roster_swept_total{kind=\"containers\"} 100"), "{metrics}");
    let mut left = engine.containers_of(run);
    left.sort();
    let mut forged = made.1[100..].to_vec();
    forged.sort();
    assert_eq!(left, forged);
}

#[test]
fn images_that_dybox_brought_and_nobody_needs_go_when_the_disk_is_full() {
    let (engine, registry) = (Engine::machine(), Registry::start());
    let [old, needed, mine] = ["old", "needed", "mine"].map(|name| pushed(&engine, &registry, name));
    assert!(engine.docker(&["pull", &mine]).status.success());
    let images = Images(&engine, vec![old.clone(), needed.clone(), mine.clone()]);
    let place = Workspace::new();
    place.job(&format!("stages:\n  a: {{ image: {old}, script: 'true' }}\n  b: {{ image: {mine}, script: 'true' }}\n"));
    place.dybox(&["run", "job.yaml"]).expect(0);
    place.job(&format!(
        "stages:\n  a: {{ image: {needed}, script: 'true' }}\n  b: {{ needs: [a], script: \". /said/fns; say start; sleep 1000\" }}\n"
    ));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    eventually("the second stage runs", LONG, || {
        let said = std::fs::read_to_string(place.path().join("said/lines")).unwrap_or_default();
        (!said.is_empty()).then_some(())
    });
    let has = |image: &str| engine.docker(&["image", "inspect", image]).status.success();
    assert!(has(&old) && has(&needed) && has(&mine));
    // All were used long ago; the disk is as good as full.
    for entry in std::fs::read_dir(place.home().join("machine/images")).expect("a ledger").flatten() {
        let file = std::fs::File::options().write(true).open(entry.path()).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).expect("a time");
    }
    let home = place.home().display().to_string();
    let low = ["--sweep-home", home.as_str(), "--image-high", "1", "--image-low", "0"];
    let fresh = Stage::new(&machine(), &[&low[..], &["--image-min-age", "3h"]].concat());
    assert_eq!(fresh.gc(&[])["sweep"]["images"], 0);
    drop(fresh);
    let stage = Stage::new(&machine(), &low);
    assert_eq!(stage.gc(&["--dry-run"])["sweep"]["images"], 1);
    assert!(has(&old));
    let swept = stage.gc(&[]);
    assert_eq!(swept["sweep"]["images"], 1, "{swept:#}");
    assert!(!has(&old), "nobody needs it");
    assert!(has(&needed), "a run that lives names it");
    assert!(has(&mine), "somebody else brought it");
    assert!(has(IMAGE), "it is in use, and somebody else brought it");
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    place.assert_nothing_left();
    drop(images);
}

#[test]
fn two_users_of_a_node_pull_an_image_one_after_the_other() {
    let (engine, registry) = (Engine::machine(), Registry::start());
    let image = pushed(&engine, &registry, "shared");
    let images = Images(&engine, vec![image.clone()]);
    let has = || engine.docker(&["image", "inspect", &image]).status.success();
    // The agent makes the place for the locks.
    let stage = Stage::new(&machine(), &[]);
    let run_dir = stage.world.path().join("run");
    let run = |place: &Workspace| {
        place.job(&format!("stages:\n  a: {{ image: {image}, script: 'true' }}\n"));
        let mut command = place.command(&["run", "job.yaml"]);
        Follow::start(command.env("DYBOX_RUN_DIR", &run_dir))
    };
    let (one, two) = (Workspace::new(), Workspace::new());
    run(&one).end(LONG).expect(0);
    assert!(has());
    let locks: Vec<_> = std::fs::read_dir(run_dir.join("pulls")).expect("a place").flatten().collect();
    assert_eq!(locks.len(), 1, "one image, one lock");
    // Somebody else pulls it now, as far as the second user can see.
    let lock = std::fs::File::open(locks[0].path()).expect("a lock for all");
    lock.lock().expect("nobody holds it");
    // Its container may be there a moment longer than its run.
    eventually("its name is gone", LONG, || engine.docker(&["rmi", &image]).status.success().then_some(()));
    let second = run(&two);
    eventually("its proxy is at the lock", LONG, || {
        let open = |pid: i32| {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            files.into_iter().any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == locks[0].path()))
        };
        two.pids("proxy").into_iter().any(open).then_some(())
    });
    assert!(!has(), "it waits");
    lock.unlock().expect("it was held");
    second.end(LONG).expect(0);
    assert!(has());
    for place in [&one, &two] {
        place.assert_nothing_left();
    }
    drop(images);
}

/// What a state server says to a wish for an image with this certificate.
fn wish(stage: &Stage, certificate: &str, hosts: &[&str], image: &str) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(stage.world.file(certificate)).expect("a certificate");
    let identity = read_identity(&text).expect("an identity");
    let order = BringOrder { image: image.to_owned(), run: "01jd00000000000agents00200".to_owned() };
    let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = RosterClient::dial(&stage.at, &identity, LONG).await.map_err(|error| error.to_string())?;
        client.bring(hosts, &order, LONG).await.map_err(|error| error.to_string())
    })
}

/// What its agent tells of an image that was wished.
fn until_arrived(stage: &Stage, image: &str) -> Value {
    let of = |node: &Value| {
        let all = node["arrivals"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|arrival| arrival["image"] == image)
    };
    let node = stage.world.until("its agent tells of it", &stage.at, "n1", |node| of(node).is_some());
    of(&node).expect("it was there")
}

#[test]
fn an_image_that_a_master_wishes_is_brought_and_goes_again_when_the_disk_is_full() {
    let (engine, registry) = (Engine::machine(), Registry::start());
    let image = pushed(&engine, &registry, "wished");
    let images = Images(&engine, vec![image.clone()]);
    let has = || engine.docker(&["image", "inspect", &image]).status.success();
    // Whatever the disk of the machine is like that runs this test.
    let roomy = ["--image-high", "100", "--image-low", "99"];
    let mut stage = Stage::new(&machine(), &roomy);
    for certificate in ["reader.pem", "operator.pem", "node-n1.pem"] {
        let refused = wish(&stage, certificate, &["n1"], &image).unwrap_err();
        assert!(refused.contains("only a master's certificate"), "{certificate}: {refused}");
    }
    let pulls = stage.world.path().join("run/pulls");
    let none = registry.reference("never-there:1");
    let told = eventually("the agent is told", LONG, || {
        wish(&stage, "master.pem", &["n9", "n1"], &none).ok().filter(|told| !told.is_empty())
    });
    assert_eq!(told, ["n1"], "nobody knows the other");
    let missing = until_arrived(&stage, &none);
    assert!(missing["why"].as_str().is_some_and(|why| why.contains("never-there")), "{missing}");
    let known: Vec<PathBuf> = files(&pulls);
    assert_eq!(wish(&stage, "master.pem", &["n1"], &image), Ok(vec!["n1".to_owned()]));
    let arrived = until_arrived(&stage, &image);
    assert!(has() && arrived["took"].as_u64().is_some() && arrived["why"].is_null(), "{arrived}");
    stage.world.until("it is one of its images", &stage.at, "n1", |_| {
        let node = stage.world.ask(&stage.at, "reader.pem", &["nodes", "n1"]);
        let text = String::from_utf8_lossy(&node.stdout).into_owned();
        text.contains("brought in advance") && text.matches(&image).count() >= 2
    });
    // Nobody pulls what somebody of the machine pulls already.
    assert!(engine.docker(&["rmi", &image]).status.success());
    let lock = files(&pulls).into_iter().find(|path| !known.contains(path)).expect("one image, one lock");
    let held = std::fs::File::open(&lock).expect("a lock for all");
    held.lock().expect("nobody holds it");
    assert!(wish(&stage, "master.pem", &["n1"], &image).is_ok_and(|told| told == ["n1"]));
    eventually("the pull is at the lock", LONG, || waits_at(&lock).then_some(()));
    assert!(!has(), "it waits");
    held.unlock().expect("it was held");
    eventually("it is there again", LONG, || has().then_some(()));
    until_arrived(&stage, &image);
    // A drained machine gets none.
    assert!(stage.world.ask(&stage.at, "operator.pem", &["nodes", "drain", "n1"]).status.success());
    assert_eq!(wish(&stage, "master.pem", &["n1"], &image), Ok(Vec::new()));

    // The agent noted that it brought it: another one, of a machine whose disk is full, takes it away.
    let ledger = stage.world.path().join("lib/machine/images");
    for entry in files(&ledger) {
        let file = std::fs::File::options().write(true).open(entry).expect("a file");
        file.set_modified(SystemTime::now() - Duration::from_secs(7200)).expect("a time");
    }
    stage.again(&["--local-dir", "/nowhere", "--image-high", "1", "--image-low", "0"]);
    let swept = eventually("it goes", LONG, || Some(stage.gc(&[])).filter(|_| !has()));
    assert_eq!((&swept["sweep"]["images"], &swept["sweep"]["homes"]), (&1.into(), &0.into()), "{swept:#}");
    drop(images);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Whether a process that brings an image has this file open.
fn waits_at(lock: &Path) -> bool {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let brings = |proc: &Path| {
        let line = std::fs::read_to_string(proc.join("cmdline")).unwrap_or_default();
        line.split('\0').any(|word| word == "bring-image")
    };
    let procs = all.map(|entry| entry.path()).filter(|proc| brings(proc));
    procs.flat_map(|proc| files(&proc.join("fd"))).any(|file| std::fs::read_link(file).is_ok_and(|path| path == lock))
}
