//! A home with runs in it, written by hand: no master, no engine.

use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use dybox_journal::encode;
use dybox_model::{AttemptId, Cause, Exit, Fact, Millis, RunId, StageEnd, StageId, TaskId};
use dybox_store::Store;
use dybox_store::archive::{ArchiveWriter, Stream};
use dybox_store::layout::RunDir;
use serde_json::{Value, json};

/// The run that failed.
pub(crate) const FAILED: &str = "01jd00000000000000000faiad";
/// The run whose master is gone.
pub(crate) const LOST: &str = "01jd00000000000000010010st";

/// A home of a test's own.
pub(crate) struct Home {
    /// Kept until the test ends.
    pub(crate) dir: tempfile::TempDir,
}

impl Home {
    /// Nothing in it.
    pub(crate) fn empty() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A run that failed and a later one that was lost.
    pub(crate) fn with_runs() -> Self {
        let home = Self::empty();
        home.write_run(FAILED, 1_763_712_000_000, &failed());
        home.write_run(LOST, 1_763_712_100_000, &failed()[..4]);
        home
    }

    /// `dybox` in this home, with nothing of the machine's settings.
    pub(crate) fn dybox(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("dybox").unwrap();
        command.env_clear().env("DYBOX_HOME", self.dir.path()).env("HOME", self.dir.path()).env("TZ", "UTC");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).args(args);
        command
    }

    /// Its stdout, where it ends with this code.
    pub(crate) fn out(&self, code: i32, args: &[&str]) -> String {
        let output = self.dybox(args).assert().code(code).get_output().clone();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its stderr, where it ends with this code.
    pub(crate) fn err(&self, code: i32, args: &[&str]) -> String {
        let output = self.dybox(args).assert().code(code).get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    }

    /// The answer as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.out(0, args)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_run(&self, run: &str, submitted: u64, facts: &[Fact]) {
        let run: RunId = run.parse().unwrap();
        let dir = RunDir::new(&run);
        let sub = dir.sub(dybox_model::SubDagId(0));
        fs::create_dir_all(self.path(&sub.root())).unwrap();
        fs::create_dir_all(self.path(&dir.logs())).unwrap();
        let info = json!({
            "version": 1, "run": run, "job": "nightly", "tags": ["etl"], "submitted": submitted, "uid": 1000,
            "gid": 1000, "user": "ada", "cwd": "/", "job_sha256": "00", "binary": "/bin/dybox",
        });
        fs::write(self.path(&dir.plan()), plan().to_string()).unwrap();
        fs::write(self.path(&sub.journal()), facts.iter().flat_map(encode).collect::<Vec<u8>>()).unwrap();
        fs::write(self.path(&dir.info()), info.to_string()).unwrap();
    }

    /// Writes an archive of the failed run.
    pub(crate) fn write_log(&self, pieces: &[(AttemptId, Stream, &[u8])]) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open_dir(self.dir.path());
            let name = RunDir::new(&FAILED.parse().unwrap()).archive("g0-1-1".parse().unwrap());
            let mut archive = ArchiveWriter::open(&store, &name).await.unwrap();
            for (n, (attempt, stream, bytes)) in pieces.iter().enumerate() {
                archive.append(*attempt, *stream, Millis(1_763_712_002_000 + n as u64), bytes).await.unwrap();
            }
            archive.close().await.unwrap();
        });
    }
}

/// An attempt.
pub(crate) fn attempt(stage: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index }, number }
}

fn stage(name: &str, needs: &Value, tasks: u32) -> Value {
    json!({
        "name": name, "subdag": 0, "needs": needs, "tasks": tasks, "image": "busybox:1", "pull": "missing",
        "entrypoint": null, "command": ["true"], "script": null, "workdir": null, "env": {}, "user": null,
        "ask": { "cpu_milli": 1000, "memory": 268_435_456 }, "shm": null, "pids": 512, "volumes": [], "tmpfs": [],
        "network": "none", "timeout": {}, "stop_grace": 10_000, "keep_failed": false,
        "retry": { "max": 0, "backoff": 1000, "on": [] },
    })
}

fn plan() -> Value {
    json!({
        "version": 1, "name": "nightly", "tags": ["etl"], "params": {}, "fail_fast": false, "hooks": [],
        "stages": [stage("extract", &json!([]), 2), stage("join", &json!([[0, "succeeded"]]), 1)],
        "subdags": [{ "stages": [0, 1], "hooks": [], "needs": [] }],
    })
}

fn failed() -> Vec<Fact> {
    let at = |ms: u64| Millis(1_763_712_000_000 + ms);
    let outline = |id: u32, name: &str, tasks, needs: Value| {
        let ask = json!({ "cpu_milli": 1000, "memory": 268_435_456 });
        json!({ "id": id, "name": name, "image": "busybox:1", "ask": ask, "tasks": tasks, "needs": needs })
    };
    let submitted = json!({
        "fact": "submitted", "run": FAILED, "job": "nightly", "subdag": 0, "at": at(0),
        "stages": [outline(0, "extract", 2, json!([])), outline(1, "join", 1, json!([[0, "succeeded"]]))],
    });
    let exit = |code: i32, cause: Option<Cause>| {
        let mut exit = Exit::not_started(Cause::Internal, "", at(3000));
        exit.code = Some(code);
        exit.cause = cause;
        exit.started = Some(at(2000));
        exit
    };
    let grant = "g0-1-1".parse().unwrap();
    let why = "task 1: exit code 3";
    vec![
        serde_json::from_value(submitted).unwrap(),
        Fact::Opened { epoch: 1, at: at(10), pid: 1 },
        Fact::StageStarted { stage: StageId(0), tasks: 2, at: at(20) },
        Fact::AttemptStarted { attempt: attempt(0, 0, 1), grant, at: at(30) },
        Fact::AttemptStarted { attempt: attempt(0, 1, 1), grant, at: at(40) },
        Fact::AttemptEnded { attempt: attempt(0, 0, 1), exit: exit(0, None), again: false },
        Fact::AttemptEnded { attempt: attempt(0, 1, 1), exit: exit(3, Some(Cause::ExitCode)), again: false },
        Fact::StageEnded { stage: StageId(0), end: StageEnd::Failed, why: why.to_owned(), cause: None, at: at(3500) },
        Fact::StageEnded {
            stage: StageId(1),
            end: StageEnd::Skipped,
            why: "extract failed".to_owned(),
            cause: None,
            at: at(3500),
        },
        Fact::Ended { end: StageEnd::Failed, why: "stage extract failed".to_owned(), at: at(3600) },
    ]
}
