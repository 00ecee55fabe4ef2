//! What is said when the engine can't be used.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use dybox_engine::{Engine, EngineConf, Kind};
use dybox_model::Cause;

async fn kind_at(socket: &Path) -> Kind {
    let conf = EngineConf { host: Some(format!("unix://{}", socket.display())), config_dir: None };
    let error = Engine::connect(conf).await.expect_err("no engine");
    assert_eq!(error.cause(), Cause::EngineDown);
    assert!(!error.advice().is_empty() && !error.to_string().contains('\n'), "{error}");
    error.kind
}

/// Answers every connection with one text.
fn answering(socket: &Path, answer: String) {
    let listener = UnixListener::bind(socket).expect("a socket");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            // The first connection only knocks; whoever hangs up gets nothing.
            if stream.read(&mut request).is_ok_and(|len| len > 0) {
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
}

#[tokio::test]
async fn a_socket_that_is_not_there_or_not_answered() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(kind_at(&dir.path().join("none.sock")).await, Kind::NotRunning | Kind::NotInstalled));
    let socket = dir.path().join("stale.sock");
    drop(UnixListener::bind(&socket).expect("a socket"));
    assert_eq!(kind_at(&socket).await, Kind::NotRunning);
}

#[tokio::test]
async fn an_engine_that_is_too_old() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("old.sock");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    answering(&socket, format!("{head}{{\"Version\":\"18.09.0\",\"ApiVersion\":\"1.39\"}}"));
    assert_eq!(kind_at(&socket).await, Kind::TooOld);
}

#[tokio::test]
async fn an_engine_that_hangs_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("hung.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    assert_eq!(kind_at(&socket).await, Kind::Timeout);
}

#[tokio::test]
async fn an_address_that_makes_no_sense() {
    let conf = EngineConf { host: Some("nonsense".to_owned()), config_dir: None };
    assert_eq!(Engine::connect(conf).await.expect_err("no engine").kind, Kind::BadAddress);
}
