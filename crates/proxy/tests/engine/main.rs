//! A whole proxy on a real engine, with a master that the test plays.

mod faults;
mod pull;
mod stage;

use dybox_model::{Cause, EndedBy, Millis, Mount, Network, Note, PullPolicy, Timeouts};
use dybox_wire::{MasterOrder, ProxyNews};

use stage::{Stage, attempt};

#[tokio::test]
async fn an_attempt_runs_ends_is_shipped_and_leaves_nothing() {
    let mut stage = Stage::open().await;
    let mut spec = stage.spec(1, "echo out; echo err >&2; echo 42 > $DYBOX_RESULT; cat $DYBOX_NEEDS");
    spec.needs = "{\"up\":1}".to_owned();
    spec.env.push(("DYBOX_NEEDS".to_owned(), "/.dybox/in/needs.json".to_owned()));
    stage.order(MasterOrder::Start(Box::new(spec)));
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { .. })).await;
    assert!(
        news.iter().any(|news| matches!(news, ProxyNews::Runs { image_id, .. } if image_id.starts_with("sha256:")))
    );
    let exit = stage.exit_of(&news, 1);
    assert_eq!((exit.code, exit.cause, exit.result.as_deref()), (Some(0), None, Some("42")));
    assert_eq!(stage.archived(1, "stdout").await, b"out\n{\"up\":1}");
    assert_eq!(stage.archived(1, "stderr").await, b"err\n");
    stage.close().await;
}

#[tokio::test]
async fn one_grant_serves_one_attempt_after_another() {
    let mut stage = Stage::open().await;
    for number in 1..=5 {
        let spec = stage.spec(number, &format!("echo {number}; exit {}", number - 1));
        stage.order(MasterOrder::Start(Box::new(spec)));
        let news =
            stage.until(|news| matches!(news, ProxyNews::Exited { attempt: of, .. } if *of == attempt(number))).await;
        let exit = stage.exit_of(&news, number);
        assert_eq!(exit.code, Some(i32::try_from(number).unwrap() - 1));
        stage.order(MasterOrder::Ack { attempt: attempt(number) });
    }
    assert_eq!(stage.archived(4, "stdout").await, b"4\n");
    stage.close().await;
}

#[tokio::test]
async fn failures_have_their_causes() {
    let mut stage = Stage::open().await;
    let mut number = 0;
    let mut expect = async |stage: &mut Stage, wanted: Cause, change: &dyn Fn(&mut dybox_model::TaskSpec)| {
        number += 1;
        let mut spec = stage.spec(number, "true");
        change(&mut spec);
        let exit = stage.run(spec).await;
        assert_eq!(exit.cause, Some(wanted), "{exit:?}");
    };
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    expect(&mut stage, Cause::CommandNotFound, &|spec| spec.command = words(&["/no/such"])).await;
    expect(&mut stage, Cause::NotExecutable, &|spec| spec.command = words(&["/.dybox/in/needs.json"])).await;
    expect(&mut stage, Cause::Signal, &|spec| spec.command = words(&["sh", "-c", "kill -SEGV $$"])).await;
    expect(&mut stage, Cause::ImageMissing, &|spec| {
        spec.image = "dybox-test/none:1".to_owned();
        spec.pull = PullPolicy::Never;
    })
    .await;
    expect(&mut stage, Cause::MountMissing, &|spec| {
        spec.volumes =
            vec![Mount { source: "/no/such/dir".into(), target: "/in".to_owned(), read_only: true, named: None }];
    })
    .await;
    expect(&mut stage, Cause::BadUser, &|spec| spec.user = Some("nobody-knows".to_owned())).await;
    expect(&mut stage, Cause::Oom, &|spec| {
        spec.limits.memory = 32 << 20;
        spec.command = words(&["sh", "-c", "x=$(yes 0123456789abcdef | head -c 90000000); echo ${#x}"]);
    })
    .await;
    expect(&mut stage, Cause::BadResult, &|spec| {
        spec.command = words(&["sh", "-c", "head -c 70000 /dev/zero > $DYBOX_RESULT"]);
    })
    .await;
    expect(&mut stage, Cause::RunTimeout, &|spec| {
        spec.command = words(&["sleep", "60"]);
        spec.timeout = Timeouts { run: Some(Millis(600)), ..Timeouts::default() };
    })
    .await;
    expect(&mut stage, Cause::SilenceTimeout, &|spec| {
        spec.command = words(&["sleep", "60"]);
        spec.timeout = Timeouts { silence: Some(Millis(600)), ..Timeouts::default() };
    })
    .await;
    stage.close().await;
}

#[tokio::test]
async fn a_stop_is_gentle_first_and_hard_on_demand() {
    let mut stage = Stage::open().await;
    let spec = stage.spec(1, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done");
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Runs { .. })).await;
    stage.eventually_archived(1, b"up\n").await;
    stage.order(MasterOrder::Halt { attempt: attempt(1), now: false });
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { .. })).await;
    let exit = stage.exit_of(&news, 1);
    assert_eq!((exit.cause, exit.by), (Some(Cause::Stopped), EndedBy::Stop));
    assert_eq!(stage.archived(1, "stdout").await, b"up\nbye\n");
    stage.order(MasterOrder::Ack { attempt: attempt(1) });

    let spec = stage.spec(2, "trap '' TERM; echo up; while :; do sleep 0.1; done");
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Runs { attempt: of, .. } if *of == attempt(2))).await;
    stage.order(MasterOrder::Halt { attempt: attempt(2), now: true });
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { attempt: of, .. } if *of == attempt(2))).await;
    assert_eq!(stage.exit_of(&news, 2).cause, Some(Cause::Stopped));
    stage.close().await;
}

