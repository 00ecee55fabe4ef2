//! A proxy in a grant of a cluster, on a real engine, with a directory in the place of HDFS.

mod stage;

use std::time::{Duration, Instant};

use dybox_model::{Attach, Cause, Network, Note, SubDagId};
use dybox_store::epochs::MasterAddr;
use dybox_store::layout::RunDir;
use dybox_wire::{MasterOrder, ProxyNews, WireError};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use stage::{Master, News, Stage, attempt, grant};

/// Not a test of its own: what the others start as a process.
#[test]
fn a_proxy_as_a_process() {
    stage::serve_if_told();
}

fn exited(number: u32) -> impl Fn(&News) -> bool {
    move |(_, news)| matches!(news, ProxyNews::Exited { attempt: of, .. } if *of == attempt(number))
}

fn runs((_, news): &News) -> bool {
    matches!(news, ProxyNews::Runs { .. })
}

/// Runs one attempt to its acknowledged end; its cause.
async fn run(stage: &Stage, master: &mut Master, number: u32, shell: &str) -> Option<Cause> {
    master.order(grant(1), MasterOrder::Start(stage.spec(number, shell)));
    let mut news = master.until(exited(number)).await;
    master.order(grant(1), MasterOrder::Ack { attempt: attempt(number) });
    let Some((_, ProxyNews::Exited { exit, .. })) = news.pop() else { panic!("no end") };
    exit.cause
}

#[tokio::test]
async fn output_is_shown_copied_and_read_while_the_grant_lives() {
    let (mut stage, mut master) = Stage::open().await;
    stage.proxy(&mut master, grant(1)).await;
    let client = stage.client(&master).await;
    let nothing = client.read(grant(1), 0, 100).await.unwrap();
    assert_eq!((nothing.total, nothing.closed), (0, false));
    assert_eq!(run(&stage, &mut master, 1, "echo one; echo bad >&2").await, None);
    assert_eq!(
        (stage.log(grant(1), "a-0-1.stdout"), stage.log(grant(1), "a-0-1.stderr")),
        ("one\n".into(), "bad\n".into())
    );
    let piece = client.read(grant(1), 3, 1 << 20).await.unwrap();
    let name = RunDir::new(&stage.run).archive(grant(1));
    let here = std::fs::read(stage.node().join("user/dybox").join(&name)).unwrap();
    assert_eq!((piece.total, &piece.bytes[..]), (here.len() as u64, &here[3..]));
    assert_eq!(stage.far().len(&name).await.unwrap(), Some(here.len() as u64));
    assert!(matches!(client.read(grant(9), 0, 1).await, Err(WireError::Refused { .. })));

    println!("{}", stage.memory(grant(1)));
    assert_eq!(run(&stage, &mut master, 2, "exit 3").await, Some(Cause::ExitCode));
    stage.dismiss(&mut master, grant(1)).await;
    assert_eq!(stage.copied(grant(1), 1).await, b"one\n");
    assert_eq!(stage.log(grant(1), "a-0-1.stdout"), "one\n");
    stage.assert_clean();
}

#[tokio::test]
async fn a_terminal_goes_through_master_and_proxy() {
    let (mut stage, mut master) = Stage::open().await;
    stage.proxy(&mut master, grant(1)).await;
    let mut spec = stage.spec(1, "cat");
    spec.attach = Some(Attach { stdin: true, tty: false });
    master.order(grant(1), MasterOrder::Start(spec));
    master.until(runs).await;
    let client = stage.client(&master).await;
    let (mut ear, mut mouth) = tokio::io::split(client.attach(grant(1), attempt(1)).await.unwrap());
    mouth.write_all(b"\x00\x03\0\0\0hey").await.unwrap();
    let mut heard = [0; 8];
    ear.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\x0a\x03\0\0\0hey");
    mouth.write_all(b"\x01\0\0\0\0").await.unwrap();
    master.until(exited(1)).await;
    master.order(grant(1), MasterOrder::Ack { attempt: attempt(1) });
    let mut rest = Vec::new();
    ear.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x0c\0\0\0\0");
    let refused = client.attach(grant(1), attempt(1)).await;
    assert!(matches!(&refused, Err(WireError::Refused { why, .. }) if why.contains("takes nobody")), "{refused:?}");
    stage.dismiss(&mut master, grant(1)).await;
    stage.assert_clean();
}

#[tokio::test]
async fn a_grant_that_is_taken_back_leaves_nothing_though_its_proxy_dies_a_moment_later() {
    let (mut stage, mut master) = Stage::open().await;
    stage.proxy(&mut master, grant(1)).await;
    let mut spec = stage.spec(1, "trap '' TERM; echo on; sleep 1000");
    spec.network = Network::Bridge;
    master.order(grant(1), MasterOrder::Start(spec));
    master.until(runs).await;
    assert_eq!(stage.containers(), 2, "the task and its sandbox");
    let asked = Instant::now();
    stage.signal(grant(1), Signal::SIGTERM);
    sleep(Duration::from_millis(250)).await;
    // Where it was done in time it is gone by itself.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.signal(grant(1), Signal::SIGKILL)));
    while stage.containers() > 0 {
        assert!(asked.elapsed() < Duration::from_secs(10), "the engine was not asked for all");
        sleep(Duration::from_millis(20)).await;
    }
    println!("all removed {:?} after SIGTERM", asked.elapsed());
    stage.ended(grant(1)).await;
}

