//! Files of a container, running or not, as a tar archive.

use std::pin::Pin;

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::connect::{Engine, SLOW};
use crate::error::{EngineError, Kind, Result, from_bollard};

/// An archive on its way.
pub struct Archive {
    operation: String,
    first: Option<Bytes>,
    rest: Pin<Box<dyn Stream<Item = std::result::Result<Bytes, bollard::errors::Error>> + Send>>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Archive({})", self.operation)
    }
}

impl Engine {
    /// The file or directory `path` of a container, by the container's id or name.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where the container or the path does not exist, or a transport failure.
    pub async fn archive(&self, id: &str, path: &str) -> Result<Archive> {
        let query = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let rest = Box::pin(self.docker.download_from_container(id, Some(query)));
        let mut archive = Archive { operation: format!("read {path} of container {id}"), first: None, rest };
        archive.first = archive.next().await?;
        Ok(archive)
    }
}

impl Archive {
    /// The next bytes; nothing at the end.
    ///
    /// # Errors
    /// A transport failure.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match tokio::time::timeout(SLOW, self.rest.next()).await {
            Ok(next) => next.transpose().map_err(|error| from_bollard(self.operation.clone(), error)),
            Err(_) => {
                let text = format!("no answer within {} s", SLOW.as_secs());
                Err(EngineError::new(self.operation.clone(), Kind::Timeout, text))
            }
        }
    }
}
