//! Applications: what is submitted, asked for and reported.

use std::time::Duration;

use dybox_model::{Millis, Resources};

use crate::ids::{ApplicationId, AttemptId};
use crate::launch::Launch;

/// An application to submit.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// From [`crate::ResourceManager::new_application`].
    pub id: ApplicationId,
    /// Its name in lists.
    pub name: String,
    /// Its type in lists, at most 20 characters (YARN cuts).
    pub kind: String,
    /// Where it waits and whose share it uses.
    pub queue: String,
    /// Above others of the queue when larger; the queue bounds it.
    pub priority: Option<i32>,
    /// At most 10 of at most 100 printable ASCII characters; sent in lower case, as Java does.
    pub tags: Vec<String>,
    /// What starts as its master.
    pub launch: Launch,
    /// The master's own grant.
    pub size: Resources,
    /// How many attempts the master has; 0 = as many as the cluster allows.
    pub attempts: u32,
    /// Failures older than this do not count against `attempts`.
    pub failures_count_for: Option<Duration>,
    /// Whether grants outlive an attempt of the master.
    pub keep_containers: bool,
    /// Where the master and all its asks must run, by node label.
    pub node_label: Option<String>,
    /// Which log files are aggregated (Java regular expressions on their names): included, excluded.
    pub logs: Option<(String, String)>,
    /// It is killed when it runs for longer.
    pub lifetime: Option<Duration>,
}

impl Submission {
    /// A submission to the queue `default` with DYbox's usual choices: grants outlive their master, two attempts,
    /// failures older than ten minutes forgotten.
    #[must_use]
    pub fn new(id: ApplicationId, name: impl Into<String>, launch: Launch, size: Resources) -> Self {
        Self {
            id,
            name: name.into(),
            kind: crate::KIND.to_owned(),
            queue: "default".to_owned(),
            priority: None,
            tags: Vec::new(),
            launch,
            size,
            attempts: 0,
            failures_count_for: Some(Duration::from_secs(600)),
            keep_containers: true,
            node_label: None,
            logs: None,
            lifetime: None,
        }
    }
}

/// A new id and the largest container that the cluster gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewApplication {
    /// The id; unused ids cost nothing.
    pub id: ApplicationId,
    /// The largest container.
    pub max: Resources,
}

/// Where an application is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AppState {
    /// Just made.
    New,
    /// Being written down by the ResourceManager.
    NewSaving,
    /// Written down.
    Submitted,
    /// Waits for its master.
    Accepted,
    /// Its master is registered.
    Running,
    /// Its master said goodbye.
    Finished,
    /// Rejected, or all its masters died.
    Failed,
    /// Killed by somebody.
    Killed,
    /// A newer YARN's word.
    Other(i32),
}

impl AppState {
    /// The states of an application that is not over.
    pub const LIVE: &'static [Self] = &[Self::New, Self::NewSaving, Self::Submitted, Self::Accepted, Self::Running];

    /// Whether nothing of it runs any more.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }

    /// YARN's own word, `ACCEPTED`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::NewSaving => "NEW_SAVING",
            Self::Submitted => "SUBMITTED",
            Self::Accepted => "ACCEPTED",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
            Self::Other(_) => "UNKNOWN",
        }
    }
}

/// How an application ended, in the words of its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum FinalStatus {
    /// Not over yet, or nobody said.
    #[default]
    Undefined,
    /// It reached what it was for.
    Succeeded,
    /// It did not.
    Failed,
    /// Somebody stopped it.
    Killed,
}

/// How far YARN is with gathering an application's log files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogGathering {
    /// This cluster gathers none.
    #[default]
    Disabled,
    /// Not begun.
    NotStarted,
    /// On its way; the flag says whether there were failures.
    Running {
        /// Some file could not be gathered.
        failures: bool,
    },
    /// All is there.
    Succeeded,
    /// Something is missing.
    Failed,
    /// Gave up waiting for nodes.
    TimedOut,
}

/// What an application uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AppUsage {
    /// YARN containers that it has.
    pub containers: u32,
    /// Cpus and memory that it has.
    pub used: Resources,
    /// Cpus and memory that it waits for.
    pub needed: Resources,
    /// Mebibytes times seconds so far.
    pub memory_mib_seconds: u64,
    /// Virtual cores times seconds so far.
    pub core_seconds: u64,
}

