//! A master's end and its peers, over a real socket.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use dybox_model::{
    AttemptId, Cause, Exit, GrantId, Millis, Network, Note, Protocol, Published, PullPolicy, Resources, StageId,
    TaskId, TaskSpec, Timeouts,
};
use dybox_wire::{Call, MasterClient, MasterOrder, ProxyNews, Waiting, Watched, WireError, serve};
use proptest::prelude::*;
use tempfile::TempDir;

const ONCE: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_secs(5);

/// A directory whose path is longer than a socket's address can hold.
fn deep() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&dir).unwrap();
    (home, dir)
}

fn attempt(stage: u32, index: u32, number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(stage), index }, number }
}

fn spec(command: Vec<String>, needs: String) -> TaskSpec {
    TaskSpec {
        run: "01jd0000000000000000000000".parse().unwrap(),
        job: "nightly".into(),
        stage: "a".into(),
        attempt: attempt(0, 1, 2),
        tasks: 4,
        image: "busybox".into(),
        pinned: None,
        pull: PullPolicy::Missing,
        entrypoint: None,
        command: Some(command),
        script: None,
        workdir: None,
        env: vec![("A".into(), "b\nc".into())],
        user: None,
        limits: Resources { cpu_milli: 500, memory: 64 << 20 },
        shm: None,
        pids: 64,
        volumes: vec![],
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::Named("n".into()),
        timeout: Timeouts::default(),
        stop_grace: Millis(10_000),
        stop_signal: None,
        ports: Vec::new(),
        keep_failed: false,
        attach: None,
        reuse: false,
        results: None,
        needs,
        hook: false,
    }
}

fn any_attempt() -> impl Strategy<Value = AttemptId> {
    (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(s, i, n)| attempt(s, i, n))
}

fn published() -> Vec<Published> {
    vec![Published { container: 53, protocol: Protocol::Udp, host: "n1".to_owned(), port: 32768 }]
}

fn any_news() -> impl Strategy<Value = ProxyNews> {
    prop_oneof![
        (any::<u64>(), any::<u32>(), prop::collection::vec(any_attempt(), 0..5))
            .prop_map(|(grant, pid, attempts)| ProxyNews::Hello { grant: GrantId(grant), pid, attempts }),
        (any_attempt(), ".*", ".*").prop_map(|(attempt, container, image)| ProxyNews::Runs {
            attempt,
            container,
            image,
            image_id: "sha256:00".into(),
            ports: published()
        }),
        (any_attempt(), ".*", any::<u64>()).prop_map(|(attempt, text, at)| ProxyNews::Exited {
            attempt,
            exit: Exit::not_started(Cause::EngineDown, text, Millis(at)),
        }),
        ".*".prop_map(|text| ProxyNews::Noted(Note::Warns { text, cause: Some(Cause::DiskFull) })),
        ".*".prop_map(|why| ProxyNews::Leaving { why }),
    ]
}

fn any_order() -> impl Strategy<Value = MasterOrder> {
    prop_oneof![
        any::<u32>().prop_map(|epoch| MasterOrder::Welcome { epoch }),
        (prop::collection::vec(".*", 0..4), ".*")
            .prop_map(|(command, needs)| MasterOrder::Start(Box::new(spec(command, needs)))),
        (any_attempt(), any::<bool>()).prop_map(|(attempt, now)| MasterOrder::Halt { attempt, now }),
        any_attempt().prop_map(|attempt| MasterOrder::Ack { attempt }),
        Just(MasterOrder::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn everything_arrives_as_it_was_said(
        said in prop::collection::vec(any_news(), 1..20),
        ordered in prop::collection::vec(any_order(), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_home, dir) = deep();
            let (server, mut calls) = serve(&dir, "m.sock").await.unwrap();
            let master = MasterClient::dial(&dir, "m.sock", ONCE).await.unwrap();
            let (link, call) = tokio::join!(master.link(), calls.recv());
            let mut link = link.unwrap();
            let Some(Call::Linked { orders, .. }) = call else { panic!("no link") };
            for news in &said {
                link.news.send(news.clone()).await.unwrap();
            }
            for order in &ordered {
                orders.send(order.clone()).unwrap();
            }
            for news in said {
                let Some(Call::News { news: heard, .. }) = calls.recv().await else { panic!("no news") };
                assert_eq!(heard, news);
            }
            for order in ordered {
                assert_eq!(link.orders.recv().await, Some(order));
            }
            drop((link, orders, master));
            server.close(SOON).await;
        });
    }
}

