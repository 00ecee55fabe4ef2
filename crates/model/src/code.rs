//! Exit codes of the command line.

/// What `dybox` returns to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Success.
    Ok = 0,
    /// The run finished and the user's work failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The job file or the configuration is invalid.
    Invalid = 3,
    /// Refused by policy, an access list or a queue.
    Refused = 4,
    /// Cluster, engine or store can't be reached, or does not accept us.
    Unreachable = 5,
    /// The run was stopped.
    Stopped = 6,
    /// No such run, stage or task.
    NotFound = 7,
    /// Somebody else holds it.
    Conflict = 8,
    /// Lost to the platform after its retries.
    Lost = 9,
    /// A bug in DYbox.
    Internal = 70,
    /// `--wait` timed out; the run goes on.
    TimedOut = 124,
    /// Interrupted; the run goes on.
    Interrupted = 130,
}

/// Every exit code with its meaning, for `dybox explain` and the generated page.
pub const EXITS: [(ExitCode, &str); 13] = [
    (ExitCode::Ok, "success"),
    (ExitCode::Failed, "the run finished and the user's work failed"),
    (ExitCode::Usage, "the command line is wrong"),
    (ExitCode::Invalid, "the job file or the configuration is invalid"),
    (ExitCode::Refused, "refused by policy, an access list or a queue"),
    (ExitCode::Unreachable, "cluster, engine or store unreachable, or not authenticated"),
    (ExitCode::Stopped, "the run was stopped"),
    (ExitCode::NotFound, "no such run, stage, task or file"),
    (ExitCode::Conflict, "somebody else holds it"),
    (ExitCode::Lost, "lost to the platform after its retries"),
    (ExitCode::Internal, "a bug in DYbox"),
    (ExitCode::TimedOut, "--wait timed out, the run goes on"),
    (ExitCode::Interrupted, "interrupted, the run goes on"),
];
