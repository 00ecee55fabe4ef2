//! Which engine to talk to: as the docker client chooses it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{EngineError, Kind, Result};

/// Where Docker listens when nobody says otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// What the caller settles about the engine. The default is to do as the docker client does.
#[derive(Debug, Clone, Default)]
pub struct EngineConf {
    /// `unix:///path` or `tcp://host:port`; nothing = `DOCKER_HOST`, the current docker context, the default socket.
    pub host: Option<String>,
    /// Directory of docker's `config.json`; nothing = `DOCKER_CONFIG` or `~/.docker`.
    pub config_dir: Option<PathBuf>,
}

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// Host and port, without TLS.
    Tcp(String),
}

impl fmt::Display for Address {
    /// As `DOCKER_HOST` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

/// The environment variables that the docker client looks at.
#[derive(Debug, Clone, Default)]
pub(crate) struct DockerEnv {
    pub(crate) host: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) tls: bool,
    pub(crate) config_dir: Option<PathBuf>,
}

impl DockerEnv {
    pub(crate) fn read() -> Self {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            host: var("DOCKER_HOST"),
            context: var("DOCKER_CONTEXT"),
            tls: var("DOCKER_TLS_VERIFY").is_some(),
            config_dir: var("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(var("HOME")?).join(".docker"))),
        }
    }
}

impl EngineConf {
    /// Docker's configuration directory.
    pub(crate) fn config_dir(&self, env: &DockerEnv) -> Option<PathBuf> {
        self.config_dir.clone().or_else(|| env.config_dir.clone())
    }

    /// The address, in the docker client's order of precedence.
    pub(crate) fn address(&self, env: &DockerEnv) -> Result<Address> {
        let host = match self.host.clone().or_else(|| env.host.clone()) {
            Some(host) => Some(host),
            None => match self.config_dir(env) {
                Some(dir) => context_host(&dir, env.context.as_deref())?,
                None => None,
            },
        };
        match host {
            Some(host) => parse(&host, env.tls),
            None => Ok(Address::Unix(PathBuf::from(DEFAULT_SOCKET))),
        }
    }
}

fn parse(host: &str, tls: bool) -> Result<Address> {
    let bad = |why: &str| EngineError::new("find the engine", Kind::BadAddress, format!("{host}: {why}"));
    match host.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Ok(Address::Unix(PathBuf::from(path))),
        Some(("tcp" | "http", _)) if tls => Err(bad("an engine behind TLS is not supported yet")),
        Some(("tcp" | "http", rest)) if rest.contains(':') => Ok(Address::Tcp(rest.trim_end_matches('/').to_owned())),
        Some(("tcp" | "http", _)) => Err(bad("the port is missing")),
        Some(("ssh", _)) => Err(bad("an engine behind ssh is not supported")),
        _ => Err(bad("neither unix:///path nor tcp://host:port")),
    }
}

/// The host of the current docker context; nothing where it is the default one.
fn context_host(dir: &Path, named: Option<&str>) -> Result<Option<String>> {
    let config = std::fs::read(dir.join("config.json")).ok();
    let config: Value = config.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let name = named.or_else(|| config["currentContext"].as_str()).unwrap_or("default");
    if name.is_empty() || name == "default" {
        return Ok(None);
    }
    let bad =
        |why: String| EngineError::new("find the engine", Kind::BadAddress, format!("docker context {name}: {why}"));
    let meta = dir.join("contexts/meta").join(hex::encode(Sha256::digest(name.as_bytes()))).join("meta.json");
    let text = std::fs::read(&meta).map_err(|error| bad(format!("{}: {error}", meta.display())))?;
    let meta: Value = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    match meta["Endpoints"]["docker"]["Host"].as_str() {
        Some(host) => Ok(Some(host.to_owned())),
        None => Err(bad("it names no docker endpoint".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(host: Option<&str>) -> DockerEnv {
        DockerEnv { host: host.map(str::to_owned), ..DockerEnv::default() }
    }

    #[test]
    fn an_explicit_host_beats_the_environment_and_that_beats_the_default() {
        let conf = EngineConf { host: Some("unix:///a".to_owned()), config_dir: None };
        assert_eq!(conf.address(&env(Some("tcp://h:1"))).unwrap(), Address::Unix("/a".into()));
        let conf = EngineConf::default();
        assert_eq!(conf.address(&env(Some("tcp://h:1"))).unwrap(), Address::Tcp("h:1".to_owned()));
        assert_eq!(conf.address(&env(None)).unwrap(), Address::Unix(DEFAULT_SOCKET.into()));
    }

    #[test]
    fn the_current_context_names_the_engine() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), r#"{"currentContext":"far"}"#).unwrap();
        let conf = EngineConf { host: None, config_dir: Some(dir.path().to_owned()) };
        let error = conf.address(&env(None)).unwrap_err();
        assert_eq!(error.kind, Kind::BadAddress);
        let meta = dir.path().join("contexts/meta").join(hex::encode(Sha256::digest(b"far")));
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(meta.join("meta.json"), r#"{"Name":"far","Endpoints":{"docker":{"Host":"unix:///far.sock"}}}"#)
            .unwrap();
        assert_eq!(conf.address(&env(None)).unwrap(), Address::Unix("/far.sock".into()));
        let named = DockerEnv { context: Some("default".to_owned()), ..DockerEnv::default() };
        assert_eq!(conf.address(&named).unwrap(), Address::Unix(DEFAULT_SOCKET.into()));
    }

    #[test]
    fn what_can_not_be_used_is_said() {
        for host in ["ssh://me@h", "npipe:////./pipe", "unix://relative", "tcp://noport", "nonsense"] {
            assert_eq!(parse(host, false).unwrap_err().kind, Kind::BadAddress, "{host}");
        }
        assert_eq!(parse("tcp://h:1", true).unwrap_err().kind, Kind::BadAddress);
    }
}
