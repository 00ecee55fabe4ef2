//! What the second submission of the same program sends: counted between the client and the ResourceManager, and by
//! what HDFS holds of the program before and after.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Bench;
use crate::report::{Bound, line};

/// Most bytes that count as "only the plan": twenty kilobytes of settings, certificates and job.
const MOST: f64 = 20_000.0;

pub(crate) fn run(bench: &Bench) {
    let rm = format!("127.0.0.1:{}", bench.cluster.ports().of("rm.client"));
    let (relay, sent) = relay(&rm);
    let conf = bench.ours.dir().join("conf");
    std::fs::create_dir_all(&conf).unwrap();
    for entry in std::fs::read_dir(bench.cluster.conf_dir()).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let own = format!("<name>yarn.resourcemanager.address</name><value>{rm}</value>");
        std::fs::write(conf.join(entry.file_name()), text.replace(&own, &own.replace(&rm, &relay))).unwrap();
    }
    let job = bench.ours.job("again", "  a: { command: [\"true\"] }\n");
    let before = programs(bench);
    let mut command = std::process::Command::new(crate::client::dybox());
    command.args(["run", "--detach"]).arg(&job).env("HADOOP_CONF_DIR", &conf).env("DYBOX_CONF", "/dev/null");
    command.env("DYBOX_HOME", bench.ours.dir().join("home")).env("XDG_CACHE_HOME", bench.ours.dir().join("cache"));
    crate::client::timed(&mut command);
    let bytes = sent.load(Ordering::Relaxed);
    bench.ours.settle();
    assert_eq!(before, programs(bench), "the program was put into HDFS again");
    assert!(bytes > 0, "nothing went through the relay");
    let what = "2nd submission: bytes to the ResourceManager";
    let size = std::fs::metadata(crate::client::dybox()).unwrap().len() as f64 / 1e6;
    let beside = format!("limit {MOST} (the program: {size:.1} MB)");
    line(what, &bytes.to_string(), &beside, bytes as f64 / MOST, &Bound::AtMost(1.0));
}

/// What HDFS holds of our programs: names, sizes, times.
fn programs(bench: &Bench) -> String {
    let words = ["org.apache.hadoop.fs.FsShell", "-ls", ".dybox/bin"];
    let done = bench.cluster.java(&words).output().unwrap();
    assert!(done.status.success());
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// An address that leads to `target`, and the bytes that went there. It lives as long as this process.
fn relay(target: &str) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sent, target) = (Arc::new(AtomicU64::new(0)), target.to_owned());
    let count = sent.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(&target) else { continue };
            let (back, forth) = ((far.try_clone().unwrap(), near.try_clone().unwrap()), (near, far));
            let count = count.clone();
            std::thread::spawn(move || pass(forth, Some(&count)));
            std::thread::spawn(move || pass(back, None));
        }
    });
    (address, sent)
}

fn pass((mut from, mut to): (TcpStream, TcpStream), count: Option<&AtomicU64>) {
    let mut piece = [0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        if let Some(count) = count {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}
