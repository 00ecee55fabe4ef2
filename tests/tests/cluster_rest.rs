//! On real YARN, HDFS and engines: limits in time, `fail_fast`, kept and warm containers, sessions with secrets, callers that
//! forge, hooks that add in a session, and stops that find no master.
//!
//! The tests run side by side as users do.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dybox_model::RunId;
use dybox_tests::cluster::{Cluster, Daemon, InGrant, Options, request};
use dybox_tests::{Done, Follow, Workspace, eventually};
use dybox_wire::{Address, MasterClient, RunTls, SessionClient, TlsIdentity, WireError};
use nix::sys::signal::Signal;
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(150);
/// A payload's way to wait until the test says so; it gives up in the end, so that no failure hangs.
const UNTIL_GO: &str = "for i in $(seq 600); do [ -e /said/go ] && break; sleep 0.2; done";

/// Queue `etl` has room for little, and a master is started twice at most.
fn cluster() -> &'static Cluster {
    let queue =
        |name: &str, what: &str, value: &str| (format!("yarn.scheduler.capacity.root.{name}.{what}"), value.to_owned());
    let site = vec![
        queue("default", "capacity", "90"),
        queue("etl", "capacity", "10"),
        queue("etl", "maximum-capacity", "10"),
        ("yarn.resourcemanager.am.max-attempts".to_owned(), "2".to_owned()),
    ];
    Cluster::shared_as(&Options { nodes: 2, site, ..Options::default() })
}

/// A user's directory, and the cluster as this user sees it.
struct User(Workspace);

impl User {
    /// One who has written `stages` into `job.yaml`.
    fn with(stages: &str) -> Self {
        let user = Self(Workspace::of_cluster(cluster()));
        user.job(stages);
        user
    }

    fn job(&self, stages: &str) {
        self.0.job(&stages.replace("UNTIL_GO", UNTIL_GO));
    }

    fn dybox(&self, args: &[&str]) -> Done {
        self.0.start(args).end(LONG)
    }

    fn run(&self, more: &[&str], code: i32) -> Done {
        self.dybox(&[&["run", "job.yaml"], more].concat()).expect(code)
    }

    fn detach(&self, more: &[&str]) -> String {
        self.run(&[&["--detach"], more].concat(), 0).run_id()
    }

    fn say(&self, name: &str) {
        self.0.write(&format!("said/{name}"), "");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default()
    }

    fn logs(&self, of: &[&str]) -> String {
        self.dybox(&[&["logs", "--raw", "--no-prefix"], of].concat()).expect(0).out
    }

    fn why(&self, of: &str) -> Value {
        self.dybox(&["why", of, "-o", "json"]).expect(0).json()["reasons"][0].clone()
    }

    /// State and reason of every stage.
    fn ends(&self, run: &str) -> Vec<String> {
        let status = self.0.status(run);
        let stages = status["stages"].as_array().cloned().unwrap_or_default();
        stages
            .iter()
            .map(|one| ["stage", "state", "why"].map(|key| text(&one[key])).join(" ").trim().to_owned())
            .collect()
    }

    /// The process of the run's master, by the number of its application.
    fn master(&self, application: &str) -> InGrant {
        let grants = application.replace("application", "container") + "_";
        eventually("its master runs", LONG, || {
            let all = cluster().in_grants("dybox master");
            all.into_iter().find(|found| found.container.starts_with(&grants) && !found.words.contains("bash"))
        })
    }
}

/// A session, which is stopped when this is dropped.
struct Session<'a>(&'a User, &'static str);

impl<'a> Session<'a> {
    fn start(user: &'a User, name: &'static str, grants: &str) -> Self {
        user.dybox(&["session", "start", name, "--grants", grants, "--memory", "256MiB"]).expect(0);
        Self(user, name)
    }

