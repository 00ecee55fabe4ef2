//! The store on a real HDFS, whose daemons are killed under it.

#[path = "hdfs/hadoop.rs"]
mod hadoop;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dybox_model::{AttemptId, GrantId, Millis, RunId, StageId, SubDagId};
use dybox_store::archive::{ArchiveWriter, LogItem, Stream};
use dybox_store::epochs::{self, MasterAddr};
use dybox_store::layout::{RunDir, SubDir, binary};
use dybox_store::logs::{Grants, Live, LiveGrant, LivePiece, RunLogs, Select};
use dybox_store::{
    Answer, EpochFence, Fence, Guard, OnlyMine, Store, StoreError, Trouble, UploadConf, Uploader, find_run, runs,
};
use hadoop::{DN, Hadoop, NN, hadoop};
use tokio::sync::mpsc;

const MINUTES: Duration = Duration::from_secs(180);

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it works").block_on(work)
}

/// A store of its own in this HDFS.
fn fresh(hadoop: &Hadoop) -> Store {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("tmp/store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    hadoop.store_of("root", &name)
}

fn told(hear: &mut mpsc::UnboundedReceiver<Trouble>) -> Vec<Trouble> {
    std::iter::from_fn(|| hear.try_recv().ok()).collect()
}

fn guard(fence: impl Fence + 'static) -> (Guard, mpsc::UnboundedReceiver<Trouble>) {
    let (trouble, hear) = mpsc::unbounded_channel();
    (Guard { fence: Arc::new(fence), patience: MINUTES, trouble }, hear)
}

#[test]
fn files_come_go_and_are_listed() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        assert!(store.is_remote());
        store.put("a/x", "one").await.unwrap();
        store.put("a/x", "two").await.unwrap();
        assert_eq!(store.get("a/x").await.unwrap(), "two");
        assert_eq!(store.read_from("a/x", 1, 9).await.unwrap(), "wo");
        assert_eq!(store.read_from("a/x", 7, 9).await.unwrap(), "");
        assert!(!store.put_new("a/x", "three").await.unwrap());
        assert!(store.put_new("a/y", "").await.unwrap());
        let stat = store.stat("a/x").await.unwrap().unwrap();
        assert_eq!((stat.len, stat.mode, stat.is_dir), (3, 0o600, false));
        assert!(stat.mtime_ms > 1_600_000_000_000);
        let names: Vec<_> = store.list("a").await.unwrap().into_iter().map(|entry| (entry.name, entry.len)).collect();
        assert_eq!(names, [("x".to_owned(), 3), ("y".to_owned(), 0)]);
        assert!(store.list("nothing/here").await.unwrap().is_empty());
        assert_eq!(store.get_opt("a/z").await.unwrap(), None);
        assert!(store.get("a/z").await.unwrap_err().is_missing());
        assert!(store.remove("a/x").await.unwrap());
        assert!(!store.remove("a/x").await.unwrap());
        assert!(store.remove_tree("a").await.unwrap());
        assert!(!store.exists("a/y").await.unwrap());
        assert!(store.put("../x", "").await.is_err());
    });
}

#[test]
fn of_many_who_claim_or_create_one_wins() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        let many: Vec<_> = (0..8)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    let created = store.put_new("d/new", format!("{n}")).await.unwrap();
                    (created, store.claim("d/claimed").await.unwrap())
                })
            })
            .collect();
        let (mut created, mut claimed) = (0, 0);
        for one in many {
            let won = one.await.unwrap();
            (created, claimed) = (created + u32::from(won.0), claimed + u32::from(won.1));
        }
        assert_eq!((created, claimed), (1, 1));
        let names: Vec<_> = store.list("d").await.unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["claimed", "new"]);
    });
}

