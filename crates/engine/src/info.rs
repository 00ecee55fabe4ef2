//! What the engine says about itself and its machine.

use dybox_model::Millis;
use serde::{Deserialize, Serialize};

use crate::conf::Address;
use crate::connect::{Engine, QUICK, within};
use crate::error::Result;
use crate::options::Joined;

/// Facts about an engine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Its version, as `20.10.24`.
    pub version: String,
    /// The API version that we speak with it.
    pub api: String,
    /// Storage driver.
    pub storage: String,
    /// 1 or 2.
    pub cgroup_version: u8,
    /// `cgroupfs` or `systemd`.
    pub cgroup_driver: String,
    /// Whether its containers survive its restart.
    pub live_restore: bool,
    /// Where it keeps images and containers.
    pub root_dir: String,
    /// Cpus of the machine.
    pub cpus: u32,
    /// Bytes of memory of the machine.
    pub memory: u64,
    /// When its process started; nothing where that can't be found out (another machine, socket activation).
    pub started: Option<Millis>,
    /// Whether it has the default bridge network.
    pub has_bridge: bool,
    /// Warnings of its own.
    pub warnings: Vec<String>,
}

impl EngineInfo {
    /// How a task without a network is made on this engine.
    ///
    /// `NetworkDisabled` costs half of `none`, and is safe everywhere but on engines older than 24.0.7 that run with
    /// `--bridge=none`: they may leak sandboxes (moby issues 46583 and 46651).
    #[must_use]
    pub fn no_network(&self) -> Joined {
        if self.has_bridge || version_of(&self.version) >= (24, 0, 7) { Joined::Disabled } else { Joined::None }
    }
}

/// `20.10.24+dfsg1` as numbers; what is no number counts as 0.
fn version_of(text: &str) -> (u32, u32, u32) {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let mut parts = text.split('.').map(digits);
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

impl Engine {
    /// Asks the engine about itself.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn info(&self) -> Result<EngineInfo> {
        let info = within(QUICK, "ask the engine about itself", self.docker.info()).await?;
        let has_bridge = self.networks().await?.iter().any(|network| network.name == "bridge");
        Ok(EngineInfo {
            version: info.server_version.unwrap_or_default(),
            api: self.docker.client_version().to_string(),
            storage: info.driver.unwrap_or_default(),
            cgroup_version: match info.cgroup_version {
                Some(bollard::models::SystemInfoCgroupVersionEnum::_2) => 2,
                _ => 1,
            },
            cgroup_driver: info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default(),
            live_restore: info.live_restore_enabled.unwrap_or(false),
            root_dir: info.docker_root_dir.unwrap_or_default(),
            cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or(0),
            memory: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            started: self.started().await,
            has_bridge,
            warnings: info.warnings.unwrap_or_default(),
        })
    }

    /// When the engine's process started. The API does not tell; the socket's other end does, on the same machine.
    pub async fn started(&self) -> Option<Millis> {
        let Address::Unix(path) = &self.address else { return None };
        let stream = tokio::time::timeout(QUICK, tokio::net::UnixStream::connect(path)).await.ok()?.ok()?;
        let pid = stream.peer_cred().ok()?.pid()?;
        process_started(pid)
    }
}

/// From `/proc`: the boot time, and the process's start in ticks after it (always 100 a second for programs).
pub(crate) fn process_started(pid: i32) -> Option<Millis> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    // With socket activation the other end is the service manager, whose start tells nothing.
    if pid == 1 || !head.contains("docker") {
        return None;
    }
    let ticks: u64 = tail.split_whitespace().nth(19)?.parse().ok()?;
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Millis(boot * 1000 + ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_network_is_disabled_where_that_leaks_nothing() {
        let engine =
            |version: &str, has_bridge| EngineInfo { version: version.to_owned(), has_bridge, ..EngineInfo::default() };
        assert_eq!(engine("20.10.24+dfsg1", true).no_network(), Joined::Disabled);
        assert_eq!(engine("20.10.24+dfsg1", false).no_network(), Joined::None);
        assert_eq!(engine("24.0.6", false).no_network(), Joined::None);
        assert_eq!(engine("24.0.7", false).no_network(), Joined::Disabled);
        assert_eq!(engine("28.2.2", false).no_network(), Joined::Disabled);
    }
}
