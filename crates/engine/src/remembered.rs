//! What an engine said of itself, remembered for as long as its process lives.
//!
//! Before Docker 28 `/version` and `/info` start `runc` and `docker-init` to ask them for their versions: about 50 ms
//! of cpu each, which every proxy of a machine would spend again.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use dybox_model::Millis;
use serde::{Deserialize, Serialize};

use crate::conf::{Address, DockerEnv, EngineConf};
use crate::connect::{Engine, NEVER_FIRST, knock};
use crate::error::{Result, from_bollard};
use crate::info::{EngineInfo, process_started};

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    address: String,
    pid: i32,
    started: Millis,
    info: EngineInfo,
}

impl Engine {
    /// Connects and learns about the engine, from `file` where it was written in the life of the same engine process,
    /// else from the engine itself; then `file` is written. The engine's process is known by the socket's other end;
    /// where that tells nothing (another machine, socket activation) nothing is remembered.
    ///
    /// # Errors
    /// As [`Engine::connect`] and [`Engine::info`]; a file that can't be read or written is none.
    pub async fn remembered(conf: EngineConf, file: &Path) -> Result<(Self, EngineInfo)> {
        let env = DockerEnv::read();
        let address = conf.address(&env)?;
        let process = match &address {
            Address::Unix(path) => knock(path).await?.peer_cred().ok().and_then(|peer| peer.pid()),
            Address::Tcp(_) => None,
        };
        let process = process.and_then(|pid| Some((pid, process_started(pid)?)));
        if let Some(info) = process.and_then(|process| recall(file, &address, process)) {
            return Ok((Self::speaking(&info.api, address, &conf, &env)?, info));
        }
        let engine = Self::connect(conf).await?;
        let info = engine.info().await?;
        if let Some((pid, started)) = process {
            keep(file, &Memory { address: engine.address(), pid, started, info: info.clone() });
        }
        Ok((engine, info))
    }

    fn speaking(api: &str, address: Address, conf: &EngineConf, env: &DockerEnv) -> Result<Self> {
        let version = version(api).unwrap_or(*API_DEFAULT_VERSION);
        let docker = match &address {
            Address::Unix(path) => Docker::connect_with_unix(&path.to_string_lossy(), NEVER_FIRST, &version),
            Address::Tcp(host) => Docker::connect_with_http(host, NEVER_FIRST, &version),
        };
        let docker = docker.map_err(|error| from_bollard("connect to the engine", error))?;
        Ok(Self { docker, address, config_dir: conf.config_dir(env) })
    }
}

/// `1.41` as bollard has it.
fn version(api: &str) -> Option<ClientVersion> {
    let (major, minor) = api.split_once('.')?;
    Some(ClientVersion { major_version: usize::from_str(major).ok()?, minor_version: usize::from_str(minor).ok()? })
}

fn recall(file: &Path, address: &Address, (pid, started): (i32, Millis)) -> Option<EngineInfo> {
    let memory: Memory = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let same = memory.address == address.to_string() && memory.pid == pid && memory.started == started;
    (same && version(&memory.info.api).is_some()).then_some(memory.info)
}

/// Best effort: without the file the next one asks again.
fn keep(file: &Path, memory: &Memory) {
    let Ok(text) = serde_json::to_vec(memory) else { return };
    let part = file.with_extension(format!("{}.part", std::process::id()));
    if fs::write(&part, text).and_then(|()| fs::rename(&part, file)).is_err() {
        let _ = fs::remove_file(&part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_life_of_the_same_engine_is_remembered() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("engine.json");
        let address = Address::Unix("/run/docker.sock".into());
        let info = EngineInfo { api: "1.41".to_owned(), ..EngineInfo::default() };
        keep(&file, &Memory { address: address.to_string(), pid: 7, started: Millis(1000), info: info.clone() });
        assert_eq!(recall(&file, &address, (7, Millis(1000))), Some(info));
        assert_eq!(recall(&file, &address, (8, Millis(1000))), None, "another process");
        assert_eq!(recall(&file, &address, (7, Millis(2000))), None, "its pid, later");
        assert_eq!(recall(&file, &Address::Tcp("h:1".to_owned()), (7, Millis(1000))), None, "another engine");
        fs::write(&file, b"{ torn").expect("a file");
        assert_eq!(recall(&file, &address, (7, Millis(1000))), None);
    }
}
