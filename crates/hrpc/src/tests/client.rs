//! Clients against servers that misbehave in every way that was thought of.

use std::time::{Duration, Instant};

use super::server::{Script, serve};
use super::twin::{Door, simple, token};
use crate::proto::rpc_response_header_proto::RpcStatusProto;
use crate::{Address, Auth, Call, Client, Options, Protection, RpcError, Target, Token};

const ONCE: Call = Call { deadline: Duration::from_secs(10), idempotent: false };
const AGAIN: Call = Call { idempotent: true, ..ONCE };
const STANDBY: Script = Script::Refuse(RpcStatusProto::Error, "org.apache.hadoop.ipc.StandbyException");
const BUSY: Script = Script::Refuse(RpcStatusProto::Error, "org.apache.hadoop.ipc.RetriableException");

fn echo() -> Script {
    Script::Echo(Door::Simple)
}

fn options() -> Options {
    Options { pause: Duration::from_millis(20), ..Options::default() }
}

fn client(addresses: &[&Address], auth: Auth, options: Options) -> Client {
    let addresses = addresses.iter().map(|address| (*address).clone()).collect();
    Client::new(Target { addresses, protocol: "org.example.ThingPB", auth, options })
}

fn plain(addresses: &[&Address]) -> Client {
    client(addresses, simple(), options())
}

async fn call(client: &Client, method: &str, limits: Call) -> Result<String, RpcError> {
    client.call(method, &"hello".to_owned(), limits).await
}

async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn many_calls_share_one_connection_and_pass_each_other() {
    let (address, seen) = serve(vec![echo()]).await;
    let client = plain(&[&address]);
    let calls = (0..100).map(|number| {
        let client = client.clone();
        tokio::spawn(async move { client.call::<String, String>("get", &number.to_string(), ONCE).await })
    });
    for (number, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.expect("a task").expect("an answer"), number.to_string());
    }
    assert_eq!((seen.connections(), seen.calls()), (1, 100));
    drop(client);
    eventually("the line ends with its client", || seen.ended() == 1).await;
}

#[tokio::test]
async fn tokens_let_in_under_every_protection() {
    for protection in [Protection::Authentication, Protection::Integrity, Protection::Privacy] {
        let (address, _) = serve(vec![Script::Echo(Door::Token { password: vec![9; 20], protection })]).await;
        let options = Options { protections: vec![protection], ..options() };
        let client = client(&[&address], Auth::Token(token()), options);
        let large = "x".repeat(300_000);
        assert_eq!(client.call::<String, String>("get", &large, ONCE).await.expect("an answer"), large);
    }
}

#[tokio::test]
async fn a_newer_token_is_used_at_the_next_connection() {
    let door = Door::Token { password: vec![5; 20], protection: Protection::Authentication };
    let (address, seen) = serve(vec![Script::Echo(door)]).await;
    let client = client(&[&address], Auth::Token(token()), options());
    let denied = call(&client, "get", AGAIN).await.expect_err("the password is another");
    assert!(denied.is("SaslException") && matches!(denied, RpcError::Denied { .. }), "{denied:?}");
    assert_eq!(seen.connections(), 1, "no second try");
    client.set_token(Token { password: vec![5; 20], ..token() });
    assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
}

#[tokio::test]
async fn a_newer_token_does_not_disturb_calls_under_way() {
    let door = || Script::Echo(Door::Token { password: vec![9; 20], protection: Protection::Integrity });
    let (address, seen) = serve(vec![door()]).await;
    let options = Options { protections: vec![Protection::Integrity], ..options() };
    let client = client(&[&address], Auth::Token(token()), options);
    let slow = tokio::spawn({
        let client = client.clone();
        async move { call(&client, "later", ONCE).await }
    });
    eventually("the call is under way", || seen.calls() == 1).await;
    client.set_token(token());
    assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
    assert_eq!(slow.await.expect("a task").expect("an answer"), "hello");
    assert_eq!(seen.connections(), 2);
    eventually("the old line ends", || seen.ended() == 1).await;
}