#[test]
fn the_binary_is_public_and_runs_are_not() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        store.prepare().await.unwrap();
        store.prepare().await.unwrap();
        let local = tempfile::NamedTempFile::new().unwrap();
        local.as_file().write_all(&vec![5; 700_000]).unwrap();
        let name = binary(&"ab".repeat(32));
        store.put_file(&name, local.path(), 0o755).await.unwrap();
        assert_eq!(store.get(&name).await.unwrap().len(), 700_000);
        assert!(store.is_public(&name).await.unwrap());
        store.put("runs/x", "secret").await.unwrap();
        assert!(!store.is_public("runs/x").await.unwrap());
        assert_eq!(store.stat("runs").await.unwrap().unwrap().mode, 0o700);
        store.make_dir("bin", 0o700).await.unwrap();
        assert!(!store.is_public(&name).await.unwrap());
    });
}

#[test]
fn what_a_person_must_do_is_said() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        store.prepare().await.unwrap();
        store.put("runs/x", "x").await.unwrap();
        let path = store.url("").trim_end_matches('/').strip_prefix(&hadoop.url()).unwrap().to_owned();
        let other = hadoop.store_of("mallory", &path);
        for error in [other.put("runs/y", "y").await.unwrap_err(), other.get("runs/x").await.unwrap_err()] {
            assert!(error.is_denied(), "{}", error.text());
            assert!(error.text().contains("mallory"), "{}", error.text());
            assert!(!error.text().contains('\n') && error.advice().contains("administrator"));
        }
        hadoop.safe_mode(true);
        let refused = store.put("runs/z", "z").await.unwrap_err();
        let read = store.get("runs/x").await;
        hadoop.safe_mode(false);
        assert!(refused.is_safe_mode(), "{}", refused.text());
        assert!(refused.advice().contains("safe mode"));
        assert_eq!(read.unwrap(), "x");
    });
}

#[test]
fn a_namenode_that_is_down_or_hangs_is_told_within_the_deadline() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        store.put("x", "x").await.unwrap();
        hadoop.hang(NN);
        let start = Instant::now();
        let hung = store.with_deadline(Duration::from_secs(2)).get("x").await;
        hadoop.go_on(NN);
        assert!(hung.unwrap_err().is_unreachable());
        // Its own deadline, not the usual one of 20 s.
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        assert_eq!(store.get("x").await.unwrap(), "x");
        hadoop.kill(NN);
        let start = Instant::now();
        let down = store.get("x").await.unwrap_err();
        let said = ["refused", "was cut"].iter().any(|why| down.text().contains(why));
        assert!(down.is_unreachable() && said, "{}", down.text());
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        // Who has patience does not notice.
        let patient = store.with_patience(MINUTES);
        let put = tokio::spawn(async move { patient.put("y", "y").await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        hadoop.start(NN);
        put.await.unwrap().unwrap();
        assert_eq!(store.with_patience(MINUTES).get("x").await.unwrap(), "x");
    });
}

#[test]
fn a_new_file_is_begun_and_one_that_is_there_all_the_same_is_taken_over() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let second = fresh_again(&hadoop, &store);
    run(async {
        let mut first = store.begin("journal").await.unwrap();
        // Nothing is in it: whoever looks whether a master ever was in control sees that.
        assert_eq!(second.len("journal").await.unwrap(), Some(0));
        first.write_synced(b"one").await.unwrap();
        assert_eq!(second.len("journal").await.unwrap(), Some(3), "also while it is open");
        let mut other = second.begin("journal").await.unwrap();
        assert_eq!(other.len(), 3);
        assert!(first.write_synced(b"two").await.is_err(), "its writer is fenced");
        other.write_synced(b"three").await.unwrap();
        other.close().await.unwrap();
        assert_eq!(store.get("journal").await.unwrap(), "onethree");
    });
}