    fn seen(&self) -> Value {
        let all = self.0.dybox(&["session", "ls", "-o", "json"]).expect(0).json();
        let mine = all["sessions"].as_array().and_then(|all| all.iter().find(|one| one["session"] == self.1)).cloned();
        mine.expect("it lives")
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        drop(self.0.0.start(&["session", "stop", self.1, "--now"]).end(LONG));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn apps(run: &str) -> Vec<Value> {
    cluster().applications_of(run).expect("the ResourceManager answers")
}

/// A file of the user's directory in HDFS. A master writes its own beside its first tasks, and not before them.
fn hdfs(name: &str) -> String {
    let open = format!("/webhdfs/v1/user/root/.dybox/{name}?op=OPEN&noredirect=true&user.name=root");
    let place = eventually(&format!("{name} is in HDFS"), LONG, || {
        let answer = cluster().get(Daemon::NameNode, &open).expect("the NameNode answers").json().expect("JSON");
        answer["Location"].as_str().map(str::to_owned)
    });
    let (host, path) = place.trim_start_matches("http://").split_once('/').expect("a place on a DataNode");
    let answer = request("GET", host, &format!("/{path}")).expect("the DataNode answers");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[test]
fn the_first_failure_stops_what_runs_in_all_sub_dags_and_what_was_to_come() {
    let user = User::with(concat!(
        "fail_fast: true\n",
        "stages:\n",
        "  bad: { retry: { max: 0 }, script: \"UNTIL_GO; exit 3\" }\n",
        "  beside: { stop_grace: 1s, script: \". /said/fns; say start; exec sleep 600\" }\n",
        "  after: { needs: [beside], script: \". /said/fns; say start\" }\n",
        "  far: { subdag: two, stop_grace: 1s, script: \". /said/fns; say start; exec sleep 600\" }\n",
        "  later: { subdag: three, needs: [far], script: \". /said/fns; say start\" }\n",
        "on_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n",
    ));
    let follow = user.0.start(&["run", "job.yaml"]);
    ["beside", "far"].iter().for_each(|stage| user.0.until_said(stage, "start", 1));
    user.say("go");
    let done = follow.end(LONG).expect(1);
    let run = done.run_id();
    let because = "fail_fast: stage \"bad\" failed: exit code 3";
    done.says(because).says("far stopped");
    let ends = user.ends(&run);
    let stopped = ["beside", "after", "far"].map(|stage| format!("{stage} stopped {because}"));
    assert_eq!(ends[0], "bad failed exit code 3");
    assert_eq!(ends[1..4], stopped);
    assert_eq!(
        ends[4..],
        ["later skipped needs \"far\" to succeed, but it was stopped".to_owned(), "tell succeeded".into()]
    );
    assert_eq!(["after", "later"].map(|stage| user.0.said_by(stage, "start")), [0, 0]);
    assert_eq!(user.logs(&[&run]), "it failed\n");
    user.dybox(&["why", &run]).expect(0).says(because).says("C1001");
    user.dybox(&["why", &format!("{run}/far")]).expect(0).says("C0001").says(because);
    cluster().assert_over(&run);
}

#[test]
fn a_stage_that_its_queue_has_no_room_for_fails_when_its_time_is_over_and_says_what_to_do() {
    let user = User::with(concat!(
        "queue: etl\nsplit: none\n",
        "stages:\n",
        "  hold: { memory: 500MiB, parallelism: 2, script: \". /said/fns; say start; UNTIL_GO\" }\n",
        "  want: { memory: 1GiB, timeout: { queue: 4s }, retry: { max: 2 }, script: \". /said/fns; say start\" }\n",
        "  after: { needs: { want: failed }, memory: 64MiB, command: [echo, without it] }\n",
        "  never: { needs: [want], command: [echo, with it] }\n",
    ));
    let follow = user.0.start(&["run", "job.yaml"]);
    user.0.until_said("hold", "start", 2);
    // Also on the way, in one line: no task of it ever began that could tell it.
    let (_, told) = follow.until("C2018", LONG);
    assert!(told.contains("want failed: none of its waiting tasks got room for timeout.queue = 4.0s"), "{told}");
    user.say("go");
    let done = follow.end(LONG).expect(1).says("timeout.queue = 4.0s");
    let run = done.run_id();
    let why = user.why(&format!("{run}/want"));
    assert_eq!(
        (&why["cause"], &why["owner"], &why["state"]),
        (&"C2018".into(), &"cluster".into(), &"failed".into()),
        "{why}"
    );
    assert!(why["why"][0].as_str().is_some_and(|said| said.contains("1 task wants 1 cpu, 1GiB in queue")), "{why}");
    assert!(text(&why["next"]).contains("a longer `timeout.queue`"), "{why}");
    user.dybox(&["why", &run]).expect(0).says("owner: the platform").says("a longer `timeout.queue`");
    let stages = user.0.status(&run)["stages"].clone();
    assert_eq!((&stages[1]["cause"], &stages[1]["tries"]), (&"C2018".into(), &0.into()), "{stages}");
    assert_eq!(user.0.said_by("want", "start"), 0);
    assert_eq!(user.logs(&[&run, "after"]), "without it\n");
    assert_eq!(user.ends(&run)[3], "never skipped needs \"want\" to succeed, but it failed");
    user.dybox(&["explain", "C2018"]).expect(0).says("timeout.queue");
    cluster().assert_over(&run);
    // There is room now: what failed runs.
    user.dybox(&["resume", &run]).expect(0);
    assert_eq!(user.0.said_by("want", "start"), 1);
    cluster().assert_over(&run);
}

#[test]
fn the_limit_of_a_run_in_time_ends_all_its_sub_dags_with_and_without_a_session() {
    let user = User::with(concat!(
        "timeout: 9s\n",
        "stages:\n",
        "  a: { stop_grace: 1s, script: \". /said/fns; say start; exec sleep 600\" }\n",
        "  b: { needs: [a], script: \". /said/fns; say start\" }\n",
        "  far: { subdag: two, stop_grace: 1s, script: \". /said/fns; say start; exec sleep 600\" }\n",
        "on_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n",
    ));
    let late = "timeout: the run took longer than 9.0s";
    let ends = |more: &[&str]| {
        let done = user.run(more, 1).says(late);
        let run = done.run_id();
        user.dybox(&["why", &run]).expect(0).says(late).says("dybox resume");
        assert_eq!(user.logs(&[&run]), "it failed\n");
        cluster().assert_over(&run);
        user.ends(&run)
    };
    let alone = ends(&[]);
    let stopped = ["a", "b", "far"].map(|stage| format!("{stage} stopped {late}"));
    assert_eq!((&alone[..3], alone[3].as_str()), (&stopped[..], "tell succeeded"));
    let session = Session::start(&user, "late", "2");
    assert_eq!(ends(&["--session", "late"]), alone);
    drop(session);
    assert_eq!(user.0.said_by("b", "start"), 0);
}

#[test]
fn a_person_looks_into_runs_of_a_session_and_takes_files_out_of_what_was_kept() {
    let user = User::with(concat!(
        "split: none\nstages:\n",
        "  a: { parallelism: 2, placement: { spread: host }, script: \"echo own > /tmp/it; . /said/fns; say start; UNTIL_GO; echo done\" }\n",
        "  b: { needs: { a: finished }, script: \"true\" }\n",
        "  bad: { keep_failed: true, retry: { max: 0 }, script: \". /said/fns; echo kept > /kept; say start; exit 3\" }\n",
    ));
    let session = Session::start(&user, "looks", "3");
    for more in [&["--session", "looks", "--name", "looked-at"][..], &["--name", "looked-at-alone"]] {
        let _ = std::fs::remove_file(user.0.path().join("said/go"));
        let run = user.detach(more);
        let failed = format!("{run}/bad/0");
        eventually("one has failed, two run", LONG, || {
            let stages = user.0.status(&run)["stages"].clone();
            (stages[0]["tasks"]["running"] == 2 && stages[2]["state"] == "failed").then_some(())
        });
        let done = user.dybox(&[
            "exec",
            &format!("{run}/a/1"),
            "--",
            "sh",
            "-c",
            "cat /tmp/it; echo $DYBOX_TASK_INDEX; exit 5",
        ]);
        assert_eq!(done.expect(5).out, "own\n1\n");
        user.dybox(&["cp", &format!("{run}/a/0:/tmp/it"), "running"]).expect(0);
        assert_eq!(user.read("running"), "own\n");
        eventually("use is known", LONG, || user.dybox(&["top", &run]).expect(0).out.contains("a/1").then_some(()));
        // Its own grant went back; another one of the run is on that machine.
        user.dybox(&["cp", &format!("{failed}:/kept"), "kept"]).expect(0);
        assert_eq!(user.read("kept"), "kept\n");
        let nothing = user.dybox(&["cp", &format!("{failed}:/nothing"), "none"]).expect(7);
        nothing.says("there is no /nothing in it, or");
        let visits = &user.0.status(&failed)["attempts"][0]["visits"];
        assert_eq!(visits.as_array().map(Vec::len), Some(2), "{visits}");
        user.dybox(&["watch", &run, "--wait", "1s", "-q"]).expect(124);
        let follow = user.0.start(&["watch", &run]);
        follow.until("bad failed after", LONG);
        user.say("go");
        follow.end(LONG).expect(1).says("b succeeded").says("exit code 3");
        // Nobody of the run is there any more: it says where the container is.
        let done = user.dybox(&["cp", &format!("{failed}:/kept"), "gone"]).expect(7);
        let container = text(&user.0.status(&failed)["attempts"][0]["container"]);
        done.says("can't be read from here").says(&format!("docker export {container} | tar -xf - kept"));
        let engines = (1..=cluster().nodes()).map(|node| cluster().engine(node));
        let kept: Vec<_> =
            engines.filter(|engine| engine.inspect(&container, "{{.State.Status}}") == "exited").collect();
        let [engine] = &kept[..] else { panic!("it is kept on {} engines", kept.len()) };
        let script = format!("docker export {container} | tar -xOf - kept");
        let mut advice = std::process::Command::new("sh");
        advice.args(["-c", &script]).env("DOCKER_HOST", engine.host().unwrap_or_default());
        assert_eq!(String::from_utf8_lossy(&advice.output().expect("sh").stdout), "kept\n");
        engine.docker(&["rm", &container]);
        assert!(cluster().of_run_on_engines(&run).is_empty());
    }
    drop(session);
}

#[test]
fn tasks_share_warm_containers_in_turn_and_are_told_apart() {
    let user = User::with(concat!(
        "stages:\n",
        "  w:\n    reuse: true\n    parallelism: 4\n    retry: { max: 0 }\n    tmpfs: [/scratch]\n    workdir: /scratch\n",
        "    script: |\n",
        "      . /said/fns; say start\n",
        "      for dir in . /tmp /dev/shm; do\n",
        "        [ ! -e $dir/left ] || echo \"$dir of $(cat $dir/left)\" >> /said/seen\n",
        "        echo $DYBOX_TASK_INDEX > $dir/left\n",
        "      done\n",
        "      echo \"$(cut -d' ' -f22 /proc/1/stat)\" >> /said/first\n",
        "      for i in $(seq 600); do [ -e /said/go$DYBOX_TASK_INDEX ] && break; sleep 0.1; done\n",
        "      echo \"out of $DYBOX_TASK_INDEX\"; echo \"woe of $DYBOX_TASK_INDEX\" >&2\n",
        "      [ $DYBOX_TASK_INDEX != 2 ] || exit 3\n",
    ));
    let session = Session::start(&user, "turns", "1");
    let run = user.detach(&["--session", "turns"]);
    let task = |n: u32| format!("{run}/w/{n}");
    let exec = |n: u32, script: &str| user.dybox(&["exec", &task(n), "--", "sh", "-c", script]);
    let mut containers = BTreeSet::new();
    for n in 0..3 {
        user.0.until_said("w", "start", n as usize + 1);
        eventually("it is known to run", LONG, || {
            (user.0.status(&task(n))["attempts"][0]["state"] == "running").then_some(())
        });
        // Each of two visits finds this task, and nothing of who was there before.
        let seen = exec(n, "echo $DYBOX_TASK_INDEX; cat /tmp/left; ls /tmp; touch /tmp/visited").expect(0).out;
        assert_eq!(seen, format!("{n}\n{n}\nleft\n"));
        assert_eq!(exec(n, "ls /tmp").expect(0).out, "left\nvisited\n");
        // Until the session has answered, it tells what the run wants.
        eventually("it says what the others wait for", LONG, || {
            let why = user.dybox(&["why", &format!("{run}/w")]).expect(0).says("1 running").out.clone();
            why.contains("session turns has all of its 1 grants in use").then_some(())
        });
        let about = user.0.status(&task(n));
        assert_eq!(about["attempts"][0]["visits"].as_array().map(Vec::len), Some(2), "{about}");
        containers.insert(text(&about["attempts"][0]["container"]));
        user.say(&format!("go{n}"));
    }
    user.0.until_state(&run, "failed");
    assert_eq!(containers.len(), 1, "{containers:?}");
    let first: BTreeSet<_> = user.read("said/first").lines().map(str::to_owned).collect();
    assert_eq!((first.len(), user.read("said/seen")), (1, String::new()), "one init for all, and nothing left");
    // What failed is told with its own lines, and what was never tried as such.
    let why = user.why(&format!("{run}/w"));
    assert_eq!((&why["cause"], &why["stderr"]), (&"C1001".into(), &serde_json::json!(["woe of 2"])), "{why}");
    assert!(why["why"][0].as_str().is_some_and(|said| said.contains("of task 2 failed")), "{why}");
    assert_eq!(why["other_tries"], serde_json::json!([]), "{why}");
    assert_eq!(
        (user.why(&task(0))["state"].clone(), user.logs(&[&run, "w/1", "--stderr"])),
        ("succeeded".into(), "woe of 1\n".into())
    );
    assert_eq!(user.0.status(&task(3))["attempts"], serde_json::json!([]));
    user.dybox(&["why", &task(3)]).expect(0).says("task 2: exit code 3");
    drop(session);
    cluster().assert_over(&run);
}

/// Who a peer shows to be.
fn identity(json: &str) -> TlsIdentity {
    serde_json::from_str(json).expect("credentials")
}

/// Host and port of the master that wrote them down there.
fn listens(dir: &str) -> (String, u16) {
    let text = hdfs(&format!("{dir}/master.addr"));
    let mut words = text.split_whitespace();
    let (Some(host), Some(Ok(port))) = (words.next(), words.next().map(str::parse)) else { panic!("{text}") };
    (host.to_owned(), port)
}

/// Bytes that are no TLS; what came back.
fn garbage(at: &str, said: &[u8]) -> usize {
    let at: SocketAddr = at.parse().expect("an address");
    let mut stream = TcpStream::connect_timeout(&at, LONG).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a deadline");
    // It may hang up in the middle.
    let _ = stream.write_all(said);
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    back.len()
}

fn refused<T>(what: &str, answer: Result<T, WireError>) -> String {
    match answer {
        Err(WireError::Untrusted { why, .. }) => why,
        Err(WireError::Denied { why, .. }) => format!("denied: {why}"),
        Err(other) => panic!("{what}: {other:?}"),
        Ok(_) => panic!("{what} was let in"),
    }
}

/// Peers of another authority, of none and of another role come to a run's master.
fn forge(run: &str, client: &TlsIdentity, proxy: &TlsIdentity, session: &TlsIdentity) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (host, port) = listens(&format!("runs/{run}/sub/0"));
    let own = identity(&hdfs(&format!("runs/{run}/credentials")));
    let none = TlsIdentity { cert: String::new(), key: String::new(), ..own.clone() };
    // Knows the authority, and is none of its.
    let mixed = |with: &TlsIdentity| TlsIdentity { ca: own.ca.clone(), ..with.clone() };
    runtime.block_on(async {
        let dial = |identity: TlsIdentity| {
            let address = Address::Tcp { host: host.clone(), port, identity };
            async move { MasterClient::dial_at(&address, Duration::ZERO).await }
        };
        refused("one that trusts another authority", dial(client.clone()).await);
        for (what, who) in
            [("another run's client", client), ("another run's proxy", proxy), ("a session's client", session)]
        {
            let why = refused(what, dial(mixed(who)).await);
            assert!(why.contains("takes our certificate for one of another run"), "{what}: {why}");
        }
        assert!(refused("nobody", dial(none).await).contains("wants a certificate"));
        // The right authority, and not the right role.
        let own = dial(own.clone()).await.expect("it is the run's client");
        assert!(refused("a client that plays the proxy", own.link().await).starts_with("denied"));
    });
    for said in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let back = garbage(&format!("{host}:{port}"), said);
        assert!(back < 64, "it is told {back} bytes");
    }
}

#[test]
fn who_forges_is_refused_and_told_of_and_the_run_goes_on() {
    let user = User::with("stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO; echo whole\" }\n");
    let other = User::with("stages:\n  a: { script: \"true\" }\n");
    let (session, second) = (Session::start(&user, "guarded", "1"), Session::start(&other, "another", "1"));
    let of =
        |session: &Session| identity(&hdfs(&format!("sessions/{}/credentials", text(&session.seen()["application"]))));
    let (mine, theirs) = (of(&session), of(&second));
    let alone = user.detach(&[]);
    let within = user.detach(&["--session", "guarded"]);
    user.0.until_said("a", "start", 2);
    let forged = RunTls::make(&alone.parse::<RunId>().expect("an id")).expect("certificates");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    [&alone, &within].into_iter().for_each(|run| forge(run, &forged.client, &forged.proxy, &theirs));
    let (host, port) = listens(&format!("sessions/{}", text(&session.seen()["application"])));
    runtime.block_on(async {
        refused("another session's client", SessionClient::dial(&host, port, &theirs).await);
        let mixed = TlsIdentity { ca: mine.ca.clone(), ..theirs.clone() };
        refused("another session's leaf", SessionClient::dial(&host, port, &mixed).await);
        let client = SessionClient::dial(&host, port, &mine).await.expect("it is the session's client");
        assert!(refused("a client that plays the agent", client.line().await).starts_with("denied"));
        assert!(matches!(client.submit(b"no bundle".to_vec()).await, Err(WireError::Refused { .. })));
    });
    assert!(garbage(&format!("{host}:{port}"), &[0xff; 4096]) < 64);
    // Somebody else of this cluster sees no session, and may not read how to reach one.
    let stranger = |args: &[&str]| {
        let mut command = user.0.command(args);
        command.env("HADOOP_USER_NAME", "mallory");
        Follow::start(&mut command).end(LONG)
    };
    assert_eq!(stranger(&["session", "ls", "-o", "json"]).expect(0).json()["sessions"], serde_json::json!([]));
    stranger(&["run", "job.yaml", "--session", "guarded"]).expect(7);
    let file = format!("/user/root/.dybox/sessions/{}/credentials", text(&session.seen()["application"]));
    let denied = cluster().get(Daemon::NameNode, &format!("/webhdfs/v1{file}?op=OPEN&user.name=mallory"));
    assert_eq!(denied.expect("the NameNode answers").status, 403);
    user.say("go");
    for run in [&alone, &within] {
        user.0.until_state(run, "succeeded");
        assert_eq!(user.logs(&[run]), "whole\n");
    }
    cluster().assert_over(&alone);
    assert_eq!(user.0.said_by("a", "start"), 2);
    let told = user.dybox(&["logs", "--system", &alone]).expect(0).out;
    for why in ["a peer was refused", "of another run", "it shows no certificate", "something else than TLS"] {
        assert!(told.contains(why), "{why:?} is not in {told}");
    }
    drop((session, second));
}

const VALUE: &str = "correct-horse battery";

/// Files of all parts of the cluster but the engines' images, and what `ps` shows, that hold the value in any form.
fn in_the_open() -> Vec<String> {
    let hex: String = VALUE.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut grep = std::process::Command::new("grep");
    let values = [VALUE, &hex, "Y29ycmVjdC1ob3JzZSBiYXR0ZXJ5"];
    grep.args(["-rlaF", "--exclude-dir=docker"]).args(values.iter().flat_map(|value| ["-e", value]));
    let found = grep.arg(cluster().layout().root()).output().expect("grep runs");
    let mut found: Vec<_> = String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        for name in ["cmdline", "environ"].iter().filter(|_| pid.bytes().all(|byte| byte.is_ascii_digit())) {
            let shown = std::fs::read(entry.path().join(name)).unwrap_or_default();
            if values.iter().any(|value| shown.windows(value.len()).any(|part| part == value.as_bytes())) {
                found.push(format!("{name} of {pid}"));
            }
        }
    }
    found
}

