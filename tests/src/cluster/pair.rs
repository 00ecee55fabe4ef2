//! Two ResourceManagers over one state store: one is active, the other waits. Nobody fails over by itself: an
//! administrator does ([`Cluster::activate`]), for there is no ZooKeeper.

use std::time::{Duration, Instant};

use super::conf::{Conf, Site, site};
use super::{Broken, Cluster, Context, Daemon, request};

/// Address of the second one.
pub(super) const SECOND: &str = "127.0.1.1";

/// Names of the two in the configuration.
const IDS: [(&str, &str, Daemon); 2] =
    [("rm1", "127.0.0.1", Daemon::ResourceManager), ("rm2", SECOND, Daemon::SecondResourceManager)];

/// Services of a ResourceManager: the end of the key, the port.
const SERVICES: [(&str, &str); 5] = [
    ("address", "rm.client"),
    ("scheduler.address", "rm.scheduler"),
    ("resource-tracker.address", "rm.tracker"),
    ("admin.address", "rm.admin"),
    ("webapp.address", "rm.http"),
];

/// Takes the addresses of the only one away, and says where the two are.
pub(super) fn in_place_of_one(conf: &Conf<'_>, yarn: &mut Site) {
    let prefix = "yarn.resourcemanager";
    yarn.remove(&format!("{prefix}.hostname"));
    for (key, service) in SERVICES {
        yarn.remove(&format!("{prefix}.{key}"));
        yarn.extend(IDS.map(|(id, host, _)| (format!("{prefix}.{key}.{id}"), conf.at(host, service))));
    }
    yarn.extend(site([
        ("yarn.resourcemanager.ha.enabled", "true".into()),
        ("yarn.resourcemanager.ha.rm-ids", "rm1,rm2".into()),
        ("yarn.resourcemanager.ha.automatic-failover.enabled", "false".into()),
        ("yarn.resourcemanager.ha.automatic-failover.embedded", "false".into()),
        ("yarn.resourcemanager.cluster-id", "dybox".into()),
    ]));
}

/// Writes the configuration of each of the two: each must know which one it is.
pub(super) fn write(conf: &Conf<'_>) -> Result<(), Broken> {
    for (id, _, daemon) in IDS {
        let mut yarn = conf.yarn();
        yarn.extend(site([("yarn.resourcemanager.ha.id", id.to_owned())]));
        conf.write_one(&daemon.to_string(), yarn)?;
    }
    Ok(())
}

/// Sees to it that one of two is active.
pub(super) fn one_serves(cluster: &Cluster, deadline: Instant) -> Result<(), Broken> {
    if cluster.rms < 2 || found_active(cluster).is_some() {
        return Ok(());
    }
    let first = || IDS.map(|(_, _, daemon)| daemon).into_iter().find(|daemon| state(cluster, *daemon).is_some());
    loop {
        if let Some(daemon) = first() {
            return activate(cluster, daemon);
        }
        if Instant::now() > deadline {
            return Err(Broken::new("none of the two ResourceManagers answers"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// `ACTIVE` or `STANDBY`, if it answers.
fn state(cluster: &Cluster, daemon: Daemon) -> Option<String> {
    cluster.process(daemon)?;
    let answer = request("GET", &cluster.page(daemon)?, "/ws/v1/cluster/info").ok()?.json().ok()?;
    answer["clusterInfo"]["haState"].as_str().map(str::to_owned)
}

fn found_active(cluster: &Cluster) -> Option<Daemon> {
    let all = IDS.map(|(_, _, daemon)| daemon);
    all.into_iter().find(|daemon| state(cluster, *daemon).as_deref() == Some("ACTIVE"))
}

fn activate(cluster: &Cluster, daemon: Daemon) -> Result<(), Broken> {
    let (id, ..) = IDS.into_iter().find(|(_, _, of)| *of == daemon).expect("one of the two");
    cluster.rm_admin(&["-transitionToActive", "--forceactive", id])?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while state(cluster, daemon).as_deref() != Some("ACTIVE") {
        if Instant::now() > deadline {
            return Err(Broken::new(format!("{daemon} does not become active")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

impl Cluster {
    /// The ResourceManager that serves; the first one while none of two does.
    #[must_use]
    pub fn active(&self) -> Daemon {
        let found = if self.rms > 1 { found_active(self) } else { None };
        found.unwrap_or(Daemon::ResourceManager)
    }

    /// Makes one of two ResourceManagers the active one, and waits until it is.
    ///
    /// # Errors
    /// When it does not become active.
    pub fn activate(&self, daemon: Daemon) -> Result<(), Broken> {
        activate(self, daemon)
    }

    /// An administrator's command to the ResourceManager, for example `-addToClusterNodeLabels gpu`.
    ///
    /// # Errors
    /// When it fails.
    pub fn rm_admin(&self, words: &[&str]) -> Result<String, Broken> {
        let class = "org.apache.hadoop.yarn.client.cli.RMAdminCLI";
        let done = self.java(&[&[class], words].concat()).output().doing("starting java")?;
        let said = [&done.stdout[..], &done.stderr[..]].map(String::from_utf8_lossy).concat();
        if done.status.success() { Ok(said) } else { Err(Broken::new(format!("{}: {}", words.join(" "), said.trim()))) }
    }
}