#[test]
fn an_open_file_is_held_until_it_is_taken_over_and_its_writer_is_fenced() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let second = fresh_again(&hadoop, &store);
    run(async {
        let mut first = store.append("journal").await.unwrap();
        first.write_synced(b"one ").await.unwrap();
        assert!(second.append("journal").await.unwrap_err().is_held());
        assert_eq!(second.get("journal").await.unwrap(), "", "an open file can't be read");
        let mut taken = second.take_over("journal").await.unwrap();
        assert_eq!(taken.len(), 4);
        let refused = first.write_synced(b"never").await.unwrap_err();
        taken.write_synced(b"two").await.unwrap();
        assert!(first.write_synced(b"never").await.is_err(), "a failure ends it: {}", refused.text());
        taken.close().await.unwrap();
        assert_eq!(store.get("journal").await.unwrap(), "one two");
        // Closed: nothing to take, at once.
        let mut third = store.take_over("journal").await.unwrap();
        third.write(b"!").await.unwrap();
        drop(third);
        assert!(second.close_dead("journal").await.unwrap());
        assert!(!second.close_dead("nothing").await.unwrap());
        assert!(second.get("journal").await.unwrap().starts_with(b"one two"));
    });
}

#[test]
fn an_open_journal_is_adopted_with_all_that_was_synced_and_its_writer_is_fenced() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let second = fresh_again(&hadoop, &store);
    run(async {
        let sub = RunDir::new(&"01jd0000000000000000000001".parse().unwrap()).sub(SubDagId(0));
        let journal = sub.journal();
        let epoch = epochs::claim(&store, &sub).await.unwrap();
        let (nothing, mut first) = store.adopt(&journal, &fence(&store, &sub, epoch)).await.unwrap();
        assert_eq!((nothing.len(), first.len()), (0, 0));
        // More than one packet, and an end within a chunk.
        let long = vec![b'x'; 300_001];
        first.write_synced(&long).await.unwrap();
        first = first.guarded(guard(fence(&store, &sub, epoch)).0);
        first.write_synced(b"one ").await.unwrap();
        first.write(b"not synced").await.unwrap();

        let epoch = epochs::claim(&second, &sub).await.unwrap();
        let (bytes, mut taken) = second.adopt(&journal, &fence(&second, &sub, epoch)).await.unwrap();
        assert!(bytes.starts_with(&long) && bytes[long.len()..].starts_with(b"one "), "{} bytes", bytes.len());
        assert_eq!(taken.len(), bytes.len() as u64);
        assert!(first.write_synced(b"never").await.unwrap_err().is_fenced());
        taken.write_synced(b"two").await.unwrap();

        // The next one finds it open again, and after that closed.
        let epoch = epochs::claim(&store, &sub).await.unwrap();
        let (again, third) = store.adopt(&journal, &fence(&store, &sub, epoch)).await.unwrap();
        assert_eq!(again, [&bytes[..], b"two"].concat());
        third.close().await.unwrap();
        let epoch = epochs::claim(&second, &sub).await.unwrap();
        let (closed, mut fourth) = second.adopt(&journal, &fence(&second, &sub, epoch)).await.unwrap();
        assert_eq!(closed, again);
        fourth.write(b"!").await.unwrap();
        fourth.close().await.unwrap();
        assert_eq!(store.get(&journal).await.unwrap(), [&again[..], b"!"].concat());
        // An attempt that was overtaken between its claim and its taking changes nothing.
        let late = store.adopt(&journal, &fence(&store, &sub, 2)).await.unwrap_err();
        assert!(late.is_fenced(), "{}", late.text());
        assert_eq!(store.get(&journal).await.unwrap(), [&again[..], b"!"].concat());
        let names: Vec<_> = store.list(&sub.root()).await.unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["epoch", "journal"]);
    });
}

