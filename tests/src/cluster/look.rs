//! What runs on the cluster: processes in YARN's grants, containers on the engines, applications.

use std::time::Duration;

use serde_json::Value;

use super::process::pids;
use super::{Broken, Cluster, Process};
use crate::eventually;

/// A process that runs in a grant (a YARN container).
#[derive(Debug, Clone)]
pub struct InGrant {
    /// The process.
    pub process: Process,
    /// Node that it runs on, from 1.
    pub node: usize,
    /// Id of the YARN container.
    pub container: String,
    /// Its command line.
    pub words: String,
}

impl Cluster {
    /// Processes in grants whose command line holds `words`, for example `dybox proxy`.
    #[must_use]
    pub fn in_grants(&self, words: &str) -> Vec<InGrant> {
        pids().into_iter().filter_map(|pid| self.in_grant(pid)).filter(|found| found.words.contains(words)).collect()
    }

    fn in_grant(&self, pid: i32) -> Option<InGrant> {
        let text = |name: &str| {
            std::fs::read(format!("/proc/{pid}/{name}")).ok().map(|all| String::from_utf8_lossy(&all).into_owned())
        };
        let env = text("environ")?;
        let value = |key: &str| env.split('\0').find_map(|entry| entry.strip_prefix(key)?.strip_prefix('='));
        let root = format!("{}/node-", self.layout().root().display());
        let node = value("LOCAL_DIRS")?.strip_prefix(&root)?.split('/').next()?.parse().ok()?;
        let container = value("CONTAINER_ID")?.to_owned();
        let process = Process::of(u32::try_from(pid).ok()?);
        let words = text("cmdline")?.trim_end_matches('\0').replace('\0', " ");
        process.lives().then_some(InGrant { process, node, container, words })
    }

    /// Containers and networks on all engines, in any state: `node-N NAME`. Docker's own networks do not count.
    #[must_use]
    pub fn on_engines(&self) -> Vec<String> {
        let mut found = Vec::new();
        for number in (1..=self.nodes()).filter(|_| self.engines) {
            let engine = self.engine(number);
            for words in
                [&["ps", "-a", "--format", "{{.Names}}"], &["network", "ls", "--format", "{{.Name}}"]] as [&[&str]; 2]
            {
                let said = engine.docker(words);
                if !said.status.success() {
                    found.push(format!("node-{number} does not answer"));
                }
                let names = String::from_utf8_lossy(&said.stdout).into_owned();
                let own = names.lines().filter(|name| !matches!(*name, "bridge" | "host" | "none"));
                found.extend(own.map(|name| format!("node-{number} {name}")));
            }
        }
        found
    }

    /// Ids of applications in any of `states` (as the ResourceManager writes them, with commas), newest first.
    ///
    /// # Errors
    /// When the ResourceManager does not answer.
    pub fn applications(&self, states: &str) -> Result<Vec<String>, Broken> {
        let answer = self.rest(&format!("/ws/v1/cluster/apps?states={states}"))?;
        let apps = answer["apps"]["app"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<_> = apps.iter().filter_map(|app| app["id"].as_str().map(str::to_owned)).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    /// Applications of a run as the ResourceManager tells of them, oldest first.
    ///
    /// # Errors
    /// When the ResourceManager does not answer.
    pub fn applications_of(&self, run: &str) -> Result<Vec<Value>, Broken> {
        let answer = self.rest(&format!("/ws/v1/cluster/apps?applicationTags=dybox-run:{run}"))?;
        let mut apps = answer["apps"]["app"].as_array().cloned().unwrap_or_default();
        apps.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
        Ok(apps)
    }

    /// Containers and networks of a run on all engines, in any state.
    #[must_use]
    pub fn of_run_on_engines(&self, run: &str) -> Vec<String> {
        let engines = (1..=self.nodes()).map(|number| self.engine(number));
        engines.flat_map(|engine| [engine.containers_of(run), engine.networks_of(run)].concat()).collect()
    }

    /// What is promised after every run: within 30 s nothing of it is left on an engine, and YARN knows how its
    /// applications ended.
    ///
    /// # Panics
    /// When something is left, or the ResourceManager does not answer.
    #[track_caller]
    pub fn assert_over(&self, run: &str) {
        let left = || {
            let apps = self.applications_of(run).expect("the ResourceManager answers");
            let live =
                apps.into_iter().filter(|app| app["finalStatus"] == "UNDEFINED").map(|app| app["id"].to_string());
            self.of_run_on_engines(run).into_iter().chain(live).collect::<Vec<_>>()
        };
        eventually(&format!("nothing of {run} is left"), Duration::from_secs(30), || left().is_empty().then_some(()));
    }

    /// Promise P5: within 30 s no application, no process of a grant, no container and no network is left.
    ///
    /// # Panics
    /// When something is left.
    #[track_caller]
    pub fn assert_idle(&self) {
        let left = || {
            let live =
                self.applications("NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING").unwrap_or_else(|e| vec![e.to_string()]);
            let processes = self.in_grants("").into_iter().map(|found| format!("{} {}", found.container, found.words));
            live.into_iter().chain(processes).chain(self.on_engines()).collect::<Vec<_>>()
        };
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(30) && !left().is_empty() {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(left(), Vec::<String>::new(), "left on the cluster");
    }

    /// The one process in a grant whose command line holds `words`; waits for it.
    ///
    /// # Panics
    /// When there is none within 30 s.
    #[must_use]
    pub fn until_in_grant(&self, words: &str) -> InGrant {
        eventually(words, Duration::from_secs(30), || self.in_grants(words).into_iter().next())
    }
}