#[tokio::test]
async fn usage_is_told_while_it_runs_and_a_kill_from_outside_is_seen() {
    let mut stage = Stage::open().await;
    let spec = stage.spec(1, "sleep 60");
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Noted(Note::Uses { memory, .. }) if *memory > 0)).await;
    stage.docker(&["kill", &stage.container(1)]);
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { .. })).await;
    let exit = stage.exit_of(&news, 1);
    assert_eq!((exit.cause, exit.by), (Some(Cause::KilledOutside), EndedBy::Outside));
    assert!(exit.used.memory > 0);
    stage.close().await;
}

#[tokio::test]
async fn tasks_share_a_sandbox_or_find_each_other_on_a_network_of_the_run() {
    let mut stage = Stage::open().await;
    for number in 1..=2 {
        let mut spec = stage.spec(number, "ip addr show eth0 | grep -c inet");
        spec.network = Network::Bridge;
        assert_eq!(stage.run(spec).await.code, Some(0));
    }
    let mut spec = stage.spec(3, "hostname -i; ping -c 1 a-0 || nslookup a-0; exit 0");
    spec.network = Network::Named("shop".to_owned());
    assert_eq!(stage.run(spec).await.code, Some(0));
    stage.close().await;
}

#[tokio::test]
async fn without_a_master_everything_ends_and_the_end_is_kept_for_the_sweep() {
    let mut stage = Stage::open().await;
    let spec = stage.spec(1, "trap '' TERM; echo up; while :; do sleep 0.1; done");
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Runs { .. })).await;
    stage.lose_master().await;
    let began = std::time::Instant::now();
    stage.ended().await;
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    stage.assert_no_containers();
    let report = stage.sweep().await;
    let cause = report.exits[0].exit.as_ref().and_then(|exit| exit.cause);
    assert_eq!((report.exits.len(), cause), (1, Some(Cause::MasterLost)));
    assert_eq!(stage.sweep().await, report, "a second sweep finds the same");
}

/// No test: where the others start this program as a proxy, it is one.
#[test]
fn a_proxy_as_a_process() {
    stage::serve_if_told();
}

#[tokio::test]
async fn after_kill_9_of_the_proxy_a_sweep_ends_ships_and_tells() {
    let mut stage = Stage::open_killable().await;
    let mut spec = stage.spec(1, "echo one; sleep 1; echo two; while :; do sleep 0.1; done");
    spec.network = Network::Bridge;
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Runs { .. })).await;
    stage.eventually_archived(1, b"one\n").await;
    stage.kill_proxy();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let report = stage.sweep().await;
    let exit = report.exits[0].exit.as_ref().expect("its init left a verdict");
    assert_eq!((report.exits.len(), exit.cause), (1, Some(Cause::ProxyLost)));
    assert_eq!(stage.archived(1, "stdout").await, b"one\ntwo\n", "what was written after the proxy's death, once");
    stage.assert_no_containers();
    let written = serde_json::to_string(&report).expect("JSON");
    assert!(stage.swept().lines().any(|line| line == written), "it is on the disk before its caller hears of it");
    assert_eq!(stage.sweep().await, report, "a second sweep finds the same");
}

#[tokio::test]
async fn a_kill_from_outside_is_noticed_within_a_second_or_so() {
    let mut stage = Stage::open().await;
    let spec = stage.spec(1, "sleep 60");
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Runs { .. })).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let killed = std::time::Instant::now();
    stage.docker(&["kill", &stage.container(1)]);
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { .. })).await;
    assert!(killed.elapsed().as_millis() < 2000, "{:?}", killed.elapsed());
    assert_eq!(stage.exit_of(&news, 1).cause, Some(Cause::KilledOutside));
    stage.close().await;
}

#[tokio::test]
async fn a_strangers_container_of_our_name_is_left_alone() {
    let mut stage = Stage::open().await;
    let name = stage.container(1);
    stage.docker(&["create", "--name", &name, "dybox-test/busybox:1", "true"]);
    let spec = stage.spec(1, "true");
    let exit = stage.run(spec).await;
    let there = stage.docker(&["ps", "-aq", "--filter", &format!("name={name}")]);
    stage.docker(&["rm", "-f", &name]);
    assert_eq!(exit.cause, Some(Cause::EngineFailed), "{exit:?}");
    assert!(!there.trim().is_empty());
    stage.close().await;
}

#[tokio::test]
async fn a_failed_container_is_kept_where_that_is_asked() {
    let mut stage = Stage::open().await;
    let mut spec = stage.spec(1, "exit 3");
    spec.keep_failed = true;
    assert_eq!(stage.run(spec).await.code, Some(3));
    let name = stage.container(1);
    stage.leave().await;
    assert!(stage.docker(&["ps", "-aq", "--filter", &format!("name={name}")]).trim() != "");
    stage.docker(&["rm", "-f", &name]);
}