#[tokio::test]
async fn a_grant_that_is_taken_back_says_so_where_there_is_time() {
    let (mut stage, mut master) = Stage::open().await;
    stage.proxy(&mut master, grant(1)).await;
    master.order(grant(1), MasterOrder::Start(stage.spec(1, "trap '' TERM; echo on; sleep 1000")));
    master.until(runs).await;
    while stage.log(grant(1), "a-0-1.stdout").is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let asked = Instant::now();
    stage.signal(grant(1), Signal::SIGTERM);
    let news = master.until(exited(1)).await;
    assert!(asked.elapsed() < Duration::from_secs(4), "no grace is waited for");
    assert!(
        news.iter()
            .any(|(_, news)| matches!(news, ProxyNews::Exited { exit, .. } if exit.cause == Some(Cause::GrantLost)))
    );
    master.order(grant(1), MasterOrder::Ack { attempt: attempt(1) });
    master.until(|(_, news)| matches!(news, ProxyNews::Leaving { .. })).await;
    assert!(stage.ended(grant(1)).await.success());
    assert_eq!(stage.copied(grant(1), 1).await, b"on\n");
    stage.assert_clean();
}

/// A cgroup as YARN makes them, in one hierarchy of version 1; removed at the end.
struct YarnCgroup(std::path::PathBuf);

impl YarnCgroup {
    fn make(name: &str) -> Option<Self> {
        let dir = std::path::Path::new("/sys/fs/cgroup/cpu").join(name);
        std::fs::create_dir_all(&dir).ok().map(|()| Self(dir))
    }
}

impl Drop for YarnCgroup {
    fn drop(&mut self) {
        for dir in self.0.ancestors().take(2) {
            let _ = std::fs::remove_dir(dir);
        }
    }
}

#[tokio::test]
async fn containers_are_made_inside_the_grants_cgroup_and_leave_no_other() {
    let top = format!("dybox-test-yarn-{}", std::process::id());
    let name = format!("{top}/container_1_0001_01_{}", grant(1));
    // Only root of a machine with cgroups of version 1 can play the NodeManager here.
    let Some(cgroup) = YarnCgroup::make(&name) else { return };
    let others = || {
        let all = std::fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        all.filter(|dir| !dir.ends_with("cpu") && dir.join(&top).exists()).count()
    };
    let (mut stage, mut master) = Stage::open().await;
    stage.cgroups = cgroup.0.display().to_string();
    stage.proxy(&mut master, grant(1)).await;
    master.order(grant(1), MasterOrder::Start(stage.spec(1, "sleep 1000")));
    master.until(runs).await;
    assert_eq!(std::fs::read_dir(&cgroup.0).unwrap().flatten().filter(|entry| entry.path().is_dir()).count(), 1);
    assert!(others() > 0, "the engine makes it in all hierarchies");
    master.order(grant(1), MasterOrder::Halt { attempt: attempt(1), now: true });
    master.until(exited(1)).await;
    master.order(grant(1), MasterOrder::Ack { attempt: attempt(1) });
    stage.dismiss(&mut master, grant(1)).await;
    assert_eq!(others(), 0);
    stage.assert_clean();

    // A dead proxy's are removed by who sweeps after it.
    stage.proxy(&mut master, grant(1)).await;
    master.order(grant(1), MasterOrder::Start(stage.spec(2, "sleep 1000")));
    master.until(runs).await;
    stage.signal(grant(1), Signal::SIGKILL);
    stage.ended(grant(1)).await;
    stage.cgroups.clear();
    stage.proxy(&mut master, grant(2)).await;
    master.until(swept(1)).await;
    assert_eq!(others(), 0);
    // The sweep of its archive and of its files goes on.
    sleep(Duration::from_millis(500)).await;
    stage.dismiss(&mut master, grant(2)).await;
    stage.assert_clean();
}

fn swept(number: u32) -> impl Fn(&News) -> bool {
    move |(_, news)| matches!(news, ProxyNews::Swept { grant: of, .. } if *of == grant(number))
}

