//! Images that do not come: what the machine's engine makes of a registry's answers, and what we make of the engine's.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use dybox_model::{Cause, Exit, Millis, PullPolicy};

use crate::stage::Stage;

const MANIFEST_UNKNOWN: &str = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
const NAME_UNKNOWN: &str = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#;

/// A registry on the loopback that answers everything but the greeting the same way; how to call an image there.
fn registry(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..length]);
            let greeting = line.starts_with("GET /v2/ ") && !status.starts_with("401");
            let (status, body) = if greeting { ("200 OK", "{}") } else { (status, body) };
            let body = if line.starts_with("HEAD") { "" } else { body };
            let head = "Connection: close\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Type: application/json";
            let _ = write!(stream, "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    format!("127.0.0.1:{port}/dybox/pulled:1")
}

async fn pull(image: String, limit: Option<Millis>) -> Exit {
    let mut stage = Stage::open().await;
    let mut spec = stage.spec(1, "true");
    (spec.image, spec.pull, spec.timeout.pull) = (image, PullPolicy::Missing, limit);
    let exit = stage.run(spec).await;
    stage.close().await;
    exit
}

#[tokio::test]
async fn a_registrys_answers_have_their_causes() {
    let table = [
        ("404 Not Found", MANIFEST_UNKNOWN, Cause::ImageNotFound),
        ("404 Not Found", NAME_UNKNOWN, Cause::ImageNotFound),
        ("401 Unauthorized", "{}", Cause::ImageDenied),
        ("503 Service Unavailable", "{}", Cause::RegistryDown),
        ("429 Too Many Requests", "{}", Cause::RegistryDown),
    ];
    for (status, body, cause) in table {
        let exit = pull(registry(status, body), None).await;
        assert_eq!(exit.cause, Some(cause), "{status} {body}: {exit:?}");
    }
}

#[tokio::test]
async fn a_registry_that_nobody_runs_is_down() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let exit = pull(format!("127.0.0.1:{port}/dybox/pulled:1"), None).await;
    assert_eq!(exit.cause, Some(Cause::RegistryDown), "{exit:?}");
}

#[tokio::test]
async fn a_registry_that_never_answers_costs_no_more_than_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("it is bound").port();
    let began = std::time::Instant::now();
    let exit = pull(format!("127.0.0.1:{port}/dybox/pulled:1"), Some(Millis::from_secs(2))).await;
    assert_eq!(exit.cause, Some(Cause::PullTimeout), "{exit:?}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}