#[tokio::test]
async fn a_line_that_the_server_closed_meanwhile_costs_nothing() {
    let (address, seen) = serve(vec![Script::EchoOnce]).await;
    let client = plain(&[&address]);
    for _ in 0..5 {
        assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
    }
    assert_eq!(seen.connections(), 5);
}

#[tokio::test]
async fn what_may_have_run_is_repeated_only_if_that_is_harmless() {
    let (address, seen) = serve(vec![Script::CloseOnCall, echo()]).await;
    let patient = Options { patience: Some(Duration::from_secs(5)), ..options() };
    let once = call(&client(&[&address], simple(), patient.clone()), "get", ONCE).await.expect_err("not sent twice");
    assert!(matches!(once, RpcError::Broken { sent: true, .. }), "{once:?}");
    assert_eq!(seen.calls(), 1);
    let (address, seen) = serve(vec![Script::CloseOnCall, echo()]).await;
    let again = call(&client(&[&address], simple(), patient), "get", AGAIN).await;
    assert_eq!((again.expect("an answer").as_str(), seen.calls()), ("hello", 2));
}

#[tokio::test]
async fn the_active_server_is_found_and_kept() {
    let (standby, asked) = serve(vec![STANDBY]).await;
    let (active, _) = serve(vec![echo()]).await;
    let client = plain(&[&standby, &active]);
    for _ in 0..3 {
        assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
    }
    assert_eq!(asked.calls(), 1);
}

#[tokio::test]
async fn a_failover_that_takes_its_time_is_waited_for() {
    let (one, _) = serve(vec![STANDBY, STANDBY, echo()]).await;
    let (two, seen) = serve(vec![STANDBY]).await;
    assert_eq!(call(&plain(&[&one, &two]), "get", ONCE).await.expect("an answer"), "hello");
    assert_eq!(seen.calls(), 2);
    let limits = Call { deadline: Duration::from_secs(1), ..ONCE };
    let none = call(&plain(&[&two, &two]), "get", limits).await.expect_err("no active one");
    assert!(none.is("StandbyException") && none.advice().contains("no active server"), "{none:?}");
}

