//! The engine hangs, fails, half answers: every attempt has an end with a cause, and nothing is left.

use std::time::{Duration, Instant};

use crate::stage::Stage;
use crate::stage::meddler::{Fault, Meddler};
use dybox_model::{Cause, Exit, Network};
use dybox_wire::{MasterOrder, ProxyNews};

const CREATE: (&str, &str) = ("POST", "/containers/create");
const START: (&str, &str) = ("POST", "/start");
const INSPECT: (&str, &str) = ("GET", "/json");
const REMOVE: (&str, &str) = ("DELETE", "/containers/");

/// How an attempt ends whose `call` goes wrong once; the next one is fine, and nothing is left.
async fn end_of(call: (&'static str, &'static str), fault: Fault) -> Exit {
    let meddler = Meddler::start();
    let mut stage = Stage::open_on(Some(&meddler.socket())).await;
    let first = stage.spec(1, "exit 7");
    assert_eq!(stage.run(first).await.code, Some(7), "it passes on what is fine");
    meddler.spoil(call, fault, 1);
    let second = stage.spec(2, "exit 8");
    let exit = stage.run(second).await;
    let third = stage.spec(3, "exit 9");
    assert_eq!(stage.run(third).await.code, Some(9), "it goes on");
    assert!(stage.dismiss().await);
    stage.assert_no_containers();
    exit
}

#[tokio::test]
async fn an_engine_that_fails_is_called_so() {
    let exit = end_of(CREATE, Fault::Answer(500, "something broke")).await;
    assert_eq!((exit.cause, exit.text.contains("something broke")), (Some(Cause::EngineFailed), true), "{exit:?}");
    let exit = end_of(START, Fault::Answer(500, "something broke")).await;
    assert_eq!(exit.cause, Some(Cause::EngineFailed), "{exit:?}");
}

#[tokio::test]
async fn a_full_disk_of_the_engine_is_called_so() {
    let full = "mkdir /var/lib/docker/overlay2/x: no space left on device";
    assert_eq!(end_of(CREATE, Fault::Answer(500, full)).await.cause, Some(Cause::DiskFull));
    assert_eq!(end_of(START, Fault::Answer(500, full)).await.cause, Some(Cause::DiskFull));
}

#[tokio::test]
async fn half_an_answer_to_create_leaves_no_container() {
    let exit = end_of(CREATE, Fault::Half).await;
    assert!(matches!(exit.cause, Some(Cause::EngineDown | Cause::EngineFailed)), "{exit:?}");
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_no_container() {
    let exit = end_of(CREATE, Fault::Lost).await;
    assert!(matches!(exit.cause, Some(Cause::EngineDown | Cause::EngineFailed)), "{exit:?}");
}

#[tokio::test]
async fn a_start_whose_answer_is_lost_is_a_start() {
    let exit = end_of(START, Fault::Lost).await;
    assert_eq!(exit.code, Some(8), "{exit:?}");
}

#[tokio::test]
async fn an_engine_that_forgets_what_runs_ends_no_attempt_before_its_init_is_dead() {
    const GONE: Fault = Fault::Answer(404, "No such container: x");
    let meddler = Meddler::start();
    let mut stage = Stage::open_on(Some(&meddler.socket())).await;
    // It is said to run, and forgotten then: it goes on, and init tells its end.
    meddler.spoil(("GET", "/containers/"), GONE, u32::MAX);
    let spec = stage.spec(1, "sleep 6; exit 7");
    assert_eq!(stage.run(spec).await.code, Some(7));
    // It is said to have failed, and runs: the lease ends it before its end is told.
    meddler.spoil(START, Fault::Lie(500, "something broke"), 1);
    let spec = stage.spec(2, "trap '' TERM; while :; do sleep 1; done");
    let exit = stage.run(spec).await;
    assert!(matches!(exit.cause, Some(Cause::EngineDown | Cause::EngineFailed)), "{exit:?}");
    let (told, name) = (Instant::now(), format!("name={}", stage.container(2)));
    while !stage.docker(&["ps", "-q", "--filter", &name]).is_empty() {
        assert!(told.elapsed() < Duration::from_secs(8), "more than the engine's own delay: it runs on");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!stage.dismiss().await, "it can't be sure");
    stage.sweep().await;
    stage.assert_no_containers();
}

#[tokio::test]
async fn a_create_that_hangs_is_given_up() {
    let began = Instant::now();
    let exit = end_of(CREATE, Fault::Hang).await;
    assert_eq!(exit.cause, Some(Cause::EngineDown), "{exit:?}");
    assert!(began.elapsed() < Duration::from_secs(80), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_start_that_hangs_is_given_up() {
    assert_eq!(end_of(START, Fault::Hang).await.cause, Some(Cause::EngineDown));
}

#[tokio::test]
async fn an_engine_that_hangs_while_a_task_runs_costs_the_task_nothing() {
    let meddler = Meddler::start();
    let mut stage = Stage::open_on(Some(&meddler.socket())).await;
    let spec = stage.spec(1, "sleep 3; exit 7");
    stage.order(MasterOrder::Start(Box::new(spec)));
    stage.until(|news| matches!(news, ProxyNews::Runs { .. })).await;
    meddler.spoil(INSPECT, Fault::Hang, 50);
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { .. })).await;
    assert_eq!(stage.exit_of(&news, 1).code, Some(7));
    stage.kill_proxy();
    stage.sweep().await;
    stage.assert_no_containers();
}

#[tokio::test]
async fn a_container_that_cant_be_removed_holds_up_no_end_and_is_told() {
    let meddler = Meddler::start();
    let mut stage = Stage::open_on(Some(&meddler.socket())).await;
    meddler.spoil(REMOVE, Fault::Answer(500, "driver failed to remove root filesystem"), u32::MAX);
    for number in 1..=2 {
        let spec = stage.spec(number, "exit 7");
        let began = Instant::now();
        assert_eq!(stage.run(spec).await.code, Some(7));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
    assert!(!stage.dismiss().await, "its end says that something is left");
    stage.sweep().await;
    stage.assert_no_containers();
}

#[tokio::test]
async fn a_network_that_is_taken_away_before_the_start_is_made_again() {
    let meddler = Meddler::start();
    let mut stage = Stage::open_on(Some(&meddler.socket())).await;
    meddler.spoil(START, Fault::Answer(404, "network dybox-x-shop not found"), 1);
    let mut spec = stage.spec(1, "exit 7");
    spec.network = Network::Named("shop".to_owned());
    assert_eq!(stage.run(spec).await.code, Some(7));
    assert!(stage.dismiss().await);
    stage.assert_no_containers();
}
