//! The store as its users see it: on a real directory.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use dybox_model::{Millis, RunId};
use dybox_store::layout::{Home, RunDir};
use dybox_store::{FoundRun, Kind, Lock, RUN_INFO_VERSION, RunInfo, Store, find_run, local, runs};
use tempfile::TempDir;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn home() -> (TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open_dir(dir.path().join("home"));
    (dir, store)
}

#[test]
fn what_is_put_is_there_and_closed_to_others() {
    let (dir, store) = home();
    run(async {
        store.put("a/b/c", "one").await.unwrap();
        store.put("a/b/c", "two").await.unwrap();
        assert_eq!(store.get("a/b/c").await.unwrap(), "two");
        assert!(!store.put_new("a/b/c", "three").await.unwrap());
        assert!(store.put_new("a/b/d", "four").await.unwrap());
        assert_eq!(store.get("a/b/c").await.unwrap(), "two");
        let names: Vec<_> = store.list("a/b").await.unwrap().into_iter().map(|entry| (entry.name, entry.len)).collect();
        assert_eq!(names, [("c".to_owned(), 3), ("d".to_owned(), 4)]);
        assert_eq!(store.read_from("a/b/c", 1, 9).await.unwrap(), "wo");
        assert_eq!(store.get_opt("a/x").await.unwrap(), None);
        assert_eq!(store.list("nothing").await.unwrap(), []);
        assert!(store.remove("a/b/c").await.unwrap());
        assert!(!store.remove("a/b/c").await.unwrap());
        assert!(store.remove_tree("a").await.unwrap());
        assert!(!store.exists("a").await.unwrap());
        store.put("m/f", "").await.unwrap();
    });
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("home"), mode("home/m"), mode("home/m/f")), (0o700, 0o700, 0o600));
}

#[test]
fn names_never_lead_out_of_the_store() {
    let (_dir, store) = home();
    run(async {
        for name in ["", "/etc/passwd", "../x", "a/../../x", "./a"] {
            assert!(store.put(name, "").await.is_err(), "{name:?}");
        }
    });
}

#[test]
fn of_many_who_create_one_wins() {
    let (_dir, store) = home();
    run(async {
        let tries: Vec<_> = (0..16)
            .map(|n: u8| {
                let store = store.clone();
                tokio::spawn(async move { store.put_new("claim", vec![n]).await.unwrap() })
            })
            .collect();
        let mut won = 0;
        for one in tries {
            won += u32::from(one.await.unwrap());
        }
        assert_eq!(won, 1);
    });
}

#[test]
fn appends_go_on_at_the_end() {
    let (_dir, store) = home();
    run(async {
        let mut out = store.append("j/journal").await.unwrap();
        out.write_synced(b"one").await.unwrap();
        out.write_parts(vec!["two".into(), "".into(), "three".into()]).await.unwrap();
        out.close().await.unwrap();
        let mut out = store.append("j/journal").await.unwrap();
        assert_eq!(out.len(), 11);
        out.truncate(6).await.unwrap();
        out.write(b"!").await.unwrap();
        out.sync().await.unwrap();
        assert_eq!(store.get("j/journal").await.unwrap(), "onetwo!");
    });
}

#[test]
fn a_full_disk_is_told_and_leaves_no_half_record() {
    // /dev/full answers every write with ENOSPC.
    let store = Store::open_dir("/dev");
    run(async {
        let mut out = store.append("full").await.unwrap();
        let failed = out.write(b"record").await.unwrap_err();
        assert!(failed.is_full());
        assert_eq!((failed.operation(), failed.place()), ("append to", "/dev/full"));
        assert!(failed.advice().contains("gc"));
        assert_eq!(out.len(), 0);
    });
}

#[test]
fn missing_and_closed_are_told_apart() {
    let (dir, store) = home();
    run(async {
        assert_eq!(store.get("x").await.unwrap_err().kind(), Kind::Missing);
        // Not even root writes here.
        let failed = Store::open_dir("/proc/sys").put("x", "").await.unwrap_err();
        assert!(matches!(failed.kind(), Kind::Denied | Kind::Missing), "{failed:?}");
        let text = failed.to_string();
        assert!(text.contains("/proc/sys"), "{text}");
    });
    drop(dir);
}