#[test]
fn an_open_journal_whose_datanode_restarts_is_adopted_whole() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let second = fresh_again(&hadoop, &store);
    run(async {
        let sub = RunDir::new(&"01jd0000000000000000000001".parse().unwrap()).sub(SubDagId(0));
        let epoch = epochs::claim(&store, &sub).await.unwrap();
        let (_, mut first) = store.adopt(&sub.journal(), &fence(&store, &sub, epoch)).await.unwrap();
        first.write_synced(b"one ").await.unwrap();
        hadoop.kill(DN);
        let epoch = epochs::claim(&second, &sub).await.unwrap();
        let taking = tokio::spawn({
            let (second, sub) = (second.with_patience(MINUTES), sub.clone());
            async move { second.adopt(&sub.journal(), &fence(&second, &sub, epoch)).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        hadoop.start(DN);
        let (bytes, mut taken) = taking.await.unwrap().unwrap();
        assert_eq!(bytes, "one ");
        taken.write_synced(b"two").await.unwrap();
        taken.close().await.unwrap();
        assert_eq!(store.get(&sub.journal()).await.unwrap(), "one two");
    });
}

fn fence(store: &Store, sub: &SubDir, epoch: u32) -> EpochFence {
    EpochFence { store: store.clone(), sub: sub.clone(), epoch }
}

fn fresh_again(hadoop: &Hadoop, store: &Store) -> Store {
    let path = store.url("").trim_end_matches('/').strip_prefix(&hadoop.url()).expect("it works").to_owned();
    hadoop.store_of("root", &path)
}

#[test]
fn an_older_epoch_never_writes_again() {
    let hadoop = hadoop();
    let (store, sub) = (fresh(&hadoop), RunDir::new(&id(1)).sub(SubDagId(0)));
    let second = fresh_again(&hadoop, &store);
    run(async {
        let epoch = epochs::claim(&store, &sub).await.unwrap();
        let fence = EpochFence { store: store.clone(), sub: sub.clone(), epoch };
        let (guard_, mut hear) = guard(fence);
        let mut old = store.take_over(&sub.journal()).await.unwrap().guarded(guard_);
        old.write_synced(b"old ").await.unwrap();
        // The lease is lost, but no newer master is there: it goes on.
        assert!(second.close_dead(&sub.journal()).await.unwrap());
        old.write_synced(b"still ").await.unwrap();
        let heard = told(&mut hear);
        assert!(matches!(&heard[..], [Trouble { over: false, .. }, Trouble { over: true, .. }]), "{heard:?}");
        assert_eq!(epochs::claim(&second, &sub).await.unwrap(), epoch + 1);
        let mut new = second.take_over(&sub.journal()).await.unwrap();
        new.write_synced(b"new").await.unwrap();
        let fenced = old.write_synced(b"never").await.unwrap_err();
        assert!(fenced.is_fenced(), "{}", fenced.text());
        assert!(old.write_synced(b"never").await.unwrap_err().is_fenced());
        new.close().await.unwrap();
        assert_eq!(store.get(&sub.journal()).await.unwrap(), "old still new");
        let addr = MasterAddr { host: "10.0.0.1".into(), port: 4, epoch: 2 };
        addr.put(&store, &sub).await.unwrap();
        assert_eq!(MasterAddr::get(&store, &sub).await.unwrap(), Some(addr));
    });
}

/// Appends numbered lines while `fault` happens, and looks that each is there once, in order.
fn lines_survive(fault: impl FnOnce(&Hadoop)) {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        let (guard, mut hear) = guard(OnlyMine);
        let mut out = store.append("lines").await.expect("it works").guarded(guard);
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let writer = tokio::spawn(async move {
            let mut n = 0;
            while !seen.load(Ordering::Relaxed) || n < 50 {
                out.write(format!("{n} first half, ").as_bytes()).await.expect("it works");
                out.write_synced(b"second half\n").await.expect("it works");
                n += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            out.close().await.expect("it works");
            n
        });
        tokio::time::sleep(Duration::from_millis(300)).await;
        tokio::task::block_in_place(|| fault(&hadoop));
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
        let n = writer.await.expect("it works");
        let want: String = (0..n).map(|n| format!("{n} first half, second half\n")).collect();
        let text = store.with_patience(MINUTES).get("lines").await.expect("it works");
        assert!(text == want, "{n} lines, {} of {} bytes", text.len(), want.len());
        let heard = told(&mut hear);
        assert!(!heard.is_empty() && heard.last().is_none_or(|last| last.over), "{heard:?}");
    });
}

#[test]
fn a_writer_survives_a_killed_namenode() {
    lines_survive(|hadoop| {
        hadoop.kill(NN);
        std::thread::sleep(Duration::from_secs(2));
        hadoop.start(NN);
    });
}

#[test]
fn a_writer_survives_a_killed_datanode() {
    lines_survive(|hadoop| {
        hadoop.kill(DN);
        std::thread::sleep(Duration::from_secs(2));
        hadoop.start(DN);
    });
}

#[test]
fn a_writer_survives_both_killed() {
    lines_survive(|hadoop| {
        hadoop.kill(DN);
        hadoop.kill(NN);
        hadoop.start(NN);
        hadoop.start(DN);
    });
}

#[test]
fn a_torn_tail_is_cut() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        let mut out = store.append("j").await.unwrap();
        out.write_synced(b"whole torn").await.unwrap();
        drop(out);
        let mut out = store.take_over("j").await.unwrap();
        out.truncate(6).await.unwrap();
        assert_eq!(out.len(), 6);
        out.write_synced(b"again").await.unwrap();
        out.close().await.unwrap();
        assert_eq!(store.get("j").await.unwrap(), "whole again");
    });
}