/// What the ResourceManager says about an application.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Its id.
    pub id: ApplicationId,
    /// Whose it is.
    pub user: String,
    /// Where it runs.
    pub queue: String,
    /// Its name.
    pub name: String,
    /// Its type, `DYBOX`.
    pub kind: String,
    /// Its tags, in lower case.
    pub tags: Vec<String>,
    /// Where it is in its life.
    pub state: AppState,
    /// How it ended.
    pub final_status: FinalStatus,
    /// Where its master listens: host and port, as the master registered them.
    pub master: Option<(String, u16)>,
    /// Its page through the ResourceManager's proxy.
    pub tracking_url: String,
    /// Its page itself.
    pub original_url: String,
    /// Why it is not running, or how it ended.
    pub diagnostics: String,
    /// The master's present attempt.
    pub attempt: Option<AttemptId>,
    /// 0 to 1.
    pub progress: f32,
    /// What it uses.
    pub usage: AppUsage,
    /// When it was submitted.
    pub submitted: Option<Millis>,
    /// When its first master was launched.
    pub launched: Option<Millis>,
    /// When it ended.
    pub finished: Option<Millis>,
    /// Its priority in the queue.
    pub priority: Option<i32>,
    /// How far its log files are.
    pub logs: LogGathering,
}

impl Report {
    /// The sentence of the diagnostics that matters: why its master failed, without YARN's frame around it. Empty when
    /// there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        const FRAME: &str = "Failing this attempt.Diagnostics: ";
        let inner = self.diagnostics.split_once(FRAME).map_or(self.diagnostics.as_str(), |(_, inner)| inner);
        let first = inner.lines().map(without_time).find(|line| !line.is_empty()).unwrap_or_default();
        // The end of what the master itself said.
        let said = inner.split_once("bytes of stderr :").map(|(_, tail)| tail.lines().map(str::trim));
        let last =
            said.and_then(|lines| lines.take_while(|line| !is_hint(line)).filter(|line| !line.is_empty()).last());
        last.map_or_else(|| first.to_owned(), |last| format!("{first} ({last})"))
    }
}

/// YARN's own words after the master's.
fn is_hint(line: &str) -> bool {
    line.starts_with("For more detailed output") || line.starts_with(". Failing the application")
}

/// A line without the `[2026-11-21 11:49:01.607]` before it.
fn without_time(line: &str) -> &str {
    match line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((time, rest)) if time.starts_with(|c: char| c.is_ascii_digit()) => rest.trim(),
        _ => line.trim(),
    }
}

/// Which applications to list. Empty lists mean any.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Query {
    /// Of these types.
    pub kinds: Vec<String>,
    /// In these states.
    pub states: Vec<AppState>,
    /// Of these users.
    pub users: Vec<String>,
    /// In these queues.
    pub queues: Vec<String>,
    /// With any of these tags (compared in lower case).
    pub tags: Vec<String>,
    /// No more than so many, the newest; `None` = 1000. Large clusters remember ten thousand.
    pub limit: Option<u32>,
}

/// One attempt of an application's master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptReport {
    /// Its id.
    pub id: AttemptId,
    /// YARN's word for its state: `RUNNING`, `FAILED`.
    pub state: &'static str,
    /// Where the master listens.
    pub master: Option<(String, u16)>,
    /// The master's own YARN container.
    pub container: Option<crate::ContainerId>,
    /// Its page.
    pub tracking_url: String,
    /// How it ended.
    pub diagnostics: String,
    /// When it began.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Option<Millis>,
}

/// What the ResourceManager says about a YARN container of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerReport {
    /// Its id.
    pub id: crate::ContainerId,
    /// Its node.
    pub node: Option<crate::NodeId>,
    /// Its size.
    pub size: Resources,
    /// Whether it has ended.
    pub complete: bool,
    /// Its exit status, once it has ended.
    pub exit: Option<i32>,
    /// More about it.
    pub diagnostics: String,
    /// Its log page.
    pub log_url: String,
    /// When it was made.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Option<Millis>,
}

#[cfg(test)]
mod tests {
    fn reason(diagnostics: &str) -> String {
        let report = crate::proto::yarn::ApplicationReportProto {
            application_id: Some(crate::proto::yarn::ApplicationIdProto::default()),
            diagnostics: Some(diagnostics.to_owned()),
            ..Default::default()
        };
        crate::convert::report(&report).unwrap().reason()
    }

    #[test]
    fn the_reason_comes_without_its_frame() {
        let frame = "Application a failed 1 times due to AM Container exited with  exitCode: -1000\nFailing this \
                     attempt.Diagnostics: [2026-11-21 11:49:01.607]";
        assert_eq!(reason(&format!("{frame}Failed to download x\n\nmore")), "Failed to download x");
        let said = "Exception from container-launch.\nContainer id: c\nLast 4096 bytes of stderr :\nerror: no\n\n\nFor \
                    more detailed output, check the page\n";
        assert_eq!(reason(&format!("{frame}{said}")), "Exception from container-launch. (error: no)");
        assert_eq!(reason("user root to unknown queue: nope"), "user root to unknown queue: nope");
        assert_eq!(reason(""), "");
    }
}
