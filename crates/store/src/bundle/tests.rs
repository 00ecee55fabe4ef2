use std::path::PathBuf;

use dybox_model::Millis;

use super::*;

fn tls(part: &str) -> Tls {
    Tls { ca: "CA-PEM".into(), cert: format!("{part}-PEM"), key: format!("{part}-KEY-hush") }
}

fn store() -> HdfsConf {
    let settings = [("fs.defaultFS".to_owned(), "hdfs://nn:8020".to_owned())].into();
    HdfsConf { url: "hdfs://nn:8020/user/ann/.dybox".into(), settings, user: Some("ann".into()) }
}

fn bundle() -> Bundle {
    let run: RunId = "01jd0000000000000000000001".parse().unwrap();
    Bundle {
        version: BUNDLE_VERSION,
        store: store(),
        info: RunInfo {
            version: 1,
            run,
            job: "nightly".into(),
            tags: vec![],
            submitted: Millis(1),
            uid: 1,
            gid: 1,
            user: "ann".into(),
            cwd: PathBuf::from("/home/ann"),
            job_file: None,
            job_sha256: String::new(),
            request: None,
            budget_cpu_milli: None,
            budget_memory: None,
            binary: PathBuf::from("dybox"),
        },
        plan: Some("{}".into()),
        job: "job: nightly".into(),
        secret: "0123hush".into(),
        tls: RunTls { master: tls("master"), proxy: tls("proxy"), client: tls("client") },
        subdag: SubDagId(2),
        binary: Binary { url: "hdfs://nn:8020/b".into(), len: 9, mtime_ms: 7, public: true },
        own: None,
        masters: None,
        roster: Some(RosterAccess { servers: vec!["s1:7311".into()], identity: tls("reader") }),
        private: private(),
        extra: BTreeMap::new(),
    }
}

fn private() -> Private {
    let mut private = Private::default();
    private.values.set("key", b"hush".to_vec());
    private
}

fn grant() -> GrantBundle {
    GrantBundle {
        version: BUNDLE_VERSION,
        run: bundle().info.run,
        subdag: SubDagId(2),
        grant: GrantId::compose(SubDagId(2), 1, 3),
        size: Resources { cpu_milli: 500, memory: 64 << 20 },
        store: store(),
        secret: "0123hush".into(),
        tls: tls("proxy"),
        host: "10.0.0.1".into(),
        port: 4711,
        uid: 1,
        gid: 1,
        user: "ann".into(),
        private: private(),
        extra: BTreeMap::new(),
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    assert_eq!(Bundle::decode(&bundle().encode()).unwrap(), bundle());
    assert_eq!(GrantBundle::decode(&grant().encode()).unwrap(), grant());
}

#[test]
fn who_knows_no_roster_hands_none_over() {
    let bundle = Bundle { roster: None, ..bundle() };
    let text = serde_json::to_value(&bundle).unwrap();
    assert!(text.get("roster").is_none(), "an older master could not read it");
    assert_eq!(Bundle::decode(&bundle.encode()).unwrap(), bundle);
}

#[test]
fn no_secret_is_shown() {
    for text in [format!("{:?}", bundle()), format!("{:?}", grant()), format!("{:?}", tls("x"))] {
        assert!(!text.contains("hush") && !text.contains("PEM"), "{text}");
    }
    // Half a bundle: what the parser saw stays untold.
    let text = br#"{"version":1,"secret":"hush","tls":{"ca":"hush"}}"#;
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(text).unwrap();
    let error = Bundle::decode(&zlib.finish().unwrap()).unwrap_err();
    assert!(!error.text().contains("hush"), "{}", error.text());
}

#[test]
fn bombs_cuts_and_newer_versions_are_refused() {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&vec![b' '; 65 << 20]).unwrap();
    assert!(Bundle::decode(&zlib.finish().unwrap()).unwrap_err().text().contains("64 MiB"));
    let whole = bundle().encode();
    assert!(Bundle::decode(&whole[..whole.len() / 2]).is_err());
    assert!(Bundle::decode(b"").is_err());
    let newer = Bundle { version: 2, ..bundle() };
    assert!(Bundle::decode(&newer.encode()).unwrap_err().text().contains("version 2"));
}