#[tokio::test]
async fn a_dead_server_is_passed_by_and_a_dead_service_is_told_at_once() {
    let (gone, _) = serve(vec![echo()]).await;
    let gone = Address { port: 1, ..gone };
    let (active, _) = serve(vec![echo()]).await;
    assert_eq!(call(&plain(&[&gone, &active]), "get", ONCE).await.expect("an answer"), "hello");
    let refused = call(&plain(&[&gone]), "get", ONCE).await.expect_err("nobody listens");
    assert!(matches!(refused, RpcError::Refused { .. }), "{refused:?}");
    let unknown = call(&plain(&[&Address::new("no such host", 1)]), "get", ONCE).await.expect_err("no host");
    assert!(matches!(unknown, RpcError::Unreachable { .. }), "{unknown:?}");
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let (address, seen) = serve(vec![BUSY]).await;
    let patient = Options { patience: Some(Duration::from_millis(100)), ..options() };
    let busy = call(&client(&[&address], simple(), patient), "get", ONCE).await.expect_err("busy to the end");
    assert!(busy.is("RetriableException") && seen.calls() > 2, "{busy:?} after {} calls", seen.calls());
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn exceptions_keep_their_class_and_the_connection() {
    let script = Script::Refuse(RpcStatusProto::Error, "org.apache.hadoop.yarn.exceptions.YarnException");
    let (address, seen) = serve(vec![script]).await;
    let client = plain(&[&address]);
    for _ in 0..3 {
        let error = call(&client, "get", AGAIN).await.expect_err("refused");
        assert!(error.is("YarnException") && error.to_string().contains("as the script says"), "{error}");
    }
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn a_fatal_answer_fails_every_call_of_the_line() {
    let script = Script::Refuse(RpcStatusProto::Fatal, "org.apache.hadoop.ipc.RpcServerException");
    let (address, _) = serve(vec![script]).await;
    let client = plain(&[&address]);
    let (one, two) = tokio::join!(call(&client, "get", ONCE), call(&client, "get", ONCE));
    assert!(one.expect_err("over").is("RpcServerException") && two.expect_err("over").is("RpcServerException"));
}

#[tokio::test]
async fn a_silent_server_costs_the_deadline_and_no_more() {
    let (address, _) = serve(vec![Script::Silent]).await;
    let limits = Call { deadline: Duration::from_millis(100), ..AGAIN };
    let began = Instant::now();
    let late = call(&plain(&[&address]), "get", limits).await.expect_err("late");
    assert!(matches!(late, RpcError::Late { .. }) && began.elapsed() < Duration::from_secs(2), "{late:?}");
}

#[tokio::test]
async fn a_late_answer_disturbs_nobody() {
    let (address, seen) = serve(vec![echo()]).await;
    let client = plain(&[&address]);
    let hasty = Call { deadline: Duration::from_millis(50), ..ONCE };
    assert!(matches!(call(&client, "later", hasty).await, Err(RpcError::Late { .. })));
    assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
    assert_eq!(seen.connections(), 1);
}

#[tokio::test]
async fn a_dead_line_is_not_used_again() {
    let (address, seen) = serve(vec![Script::Silent, echo()]).await;
    let client = plain(&[&address]);
    let limits = Call { deadline: Duration::from_millis(1100), ..ONCE };
    assert!(matches!(call(&client, "get", limits).await, Err(RpcError::Late { .. })));
    eventually("the line is given up", || seen.ended() == 1).await;
    assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
}

#[tokio::test]
async fn a_waiting_line_is_pinged() {
    let (address, seen) = serve(vec![echo()]).await;
    let client = client(&[&address], simple(), Options { ping: Duration::from_millis(20), ..options() });
    let limits = Call { deadline: Duration::from_millis(300), ..ONCE };
    assert!(call(&client, "never", limits).await.is_err());
    assert!(seen.pings() > 2, "{} pings", seen.pings());
}

#[tokio::test]
async fn foreign_and_garbled_answers_are_told() {
    let cut = b"\0\0\0\x20\x04\x08\x00\x10".to_vec();
    for (script, what) in [
        (Script::SayAndClose(b"HTTP/1.1 404 Not Found\r\n\r\n".to_vec()), "NotHadoop"),
        (Script::Say(b"SSH-2.0-OpenSSH\r\n".to_vec()), "NotHadoop"),
        (Script::Say(b"\x7f\xff\xff\xff".to_vec()), "NotHadoop"),
        (Script::Say(b"\0\0\0\x05\x04\xff\xff\xff\xff".to_vec()), "Garbled"),
        (Script::SayAndClose(cut.clone()), "Broken"),
        (Script::Say(cut), "Late"),
        (Script::WrongCall, "Garbled"),
        (Script::SayAndClose(Vec::new()), "Broken"),
    ] {
        let (address, seen) = serve(vec![script.clone()]).await;
        let limits = Call { deadline: Duration::from_millis(500), ..AGAIN };
        let error = call(&plain(&[&address]), "get", limits).await.expect_err("no answer");
        assert!(format!("{error:?}").starts_with(what), "{script:?}: {error:?}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert_eq!(seen.connections(), 1, "{script:?}");
    }
}

#[tokio::test]
async fn what_servers_would_not_take_is_not_sent() {
    let (address, seen) = serve(vec![echo()]).await;
    let client = client(&[&address], simple(), Options { largest_frame: 10_000, ..options() });
    let error = client.call::<String, String>("get", &"x".repeat(10_000), ONCE).await.expect_err("too large");
    assert!(matches!(error, RpcError::TooLarge { .. }) && seen.connections() == 0, "{error:?}");
    let none = plain(&[]);
    assert!(matches!(call(&none, "get", ONCE).await, Err(RpcError::Local { .. })));
}

#[tokio::test]
async fn calls_that_are_dropped_leave_nothing_behind() {
    let (address, seen) = serve(vec![echo()]).await;
    let client = plain(&[&address]);
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::from_millis(2), call(&client, "never", ONCE)).await;
    }
    assert_eq!(call(&client, "get", ONCE).await.expect("an answer"), "hello");
    assert_eq!(seen.connections(), 1);
}
