//! Other clients of the cluster, timed: what DYbox is compared with.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Cluster, Daemon};

/// How a peer's run went.
#[derive(Debug, Clone)]
pub struct PeerRun {
    /// From the start of the command to its return.
    pub took: Duration,
    /// Whether the command said that it worked.
    pub worked: bool,
    /// Its application.
    pub application: String,
    /// From the start of the command to what the ResourceManager saw: `submitted`, `accepted`, `master launched`,
    /// `master registered`, `first grant`, `last grant done`, `finished`.
    pub phases: BTreeMap<&'static str, Duration>,
    /// Peak resident memory of its master, in KiB.
    pub master_kib: u64,
    /// What the command said.
    pub said: String,
}

/// Runs `command` in `count` containers of `memory_mib` with DistributedShell, a master of 256 MiB.
///
/// # Panics
/// When there is no Java, or the release has no DistributedShell.
#[must_use]
pub fn distributed_shell(cluster: &Cluster, count: usize, memory_mib: u64, command: &str) -> PeerRun {
    let jar = cluster.jars().join(format!("hadoop-yarn-applications-distributedshell-{}.jar", cluster.version()));
    assert!(jar.is_file(), "Hadoop {} has no DistributedShell in Maven's repository", cluster.version());
    let class = "org.apache.hadoop.yarn.applications.distributedshell.Client";
    let (jar, count, memory) = (jar.to_string_lossy(), count.to_string(), memory_mib.to_string());
    let mut client = cluster.java(&[class, "-jar", &jar, "-master_memory", "256", "-container_memory", &memory]);
    client.args(["-num_containers", &count, "-shell_command", command]);
    watch(cluster, client, "distributedshell.ApplicationMaster")
}

/// Runs `command` in every task of a Tez DAG: `single`, `independent:N`, `diamonds:N` (four vertices of N tasks) or
/// `chain:N`. Every command line pays for its own session, as DYbox's does.
///
/// # Panics
/// When `scripts/prepare --peers` has not put Tez on this machine.
#[must_use]
pub fn tez(cluster: &Cluster, shape: &str, command: &str) -> PeerRun {
    watch(cluster, tez_client(cluster, &[], &[shape, command]), "org.apache.tez.dag.app.DAGAppMaster")
}

/// `command` in one task of each of `rounds` Tez DAGs, one after the other in one session whose processes stay: for
/// each the seconds from its submission until `watched` was written. The first one finds nothing warm.
///
/// # Panics
/// When `scripts/prepare --peers` has not put Tez on this machine, or a DAG fails.
#[must_use]
pub fn tez_session(cluster: &Cluster, rounds: usize, command: &str, watched: &std::path::Path) -> Vec<f64> {
    let property = format!("-Dshell.watch={}", watched.display());
    let client = tez_client(cluster, &[&property], &[&format!("session:{rounds}"), command]);
    let run = watch(cluster, client, "org.apache.tez.dag.app.DAGAppMaster");
    assert!(run.worked, "Tez failed: {}", run.said);
    run.said.lines().filter_map(|line| line.strip_prefix("first byte ")?.trim().parse().ok()).collect()
}

fn tez_client(cluster: &Cluster, properties: &[&str], words: &[&str]) -> std::process::Command {
    let place = cluster.jars().with_file_name("tez");
    assert!(place.join("complete").is_file(), "no Tez in {}: run scripts/prepare --peers", place.display());
    let own = format!("{place}/classes:{place}/lib/*", place = place.display());
    let all = format!("{}:{own}:{}/*", cluster.conf_dir().display(), cluster.jars().display());
    let classpath = format!("-Dtez.classpath={own}");
    cluster.java(&[&[classpath.as_str()], properties, &["-cp", &all, "ShellDag"], words].concat())
}

