//! A container that is started only to see whether that works.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use crate::connect::{Engine, SLOW, within};
use crate::error::{EngineError, Kind, Result};

/// The one name that it has: what an earlier one left is found by it.
const NAME: &str = "dybox-canary";
/// Label: it is one.
const LABEL: &str = "dybox.canary";

impl Engine {
    /// Makes a container of an image that is there, lets its default command run to its end, and removes it. What the
    /// command says and returns does not matter.
    ///
    /// # Errors
    /// What the engine said; [`Kind::Timeout`] after `limit`.
    pub async fn canary(&self, image: &str, limit: Duration) -> Result<()> {
        let late =
            || EngineError::new("start a test container", Kind::Timeout, format!("not within {} s", limit.as_secs()));
        let id = tokio::time::timeout(limit, self.make_canary(image)).await.map_err(|_| late())??;
        let ran = async {
            self.start(&id).await?;
            self.wait(&id, limit).await.map(drop)
        };
        let ran = tokio::time::timeout(limit, ran).await.unwrap_or_else(|_| Err(late()));
        let removed = self.remove(&id).await;
        ran.and(removed.map(drop))
    }

    async fn make_canary(&self, image: &str) -> Result<String> {
        if let Some(old) = self.inspect(NAME).await?.filter(|old| old.labels.contains_key(LABEL)) {
            self.remove(&old.id).await?;
        }
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            labels: Some(HashMap::from([(LABEL.to_owned(), "1".to_owned())])),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let query = CreateContainerOptionsBuilder::new().name(NAME).build();
        let call = self.docker.create_container(Some(query), body);
        within(SLOW, "create a test container", call).await.map(|made| made.id)
    }
}
