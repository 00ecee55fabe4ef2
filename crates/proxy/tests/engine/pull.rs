//! Images that do not come: what the machine's engine makes of a registry's answers, and what we make of the engine's.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use dybox_model::{Cause, Exit, Millis, Note, PullPolicy};
use dybox_wire::{MasterOrder, ProxyNews};
use sha2::{Digest, Sha256};

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

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A registry with one image of one layer, which takes about three seconds to come.
fn slow_registry() -> String {
    let dir = tempfile::tempdir().expect("a directory");
    // Zeros would do, but for another test's layer of zeros that the engine may have.
    let noise: Vec<u8> = (0..100_000_u32).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect();
    std::fs::write(dir.path().join("noise"), noise).expect("a file");
    let tar = std::process::Command::new("tar").arg("-C").arg(dir.path()).args(["-cf", "-", "noise"]).output();
    let layer = tar.expect("tar").stdout;
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["true"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        digest(&layer)
    );
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","size":{},"digest":"{}"}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","size":{},"digest":"{}"}}]}}"#,
        config.len(),
        digest(config.as_bytes()),
        layer.len(),
        digest(&layer)
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (kind, body) = match path {
                path if path.contains("/manifests/") => (kind, manifest.clone().into_bytes()),
                path if path.ends_with(&digest(config.as_bytes())) => ("application/json", config.clone().into_bytes()),
                path if path.ends_with(&digest(&layer)) => ("application/octet-stream", layer.clone()),
                _ => ("application/json", b"{}".to_vec()),
            };
            let head = format!("Content-Length: {}\r\nDocker-Content-Digest: {}", body.len(), digest(&body));
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: {kind}\r\n{head}\r\n\r\n");
            if request.starts_with("HEAD") {
                continue;
            }
            std::thread::spawn(move || {
                body.chunks(64 << 10).all(|part| {
                    std::thread::sleep(Duration::from_millis(60));
                    stream.write_all(part).is_ok()
                })
            });
        }
    });
    format!("127.0.0.1:{port}/dybox/slow:1")
}

#[tokio::test]
async fn a_pulls_progress_is_told_while_it_goes_on() {
    let image = slow_registry();
    let mut stage = Stage::open().await;
    let mut spec = stage.spec(1, "true");
    (spec.image, spec.pull) = (image.clone(), PullPolicy::Missing);
    stage.order(MasterOrder::Start(Box::new(spec)));
    let news = stage.until(|news| matches!(news, ProxyNews::Exited { .. })).await;
    stage.docker(&["rmi", "-f", &image]);
    let half_way = |news: &ProxyNews| matches!(news, ProxyNews::Noted(Note::Pulling { have, total, .. }) if 0 < *have && have < total);
    assert!(news.iter().filter(|news| half_way(news)).count() >= 3, "{news:?}");
    let arrived = news.iter().filter(|news| matches!(news, ProxyNews::Noted(Note::Pulled { .. }))).count();
    assert_eq!(arrived, 1, "{news:?}");
    assert_eq!(stage.exit_of(&news, 1).cause, Some(Cause::CommandNotFound), "an image without a shell");
    stage.close().await;
}
