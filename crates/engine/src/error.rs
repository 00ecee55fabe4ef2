//! What can go wrong with the engine, classified by what the caller must do about it.

use dybox_model::Cause;
use thiserror::Error;

/// Every operation returns this error.
pub type Result<T> = std::result::Result<T, EngineError>;

/// What kind of failure it is. The kind decides cause and advice; the text is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is neither a socket nor a Docker program on this machine.
    NotInstalled,
    /// Docker is installed and nobody answers on its socket.
    NotRunning,
    /// This user may not open the socket.
    NoPermission,
    /// `DOCKER_HOST` or the docker context names something that DYbox can't use.
    BadAddress,
    /// The engine's API is older than 1.41.
    TooOld,
    /// No answer within the deadline.
    Timeout,
    /// The container or network does not exist.
    NotFound,
    /// The network to join does not exist.
    NetworkNotFound,
    /// The image exists neither on the engine nor in the registry.
    ImageNotFound,
    /// The name is taken, or the state forbids it.
    Conflict,
    /// The engine's disk is full.
    DiskFull,
    /// The registry can't be reached, fails, or asks us to slow down.
    RegistryDown,
    /// The registry refuses access.
    Denied,
    /// A host path to mount does not exist.
    MountMissing,
    /// The user does not exist in the image.
    BadUser,
    /// The working directory can't be entered.
    BadWorkdir,
    /// A port of the machine is taken, or all of a range are.
    PortTaken,
    /// The engine finds a setting invalid.
    BadOptions,
    /// The file to run does not exist in the container.
    CommandNotFound,
    /// The file to run can't be executed.
    NotExecutable,
    /// The engine failed by itself, or answered something that nobody understands.
    Failed,
}

/// A failed operation of the engine.
#[derive(Debug, Error)]
#[error("can't {operation}: {text}")]
pub struct EngineError {
    /// What was tried, as an infinitive: `create container dybox-...`.
    pub operation: String,
    /// How it is classified.
    pub kind: Kind,
    /// The engine's words, or ours where it did not speak. One line.
    pub text: String,
}

impl EngineError {
    /// Makes an error of a kind with a text of its own.
    #[must_use]
    pub fn new(operation: impl Into<String>, kind: Kind, text: impl Into<String>) -> Self {
        Self { operation: operation.into(), kind, text: one_line(&text.into()) }
    }

    /// Whether the engine said nothing: what was asked of it may be done, or may still be done.
    #[must_use]
    pub const fn unanswered(&self) -> bool {
        matches!(self.kind, Kind::NotRunning | Kind::Timeout)
    }

    /// The failure of a task that this error makes.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self.kind {
            Kind::NotInstalled
            | Kind::NotRunning
            | Kind::NoPermission
            | Kind::BadAddress
            | Kind::TooOld
            | Kind::Timeout => Cause::EngineDown,
            Kind::ImageNotFound => Cause::ImageNotFound,
            Kind::DiskFull => Cause::DiskFull,
            Kind::RegistryDown => Cause::RegistryDown,
            Kind::Denied => Cause::ImageDenied,
            Kind::MountMissing => Cause::MountMissing,
            Kind::BadUser => Cause::BadUser,
            Kind::BadWorkdir => Cause::BadWorkdir,
            Kind::PortTaken => Cause::PortTaken,
            Kind::BadOptions => Cause::BadOptions,
            Kind::CommandNotFound => Cause::CommandNotFound,
            Kind::NotExecutable => Cause::NotExecutable,
            Kind::NotFound | Kind::NetworkNotFound | Kind::Conflict | Kind::Failed => Cause::EngineFailed,
        }
    }

    /// What to do next, as an imperative sentence.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self.kind {
            Kind::NotInstalled => "Install Docker Engine (Debian: `apt-get install docker.io`), then try again.",
            Kind::NotRunning => "Start it (`systemctl start docker`, or `dockerd` as root), then try again.",
            Kind::NoPermission => {
                "Add yourself to the group that owns the socket (`sudo usermod -aG docker $USER`) and log in again."
            }
            Kind::BadAddress => "Set DOCKER_HOST to unix:///path or tcp://host:port, or choose another docker context.",
            Kind::TooOld => "Update Docker Engine to 20.10 or newer.",
            Kind::Timeout => "The engine hangs or is overloaded: look into its log, restart it if that goes on.",
            _ => self.cause().info().next,
        }
    }
}