#[tokio::test]
async fn a_cut_line_is_seen_at_both_ends_at_once() {
    let (_home, dir) = deep();
    let (server, mut calls) = serve(&dir, "m.sock").await.unwrap();
    let master = MasterClient::dial(&dir, "m.sock", ONCE).await.unwrap();
    let (link, call) = tokio::join!(master.link(), calls.recv());
    let Some(Call::Linked { link: id, orders, .. }) = call else { panic!("no link") };
    drop((link.unwrap(), master));
    let Ok(Some(Call::Unlinked { link, .. })) = tokio::time::timeout(SOON, calls.recv()).await else {
        panic!("the master does not see it")
    };
    assert_eq!(link, id);
    drop(orders);

    let master = MasterClient::dial(&dir, "m.sock", ONCE).await.unwrap();
    let (link, call) = tokio::join!(master.link(), calls.recv());
    let mut link = link.unwrap();
    drop(call);
    assert_eq!(tokio::time::timeout(SOON, link.orders.recv()).await, Ok(None));
    drop((link, master));
    server.close(SOON).await;
}

#[tokio::test]
async fn a_watcher_sees_frames_and_notes_until_the_end() {
    let (_home, dir) = deep();
    let (server, mut calls) = serve(&dir, "m.sock").await.unwrap();
    let master = MasterClient::dial(&dir, "m.sock", ONCE).await.unwrap();
    let (watching, call) = tokio::join!(master.watch(17, true), calls.recv());
    let mut watching = watching.unwrap();
    let Some(Call::Watch { from: 17, notes: true, watcher }) = call else { panic!("no watch") };
    let items = [Watched::Frames(Bytes::from_static(b"\0\xff")), Watched::Note(Note::Pulled { image: "x".into() })];
    for item in &items {
        watcher.send(item.clone()).await.unwrap();
    }
    drop(watcher);
    for item in items {
        assert_eq!(watching.next().await.unwrap(), Some(item));
    }
    assert_eq!(watching.next().await.unwrap(), None);
    server.close(SOON).await;
}

#[tokio::test]
async fn stop_and_why_are_answered_by_the_master() {
    let (_home, dir) = deep();
    let (server, mut calls) = serve(&dir, "m.sock").await.unwrap();
    let master = MasterClient::dial(&dir, "m.sock", ONCE).await.unwrap();
    let waits = Waiting { stage: StageId(2), tasks: 7, why: "no room".into() };
    let desk = async {
        let Some(Call::Stop { why, now: true, uid, done }) = calls.recv().await else { panic!("no stop") };
        assert_eq!((why.as_str(), uid), ("enough", Some(nix::unistd::geteuid().as_raw())));
        done.send(()).unwrap();
        let Some(Call::Why { answer }) = calls.recv().await else { panic!("no why") };
        answer.send(vec![waits.clone()]).unwrap();
    };
    let ask = async {
        master.stop("enough", true).await.unwrap();
        assert_eq!(master.why().await.unwrap(), vec![waits.clone()]);
    };
    tokio::join!(desk, ask);
    server.close(SOON).await;
}

#[tokio::test]
async fn one_socket_has_one_master() {
    let (_home, dir) = deep();
    assert!(matches!(MasterClient::dial(&dir, "m.sock", ONCE).await, Err(WireError::NobodyThere { .. })));
    let (server, _calls) = serve(&dir, "m.sock").await.unwrap();
    assert!(matches!(serve(&dir, "m.sock").await, Err(WireError::InUse { .. })));
    server.close(SOON).await;

    // A socket file whose process died is taken over.
    drop(std::os::unix::net::UnixListener::bind({
        std::env::set_current_dir(&dir).unwrap();
        "m.sock"
    }));
    assert!(dir.join("m.sock").exists());
    let (server, _calls) = serve(&dir, "m.sock").await.unwrap();
    assert!(MasterClient::dial(&dir, "m.sock", ONCE).await.is_ok());
    server.close(SOON).await;
    assert!(!dir.join("m.sock").exists());
}

#[tokio::test]
async fn whoever_dials_early_waits_for_the_master() {
    let (_home, dir) = deep();
    let late = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        serve(&dir, "m.sock").await.unwrap()
    };
    let (master, _server) = tokio::join!(MasterClient::dial(&dir, "m.sock", SOON), late);
    assert!(master.is_ok());
}

#[tokio::test]
async fn a_large_spec_passes() {
    let (_home, dir) = deep();
    let (_server, mut calls) = serve(&dir, "m.sock").await.unwrap();
    let master = MasterClient::dial(&dir, "m.sock", ONCE).await.unwrap();
    let (link, call) = tokio::join!(master.link(), calls.recv());
    let Some(Call::Linked { orders, .. }) = call else { panic!("no link") };
    let order = MasterOrder::Start(Box::new(spec(vec!["x".repeat(4 << 20)], "y".repeat(4 << 20))));
    orders.send(order.clone()).unwrap();
    assert_eq!(link.unwrap().orders.recv().await, Some(order));
}
