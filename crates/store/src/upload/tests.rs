use std::fs::OpenOptions;
use std::io::Write;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Bench {
    dir: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Store::open_dir(dir.path().join("store")), dir }
    }

    fn local(&self) -> PathBuf {
        self.dir.path().join("local")
    }

    fn add(&self, bytes: &[u8]) {
        OpenOptions::new().append(true).create(true).open(self.local()).unwrap().write_all(bytes).unwrap();
    }

    fn start(&self) -> (Uploader, mpsc::UnboundedReceiver<Trouble>) {
        let (tell, hear) = mpsc::unbounded_channel();
        let conf = UploadConf { look_every: Duration::from_millis(5), ..UploadConf::new(self.local(), "logs/g") };
        (Uploader::start(&self.store, conf, tell), hear)
    }
}

#[tokio::test]
async fn what_grows_is_copied_and_flushed() {
    let bench = Bench::new();
    let (upload, _hear) = bench.start();
    upload.flush(SOON).await.unwrap();
    assert!(!bench.store.exists("logs/g").await.unwrap(), "created before its first byte");
    let big = vec![7; 3 << 20];
    bench.add(b"abc");
    bench.add(&big);
    upload.flush(SOON).await.unwrap();
    assert_eq!((upload.remote_len(), upload.behind()), (3 + (3 << 20), 0));
    bench.add(b"end");
    upload.close(SOON).await.unwrap();
    assert_eq!(bench.store.get("logs/g").await.unwrap(), std::fs::read(bench.local()).unwrap());
}

#[tokio::test]
async fn a_successor_goes_on_behind_what_is_there_and_cuts_what_was_torn() {
    let bench = Bench::new();
    let whole: Vec<u8> = (0..1_000_000u32).map(|n| (n / 7) as u8).collect();
    bench.add(&whole);
    for torn in [&b""[..], b"torn", &[1; 700_000]] {
        bench.store.put("logs/g", [&whole[..600_000], torn].concat()).await.unwrap();
        let (upload, _hear) = bench.start();
        upload.close(SOON).await.unwrap();
        assert!(bench.store.get("logs/g").await.unwrap() == whole, "after {} torn bytes", torn.len());
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_once_and_caught_up_with() {
    let bench = Bench::new();
    // A file where a directory must be: every try fails until it is gone.
    std::fs::create_dir_all(bench.dir.path().join("store")).unwrap();
    std::fs::write(bench.dir.path().join("store/logs"), b"").unwrap();
    let (upload, mut hear) = bench.start();
    bench.add(b"abc");
    assert!(upload.flush(Duration::from_millis(1500)).await.unwrap_err().is_unreachable());
    assert_eq!(upload.behind(), 3);
    std::fs::remove_file(bench.dir.path().join("store/logs")).unwrap();
    upload.flush(SOON).await.unwrap();
    let (first, last) = (hear.recv().await.unwrap(), hear.recv().await.unwrap());
    assert!(!first.over && last.over && last.text.contains("caught up"), "{first:?} {last:?}");
    assert!(hear.try_recv().is_err());
}