/// The engine's words on one line, short enough for a terminal.
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > 600 {
        let end = (0..=600).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
        line.push_str(" ...");
    }
    line
}

/// Classifies what bollard returned for `operation`.
pub(crate) fn from_bollard(operation: impl Into<String>, error: bollard::errors::Error) -> EngineError {
    use bollard::errors::Error as B;
    let (kind, text) = match error {
        B::DockerResponseServerError { status_code, message } => (by_answer(status_code, &message), message),
        B::RequestTimeoutError => (Kind::Timeout, "no answer in time".to_owned()),
        B::DockerStreamError { error } => (by_words(&error).unwrap_or(Kind::Failed), error),
        B::SocketNotFoundError(path) => (Kind::NotRunning, format!("{path} does not exist")),
        other => {
            let text = chain(&other);
            (by_transport(&text), text)
        }
    };
    EngineError::new(operation, kind, text)
}

/// An error with all its sources: hyper says "client error (Connect)" and keeps the reason below.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = inner.source();
    }
    text
}

fn by_transport(text: &str) -> Kind {
    let low = text.to_lowercase();
    if low.contains("permission denied") {
        Kind::NoPermission
    } else if ["refused", "no such file", "reset", "closed", "broken pipe", "connect"].iter().any(|w| low.contains(w)) {
        Kind::NotRunning
    } else {
        Kind::Failed
    }
}

fn by_answer(status: u16, message: &str) -> Kind {
    match (status, by_words(message)) {
        // The engine calls a repository that the registry does not know a denial. Docker Hub really denies what does
        // not exist, and its own words say so behind the engine's.
        (404, Some(Kind::Denied)) if unknown_repository(message) => Kind::ImageNotFound,
        (404, None) if message.to_lowercase().contains("network") => Kind::NetworkNotFound,
        (_, Some(kind)) => kind,
        (404, None) => Kind::NotFound,
        (409, None) => Kind::Conflict,
        (401 | 403, None) => Kind::Denied,
        (400, None) => Kind::BadOptions,
        _ => Kind::Failed,
    }
}

fn unknown_repository(message: &str) -> bool {
    let low = message.to_lowercase();
    low.contains("repository does not exist") && !low.contains("denied: ") && !low.contains("unauthorized")
}

