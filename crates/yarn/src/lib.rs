//! YARN without a JVM: clients of the ResourceManager, its scheduler and NodeManagers, launch contexts, gathered logs.
//!
//! Enters: settings, tokens, submissions, a master's orders. Leaves: reports, grants and other events of the
//! ApplicationMaster's line, bytes of gathered log files. Never: a decision about tasks, a Docker container, a Hadoop
//! protobuf type outside of here, a file system (logs are read through [`logs::ReadAt`]).

pub mod am;
mod application;
mod cluster;
mod container;
mod convert;
mod error;
mod ids;
mod launch;
pub mod logs;
mod nm;
mod proto;
mod rm;
mod tags;

/// What masters and clients hand through without knowing the protocol.
pub use dybox_hrpc::{Credentials, CredentialsError, Settings, Token, kind};

pub use application::{
    AppState, AppUsage, AttemptReport, ContainerReport, FinalStatus, LogGathering, NewApplication, Query, Report,
    Submission,
};
pub use cluster::{ClusterMetrics, Label, NodeReport, Queue, QueueLoad, QueueRights};
pub use container::{Container, ContainerStatus, exit};
pub use error::{Kind, YarnError};
pub use ids::{ApplicationId, AttemptId, BadId, ContainerId, NodeId};
pub use launch::{Launch, LocalResource, Visibility};
pub use nm::NodeManagers;
pub use rm::ResourceManager;
pub use tags::{KIND, run_tag, session_named, session_tag, tagged, tags};
