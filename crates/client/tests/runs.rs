//! Runs in a directory, driven by a scripted master: a shell script in the place of `dybox`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_client::{Client, ClientError, Follow, Submission, Update, Way};
use dybox_job::{PLAN_VERSION, Plan, SubDag};
use dybox_journal::{RunState, encode};
use dybox_model::{ExitCode, Fact, Millis, Resources, RunId, StageEnd, StageId, StageOutline, SubDagId};
use dybox_store::Lock;
use dybox_store::layout::RunDir;

struct Place {
    dir: tempfile::TempDir,
    client: Client,
}

impl Place {
    /// A store whose masters are this script; `$4` is the run's directory, `$6` the sub-DAG.
    fn with_master(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let binary = dir.path().join("fake");
        std::fs::write(&binary, format!("#!/bin/sh\nSUB=\"$4/sub/$6\"\n{script}\n")).expect("a script");
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).expect("a program");
        let client = Client::new(dir.path().join("home"), binary);
        Self { dir, client }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn store_path(&self, name: &str) -> PathBuf {
        self.path("home").join(name)
    }

    fn run_dir(&self, run: &RunId) -> PathBuf {
        self.store_path(&RunDir::new(run).root())
    }

    fn sub(&self, run: &RunId, n: u32) -> PathBuf {
        self.run_dir(run).join("sub").join(n.to_string())
    }
}

fn plan(needs: &[&[u32]]) -> Plan {
    let subdags = needs.iter().map(|needs| {
        let needs = needs.iter().map(|n| SubDagId(*n)).collect();
        SubDag { stages: vec![], hooks: vec![], needs, name: None, queue: None, node_label: None }
    });
    Plan {
        ground: None,
        version: PLAN_VERSION,
        name: "nightly".to_owned(),
        tags: vec![],
        params: BTreeMap::new(),
        queue: None,
        priority: None,
        node_label: None,
        rules: BTreeMap::new(),
        timeout: None,
        fail_fast: false,
        stages: vec![],
        hooks: vec![],
        subdags: subdags.collect(),
    }
}

fn submission(request: Option<&str>, text: &str) -> Submission {
    let (text, request) = (text.as_bytes().to_vec(), request.map(ToOwned::to_owned));
    Submission { text, request, cwd: "/".into(), at: Millis(1000), ..Submission::default() }
}

fn ended(end: StageEnd) -> Fact {
    Fact::Ended { end, why: String::new(), at: Millis(9) }
}

fn journal(path: &Path, facts: &[Fact]) {
    let bytes: Vec<u8> = facts.iter().flat_map(encode).collect();
    std::fs::write(path, bytes).expect("a journal");
}