#[test]
fn secrets_outlive_the_master_of_a_session_and_are_nowhere_to_be_read() {
    let stages = concat!(
        "secrets: { password: { env: DYTEST_PASSWORD } }\n",
        "stages:\n",
        "  a: { secrets: [password], script: \". /said/fns; say start; UNTIL_GO; cat /run/secrets/password; cat /run/secrets/password > $DYBOX_RESULT\" }\n",
        "  b: { needs: [a], secrets: [password], memory: 200MiB, script: \"wc -c < /run/secrets/password; cat /run/secrets/password >&2\" }\n",
        "  far: { needs: [a], subdag: two, secrets: [password], script: \"wc -c < /run/secrets/password\" }\n",
    );
    let user = User::with(stages);
    let session = Session::start(&user, "sealed", "1");
    let mut command = user.0.command(&["run", "job.yaml", "--session", "sealed", "--detach"]);
    command.env("DYTEST_PASSWORD", VALUE);
    let run = Follow::start(&mut command).end(LONG).expect(0).run_id();
    user.0.until_said("a", "start", 1);
    let application = text(&session.seen()["application"]);
    let journal = hdfs(&format!("sessions/{application}/journal"));
    assert!(journal.contains(&run) && journal.contains("\"sealed\""), "it is to be unsealed by the next master");
    assert_eq!(in_the_open(), Vec::<String>::new());
    let first = user.master(&application);
    first.process.signal(Signal::SIGKILL);
    let next = eventually("the next master runs", LONG, || {
        Some(user.master(&application)).filter(|found| found.container != first.container)
    });
    assert!(next.process.lives());
    eventually("it knows its run", LONG, || (session.seen()["runs"][0]["run"] == run.as_str()).then_some(()));
    assert_eq!(in_the_open(), Vec::<String>::new());
    user.say("go");
    user.0.until_state(&run, "succeeded");
    // Stages that began after its death had what only the first master was told.
    assert_eq!((user.logs(&[&run, "b"]), user.logs(&[&run, "far"])), ("21\n***".to_owned(), "21\n".to_owned()));
    assert_eq!((user.logs(&[&run, "a"]), user.0.said_by("a", "start")), ("***".to_owned(), 1));
    let told = user.0.status(&format!("{run}/a/0")).to_string() + &user.dybox(&["why", &run]).out;
    assert!(!told.contains("horse") && told.contains("***"), "{told}");
    assert_eq!(in_the_open(), Vec::<String>::new());
    drop(session);
    assert_eq!(in_the_open(), Vec::<String>::new());
}

