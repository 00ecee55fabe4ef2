//! Containers: create, start, look, wait, kill, remove, list. Each call has a deadline.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerUpdateBody};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use dybox_model::{Millis, Published};
use futures_util::StreamExt;

use crate::connect::{Engine, QUICK, SLOW, within};
use crate::convert;
use crate::error::{EngineError, Kind, Result};
use crate::options::Options;
use crate::ports::published;
use crate::proof::LABEL_RUN;

/// The signal that asks init to end the payload in good order; it sends KILL itself when the grace is over.
pub const STOP: &str = "SIGTERM";
/// The signal that asks init to kill the payload at once, keep its last output and write the verdict.
pub const STOP_NOW: &str = "SIGPWR";
/// The signal that ends init too. The verdict and what is in the pipes is lost: the last resort.
pub const KILL: &str = "SIGKILL";

/// What the engine says about one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// The engine's id.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The image's id.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// The engine's word for its state: `created`, `running`, `exited`, `dead`, ...
    pub status: String,
    /// Its init's process id on the engine's machine, while it runs.
    pub pid: Option<u32>,
    /// The exit code of its init, once it ended.
    pub code: Option<i32>,
    /// The engine's flag. It lies: see [`crate::exit_of`].
    pub oom_flag: bool,
    /// When it started; nothing where it never did.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Option<Millis>,
    /// What the engine says went wrong at its start.
    pub error: String,
    /// Its labels; those of the image are among them.
    pub labels: BTreeMap<String, String>,
    /// Its ports that can be reached, while it runs: each at the machine's address as it is bound.
    pub ports: Vec<Published>,
}

/// One line of a list of containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// The engine's id.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// The image as the engine shows it.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// The engine's words, as `Up 3 minutes`.
    pub status: String,
    /// When it was made.
    pub created: Millis,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a container and returns its id.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where the name is taken (look at it: it may be ours), [`Kind::ImageNotFound`],
    /// [`Kind::MountMissing`], [`Kind::BadOptions`], [`Kind::DiskFull`], or a transport failure.
    pub async fn create(&self, options: Options) -> Result<String> {
        let operation = format!("create container {}", options.name);
        let query = CreateContainerOptionsBuilder::new().name(&options.name).build();
        within(SLOW, operation, self.docker.create_container(Some(query), options.body)).await.map(|made| made.id)
    }

    /// Starts a container. One that runs already is a success.
    ///
    /// # Errors
    /// [`Kind::BadUser`], [`Kind::BadWorkdir`], [`Kind::MountMissing`], [`Kind::DiskFull`], or a transport failure.
    pub async fn start(&self, id: &str) -> Result<()> {
        within(SLOW, format!("start container {id}"), self.docker.start_container(id, None)).await
    }

    /// Looks at a container, by id or name; nothing where it does not exist.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn inspect(&self, id: &str) -> Result<Option<Seen>> {
        let answer = within(QUICK, format!("inspect container {id}"), self.docker.inspect_container(id, None)).await;
        match answer {
            Ok(answer) => Ok(Some(seen(answer))),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until a container has ended, at most `limit`, and returns the exit code of its init.
    ///
    /// # Errors
    /// [`Kind::Timeout`] after `limit`, [`Kind::NotFound`], or a transport failure.
    pub async fn wait(&self, id: &str, limit: Duration) -> Result<i32> {
        let query = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let operation = format!("wait for container {id}");
        let mut stream = self.docker.wait_container(id, Some(query));
        let first = async { stream.next().await.transpose() };
        use bollard::errors::Error as B;
        match tokio::time::timeout(limit, first).await {
            Ok(Ok(Some(answer))) => Ok(clip(answer.status_code)),
            // bollard makes an error of every code that is not 0.
            Ok(Err(B::DockerContainerWaitError { error, code })) if error.is_empty() => Ok(clip(code)),
            Ok(Err(error)) => Err(crate::error::from_bollard(operation, error)),
            Ok(Ok(None)) => Err(EngineError::new(operation, Kind::Failed, "the engine hung up")),
            Err(_) => Err(EngineError::new(operation, Kind::Timeout, format!("it runs for more than {limit:?}"))),
        }
    }

    /// Sends a signal to a container's init, see [`STOP`], [`STOP_NOW`], [`KILL`]. False where it does not run.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn kill(&self, id: &str, signal: &str) -> Result<bool> {
        let query = KillContainerOptionsBuilder::new().signal(signal).build();
        let call = self.docker.kill_container(id, Some(query));
        gone_is_fine(within(QUICK, format!("send {signal} to container {id}"), call).await)
    }

    /// Gives a running container another memory limit, without swap on top. False where it does not run any more.
    ///
    /// # Errors
    /// [`Kind::Failed`] where it uses more than that and the kernel can't take it away, or a transport failure.
    pub async fn limit_memory(&self, id: &str, bytes: u64) -> Result<bool> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let body =
            ContainerUpdateBody { memory: Some(bytes), memory_swap: Some(bytes), ..ContainerUpdateBody::default() };
        gone_is_fine(within(QUICK, format!("limit container {id}"), self.docker.update_container(id, body)).await)
    }

    /// Lets the engine stop a container: TERM, after `grace` KILL. False where it does not run any more.
    ///
    /// # Errors
    /// [`Kind::Timeout`] 10 s after the grace, or a transport failure.
    pub async fn stop(&self, id: &str, grace: Millis) -> Result<bool> {
        let secs = i32::try_from(grace.0.div_ceil(1000)).unwrap_or(i32::MAX);
        let query = StopContainerOptionsBuilder::new().t(secs).build();
        let limit = Duration::from_millis(grace.0) + QUICK;
        let call = self.docker.stop_container(id, Some(query));
        gone_is_fine(within(limit, format!("stop container {id}"), call).await)
    }

    /// Removes a container with its anonymous volumes, running or not. False where it was gone.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn remove(&self, id: &str) -> Result<bool> {
        let query = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let call = self.docker.remove_container(id, Some(query));
        // 409 says that somebody else's removal is under way.
        gone_is_fine(within(SLOW, format!("remove container {id}"), call).await)
    }

    /// Lists the containers, running or not, that say they are DYbox's; with `run`, those of that run alone.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn list(&self, run: Option<&str>) -> Result<Vec<Listed>> {
        let query = ListContainersOptionsBuilder::new().all(true).filters(&label_filter(run)).build();
        let answer = within(QUICK, "list containers", self.docker.list_containers(Some(query))).await?;
        Ok(answer.into_iter().map(listed).collect())
    }
}

