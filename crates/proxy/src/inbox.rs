//! What arrives in the actor's one mailbox.

use std::sync::Arc;

use dybox_engine::{ImageInfo, Seen, Verdict};
use dybox_logic::proxy::Event;
use dybox_model::{AttemptId, Exit, GrantId, Millis, Moved, Note, Peak, Published, Usage};
use dybox_wire::ProxyNews;
use tokio::sync::mpsc::UnboundedSender;

use crate::result::ResultFile;
use crate::start::Refused;
use crate::watch::Eyes;

/// Everything that a port or the master tells.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// Something for the machine.
    Event(Event),
    /// A new line to the master, to speak on.
    Line(UnboundedSender<ProxyNews>),
    /// An image is here.
    Image(AttemptId, Arc<ImageInfo>),
    /// The slot's sandbox, made or found alive.
    Sandbox(String),
    /// A container does not run any more.
    Dead(Box<Dead>),
    /// The master wants this grant, whose proxy is dead, swept.
    SweepAsked(GrantId),
    /// A grant whose proxy is dead was swept.
    Swept(GrantId, Vec<(AttemptId, Option<Exit>)>),
    /// The master wants another memory limit for the container of this attempt.
    LimitAsked(AttemptId, u64),
    /// The master says that tasks with this image will follow.
    PrefetchAsked(String),
    /// Whether it has it now, or why not.
    Limited(AttemptId, u64, Option<String>),
    /// Where the ports of an attempt are reached. Comes before it is told that it runs.
    Published(AttemptId, Vec<Published>),
    /// The inputs of an attempt are here.
    Brought(AttemptId, Vec<Moved>),
    /// The outputs of an attempt that succeeded are where they belong, or why not.
    Put(AttemptId, Result<Vec<Moved>, Refused>),
    /// News for whoever watches.
    Note(Note),
}

/// What was found out about a dead container.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) attempt: AttemptId,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) seen: Option<Seen>,
    pub(crate) result: ResultFile,
    pub(crate) engine_started: Option<Millis>,
    pub(crate) usage: Usage,
    /// What stays of all samples.
    pub(crate) used: Peak,
    /// Its container waits for the next attempt, and who watches it, too.
    pub(crate) eyes: Option<Box<Eyes>>,
    /// Its output is on its way already.
    pub(crate) opened: bool,
}