#[tokio::test]
async fn the_next_proxy_of_the_node_sweeps_after_a_dead_one() {
    let (mut stage, mut master) = Stage::open().await;
    stage.proxy(&mut master, grant(1)).await;
    master.order(grant(1), MasterOrder::Start(stage.spec(1, "echo before; sleep 1; echo after; sleep 1000")));
    master.until(runs).await;
    stage.signal(grant(1), Signal::SIGKILL);
    stage.ended(grant(1)).await;
    while !stage.log(grant(1), "a-0-1.stdout").contains("after") {
        sleep(Duration::from_millis(20)).await;
    }

    stage.proxy(&mut master, grant(2)).await;
    let mut news = master.until(swept(1)).await;
    let Some((_, ProxyNews::Swept { exits, .. })) = news.pop() else { panic!("not swept") };
    assert_eq!((exits.len(), exits[0].0, stage.containers()), (1, attempt(1), 0));
    assert_eq!(exits[0].1.as_ref().and_then(|exit| exit.cause), Some(Cause::ProxyLost), "its init left a verdict");
    let end = Instant::now() + Duration::from_secs(10);
    while stage.copied(grant(1), 1).await != b"before\nafter\n" {
        assert!(Instant::now() < end, "the rest of its output is not brought to the store");
        sleep(Duration::from_millis(20)).await;
    }
    // The master, or the next one, may ask for it; there is nothing more to be found.
    sleep(Duration::from_millis(500)).await;
    master.order(grant(2), MasterOrder::Sweep { grant: grant(1) });
    let mut news = master.until(swept(1)).await;
    let Some((_, ProxyNews::Swept { exits, .. })) = news.pop() else { panic!("not swept") };
    assert_eq!((exits.len(), exits[0].0), (1, attempt(1)), "what was found is not forgotten");
    stage.dismiss(&mut master, grant(2)).await;
    stage.assert_clean();
}

#[tokio::test]
async fn a_proxy_finds_the_next_master() {
    let (mut stage, mut master) = Stage::open().await;
    stage.proxy(&mut master, grant(1)).await;
    master.order(grant(1), MasterOrder::Start(stage.spec(1, "sleep 3; echo done")));
    master.until(runs).await;
    master.die().await;
    let mut next = stage.another_master().await;
    let address = MasterAddr { host: "127.0.0.1".to_owned(), port: next.port, epoch: 2 };
    address.put(&stage.far(), &RunDir::new(&stage.run).sub(SubDagId(0))).await.unwrap();
    assert_eq!(next.greet(grant(1)).await, [attempt(1)], "it comes with what it has in its hands");
    next.until(exited(1)).await;
    next.order(grant(1), MasterOrder::Ack { attempt: attempt(1) });
    stage.dismiss(&mut next, grant(1)).await;
    assert_eq!(stage.copied(grant(1), 1).await, b"done\n");
    stage.assert_clean();
}

#[tokio::test]
async fn without_an_engine_it_says_so_and_goes() {
    let (mut stage, mut master) = Stage::open().await;
    stage.launch(&master, grant(1), Some("unix:///nowhere/docker.sock"));
    master.greet(grant(1)).await;
    master.order(grant(1), MasterOrder::Start(stage.spec(1, "true")));
    let mut news = master.until(exited(1)).await;
    master.order(grant(1), MasterOrder::Ack { attempt: attempt(1) });
    news.extend(master.until(|(_, news)| matches!(news, ProxyNews::Leaving { .. })).await);
    let named = |text: &str| text.contains("n1") && text.contains("/nowhere/docker.sock");
    assert!(
        news.iter()
            .any(|(_, news)| matches!(news, ProxyNews::Noted(Note::Warns { text, cause: Some(_) }) if named(text)))
    );
    assert!(matches!(news.last(), Some((_, ProxyNews::Leaving { why })) if named(why)), "{news:?}");
    assert!(stage.ended(grant(1)).await.success());
    stage.assert_clean();
}

#[tokio::test]
async fn a_store_that_is_down_holds_no_end_up_for_long_and_gets_all_later() {
    let (mut stage, mut master) = Stage::open().await;
    let far = stage.node().join("far");
    std::fs::write(&far, "not a directory").unwrap();
    stage.proxy(&mut master, grant(1)).await;
    let started = Instant::now();
    assert_eq!(run(&stage, &mut master, 1, "echo one").await, None);
    assert_eq!(run(&stage, &mut master, 2, "echo two").await, None);
    assert!(started.elapsed() < Duration::from_secs(9), "only the first waits: {:?}", started.elapsed());
    master.order(grant(1), MasterOrder::Leave);
    master.until(|(_, news)| matches!(news, ProxyNews::Leaving { .. })).await;
    assert!(!stage.ended(grant(1)).await.success(), "its archive is not in the store");

    std::fs::remove_file(&far).unwrap();
    stage.proxy(&mut master, grant(2)).await;
    master.until(swept(1)).await;
    let end = Instant::now() + Duration::from_secs(10);
    while stage.copied(grant(1), 2).await != b"two\n" {
        assert!(Instant::now() < end, "not brought");
        sleep(Duration::from_millis(20)).await;
    }
    stage.dismiss(&mut master, grant(2)).await;
    stage.assert_clean();
}