fn info(run: &str, job: &str) -> RunInfo {
    let run: RunId = run.parse().expect("a run id");
    RunInfo {
        version: RUN_INFO_VERSION,
        run,
        job: job.to_owned(),
        tags: Vec::new(),
        submitted: Millis(1),
        uid: 1,
        gid: 1,
        user: "u".to_owned(),
        cwd: "/".into(),
        job_file: None,
        job_sha256: String::new(),
        request: None,
        budget_cpu_milli: None,
        budget_memory: None,
        binary: "/bin/dybox".into(),
    }
}

#[test]
fn runs_are_found_by_latest_id_name_and_beginning() {
    let (_dir, store) = home();
    run(async {
        for (id, job) in [
            ("01jd00000000000000aaaaaaaa", "nightly"),
            ("01jd00000000000000bbbbbbbb", "nightly"),
            ("01je00000000000000cccccccc", "weekly"),
        ] {
            let info = info(id, job);
            store.put(&RunDir::new(&info.run).info(), serde_json::to_vec(&info).unwrap()).await.unwrap();
        }
        store.put("runs/01jf00000000000000dddddddd/run.json", "{").await.unwrap();
        store.put("runs/01jg00000000000000eeeeeeee/plan.json", "{}").await.unwrap();
        let all = runs(&store).await.unwrap();
        let names: Vec<_> = all.list.iter().map(|info| info.run.short()).collect();
        assert_eq!(names, ["cccccccc", "bbbbbbbb", "aaaaaaaa"]);
        assert_eq!(all.damaged.len(), 1);
        let found = async |query: &str| match find_run(&store, query).await.unwrap() {
            FoundRun::Found(info) => info.run.short().to_owned(),
            FoundRun::None => "none".to_owned(),
            FoundRun::Ambiguous(list) => format!("{} runs", list.len()),
        };
        assert_eq!(found("@latest").await, "cccccccc");
        assert_eq!(found("01JD00000000000000AAAAAAAA").await, "aaaaaaaa");
        assert_eq!(found("nightly").await, "bbbbbbbb");
        assert_eq!(found("01je").await, "cccccccc");
        assert_eq!(found("aaaaaaaa").await, "aaaaaaaa");
        assert_eq!(found("01jd").await, "2 runs");
        assert_eq!(found("night").await, "none");
        assert_eq!(found("").await, "none");
    });
}

#[test]
fn a_lock_has_one_holder_and_waits_no_longer_than_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("locks/a");
    assert!(!Lock::is_held(&path).unwrap());
    let held = Lock::try_take(&path).unwrap().unwrap();
    held.write(b"pid 7").unwrap();
    assert!(Lock::is_held(&path).unwrap());
    assert!(Lock::try_take(&path).unwrap().is_none());
    assert!(Lock::wait(&path, Duration::from_millis(20)).unwrap().is_none());
    assert_eq!(Lock::read(&path).unwrap(), b"pid 7");
    let release = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        held.remove().unwrap();
    });
    let taken = run(Lock::acquire(&path, Duration::from_secs(10))).unwrap().unwrap();
    release.join().unwrap();
    assert!(path.exists(), "the lock is on a file that is there");
    drop(taken);
    assert!(!Lock::is_held(&path).unwrap());
}

#[test]
fn a_child_that_inherits_a_lock_holds_it_until_it_dies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("share");
    let lock = Lock::try_take(&path).unwrap().unwrap();
    let mut child = Command::new("cat").stdin(Stdio::from(lock.into_fd())).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_to_end(&mut Vec::new()).unwrap();
    child.wait().unwrap();
    assert!(!Lock::is_held(&path).unwrap());

    let lock = Lock::try_take(&path).unwrap().unwrap();
    let mut child =
        Command::new("sh").args(["-c", "exec sleep 60"]).stdin(Stdio::from(lock.into_fd())).spawn().unwrap();
    assert!(Lock::is_held(&path).unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Lock::wait(&path, Duration::from_secs(5)).unwrap().is_some());
}

#[test]
fn a_crash_leaves_no_names_behind_that_lists_show() {
    let (dir, store) = home();
    run(async {
        store.put("d/a", "x").await.unwrap();
        fs::write(Home::new(dir.path()).path("home/d/.staged-1-1"), "half").unwrap();
        assert_eq!(store.list("d").await.unwrap().len(), 1);
    });
    local::write_atomic(&dir.path().join("init"), b"#!", 0o755).unwrap();
    assert_eq!(fs::metadata(dir.path().join("init")).unwrap().permissions().mode() & 0o777, 0o755);
}
