//! The job language and the commands on real YARN, HDFS and engines: the same ends as on one machine, judged by what the
//! ResourceManager, the NameNode, the engines and the payloads themselves say.
//!
//! The tests run side by side as users do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dybox_tests::cluster::{Cluster, Daemon, Options};
use dybox_tests::{Done, Workspace, eventually, overlaps};
use serde_json::Value;

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(120);
/// A payload's way to wait until the test says so; it gives up in the end, so that no failure hangs.
const UNTIL_GO: &str = "for i in $(seq 900); do [ -e /said/go ] && break; sleep 0.1; done";

/// Queue `etl` has room for one master.
fn cluster() -> &'static Cluster {
    let masters = ("yarn.scheduler.capacity.root.etl.maximum-am-resource-percent".to_owned(), "0.001".to_owned());
    Cluster::shared_as(&Options { nodes: 2, site: vec![masters], ..Options::default() })
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

    fn run(&self, more: &[&str], code: i32) -> String {
        self.dybox(&[&["run", "job.yaml"], more].concat()).expect(code).run_id()
    }

    fn detach(&self, more: &[&str]) -> String {
        self.run(&[&["--detach"], more].concat(), 0)
    }

    fn say(&self, name: &str) {
        self.0.write(&format!("said/{name}"), "");
    }

    fn logs(&self, of: &[&str]) -> String {
        self.dybox(&[&["logs", "--raw", "--no-prefix"], of].concat()).expect(0).out
    }

    fn task(&self, run: &str, task: &str) -> Vec<Value> {
        self.0.status(&format!("{run}/{task}"))["attempts"].as_array().cloned().unwrap_or_default()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How each stage ended and why, with its tries and its cause; then what all tasks wrote, as a set.
fn ends(user: &User, run: &str, place: &[&str]) -> (Vec<String>, Vec<String>) {
    let status = user.dybox(&[&["status", run, "-o", "json"], place].concat()).expect(0).json();
    let mut ends = vec![format!("{} {}", status["run"]["state"], status["run"]["why"])];
    for stage in status["stages"].as_array().into_iter().flatten() {
        let keys = ["stage", "state", "why", "tasks", "tries", "cause"].map(|key| stage[key].to_string());
        ends.push(keys.join(" "));
    }
    let logs = user.dybox(&[&["logs", "--raw", "--no-prefix", run], place].concat()).expect(0).out;
    let mut lines: Vec<_> = logs.lines().map(str::to_owned).collect();
    lines.sort();
    (ends, lines)
}

/// Runs the job on the cluster and on this machine: the ends must be the same, with this exit code.
fn same_as_here(user: &User, args: &[&str], code: i32) -> String {
    let here = user.0.start(&[&["run", "job.yaml", "--local"], args].concat());
    let there = user.0.start(&[&["run", "job.yaml"], args].concat());
    let (here, there) = (here.end(LONG).expect(code), there.end(LONG).expect(code).run_id());
    let ((far, far_logs), (near, near_logs)) = (ends(user, &there, &[]), ends(user, &here.run_id(), &["--local"]));
    for (far, near) in far.iter().zip(&near) {
        assert_eq!(far, near);
    }
    assert_eq!((far.len(), far_logs), (near.len(), near_logs));
    cluster().assert_over(&there);
    there
}

/// The container that each line of the ResourceManager's log assigned, with its MiB.
fn granted() -> BTreeMap<String, u64> {
    let log = cluster().log(Daemon::ResourceManager);
    let of = |line: &str| {
        let (_, rest) = line.split_once("Assigned container ")?;
        let (id, rest) = rest.split_once(" of capacity <memory:")?;
        Some((id.to_owned(), rest.split_once(',')?.0.parse().ok()?))
    };
    log.lines().filter_map(of).collect()
}

fn apps(run: &str) -> Vec<Value> {
    cluster().applications_of(run).expect("the ResourceManager answers")
}

/// Names of a directory of HDFS; nothing where it is not there.
fn hdfs(dir: &str) -> Option<BTreeSet<String>> {
    let answer = cluster().get(Daemon::NameNode, &format!("/webhdfs/v1{dir}?op=LISTSTATUS&user.name=root"));
    let answer = answer.expect("the NameNode answers").json().expect("JSON");
    let all = answer["FileStatuses"]["FileStatus"].as_array()?;
    Some(all.iter().map(|entry| text(&entry["pathSuffix"])).collect())
}

const LANGUAGE: &str = "params:
  least: { type: int, default: 2 }
  day: monday
  list: { type: list, default: [] }
include: [part.yaml]
templates:
  base: { env: { MODE: fast, LEVEL: \"1\" }, retry: { max: 1 } }
stages:
  split: { script: \"echo '[{\\\"n\\\": 1}, {\\\"n\\\": 5}, {\\\"n\\\": 9}]' > $DYBOX_RESULT\" }
  work:
    needs: [split]
    each: \"${results.split}\"
    env: { N: \"${item.n}\", OF: \"${task.index}/${task.count}\" }
    script: 'echo \"$N $OF ${item.n * 2} $DYBOX_ITEM\"; echo $((N * 10)) > $DYBOX_RESULT'
  few: { needs: [work], when: size(results.work) <= params.least, command: [\"true\"] }
  after-few: { needs: [few], command: [\"true\"] }
  none: { needs: [split], each: \"${results.split.filter(p, p.n > 100)}\", command: [\"false\"] }
  after-none: { needs: [none], command: [echo, \"none: ${size(results.none)}\"] }
  grid: { extends: base, matrix: { os: [a, b], py: [\"3\"], include: [{ os: b, fast: true }] }, command: [sh, -c, 'echo \"$MODE $DYBOX_ITEM\"'] }
  plist: { each: \"${params.list}\", command: [echo, \"got ${item} on ${params.day}\"] }
  far: { subdag: two, needs: [work], command: [echo, \"${results.work[0]} ${results.split[1].n}\"] }
  late: { subdag: two, needs: [far], each: \"${results.work}\", command: [echo, \"late ${item}\"] }
  data: { outputs: { /out/x: \"run:parts/\" }, parallelism: 2, script: \"echo x > /out/x\" }
  sum: { needs: [data], inputs: { /in/p: \"run:parts\" }, script: \"ls /in/p; cat /in/p/*\" }
on_exit:
  tell: { when: run.state == \"succeeded\", command: [echo, \"it ${run.state}: ${results.work[1]}\"] }
";

#[test]
fn what_a_job_file_leaves_open_ends_as_on_one_machine_and_in_a_session() {
    let user = User::with(LANGUAGE);
    user.0.write(
        "part.yaml",
        "stages:\n  inc: { extends: base, env: { LEVEL: \"2\" }, script: 'echo inc \"$MODE\" \"$LEVEL\"' }\n",
    );
    user.0.write("params.yaml", "day: tuesday\nlist: [x, y]\n");
    let params = ["--params", "params.yaml"];
    let run = same_as_here(&user, &params, 0);
    let logs = user.logs(&[&run]);
    for line in ["5 1/3 10 {\"n\":5}", "late 90", "none: 0", "got y on tuesday", "inc fast 2", "it succeeded: 50"] {
        assert!(logs.lines().any(|seen| seen == line), "{line}: {logs}");
    }
    let data = format!("/user/root/.dybox/runs/{run}/data/parts");
    assert_eq!(hdfs(&data), Some(["x-0", "x-1"].map(str::to_owned).into()));
    user.dybox(&["session", "start", "words", "--grants", "2", "--memory", "64MiB"]).expect(0);
    let taken = user.run(&["--session", "words", "--params", "params.yaml"], 0);
    assert_eq!(ends(&user, &taken, &[]), ends(&user, &run, &[]));
    user.dybox(&["session", "stop", "words"]).expect(0);
}

#[test]
fn what_fails_is_late_or_uses_too_much_ends_as_on_one_machine() {
    let user = User::with(concat!(
        "stages:\n",
        "  a: { script: \"echo 7 > $DYBOX_RESULT; exit 3\", retry: { max: 1, backoff: 0s, on: [\"exit:3\"] } }\n",
        "  b: { needs: [a], command: [\"true\"] }\n",
        "  c: { needs: { a: failed }, script: 'cat $DYBOX_NEEDS; echo' }\n",
        "  d: { needs: { a: finished, c: finished }, command: [echo, d ran] }\n",
        "  e: { needs: { b: finished }, command: [\"true\"] }\n",
        "  g: { subdag: other, needs: { a: failed }, command: [echo, g ran] }\n",
        "  sig: { script: \"kill -TERM $$\", retry: { max: 1, backoff: 0s, on: [\"signal:TERM\"] } }\n",
        "  nf: { command: [no-such-program], retry: { max: 2, backoff: 0s } }\n",
        "  wrong: { script: \"echo '{\\\"rwos\\\": 3}' > $DYBOX_RESULT\", results: { rows: int }, retry: { max: 2 } }\n",
        "  miss: { inputs: { /in/x: \"run:nowhere\" }, retry: { max: 2 }, script: \"true\" }\n",
        "  late: { timeout: { run: 1s }, stop_signal: INT, stop_grace: 20s, retry: { max: 1, backoff: 0s, on: [timeout] }, script: \"trap 'echo got INT; exit 3' INT; while :; do sleep 0.1; done\" }\n",
        "  silent: { timeout: { silence: 2s }, stop_grace: 1s, retry: { max: 0 }, script: \"echo once; sleep 600\" }\n",
        "  mem:\n    memory: 48MiB\n    tmpfs: [\"/t:size=100MiB\"]\n    retry: { max: 3, backoff: 0s, memory: x2, cap: 120MiB, on: [oom] }\n",
        "    script: \"echo has $DYBOX_MEMORY_BYTES; dd if=/dev/zero of=/t/x bs=1M count=99 2>/dev/null\"\n",
        "on_exit:\n",
        "  good: { when: run.state == \"succeeded\", command: [echo, good] }\n",
        "  bad: { when: run.state == \"failed\", command: [echo, \"bad ${results.a == null}\"] }\n",
    ));
    let run = same_as_here(&user, &[], 1);
    // What it got of YARN grew with what it may use: 48 in the smallest grant, 96, then the cap.
    let (granted, attempts) = (granted(), user.task(&run, "mem/0"));
    let sizes: Vec<_> = attempts.iter().map(|attempt| granted[&text(&attempt["yarn_container"])]).collect();
    assert!(sizes.len() == 3 && sizes[0] >= 64 && sizes[1] >= 96 && sizes[2] >= 120, "{sizes:?}");
    let peaks = attempts.iter().filter_map(|attempt| attempt["peak_memory"].as_u64());
    assert!(peaks.zip([48, 96, 120]).all(|(peak, most)| peak <= most << 20), "{attempts:?}");
    let failed = apps(&run).iter().filter(|app| app["finalStatus"] == "FAILED").count();
    assert!(failed >= 1, "{:?}", apps(&run));
}

#[test]
fn a_size_beyond_the_largest_container_fails_its_stage_and_the_rest_goes_on() {
    let user = User::with(concat!(
        "stages:\n",
        "  find: { script: \"echo '[70, 900000]' > $DYBOX_RESULT\" }\n",
        "  large: { needs: [find], each: \"${results.find}\", memory: \"${item}MiB\", stop_grace: 1s, script: \"sleep 600\" }\n",
        "  other: { needs: [find], script: \"sleep 2; echo went on\" }\n",
        "  then: { needs: { large: failed, other: succeeded }, command: [echo, after both] }\n",
    ));
    let run = user.run(&[], 1);
    assert!(user.logs(&[&run, "then"]).contains("after both"));
    let why = user.dybox(&["why", &format!("{run}/large")]).expect(0);
    why.says("task 1 can never run here: it asks for")
        .says("the largest container of this cluster has")
        .says("(C1024)");
}

const DECIDES: &str = "echo ran >> /proc/$PPID/cwd/ran 2>/dev/null; echo said >&2\n\
    echo \"{\\\"params\\\": {\\\"day\\\": \\\"friday\\\", \\\"at\\\": \\\"$(pwd)\\\"}, \\\"skip\\\": [\\\"notice\\\"], \\\"parallelism\\\": {\\\"work\\\": 3}}\"\n";

#[test]
fn a_hook_runs_where_its_master_does_with_what_it_was_at_the_submission() {
    let user = User::with(concat!(
        "params: { day: monday, at: nowhere }\n",
        "stages:\n",
        "  list: { script: \". /said/fns; say start; UNTIL_GO; echo 8 > $DYBOX_RESULT\" }\n",
        "  work: { needs: [list], script: 'echo \"part $DYBOX_TASK_INDEX of $DYBOX_TASK_COUNT $DYBOX_PARAM_DAY ${params.at}\"' }\n",
        "  notice: { needs: [list], command: [echo, never] }\n",
        "hooks:\n  - { after: [list], run: [./hooks/decide.sh] }\n",
    ));
    let script = user.0.write("hooks/decide.sh", &format!("#!/bin/sh\n{DECIDES}"));
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a mode");
    let run = user.detach(&[]);
    user.0.until_said("list", "start", 1);
    // It is no business of the cluster what becomes of the client's directory.
    std::fs::write(&script, "exit 9").expect("written");
    user.say("go");
    user.0.until_state(&run, "succeeded");
    let logs = user.logs(&[&run, "work"]);
    assert!(logs.lines().count() == 3 && logs.lines().all(|line| line.contains("of 3 friday ")), "{logs}");
    let at = logs.split_whitespace().last().unwrap_or_default();
    assert!(at.contains("/usercache/root/appcache/application_") && !logs.contains("nowhere"), "{logs}");
    assert_eq!(hdfs(&format!("/user/root/.dybox/runs/{run}/hooks/hooks")), Some(["decide.sh".to_owned()].into()));
    cluster().assert_over(&run);

    // Its other words end the run, in all sub-DAGs; what runs after everything runs.
    user.job(concat!(
        "stages:\n  list: { script: \"true\" }\n  work: { needs: [list], command: [echo, never] }\n",
        "  other: { subdag: o, stop_grace: 100ms, script: \"exec sleep 600\" }\n",
        "hooks:\n  - { after: [list], run: [sh, -c, 'echo ''{\"stop\": \"enough\"}'''] }\n",
        "on_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n",
    ));
    let run = user.run(&[], 6);
    assert_eq!(user.logs(&[&run]), "it stopped\n");
    user.dybox(&["why", &run]).expect(0).says("said: enough");
}

const STOPS: &str = "stages:
  a: { subdag: one, stop_grace: 500ms, script: \". /said/fns; say start; exec sleep 600\" }
  w: { subdag: two, queue: etl, stop_grace: 500ms, script: \". /said/fns; say start; exec sleep 600\" }
  x: { subdag: three, needs: [w], command: [echo, never] }
on_exit:
  tell: { command: [echo, \"it ${run.state}\"] }
";

#[test]
fn a_stop_reaches_what_runs_what_starts_and_what_waits() {
    let holds = User::with(
        "queue: etl\nstages:\n  a: { parallelism: 2, stop_grace: 100ms, script: \". /said/fns; say start; exec sleep 600\" }\n",
    );
    let holder = holds.detach(&[]);
    holds.0.until_said("a", "start", 2);
    // One part runs, one waits in a full queue: that one is killed, and what runs after everything runs all the same.
    let user = User::with(STOPS);
    let run = user.detach(&[]);
    user.0.until_said("a", "start", 1);
    user.dybox(&["stop", "--yes", &run]).expect(0).says("was killed");
    user.0.until_state(&run, "stopped");
    eventually("what runs after everything has run", LONG, || (user.logs(&[&run]) == "it stopped\n").then_some(()));
    let states: BTreeSet<_> =
        apps(&run).iter().map(|app| (text(&app["applicationTags"]), text(&app["state"]))).collect();
    let of = |n: u32, state: &str| {
        states.iter().any(|(tags, seen)| tags.contains(&format!("dybox-sub:{n}")) && seen == state)
    };
    assert!(of(1, "KILLED") && states.len() == 3, "{states:?}");
    assert_eq!(user.0.said_by("w", "start"), 0);
    cluster().assert_over(&run);
    holds.dybox(&["stop", "--yes", &holder]).expect(0);
    cluster().assert_over(&holder);
    // Asked for at any moment of its start: it ends, nothing of it runs on, and whoever follows it hears that.
    user.job("stages:\n  a: { stop_grace: 100ms, script: \"exec sleep 600\" }\n  b: { subdag: two, stop_grace: 100ms, script: \"exec sleep 600\" }\non_exit:\n  tell: { command: [echo, \"it ${run.state}\"] }\n");
    for wait in [0, 300, 500, 700, 900] {
        let run = user.detach(&[]);
        std::thread::sleep(Duration::from_millis(wait));
        user.dybox(&["stop", "--yes", "--no-wait", &run]).expect(0);
        user.dybox(&["watch", &run]).expect(6);
        cluster().assert_over(&run);
        let began = hdfs(&format!("/user/root/.dybox/runs/{run}")).is_some_and(|names| names.contains("plan.json"));
        eventually("its state is known", LONG, || (user.0.status(&run)["run"]["state"] == "stopped").then_some(()));
        assert!(!began || user.logs(&[&run]) == "it stopped\n", "after {wait} ms: {}", user.logs(&[&run]));
    }
}

#[test]
fn a_run_goes_on_is_run_again_and_is_removed() {
    let user = User::with(concat!(
        "stages:\n",
        "  a: { script: \"echo 7 > $DYBOX_RESULT; echo ran a\" }\n",
        "  b: { needs: [a], retry: { max: 0 }, script: \". /said/fns; say start; echo ran b; [ -e /said/good ]\" }\n",
        "  c: { subdag: two, needs: [b], script: \". /said/fns; sleep 1; say end; echo ran c ${results.a}\" }\n",
        "on_exit:\n  tell: { script: \". /said/fns; say start; echo it ${run.state}\" }\n",
    ));
    // Runs of other jobs are no business of this one.
    let name = format!("goes-{}", std::process::id());
    let named = ["--name", &name];
    let run = user.run(&named, 1);
    assert_eq!(user.logs(&[&run, "tell"]), "it failed\n");
    user.dybox(&["run", "job.yaml", "--name", &name, "--from", "c"]).expect(8).says("\"b\" has not succeeded");
    user.say("good");
    user.dybox(&["resume", &run]).expect(0);
    assert_eq!(
        user.logs(&[&run]).lines().collect::<Vec<_>>(),
        ["ran a", "ran b", "it failed", "ran b", "ran c 7", "it succeeded"]
    );
    // What runs after everything began after all that ran again had ended.
    let said: Vec<_> = user.0.said().iter().map(|line| line.stage.clone()).collect();
    assert_eq!(said, ["b", "tell", "b", "c", "tell"]);
    user.dybox(&["resume", &run]).expect(0).says("nothing to resume");
    let again = user.dybox(&["rerun", &run, "c"]).expect(0).says(&format!("from run {run}: a, b")).run_id();
    assert_eq!(user.logs(&[&again, "c"]), "ran c 7\n");
    let only = user.run(&["--only", "b", "--name", &name], 0);
    let from = &user.0.status(&format!("{only}/a"))["stages"][0]["taken_from"];
    assert_eq!(*from, run.as_str());
    let cached = user.run(&["--name", &name, "--cache"], 0);
    user.dybox(&["why", &format!("{cached}/a")]).expect(0).says("it has volumes");
    // By its name, by its beginning, by its end.
    user.dybox(&["status", &format!("{name}/a/0")]).expect(0);
    user.dybox(&["status", &run[..20], "-q"]).expect(0).says(&format!("{run}/a"));
    user.dybox(&["status", &run[18..], "-q"]).expect(0).says(&format!("{run}/a"));
    // Removed from HDFS, and not remembered because YARN does.
    let job = user.run(&["--name", "removed"], 0);
    let dir = format!("/user/root/.dybox/runs/{job}");
    assert!(hdfs(&dir).is_some());
    let prune = ["prune", "--keep", "0", "--job", "removed"];
    // Its master takes its leave of YARN for a moment.
    eventually("it may go", LONG, || {
        let said = user.dybox(&[&prune[..], &["--dry-run"]].concat()).expect(0);
        (said.err.contains("would free: 1 run") && said.out.contains(&job)).then_some(())
    });
    user.dybox(&[&prune[..], &["--yes"]].concat()).expect(0).says("freed: 1 run");
    assert_eq!(hdfs(&dir), None);
    assert!(!apps(&job).is_empty());
    user.dybox(&["status", &job]).expect(7);
    assert!(!user.dybox(&["ps", "--all", "-q"]).expect(0).out.contains(&job));
}

#[test]
fn every_command_that_reads_answers_people_and_programs_about_a_run_that_lives() {
    let user = User::with(concat!(
        "stages:\n",
        "  a: { script: \"echo 7 > $DYBOX_RESULT; echo out; echo err >&2\" }\n",
        "  b: { needs: [a], parallelism: 2, retry: { max: 1, backoff: 0s, on: [\"exit:5\"] }, script: \". /said/fns; echo begun $DYBOX_ATTEMPT; say start; UNTIL_GO; exit $((5 * (2 - DYBOX_ATTEMPT)))\" }\n",
        "  c: { subdag: two, needs: [b], command: [\"true\"] }\n",
    ));
    let run = user.detach(&["--name", "reads"]);
    user.0.until_said("b", "start", 2);
    let task = format!("{run}/b/1");
    eventually("use is known", LONG, || user.dybox(&["top", &run]).expect(0).out.contains("b/1").then_some(()));
    let of_stage = format!("{run}/b");
    let reads: [(&[&str], &str); 8] = [
        (&["status", &run], "stages"),
        (&["status", &of_stage], "stages"),
        (&["status", &task], "attempts"),
        (&["why", &run], "reasons"),
        (&["graph", &run], "stages"),
        (&["top", &run], "tasks"),
        (&["ps", "--name", "reads"], "runs"),
        (&["logs", &run], "lines"),
    ];
    for (words, list) in reads {
        let ask = |format: &str| user.dybox(&[words, &["-o", format]].concat()).expect(0).out;
        let json: Value = serde_json::from_str(&ask("json")).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        assert!(json["version"] == 1 && json[list].as_array().is_some_and(|all| !all.is_empty()), "{words:?}: {json}");
        let lines = ask("jsonl");
        assert!(
            lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line["version"] == 1)),
            "{lines}"
        );
        let others = ["yaml", "name", "table"].map(&ask);
        assert!(
            others[0].contains("version: 1\n")
                && others[1].contains(if words[0] == "graph" { "b" } else { &run })
                && !others[2].is_empty(),
            "{others:?}"
        );
    }
    user.dybox(&["graph", &run, "--format", "dot"]).expect(0).says("digraph \"reads\"").says("2 tasks, running");
    user.dybox(&["exec", &task, "--", "sh", "-c", "echo in $DYBOX_STAGE; exit 4"]).expect(4).says("in b");
    user.dybox(&["cp", &format!("{task}:/said/fns"), "fns.copy"]).expect(0);
    assert!(std::fs::read_to_string(user.0.path().join("fns.copy")).is_ok_and(|text| text.starts_with("say()")));
    let visits = user.task(&run, "b/1")[0]["visits"].as_array().map_or(0, Vec::len);
    assert_eq!(visits, 2);
    user.dybox(&["watch", &run, "--wait", "1s", "-q"]).expect(124);
    let follow = user.0.start(&["logs", "-f", &run]);
    follow.until("begun 1", LONG);
    std::thread::sleep(Duration::from_millis(1100));
    let date = std::process::Command::new("date").args(["-u", "+%FT%T.%3NZ"]).output().expect("date").stdout;
    let between = String::from_utf8_lossy(&date).trim().to_owned();
    user.say("go");
    follow.end(LONG).expect(0);
    user.0.until_state(&run, "succeeded");
    assert_eq!(user.logs(&[&run, "b", "--attempt", "2"]), "begun 2\nbegun 2\n");
    assert_eq!(user.logs(&[&run, "b/0", "--until", &between]), "begun 1\n");
    assert_eq!(user.logs(&[&run, "b/0", "--since", &between]), "begun 2\n");
    assert_eq!(user.logs(&[&run, "a", "--stderr"]), "err\n");
    assert_eq!(user.logs(&[&run, "--grep", "^(out|err)$", "--tail", "1"]), "err\n");
    cluster().assert_over(&run);
}

fn kill_master(run: &str) {
    let app = text(&apps(run)[0]["id"]).replace("application", "container");
    let master = eventually("its master runs", LONG, || {
        let all = cluster().in_grants("dybox master");
        all.into_iter().find(|found| found.container.starts_with(&app) && !found.words.contains("bash"))
    });
    master.process.signal(nix::sys::signal::Signal::SIGKILL);
}

#[test]
fn a_hook_in_a_container_is_a_task_of_the_cluster_and_outlives_its_master() {
    let user = User::with(concat!(
        "stages:\n  list: { script: \"echo 3 > $DYBOX_RESULT\" }\n",
        "  work: { needs: [list], script: '. /said/fns; say start; echo \"one of $DYBOX_TASK_COUNT\"' }\n",
        "hooks:\n  - after: [list]\n    image: \"dybox-test/busybox:1\"\n    timeout: 5m\n",
        "    run: [sh, -c, '. /said/fns; say start; UNTIL_GO; echo note >&2; say end; ",
        "grep -q results.:.*list.:3 && cat /said/answer']\n",
    ));
    user.0.write("said/answer", "{\"parallelism\": {\"work\": 2}}");
    let run = user.detach(&[]);
    user.0.until_said("hook-1", "start", 1);
    user.dybox(&["why", &format!("{run}/work")]).expect(0).says("hook-1");
    kill_master(&run);
    user.say("go");
    user.0.until_state(&run, "succeeded");
    let said = |stage, what| user.0.said_by(stage, what);
    assert_eq!((said("hook-1", "start"), said("hook-1", "end"), said("work", "start")), (1, 1, 2));
    assert!(user.logs(&[&run, "hook-1"]).contains("note\n"));
    assert_eq!(user.logs(&[&run, "work"]), "one of 2\none of 2\n");
    assert_eq!(user.task(&run, "hook-1/0").len(), 1);
    cluster().assert_over(&run);
}

#[test]
fn a_master_that_is_killed_half_way_leaves_no_trace_in_how_a_run_ends() {
    let user = User::with(concat!(
        "params: { day: monday }\n",
        "stages:\n",
        "  split: { outputs: { /out/x: \"run:x\" }, script: \"echo '[1,2,3,4,5,6]' > $DYBOX_RESULT; echo xx > /out/x\" }\n",
        "  work:\n    needs: [split]\n    each: \"${results.split}\"\n    inputs: { /in/x: \"run:x\" }\n",
        "    script: '. /said/fns; say start; cat /in/x; [ ${item} -lt 4 ] || { UNTIL_GO; }; echo $(( ${item} * 2 )) > $DYBOX_RESULT; say end'\n",
        "  second: { needs: [work], each: \"${results.work.filter(n, n > 4)}\", outputs: { /out/s: \"run:s/\" }, script: '. /said/fns; say start; echo s${item} > /out/s; echo \"second ${item} ${params.day}\"; say end' }\n",
        "  sum: { needs: [second], inputs: { /in/s: \"run:s\" }, script: \"cat /in/s/*\" }\n",
        "hooks:\n  - { after: [work], run: [sh, slow.sh] }\n",
        "on_exit:\n  tell: { command: [echo, \"it ${run.state} ${string(size(results.second))}\"] }\n",
    ));
    let runs = user.0.path().join("said/hook");
    user.0.write(
        "slow.sh",
        &format!("echo ran >> {}\nsleep 2\necho '{{\"params\": {{\"day\": \"friday\"}}}}'\n", runs.display()),
    );
    let run = user.detach(&[]);
    let kill = || kill_master(&run);
    // While tasks of a list that another one found run, and others of it have ended.
    user.0.until_said("work", "end", 3);
    kill();
    user.say("go");
    // While its hook runs: that is asked again, for it has decided nothing.
    eventually("the hook runs", LONG, || runs.exists().then_some(()));
    kill();
    user.0.until_state(&run, "succeeded");
    let said = user.0.said();
    assert!(overlaps(&said).is_empty(), "{said:?}");
    assert_eq!(
        ["work", "second"].map(|stage| (user.0.said_by(stage, "start"), user.0.said_by(stage, "end"))),
        [(6, 6), (4, 4)]
    );
    let mut logs: Vec<_> = user.logs(&[&run]).lines().map(str::to_owned).collect();
    logs.sort();
    let seconds = [6, 8, 10, 12].map(|n| format!("second {n} friday"));
    let sums = [6, 8, 10, 12].map(|n| format!("s{n}"));
    let mut wanted: Vec<_> = seconds.into_iter().chain(sums).chain((0..6).map(|_| "xx".to_owned())).collect();
    wanted.push("it succeeded 4".to_owned());
    wanted.sort();
    assert_eq!(logs, wanted);
    assert_eq!(apps(&run)[0]["finalStatus"], "SUCCEEDED");
    cluster().assert_over(&run);
}

#[test]
fn the_policy_of_the_store_is_asked_by_the_client_and_by_every_master() {
    let user = User::with(concat!(
        "stages:\n  a: { script: \". /said/fns; say start; UNTIL_GO\" }\n",
        "  b: { subdag: two, needs: [a], memory: 40MiB, script: \". /said/fns; say start\" }\n",
    ));
    // A store of its own: the policy of this one holds for nobody else.
    let store = format!("{}/tmp/policy-{}", cluster().hdfs(), std::process::id());
    let with = |words: &[&str]| {
        let mut command = user.0.command(words);
        command.env("DYBOX_STORE", &store);
        dybox_tests::Follow::start(&mut command).end(LONG)
    };
    let run = with(&["run", "--detach", "job.yaml"]).expect(0).run_id();
    user.0.until_said("a", "start", 1);
    let file = user.0.write("policy.toml", "max_memory = \"36MiB\"\n").display().to_string();
    let put = ["org.apache.hadoop.fs.FsShell", "-put", &file, &format!("{store}/policy.toml")];
    assert!(cluster().java(&put).status().expect("java").success());
    let refused = with(&["run", "job.yaml"]).expect(4);
    refused.says("max_memory").says("policy.toml:1");
    // The client was asked before the rule was there; the master of the later part is asked when it starts.
    user.say("go");
    with(&["watch", &run]).expect(4).says("C1019");
    with(&["why", &run]).expect(0).says("max_memory").says("/policy.toml");
    assert_eq!(user.0.said_by("b", "start"), 0);
    let second = apps(&run).into_iter().find(|app| text(&app["applicationTags"]).contains("dybox-sub:1"));
    let grants = text(&second.expect("it was submitted")["id"]).replace("application", "container");
    assert_eq!(granted().keys().filter(|id| id.starts_with(&grants)).count(), 1, "its master's own");
    cluster().assert_over(&run);
}