#[test]
fn a_resting_file_is_taken_over_at_once_and_its_old_writer_is_fenced_all_the_same() {
    let hadoop = hadoop();
    let (store, sub) = (fresh(&hadoop), RunDir::new(&id(3)).sub(SubDagId(0)));
    run(async {
        let epoch = epochs::claim(&store, &sub).await.unwrap();
        let (guard, mut hear) = guard(EpochFence { store: store.clone(), sub: sub.clone(), epoch });
        let old = store.take_over(&sub.journal()).await.unwrap();
        let mut old = old.guarded(guard).resting(Duration::from_millis(100));
        let mut wakes = Vec::new();
        for line in ["one ", "two ", "three "] {
            let start = Instant::now();
            old.write_synced(line.as_bytes()).await.unwrap();
            wakes.push(start.elapsed());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("first write, and two after a rest: {wakes:?}");
        assert_eq!(store.get(&sub.journal()).await.unwrap(), "one two three ", "it rests: it can be read");
        assert_eq!(told(&mut hear), [], "a rest is no trouble");
        epochs::claim(&store, &sub).await.unwrap();
        let start = Instant::now();
        let mut new = store.take_over(&sub.journal()).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
        println!("taken over in {:?}", start.elapsed());
        new.write_synced(b"four").await.unwrap();
        assert!(old.write_synced(b"never").await.unwrap_err().is_fenced());
        new.close().await.unwrap();
        assert_eq!(store.get(&sub.journal()).await.unwrap(), "one two three four");
    });
}

fn id(n: u32) -> RunId {
    format!("01jd00000000000000000{n:05}").parse().expect("it works")
}

#[test]
fn an_upload_lags_while_hdfs_is_down_and_catches_up() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    run(async {
        let (tell, mut hear) = mpsc::unbounded_channel();
        let conf = UploadConf { bound: 2 << 20, ..UploadConf::new(&path, "logs/g.log") };
        let upload = Uploader::start(&store, conf, tell);
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let mut add = |n: usize| {
            let piece: Vec<u8> = (0..n).map(|at| (at % 251) as u8).collect();
            file.write_all(&piece).unwrap();
        };
        add(100_000);
        upload.flush(Duration::from_secs(10)).await.unwrap();
        assert_eq!(upload.remote_len(), 100_000);
        hadoop.kill(NN);
        hadoop.kill(DN);
        add(3 << 20);
        assert!(upload.flush(Duration::from_secs(3)).await.unwrap_err().is_unreachable());
        assert!(upload.is_behind());
        hadoop.start(NN);
        hadoop.start(DN);
        upload.flush(Duration::from_secs(90)).await.unwrap();
        add(77);
        upload.close(Duration::from_secs(20)).await.unwrap();
        assert!(store.get("logs/g.log").await.unwrap() == std::fs::read(&path).unwrap());
        let heard = told(&mut hear);
        assert_eq!(heard.iter().filter(|trouble| trouble.over).count(), 1, "{heard:?}");
        assert!(heard.last().unwrap().over, "{heard:?}");
        println!("{heard:?}");
    });
}

