//! The connection: address, deadlines, version.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};
use tokio::net::UnixStream;

use crate::conf::{Address, DockerEnv, EngineConf};
use crate::error::{EngineError, Kind, Result, from_bollard};

/// Ping, list, inspect, kill.
pub(crate) const QUICK: Duration = Duration::from_secs(10);
/// Create, start, remove, networks.
pub(crate) const SLOW: Duration = Duration::from_secs(60);
/// bollard has a timeout of its own, for the head of an answer; ours must always come first.
pub(crate) const NEVER_FIRST: u64 = 24 * 3600;

/// A Docker engine that has answered once. Cheap to clone; every call has a deadline.
#[derive(Debug, Clone)]
pub struct Engine {
    pub(crate) docker: Docker,
    pub(crate) address: Address,
    pub(crate) config_dir: Option<PathBuf>,
}

impl Engine {
    /// Finds the engine, connects, and settles the API version.
    ///
    /// # Errors
    /// [`Kind::NotInstalled`], [`Kind::NotRunning`], [`Kind::NoPermission`], [`Kind::BadAddress`], [`Kind::TooOld`],
    /// [`Kind::Timeout`].
    pub async fn connect(conf: EngineConf) -> Result<Self> {
        let env = DockerEnv::read();
        let address = conf.address(&env)?;
        let docker = match &address {
            Address::Unix(path) => {
                knock(path).await?;
                Docker::connect_with_unix(&path.to_string_lossy(), NEVER_FIRST, API_DEFAULT_VERSION)
            }
            Address::Tcp(host) => Docker::connect_with_http(host, NEVER_FIRST, API_DEFAULT_VERSION),
        };
        let docker = docker.map_err(|error| from_bollard("connect to the engine", error))?;
        let docker = within(QUICK, "ask the engine for its version", docker.negotiate_version()).await?;
        let version = docker.client_version();
        if (version.major_version, version.minor_version) < (1, 41) {
            let text = format!("its API is {version}, and DYbox needs 1.41 (Docker 20.10)");
            return Err(EngineError::new("use the engine", Kind::TooOld, text));
        }
        Ok(Self { docker, address, config_dir: conf.config_dir(&env) })
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Asks for a sign of life. It proves little: a list (see [`Engine::list`]) proves more.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn ping(&self) -> Result<()> {
        within(QUICK, "ping the engine", self.docker.ping()).await.map(|_| ())
    }
}

/// Opens the socket once by hand: only then is it clear why it can't be opened.
pub(crate) async fn knock(path: &Path) -> Result<UnixStream> {
    let failed = |kind, text: String| Err(EngineError::new("connect to the engine", kind, text));
    let opened = tokio::time::timeout(QUICK, UnixStream::connect(path)).await;
    let at = path.display();
    match opened {
        Err(_) => failed(Kind::Timeout, format!("{at} does not accept connections")),
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => match error.kind() {
            ErrorKind::NotFound if installed() => failed(Kind::NotRunning, format!("{at} does not exist")),
            ErrorKind::NotFound => {
                failed(Kind::NotInstalled, format!("{at} does not exist, and there is no docker program"))
            }
            ErrorKind::PermissionDenied => failed(Kind::NoPermission, format!("{at}: permission denied")),
            _ => failed(Kind::NotRunning, format!("{at}: {error}")),
        },
    }
}

fn installed() -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').chain(["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"]);
    places.flat_map(|dir| ["docker", "dockerd"].map(|name| Path::new(dir).join(name))).any(|file| file.is_file())
}

/// Runs one call of the engine with a deadline.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: impl Into<String>,
    call: impl Future<Output = std::result::Result<T, bollard::errors::Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| from_bollard(operation, error)),
        Err(_) => Err(EngineError::new(operation, Kind::Timeout, format!("no answer within {} s", limit.as_secs()))),
    }
}
