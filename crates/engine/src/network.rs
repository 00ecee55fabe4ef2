//! Networks of runs.

use std::collections::BTreeMap;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptionsBuilder;

use crate::connect::{Engine, QUICK, SLOW, within};
use crate::container::label_filter;
use crate::error::{EngineError, Kind, Result};

/// A network of the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkSeen {
    /// The engine's id.
    pub id: String,
    /// Its name. The engine allows several networks of one name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes sure that a bridge network of this name exists, and returns its id. The engine allows two networks of
    /// one name, so the caller must hold a lock for this name.
    ///
    /// # Errors
    /// [`Kind::Conflict`] where the name is taken by a network with other labels; any transport failure.
    pub async fn ensure_network(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<String> {
        let operation = format!("create network {name}");
        if let Some(there) = self.networks().await?.into_iter().find(|network| network.name == name) {
            if labels.iter().all(|(key, value)| there.labels.get(key) == Some(value)) {
                return Ok(there.id);
            }
            return Err(EngineError::new(operation, Kind::Conflict, "a network of this name exists and is not ours"));
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels.clone().into_iter().collect()),
            ..NetworkCreateRequest::default()
        };
        within(SLOW, operation, self.docker.create_network(request)).await.map(|made| made.id)
    }

    /// Removes a network. False where it was gone, or where a container still is on it.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn remove_network(&self, id: &str) -> Result<bool> {
        match within(SLOW, format!("remove network {id}"), self.docker.remove_network(id)).await {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::NetworkNotFound | Kind::Conflict) => Ok(false),
            // 20.10 answers 403 for a network in use.
            Err(error) if error.text.contains("has active endpoints") => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lists all networks of the engine.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn networks(&self) -> Result<Vec<NetworkSeen>> {
        self.networks_with(ListNetworksOptionsBuilder::new()).await
    }

    /// Lists the networks that say they are DYbox's; with `run`, those of that run alone.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn list_networks(&self, run: Option<&str>) -> Result<Vec<NetworkSeen>> {
        self.networks_with(ListNetworksOptionsBuilder::new().filters(&label_filter(run))).await
    }

    async fn networks_with(&self, query: ListNetworksOptionsBuilder) -> Result<Vec<NetworkSeen>> {
        let answer = within(QUICK, "list networks", self.docker.list_networks(Some(query.build()))).await?;
        let one = |network: bollard::models::Network| NetworkSeen {
            id: network.id.unwrap_or_default(),
            name: network.name.unwrap_or_default(),
            labels: network.labels.unwrap_or_default().into_iter().collect(),
        };
        Ok(answer.into_iter().map(one).collect())
    }
}