#[test]
fn hooks_add_within_a_session_and_no_two_of_them_a_stage_of_one_name() {
    let user = User::with(concat!(
        "stages:\n",
        "  one: { subdag: left, script: \"echo '[1, 2]' > $DYBOX_RESULT\" }\n",
        "  two: { subdag: right, script: \"[ ! -e /said/late ] || UNTIL_GO\" }\n",
        "hooks:\n",
        "  - { after: [one], run: [sh, answer.sh, left] }\n",
        "  - { after: [two], run: [sh, answer.sh, right] }\n",
        "on_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n",
    ));
    let added = |name: &str| {
        let text = format!(
            "{{\"add\": {{\"{name}\": {{\"script\": \"echo part of $1\"}}, \"all-$1\": {{\"needs\": [\"{name}\"], \"script\": \"echo all of $1\"}}}}}}"
        );
        format!("cat <<E\n{text}\nE\n").replace("part-X", "part-$1")
    };
    user.0.write("answer.sh", &added("part-X"));
    let session = Session::start(&user, "grows", "2");
    let within = ["--session", "grows"];
    let run = user.run(&within, 0).says("hook decided: adds part-left, all-left").run_id();
    let lines = |run: &str| user.logs(&[run]).lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let all = ["part of left", "all of left", "part of right", "all of right", "it succeeded"].map(str::to_owned);
    assert_eq!(lines(&run), all.clone().into());
    assert_eq!(user.ends(&run).len(), 7);
    user.dybox(&["why", &format!("{run}/all-left")]).expect(0).says("a hook added it");
    // The second one of a name is refused, says whose it is, and the run fails: names are for all of a run.
    user.0.write("answer.sh", &added("same"));
    user.say("late");
    let follow = user.0.start(&[&["run", "job.yaml"], &within[..]].concat());
    follow.until("all-left succeeded", LONG);
    user.say("go");
    let done = follow.end(LONG).expect(1);
    let run = done.run_id();
    done.says("adds stage \"same\", which hook \"sh answer.sh left\" in another sub-DAG has added")
        .says("another name");
    let why = user.dybox(&["why", &run]).expect(0);
    why.says("hook after two: failed").says("\"same\"");
    let names: Vec<_> =
        user.ends(&run).iter().map(|end| end.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(names.iter().filter(|name| *name == "same").count(), 1, "{names:?}");
    assert!(lines(&run).is_superset(&["part of left".to_owned(), "it failed".to_owned()].into()), "{:?}", lines(&run));
    // Put right, the same hooks go on: the first one's name is its own, and it does not run again.
    let other = "[ \"$1\" = right ] || exit 7\n".to_owned() + &added("part-X");
    // What a hook names went along when the run was submitted.
    put(&user, &other, &format!("/user/root/.dybox/runs/{run}/hooks/answer.sh"));
    user.dybox(&["resume", &run, "--session", "grows"]).expect(0).says("adds part-right, all-right");
    let all = ["part of left", "all of left", "it failed", "part of right", "all of right", "it succeeded"];
    assert_eq!(lines(&run), all.map(str::to_owned).into());
    drop(session);
}

/// Puts a text of this machine into HDFS, over what is there.
fn put(user: &User, text: &str, at: &str) {
    let file = user.0.write("for-hdfs", text).display().to_string();
    let done = cluster().java(&["org.apache.hadoop.fs.FsShell", "-put", "-f", &file, at]).output().expect("java");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

const STOPPED: &str = "stages:
  a: { script: \". /said/fns; say start\" }
  b: { needs: [a], memory: 200MiB, stop_grace: 1s, script: \". /said/fns; say start; [ -e /said/good ] || exec sleep 600\" }
on_exit:
  tell: { command: [echo, \"it ${run.state}\"] }
";

#[test]
fn a_stop_of_a_run_whose_master_hangs_or_is_gone_runs_what_runs_after_everything_and_resume_goes_on() {
    for lost in [false, true] {
        let user = User::with(STOPPED);
        let run = user.detach(&[]);
        user.0.until_said("b", "start", 1);
        let application = text(&apps(&run)[0]["id"]);
        let master = user.master(&application);
        if lost {
            master.process.signal(Signal::SIGKILL);
            let next = eventually("the second master runs", LONG, || {
                Some(user.master(&application)).filter(|found| found.container != master.container)
            });
            next.process.signal(Signal::SIGKILL);
            user.0.until_state(&run, "lost");
            user.dybox(&["stop", "--yes", &run]).expect(0).says("nobody drives").says("runs now");
        } else {
            master.process.signal(Signal::SIGSTOP);
            let done = user.dybox(&["stop", "--yes", &run]).expect(0);
            done.says(&format!("{application} was killed")).says("runs now");
        }
        user.dybox(&["why", &format!("{run}/b")]).expect(0).says(&format!("dybox resume {run}"));
        eventually("what runs after everything has run", LONG, || (user.logs(&[&run]) == "it stopped\n").then_some(()));
        user.0.until_state(&run, "stopped");
        user.dybox(&["ps", "--state", "stopped", "-o", "name"]).expect(0).says(&run);
        cluster().assert_over(&run);
        // Once is enough.
        user.dybox(&["stop", "--yes", &run]).expect(0);
        assert_eq!(user.logs(&[&run]), "it stopped\n");
        user.say("good");
        user.dybox(&["resume", &run]).expect(0);
        let logs: Vec<_> = user.logs(&[&run]).lines().map(str::to_owned).collect();
        assert_eq!(logs, ["it stopped", "it succeeded"]);
        assert_eq!(["a", "b"].map(|stage| user.0.said_by(stage, "start")), [1, 2]);
        cluster().assert_over(&run);
    }
}