async fn all(mut follow: Follow) -> (Vec<Update>, RunState, Vec<SubDagId>) {
    let mut updates = Vec::new();
    let told = async {
        while let Some((_, update)) = follow.next().await {
            updates.push(update);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("the following ends");
    (updates, follow.view().state(), follow.given_up().to_vec())
}

#[tokio::test]
async fn a_submitted_run_is_whole_private_and_not_started() {
    let place = Place::with_master("exit 1");
    let submitted = place.client.submit(&plan(&[&[], &[0]]), &submission(None, "name: nightly")).await.unwrap();
    let dir = place.run_dir(&submitted.info.run);
    assert_eq!(std::fs::read_to_string(dir.join("job.yaml")).unwrap(), "name: nightly");
    let secret = std::fs::read_to_string(dir.join("secret")).unwrap();
    assert!(secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()));
    for (name, mode) in [("", 0o700), ("secret", 0o600), ("plan.json", 0o600), ("sub/1", 0o700)] {
        assert_eq!(dir.join(name).metadata().unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(!dir.join("sub/0/master.log").exists());
    assert_eq!(place.client.plan(&submitted.info.run).await.unwrap(), plan(&[&[], &[0]]));
}

#[tokio::test]
async fn what_was_not_written_to_its_end_is_no_run() {
    let place = Place::with_master("exit 1");
    let submitted = place.client.submit(&plan(&[&[]]), &submission(None, "a")).await.unwrap();
    std::fs::remove_file(place.run_dir(&submitted.info.run).join("run.json")).unwrap();
    assert!(matches!(place.client.find("@latest").await, Err(ClientError::NotFound { .. })));
}

#[tokio::test]
async fn one_request_id_makes_one_run_even_at_the_same_time() {
    let place = Place::with_master("exit 1");
    let (plan, once) = (plan(&[&[]]), submission(Some("r/1"), "a"));
    let submit = || place.client.submit(&plan, &once);
    let (a, b, c) = tokio::join!(submit(), submit(), submit());
    let all = [a.unwrap(), b.unwrap(), c.unwrap()];
    assert!(all.iter().all(|each| each.info.run == all[0].info.run));
    assert_eq!(all.iter().filter(|each| !each.existed).count(), 1);
    let other = place.client.submit(&plan, &submission(Some("r/1"), "b")).await.unwrap_err();
    assert_eq!(other.exit(), ExitCode::Conflict);
}

#[tokio::test]
async fn a_submission_that_died_half_way_is_finished_under_its_id() {
    let place = Place::with_master("exit 1");
    let (plan, once) = (plan(&[&[]]), submission(Some("r1"), "a"));
    let first = place.client.submit(&plan, &once).await.unwrap().info.run;
    std::fs::remove_file(place.run_dir(&first).join("run.json")).unwrap();
    let second = place.client.submit(&plan, &once).await.unwrap();
    assert!(second.info.run == first && !second.existed);
}

#[tokio::test]
async fn runs_are_found_by_latest_name_id_and_its_beginning() {
    let place = Place::with_master("exit 1");
    let mut runs = Vec::new();
    for at in [1000, 1001].map(Millis) {
        let submission = Submission { at, ..submission(None, "a") };
        runs.push(place.client.submit(&plan(&[&[]]), &submission).await.unwrap().info.run);
    }
    for (query, run) in [("@latest", &runs[1]), ("nightly", &runs[1]), (runs[0].as_str(), &runs[0])] {
        assert_eq!(&place.client.find(query).await.unwrap().run, run, "{query}");
    }
    assert!(matches!(place.client.find(&runs[0].as_str()[..4]).await, Err(ClientError::Ambiguous { .. })));
    assert_eq!(place.client.find("other").await.unwrap_err().exit(), ExitCode::NotFound);
}

#[tokio::test]
async fn a_run_is_followed_from_its_files_to_the_end_of_every_sub_dag() {
    // The first master leaves its journal and starts the second sub-DAG's.
    let place =
        Place::with_master("cp \"$4/../../../end\" \"$SUB/journal\"; cp \"$4/../../../end\" \"$SUB/../1/journal\"");
    journal(&place.path("end"), &[Fact::Opened { epoch: 1, at: Millis(1), pid: 1 }, ended(StageEnd::Succeeded)]);
    let plan = plan(&[&[], &[0]]);
    let mut submitted = place.client.submit(&plan, &submission(None, "a")).await.unwrap();
    place.client.start(&mut submitted, &plan).await.unwrap();
    let run = submitted.info.run.clone();
    let follow = place.client.follow(&run, &plan, Way::of(submitted, true));
    let (updates, state, given_up) = all(follow).await;
    assert_eq!((updates.len(), state, given_up), (4, RunState::Succeeded, vec![]));
}

#[tokio::test]
async fn a_master_that_dies_is_started_again_twice_and_then_given_up() {
    let place = Place::with_master("echo start >> \"$SUB/starts\"; echo 'no engine' >&2; exit 1");
    let plan = plan(&[&[]]);
    let mut submitted = place.client.submit(&plan, &submission(None, "a")).await.unwrap();
    place.client.start(&mut submitted, &plan).await.unwrap();
    let run = submitted.info.run.clone();
    let (updates, state, given_up) = all(place.client.follow(&run, &plan, Way::of(submitted, true))).await;
    let died = |again| Update::Died { last: "no engine".to_owned(), again };
    assert_eq!(updates, [died(true), died(true), died(false)]);
    assert_eq!((state, given_up), (RunState::Submitted, vec![SubDagId(0)]));
    assert_eq!(std::fs::read_to_string(place.sub(&run, 0).join("starts")).unwrap(), "start\n".repeat(3));
}

#[tokio::test]
async fn a_damaged_journal_is_said_with_its_place() {
    let place = Place::with_master("exit 1");
    let plan = plan(&[&[]]);
    let run = place.client.submit(&plan, &submission(None, "a")).await.unwrap().info.run;
    let good = encode(&Fact::Reopened { at: Millis(1) });
    let mut bytes = [good.clone(), good.clone(), good.clone()].concat();
    bytes[good.len() + 20] ^= 1;
    std::fs::write(place.sub(&run, 0).join("journal"), bytes).unwrap();
    let (updates, _, _) = all(place.client.follow(&run, &plan, Way::default())).await;
    let why = format!("its journal is damaged at byte {}", good.len());
    assert_eq!(updates.last(), Some(&Update::Unreadable { why }));
    assert!(matches!(place.client.resume(&run, &plan, (None, [].into())).await, Err(ClientError::Damaged { .. })));
}

#[tokio::test]
async fn resume_opens_again_what_failed_and_leaves_what_succeeded() {
    let place = Place::with_master("echo \"$@\" > \"$SUB/args\"; cat \"$4/../../../more\" >> \"$SUB/journal\"");
    journal(&place.path("more"), &[Fact::Reopened { at: Millis(2) }, ended(StageEnd::Succeeded)]);
    let plan = plan(&[&[], &[], &[1]]);
    let run = place.client.submit(&plan, &submission(None, "a")).await.unwrap().info.run;
    journal(&place.sub(&run, 0).join("journal"), &[ended(StageEnd::Succeeded)]);
    journal(&place.sub(&run, 1).join("journal"), &[ended(StageEnd::Failed)]);
    std::fs::write(place.run_dir(&run).join("stop"), "{}").unwrap();
    let resumed = place.client.resume(&run, &plan, (None, [].into())).await.unwrap();
    assert_eq!((&resumed.reopened[..], &resumed.continued[..]), (&[SubDagId(1)][..], &[SubDagId(2)][..]));
    assert!(!place.run_dir(&run).join("stop").exists());
    // The third one is the second one's master's to start; here nobody does, so the follower does it after a while.
    let (updates, state, _) = all(place.client.follow(&run, &plan, resumed.way)).await;
    assert_eq!(state, RunState::Succeeded, "{updates:?}");
    let args = std::fs::read_to_string(place.sub(&run, 1).join("args")).unwrap();
    assert!(args.ends_with("--subdag 1 --reopen\n"), "{args}");
    assert!(!place.sub(&run, 0).join("args").exists());
    assert!(place.client.resume(&run, &plan, (None, [].into())).await.unwrap().is_nothing());
}

#[tokio::test]
async fn a_master_that_was_killed_while_it_cleaned_up_is_started_again_by_resume() {
    let place = Place::with_master("echo \"$@\" > \"$SUB/args\"");
    let plan = plan(&[&[], &[]]);
    let run = place.client.submit(&plan, &submission(None, "a")).await.unwrap().info.run;
    (0..2).for_each(|n| journal(&place.sub(&run, n).join("journal"), &[ended(StageEnd::Succeeded)]));
    let shares = place.path("home/machine/shares");
    std::fs::create_dir_all(&shares).unwrap();
    std::fs::write(shares.join(format!("{run}.g1-1-2")), "{}").unwrap();
    assert!(place.client.resume(&run, &plan, (None, [].into())).await.unwrap().is_nothing());
    let args = place.sub(&run, 1).join("args");
    let patience = std::time::Instant::now() + Duration::from_secs(10);
    while !std::fs::read_to_string(&args).is_ok_and(|args| args.ends_with("--subdag 1\n")) {
        assert!(std::time::Instant::now() < patience, "nobody cleans up");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!place.sub(&run, 0).join("args").exists());
}

#[tokio::test]
async fn what_was_skipped_for_a_failure_is_opened_again_with_it() {
    let place = Place::with_master("echo \"$@\" > \"$SUB/args\"");
    let plan = plan(&[&[], &[0], &[]]);
    let run = place.client.submit(&plan, &submission(None, "a")).await.unwrap().info.run;
    let skipped = |subdag| {
        let ask = Resources { cpu_milli: 1000, memory: 1 << 20 };
        let (id, name, image) = (StageId(subdag), "b".to_owned(), "b:1".to_owned());
        let stages = vec![StageOutline { id, name, image, ask, tasks: 1, needs: vec![], hook: false }];
        let (job, at) = ("nightly".to_owned(), Millis(1));
        let submitted = Fact::Submitted { run: run.clone(), job, subdag: SubDagId(subdag), at, stages };
        let stage = Fact::StageEnded { stage: id, end: StageEnd::Skipped, why: String::new(), cause: None, at };
        [submitted, stage, ended(StageEnd::Succeeded)]
    };
    journal(&place.sub(&run, 0).join("journal"), &[ended(StageEnd::Failed)]);
    journal(&place.sub(&run, 1).join("journal"), &skipped(1));
    journal(&place.sub(&run, 2).join("journal"), &skipped(2));
    std::fs::write(place.sub(&run, 1).join("claim"), "{}").unwrap();
    let resumed = place.client.resume(&run, &plan, (None, [].into())).await.unwrap();
    assert_eq!(resumed.reopened, [SubDagId(0), SubDagId(1)]);
    // The first one's master hands over to the second, for which nobody may have claimed it.
    assert!(!place.sub(&run, 1).join("claim").exists());
}

#[tokio::test]
async fn a_run_that_somebody_holds_is_not_resumed() {
    let place = Place::with_master("exit 1");
    let plan = plan(&[&[]]);
    let run = place.client.submit(&plan, &submission(None, "a")).await.unwrap().info.run;
    let lock = Lock::try_take(&place.store_path(&RunDir::new(&run).sub(SubDagId(0)).lock())).unwrap().unwrap();
    lock.write(b"pid 4711\n").unwrap();
    let held = place.client.resume(&run, &plan, (None, [].into())).await.unwrap_err();
    assert_eq!(held.to_string(), "the run is held by a live master (pid 4711)");
    assert!(!place.client.standing(&run, 1).await.unwrap().is_lost());
    drop(lock);
    assert_eq!(place.client.standing(&run, 1).await.unwrap().word(), "lost");
}

#[tokio::test]
async fn a_stop_is_marked_where_no_master_hears_it() {
    let place = Place::with_master("exit 1");
    let plan = plan(&[&[]]);
    let run = place.client.submit(&plan, &submission(None, "a")).await.unwrap().info.run;
    let stopped = place.client.stop(&run, "asked by a test", false, Millis(7)).await.unwrap();
    assert_eq!((stopped.told.len(), stopped.absent.len()), (0, 1));
    let mark = std::fs::read_to_string(place.run_dir(&run).join("stop")).unwrap();
    assert_eq!(mark, r#"{"why":"asked by a test","at":7}"#);
}