pub(crate) fn label_filter(run: Option<&str>) -> HashMap<String, Vec<String>> {
    let label = run.map_or_else(|| LABEL_RUN.to_owned(), |run| format!("{LABEL_RUN}={run}"));
    HashMap::from([("label".to_owned(), vec![label])])
}

fn gone_is_fine(answer: Result<()>) -> Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Conflict) => Ok(false),
        Err(error) => Err(error),
    }
}

fn clip(code: i64) -> i32 {
    i32::try_from(code).unwrap_or(i32::MAX)
}

fn seen(answer: ContainerInspectResponse) -> Seen {
    let state = answer.state.unwrap_or_default();
    let running = state.running.unwrap_or(false);
    let started = convert::time(state.started_at.as_deref());
    Seen {
        id: answer.id.unwrap_or_default(),
        name: convert::name(&answer.name.unwrap_or_default()),
        image: answer.image.unwrap_or_default(),
        running,
        status: state.status.map(|status| status.to_string()).unwrap_or_default(),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
        code: if running || started.is_none() { None } else { state.exit_code.map(clip) },
        oom_flag: state.oom_killed.unwrap_or(false),
        started,
        finished: if running { None } else { convert::time(state.finished_at.as_deref()) },
        error: state.error.unwrap_or_default(),
        ports: answer.network_settings.and_then(|network| network.ports).map(published).unwrap_or_default(),
        labels: answer.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
    }
}

fn listed(line: bollard::models::ContainerSummary) -> Listed {
    Listed {
        id: line.id.unwrap_or_default(),
        name: convert::name(line.names.unwrap_or_default().first().map_or("", String::as_str)),
        image: line.image.unwrap_or_default(),
        running: line.state == Some(bollard::models::ContainerSummaryStateEnum::RUNNING),
        status: line.status.unwrap_or_default(),
        created: Millis::from_secs(line.created.and_then(|secs| u64::try_from(secs).ok()).unwrap_or(0)),
        labels: line.labels.unwrap_or_default().into_iter().collect(),
    }
}
