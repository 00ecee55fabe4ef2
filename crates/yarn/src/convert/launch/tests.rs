use dybox_model::Resources;

use super::*;
use crate::ids::ApplicationId;

fn launch() -> Launch {
    Launch { command: "exec true".to_owned(), ..Launch::default() }
}

fn some() -> Submission {
    let id = ApplicationId { cluster: 1, number: 2 };
    Submission::new(id, "nightly", launch(), Resources { cpu_milli: 1000, memory: 256 << 20 })
}

fn refused(change: impl FnOnce(&mut Submission)) -> String {
    let mut given = some();
    change(&mut given);
    submission(&given).unwrap_err().to_string()
}

#[test]
fn a_submission_says_what_dybox_usually_wants() {
    let mut given = some();
    given.tags = vec!["dybox-run:01ARZ3".to_owned()];
    let made = submission(&given).unwrap();
    assert_eq!(made.application_tags, ["dybox-run:01arz3"]);
    assert_eq!((made.queue(), made.application_type(), made.keep_containers()), ("default", "DYBOX", true));
    assert_eq!(made.max_app_attempts, None);
    assert_eq!(made.attempt_failures_validity_interval, Some(600_000));
}

#[test]
fn tags_and_names_that_yarn_refuses_are_not_sent() {
    assert_eq!(
        refused(|s| s.tags = vec!["x".repeat(101)]).split(" has ").nth(1),
        Some("101 characters, and YARN takes 1 to 100")
    );
    assert!(refused(|s| s.tags = vec!["ä".to_owned()]).contains("printable ASCII"));
    assert!(refused(|s| s.tags = vec!["t".to_owned(); 11]).contains("11 tags, and YARN takes 10"));
    assert!(refused(|s| s.name = String::new()).contains("name"));
    assert!(refused(|s| s.kind = "K".repeat(21)).contains("longer than 20"));
    assert!(refused(|s| s.queue = "a b".to_owned()).contains("no name of a queue"));
    assert!(refused(|s| s.launch.command = " ".to_owned()).contains("no command"));
}

#[test]
fn a_context_that_zookeeper_would_refuse_is_not_sent() {
    let error = refused(|s| {
        s.launch.env.insert("BIG".to_owned(), "x".repeat(1 << 20));
    });
    assert!(error.contains("YARN keeps at most 921600 safely"), "{error}");
}

#[test]
fn addresses_of_files_are_split_as_java_splits_them() {
    let parts = |text| url("x", text).map(|url| (url.host, url.port, url.file.unwrap_or_default()));
    let host = |name: &str| Some(name.to_owned());
    assert_eq!(parts("hdfs://nn:9000/a/b").unwrap(), (host("nn"), Some(9000), "/a/b".to_owned()));
    assert_eq!(parts("hdfs://ns1/a").unwrap(), (host("ns1"), Some(-1), "/a".to_owned()));
    assert_eq!(parts("file:///a").unwrap(), (None, Some(-1), "/a".to_owned()));
    assert_eq!(parts("hdfs://[::1]:9000/a").unwrap(), (host("[::1]"), Some(9000), "/a".to_owned()));
    assert_eq!(parts("hdfs://[::1]/a").unwrap().1, Some(-1));
    for wrong in ["/a", "hdfs://nn", "hdfs://nn/", "hdfs://nn:x/a", "://nn/a"] {
        assert!(parts(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn files_land_under_plain_names_only() {
    let file = LocalResource { url: "hdfs://nn/a".into(), size: 1, mtime_ms: 2, visibility: Visibility::Public };
    let mut given = launch();
    given.resources.insert("dybox".to_owned(), file.clone());
    let made = launch_context("start", &given).unwrap();
    let value = made.local_resources[0].value.as_ref().unwrap();
    assert_eq!((value.size(), value.timestamp(), value.r#type(), value.visibility()), (1, 2, 2, 1));
    given.resources.insert("../x".to_owned(), file);
    assert!(launch_context("start", &given).is_err());
}