/// The engine tells many things apart by words alone. First match wins, so the order counts.
pub(crate) fn by_words(message: &str) -> Option<Kind> {
    const WORDS: &[(Kind, &[&str])] = &[
        (Kind::DiskFull, &["no space left on device", "disk quota exceeded"]),
        (Kind::PortTaken, PORT_TAKEN),
        // Of a published port: an address that is another machine's, or a port that is for root alone.
        (Kind::BadOptions, &["cannot assign requested address", "cannot expose privileged port"]),
        (Kind::MountMissing, &["bind source path does not exist", "invalid mount config for type \"bind\""]),
        (Kind::BadUser, &["unable to find user", "unable to find group", "no matching entries in passwd"]),
        (Kind::BadOptions, &["error mounting"]),
        (Kind::BadWorkdir, &["chdir to cwd", "cannot mkdir", "container init: mkdir", "not a directory"]),
        (Kind::CommandNotFound, &["executable file not found", "exec: \"/.dybox/init\": stat"]),
        (Kind::NotExecutable, &["exec format error", "permission denied: unknown"]),
        (Kind::RegistryDown, RATE_LIMITED),
        (Kind::Denied, DENIED),
        (
            Kind::ImageNotFound,
            &["no such image", "manifest unknown", "name unknown", "not found: manifest", "manifest for"],
        ),
        (Kind::ImageNotFound, &["no matching manifest", "repository does not exist"]),
        (Kind::RegistryDown, UNREACHABLE),
        (Kind::BadOptions, &["minimum memory limit", "range of cpus", "invalid reference format", "invalid hostname"]),
    ];
    const PORT_TAKEN: &[&str] = &["port is already allocated", "address already in use", "all ports are allocated"];
    const RATE_LIMITED: &[&str] = &["toomanyrequests", "too many requests", "error parsing http 429"];
    // Docker Hub answers "denied" for what does not exist, too, and says so in the same sentence.
    const DENIED: &[&str] = &[
        "pull access denied",
        "unauthorized",
        "authentication required",
        "requested access to the resource is denied",
        "no basic auth credentials",
        // Where a registry needs no valid certificate (the loopback, insecure-registries), the engine tries plain HTTP after
        // HTTPS was refused, and keeps to itself why that was: the certificate can't be it.
        "client sent an http request to an https server",
    ];
    const UNREACHABLE: &[&str] = &[
        "connection refused",
        "no such host",
        "i/o timeout",
        "tls handshake timeout",
        "client.timeout exceeded",
        "request canceled",
        "server misbehaving",
        "network is unreachable",
        "no route to host",
        "internal server error",
        "bad gateway",
        "service unavailable",
        "gateway timeout",
        "received unexpected http status",
        "error parsing http 5",
        "unexpected eof",
        "connection reset",
        "context deadline exceeded",
        "temporary failure in name resolution",
        // A registry that the engine was not told to trust, or to talk to without TLS.
        "x509: ",
        "server gave http response to https client",
    ];
    let low = message.to_lowercase();
    WORDS.iter().find(|(_, words)| words.iter().any(|word| low.contains(word))).map(|&(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_told_apart() {
        let table = [
            (404, "No such image: nope:1", Kind::ImageNotFound),
            (404, "manifest for r/x:9 not found: manifest unknown: manifest unknown", Kind::ImageNotFound),
            (404, "No such container: x", Kind::NotFound),
            (404, "network dybox-x-shop not found", Kind::NetworkNotFound),
            (409, "Conflict. The container name \"/x\" is already in use by container 12", Kind::Conflict),
            (500, "write /var/lib/docker/tmp/x: no space left on device", Kind::DiskFull),
            (400, "invalid mount config for type \"bind\": bind source path does not exist: /nope", Kind::MountMissing),
            (400, "unable to find user nobody2: no matching entries in passwd file", Kind::BadUser),
            (500, "chdir to cwd (\"/root\") set in config.json failed: permission denied: unknown", Kind::BadWorkdir),
            (500, "Cannot mkdir: /bin/sh is not a directory", Kind::BadWorkdir),
            (500, "lstat /var/lib/docker/overlay2/6/merged/bin/busybox/x: not a directory", Kind::BadWorkdir),
            (400, "error during container init: mkdir /proc/1/x: no such file or directory: unknown", Kind::BadWorkdir),
            (400, "error mounting \"/etc\" to rootfs at \"/bin/sh\": not a directory: unknown", Kind::BadOptions),
            (500, "Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host", Kind::RegistryDown),
            (500, "Get \"https://r/v2/\": x509: certificate signed by unknown authority", Kind::RegistryDown),
            (500, "Get \"https://r/v2/\": http: server gave HTTP response to HTTPS client", Kind::RegistryDown),
            (500, "toomanyrequests: You have reached your pull rate limit.", Kind::RegistryDown),
            (
                404,
                "pull access denied for x, repository does not exist or may require 'docker login'",
                Kind::ImageNotFound,
            ),
            (
                404,
                "pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Kind::Denied,
            ),
            (500, "unauthorized: authentication required", Kind::Denied),
            (
                500,
                "error parsing HTTP 400 response body: Client sent an HTTP request to an HTTPS server.",
                Kind::Denied,
            ),
            (
                500,
                "driver failed programming external connectivity on endpoint x (1): Bind for 0.0.0.0:80 failed: port is already allocated",
                Kind::PortTaken,
            ),
            (
                500,
                "Error starting userland proxy: listen tcp4 127.0.0.1:80: bind: address already in use",
                Kind::PortTaken,
            ),
            (500, "listen tcp4 192.0.2.1:80: bind: cannot assign requested address", Kind::BadOptions),
            (400, "Minimum memory limit allowed is 6MB", Kind::BadOptions),
            (500, "something else", Kind::Failed),
        ];
        for (status_code, message, kind) in table {
            let answer = bollard::errors::Error::DockerResponseServerError { status_code, message: message.to_owned() };
            assert_eq!(from_bollard("try", answer).kind, kind, "{message}");
        }
    }

    #[test]
    fn an_error_is_one_short_line() {
        let error = EngineError::new("try", Kind::Failed, format!("a\nb\t{}", "é".repeat(2000)));
        let text = error.to_string();
        assert!(text.starts_with("can't try: a b é") && text.len() < 640 && !text.contains('\n'));
    }
}