/// Runs a client to its end, and looks at its master (a process whose command line holds `master`) meanwhile.
///
/// # Panics
/// When it can't be started.
#[must_use]
pub fn watch(cluster: &Cluster, mut client: std::process::Command, master: &str) -> PeerRun {
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let out = log.as_file().try_clone().expect("a file");
    let err = log.as_file().try_clone().expect("a file");
    client.stdin(Stdio::null()).stdout(out).stderr(err);
    let (began, start) = (SystemTime::now(), Instant::now());
    let mut child = client.spawn().expect("the client starts");
    let mut master_kib = 0;
    let mut looked = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the client can be waited for") {
            break status;
        }
        // Often enough for a return to be seen at once; /proc is walked rarely, which costs the peer nothing.
        if looked.elapsed() > Duration::from_secs(1) {
            looked = Instant::now();
            let peaks = cluster.in_grants(master).into_iter().map(|found| found.process.peak_kib());
            master_kib = peaks.max().unwrap_or(0).max(master_kib);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = start.elapsed();
    let said = std::fs::read_to_string(log.path()).unwrap_or_default();
    let application = application_in(&said);
    let phases = phases(&cluster.log(Daemon::ResourceManager), &application, began);
    PeerRun { took, worked: status.success(), application, phases, master_kib, said }
}

/// The first application id in a text; empty when there is none.
fn application_in(text: &str) -> String {
    let Some(at) = text.find("application_") else { return String::new() };
    text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// What the ResourceManager's log says of an application.
fn phases(log: &str, application: &str, began: SystemTime) -> BTreeMap<&'static str, Duration> {
    let signs: [(&str, &[&str]); 7] = [
        ("submitted", &["RMAppImpl", "State change from NEW to"]),
        ("accepted", &["RMAppImpl", " to ACCEPTED"]),
        ("master launched", &["RMAppAttemptImpl", " to LAUNCHED"]),
        ("master registered", &["RMAppImpl", " to RUNNING"]),
        ("first grant", &["RMContainerImpl", "from ALLOCATED to ACQUIRED"]),
        ("last grant done", &["RMContainerImpl", "to COMPLETED"]),
        ("finished", &["RMAppImpl", " to FINISHING"]),
    ];
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    let number = application.trim_start_matches("application_");
    let mut found = BTreeMap::new();
    for line in log.lines().filter(|line| !number.is_empty() && line.contains(number)) {
        let Some(at) = time_of(line) else { continue };
        let at = at.saturating_sub(began);
        for (name, words) in &signs {
            if !words.iter().all(|word| line.contains(word)) || (*name == "first grant" && line.contains("_000001 ")) {
                continue;
            }
            let last = *name == "last grant done" && !line.contains("_000001 ");
            if last || !found.contains_key(name) {
                found.insert(*name, at);
            }
        }
    }
    found
}

/// When a line was written: `2026-11-21 11:06:02,598 INFO ...`, in UTC, since 1970.
fn time_of(line: &str) -> Option<Duration> {
    let number = |from: usize, to: usize| line.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Days of the civil calendar, counted from March so that a leap day ends its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    Some(Duration::from_millis(u64::try_from(seconds * 1000 + number(20, 23)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logs_time_is_read() {
        let at = |line| time_of(line).map(|time| time.as_millis());
        assert_eq!(at("1970-01-01 00:00:00,001 INFO x"), Some(1));
        assert_eq!(at("2024-02-29 12:34:56,789 INFO x"), Some(1_709_210_096_789));
        assert_eq!(at("2026-11-21 11:06:02,598 INFO x"), Some(1_795_259_162_598));
        assert_eq!(at("\tat java.lang.Thread"), None);
    }

    #[test]
    fn phases_are_those_of_the_application() {
        let log = "1970-01-01 00:00:01,000 INFO rmapp.RMAppImpl: application_7_0001 State change from NEW to NEW_SAVING on event = START
1970-01-01 00:00:02,000 INFO rmapp.RMAppImpl: application_7_0002 State change from NEW to NEW_SAVING on event = START
1970-01-01 00:00:03,000 INFO rmcontainer.RMContainerImpl: container_7_0002_01_000001 Container Transitioned from ALLOCATED to ACQUIRED
1970-01-01 00:00:04,000 INFO rmcontainer.RMContainerImpl: container_7_0002_01_000002 Container Transitioned from ALLOCATED to ACQUIRED
1970-01-01 00:00:05,000 INFO rmcontainer.RMContainerImpl: container_7_0002_01_000003 Container Transitioned from ALLOCATED to ACQUIRED
";
        let found = phases(log, "application_7_0002", UNIX_EPOCH + Duration::from_secs(1));
        assert_eq!(found.get("submitted"), Some(&Duration::from_secs(1)));
        assert_eq!(found.get("first grant"), Some(&Duration::from_secs(3)));
        assert_eq!(application_in("Submitted application application_7_0002\n"), "application_7_0002");
    }
}