/// A proxy that reads its archive to whoever asks, until its grant is over.
#[derive(Debug)]
struct Proxy {
    local: std::path::PathBuf,
    grant: GrantId,
    over: AtomicBool,
}

impl Live for Proxy {
    fn grants(&self) -> Answer<'_, Result<Vec<LiveGrant>, StoreError>> {
        let over = self.over.load(Ordering::Relaxed);
        Box::pin(async move { Ok(vec![LiveGrant { grant: self.grant, over, size: None }]) })
    }

    fn read(&self, _: GrantId, offset: u64, max: usize) -> Answer<'_, Result<Option<LivePiece>, StoreError>> {
        Box::pin(async move {
            if self.over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let all = std::fs::read(&self.local).expect("it works");
            let from = usize::try_from(offset).expect("it works").min(all.len());
            let bytes = all[from..(from + max).min(all.len())].to_vec().into();
            Ok(Some(LivePiece { bytes, size: all.len() as u64 }))
        })
    }
}

#[test]
fn logs_are_read_live_from_who_writes_them_and_afterwards_from_the_store() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let home = tempfile::tempdir().unwrap();
    let here = Store::open_dir(home.path());
    let grant = GrantId::compose(SubDagId(0), 1, 1);
    let (dir, name) = (RunDir::new(&id(2)).logs(), RunDir::new(&id(2)).archive(grant));
    let proxy = Arc::new(Proxy { local: home.path().join(&name), grant, over: AtomicBool::new(false) });
    let attempt = AttemptId { task: dybox_model::TaskId { stage: StageId(0), index: 0 }, number: 1 };
    run(async {
        let mut archive = ArchiveWriter::open(&here, &name).await.unwrap();
        archive.append(attempt, Stream::Stdout, Millis(1), b"one\n").await.unwrap();
        let (tell, _hear) = mpsc::unbounded_channel();
        let upload = Uploader::start(&store, UploadConf::new(home.path().join(&name), &name), tell);
        let live = Grants::Live(Arc::clone(&proxy) as Arc<dyn Live>);
        let mut logs = RunLogs::open_with(&store, &dir, Select::default(), live).await.unwrap();
        assert_eq!(text(&mut logs).await, "one\n");
        archive.append(attempt, Stream::Stdout, Millis(2), b"two\n").await.unwrap();
        assert_eq!(text(&mut logs).await, "two\n");
        upload.flush(Duration::from_secs(10)).await.unwrap();
        let mut unknown = RunLogs::open(&store, &dir, Select::default()).await.unwrap();
        assert_eq!(text(&mut unknown).await, "", "nobody may touch an open file of a grant that may live");
        archive.append(attempt, Stream::Stdout, Millis(3), b"three\n").await.unwrap();
        upload.flush(Duration::from_secs(10)).await.unwrap();
        // The proxy dies: nobody closes the copy.
        drop(upload);
        proxy.over.store(true, Ordering::Relaxed);
        assert_eq!(text(&mut logs).await, "three\n");
        let mut after = RunLogs::open_with(&store, &dir, Select::default(), Grants::AllOver).await.unwrap();
        assert_eq!(text(&mut after).await, "one\ntwo\nthree\n");
    });
}

