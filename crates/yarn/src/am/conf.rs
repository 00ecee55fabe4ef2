//! What the ApplicationMaster's line to the ResourceManager needs to know.

use std::time::Duration;

use dybox_hrpc::{Settings, Token};

use crate::ids::{AttemptId, ContainerId};

/// Settings of [`crate::am::start`].
#[derive(Clone, Debug)]
pub struct Conf {
    /// Hadoop's configuration, for the ResourceManager's addresses.
    pub settings: Settings,
    /// This attempt.
    pub attempt: AttemptId,
    /// The `YARN_AM_RM_TOKEN` of the credentials file.
    pub token: Token,
    /// As whom the list of nodes is read from the ResourceManager (on clusters with simple authentication); `None` =
    /// only what the heartbeat tells about nodes.
    pub user: Option<String>,
    /// Where clients reach the master: host and port.
    pub host: String,
    /// The master's gRPC port.
    pub rpc_port: u16,
    /// The master's page.
    pub tracking_url: String,
    /// Between two heartbeats when nothing is asked for.
    pub beat: Duration,
    /// Between two heartbeats while asks or launches are pending.
    pub quick_beat: Duration,
    /// Between two looks at the list of nodes.
    pub nodes_every: Duration,
    /// How long the ResourceManager may be away before this attempt gives up.
    pub patience: Duration,
}

impl Conf {
    /// What a YARN container's environment says: `CONTAINER_ID` and the token file, with the usual times.
    #[must_use]
    pub fn new(settings: Settings, own: ContainerId, token: Token) -> Self {
        Self {
            settings,
            attempt: own.attempt,
            token,
            user: None,
            host: String::new(),
            rpc_port: 0,
            tracking_url: String::new(),
            beat: Duration::from_secs(1),
            quick_beat: Duration::from_millis(100),
            nodes_every: Duration::from_secs(30),
            patience: Duration::from_secs(900),
        }
    }
}
