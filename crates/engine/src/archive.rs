//! Files of a container, running or not, as a tar archive.

use std::pin::Pin;

use bollard::body_full;
use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::connect::{Engine, SLOW, within};
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

/// Bytes of a tar archive's block.
const BLOCK: usize = 512;

impl Engine {
    /// Puts symbolic links into a container that was made and does not run: each path leads to the other one.
    ///
    /// # Errors
    /// [`Kind::BadOptions`] for a path that is too long; what the engine refuses.
    pub async fn link(&self, id: &str, links: &[(String, String)]) -> Result<()> {
        let operation = format!("put links into container {id}");
        let mut tar = Vec::new();
        for (path, to) in links {
            let header = link(path, to);
            tar.extend(header.ok_or_else(|| {
                EngineError::new(operation.as_str(), Kind::BadOptions, format!("{path} is too long"))
            })?);
        }
        // Two empty blocks end it.
        tar.resize(tar.len() + 2 * BLOCK, 0);
        let query = UploadToContainerOptionsBuilder::new().path("/").build();
        within(SLOW, operation, self.docker.upload_to_container(id, Some(query), body_full(tar.into()))).await
    }
}

/// The header of a symbolic link.
fn link(path: &str, to: &str) -> Option<[u8; BLOCK]> {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, len: usize, text: &str| {
        let fits = text.len() <= len;
        if fits {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        }
        fits
    };
    let fits = put(0, 100, path.trim_start_matches('/')) && put(157, 100, to);
    // Mode, owner, group, size and time, as octal digits; the kind; the format.
    put(100, 8, "0000777");
    put(108, 8, "0000000");
    put(116, 8, "0000000");
    put(124, 12, "00000000000");
    put(136, 12, "00000000000");
    put(148, 8, "        ");
    put(156, 1, "2");
    put(257, 8, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fits.then_some(header)
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