async fn text(logs: &mut RunLogs) -> String {
    let mut text = String::new();
    while let Some(item) = logs.next_within(Duration::from_millis(700)).await.expect("it works") {
        if let LogItem::Chunk { bytes, .. } = item {
            text.push_str(std::str::from_utf8(&bytes).expect("it works"));
        }
    }
    text
}

#[test]
fn runs_are_found_quickly() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        store.prepare().await.unwrap();
        for n in 0..40 {
            let info = serde_json::json!({
                "version": 1, "run": id(n).to_string(), "job": format!("job{}", n % 10), "submitted": n, "uid": 0, "gid": 0,
                "user": "root", "cwd": "/", "job_sha256": "", "binary": "/bin/dybox",
            });
            store.put(&RunDir::new(&id(n)).info(), info.to_string()).await.unwrap();
        }
        let start = Instant::now();
        let all = runs(&store).await.unwrap();
        println!("40 runs listed in {:?}", start.elapsed());
        assert_eq!((all.list.len(), all.list[0].run.clone()), (40, id(39)));
        let start = Instant::now();
        let found = find_run(&store, "@latest").await.unwrap();
        println!("the latest found in {:?}: {found:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

/// Not a promise: numbers for whoever looks (`--nocapture`).
#[test]
fn how_long_things_take() {
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    run(async {
        store.prepare().await.unwrap();
        let mut times: Vec<(&str, Duration)> = Vec::new();
        let mut p50 = |what, mut all: Vec<Duration>| {
            all.sort();
            times.push((what, all[all.len() / 2]));
        };
        let (mut put, mut claim, mut over, mut dead) = (vec![], vec![], vec![], vec![]);
        for n in 0..9 {
            let start = Instant::now();
            store.put(&format!("p{n}"), "x").await.unwrap();
            put.push(start.elapsed());
            let start = Instant::now();
            assert!(store.claim(&format!("c{n}")).await.unwrap());
            claim.push(start.elapsed());
            let mut out = store.append(&format!("o{n}")).await.unwrap();
            out.write_synced(b"x").await.unwrap();
            drop(out);
            let start = Instant::now();
            let out = store.take_over(&format!("o{n}")).await.unwrap();
            over.push(start.elapsed());
            assert_eq!(out.len(), 1);
            let start = Instant::now();
            out.close().await.unwrap();
            dead.push(start.elapsed());
        }
        p50("put", put);
        p50("claim", claim);
        p50("take over", over);
        p50("close after take over", dead);
        let mut out = store.append("sync").await.unwrap();
        let mut syncs = vec![];
        for _ in 0..300 {
            let start = Instant::now();
            out.write_synced(&[7; 200]).await.unwrap();
            syncs.push(start.elapsed());
        }
        p50("200 bytes + hsync", syncs);
        println!("{times:?}");
    });
}

/// A proxy is to stay below 15 MB in all: what the client of HDFS adds to an idle process, and to one that uploads.
#[test]
fn the_client_is_small() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let hadoop = hadoop();
    let store = fresh(&hadoop);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive");
    let before = resident();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        store.get_opt("x").await.unwrap();
        let connected = resident();
        std::fs::write(&path, vec![7; 32 << 20]).unwrap();
        let (tell, _hear) = mpsc::unbounded_channel();
        let upload = Uploader::start(&store, UploadConf::new(&path, "logs/g.log"), tell);
        let start = Instant::now();
        upload.flush(Duration::from_secs(60)).await.unwrap();
        println!("before {before} KiB, connected {connected}, after 32 MiB in {:?} {}", start.elapsed(), resident());
        upload.close(Duration::from_secs(20)).await.unwrap();
        assert!(resident() - before < 10_000, "{} KiB more", resident() - before);
    });
}
