//! Images: what the engine knows about one, and bringing one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use dybox_model::{ImageRef, Login};
use futures_util::StreamExt;

use crate::auth;
use crate::connect::{Engine, QUICK, SLOW, within};
use crate::error::{EngineError, Kind, Result, from_bollard};

/// A pull that shows no progress for this long has failed.
const NO_PROGRESS: Duration = Duration::from_secs(120);

/// What an image brings along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageInfo {
    /// Its id (`sha256:...`).
    pub id: String,
    /// Repository digests (`name@sha256:...`); none for an image that never saw a registry.
    pub digests: Vec<String>,
    /// Its entrypoint.
    pub entrypoint: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Its user; may be empty.
    pub user: String,
    /// Its working directory; may be empty.
    pub workdir: String,
    /// Its environment.
    pub env: Vec<String>,
    /// The signal that it wants to be stopped by.
    pub stop_signal: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its size in bytes.
    pub size: u64,
}

/// One line of a list of images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageListed {
    /// Its id (`sha256:...`).
    pub id: String,
    /// Its names: tags first, then digests.
    pub names: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
}

impl Engine {
    /// Every image that the engine has, by id.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn images(&self) -> Result<Vec<ImageListed>> {
        let query = ListImagesOptionsBuilder::new().build();
        let answer = within(QUICK, "list images", self.docker.list_images(Some(query))).await?;
        let mut images: Vec<_> = answer
            .into_iter()
            .map(|image| ImageListed {
                id: image.id,
                names: image
                    .repo_tags
                    .into_iter()
                    .chain(image.repo_digests)
                    .filter(|name| !name.contains("<none>"))
                    .collect(),
                size: u64::try_from(image.size).unwrap_or(0),
            })
            .collect();
        images.sort_by(|one, two| one.id.cmp(&two.id));
        Ok(images)
    }

    /// Ids of the images of all containers, whoever's and whatever their state.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn images_in_use(&self) -> Result<BTreeSet<String>> {
        let query = ListContainersOptionsBuilder::new().all(true).build();
        let answer = within(QUICK, "list containers", self.docker.list_containers(Some(query))).await?;
        Ok(answer.into_iter().filter_map(|one| one.image_id).collect())
    }

    /// Takes a name from an image, or removes it by its id; with its last name the image goes. Never by force: false
    /// where the engine refuses since something uses it, or it was gone.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn remove_image(&self, name: &str) -> Result<bool> {
        let query = RemoveImageOptionsBuilder::new().force(false).build();
        match within(SLOW, format!("remove image {name}"), self.docker.remove_image(name, Some(query), None)).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::ImageNotFound | Kind::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks at an image, by name or id; nothing where the engine does not have it.
    ///
    /// # Errors
    /// Any transport failure.
    pub async fn image(&self, name: &str) -> Result<Option<ImageInfo>> {
        let answer = within(QUICK, format!("inspect image {name}"), self.docker.inspect_image(name)).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::ImageNotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let config = answer.config.unwrap_or_default();
        Ok(Some(ImageInfo {
            id: answer.id.unwrap_or_default(),
            digests: answer.repo_digests.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            workdir: config.working_dir.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            stop_signal: config.stop_signal.filter(|signal| !signal.is_empty()),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            size: answer.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
        }))
    }

    /// The digest that the registry has for a name now (`sha256:...`); asked through the engine, with the login that docker
    /// has for it.
    ///
    /// # Errors
    /// Any transport failure, of the registry too.
    pub async fn registry_digest(&self, name: &str) -> Result<String> {
        let operation = format!("ask the registry for {name}");
        let image = ImageRef::parse(name)
            .map_err(|bad| EngineError::new(operation.as_str(), Kind::BadOptions, bad.to_string()))?;
        let login = auth::login(self.config_dir.as_deref(), image.registry.as_deref()).await;
        let login = login.map(|login| auth::credentials(login, name));
        let answer = within(QUICK, operation, self.docker.inspect_registry_image(name, login)).await?;
        Ok(answer.descriptor.digest.unwrap_or_default())
    }

    /// Brings an image from its registry, with this login, or else the one that docker has for it. `progress` gets the bytes so far
    /// and the bytes known to be needed (both grow).
    ///
    /// # Errors
    /// [`Kind::ImageNotFound`], [`Kind::Denied`], [`Kind::RegistryDown`], [`Kind::DiskFull`], [`Kind::Timeout`] after
    /// `limit` or two minutes without progress, or a transport failure.
    pub async fn pull(
        &self,
        name: &str,
        limit: Duration,
        login: Option<Login>,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<()> {
        let operation = format!("pull image {name}");
        let image = ImageRef::parse(name)
            .map_err(|bad| EngineError::new(operation.as_str(), Kind::BadOptions, bad.to_string()))?;
        // Without a tag the engine would bring every tag of the repository.
        let full =
            if image.tag.is_none() && image.digest.is_none() { format!("{name}:latest") } else { name.to_owned() };
        let login = match login {
            Some(login) => Some(login),
            None => auth::login(self.config_dir.as_deref(), image.registry.as_deref()).await,
        };
        let login = login.map(|login| auth::credentials(login, name));
        let query = CreateImageOptionsBuilder::new().from_image(&full).build();
        let mut stream = self.docker.create_image(Some(query), None, login);
        let mut layers = Layers::default();
        let work = async {
            loop {
                match tokio::time::timeout(NO_PROGRESS, stream.next()).await {
                    Err(_) => {
                        let text = format!("no progress for {} s", NO_PROGRESS.as_secs());
                        return Err(EngineError::new(operation.as_str(), Kind::RegistryDown, text));
                    }
                    Ok(None) => return Ok(()),
                    Ok(Some(line)) => {
                        let (have, total) = layers.take(line.map_err(|e| from_bollard(operation.as_str(), e))?);
                        progress(have, total);
                    }
                }
            }
        };
        let done = tokio::time::timeout(limit, work).await;
        done.unwrap_or_else(|_| {
            let text = format!("it took longer than {} s", limit.as_secs());
            Err(EngineError::new(operation.as_str(), Kind::Timeout, text))
        })
    }
}

/// Sums the progress of the layers, which come in any order.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    fn take(&mut self, line: CreateImageInfo) -> (u64, u64) {
        let status = line.status.unwrap_or_default();
        let detail = line.progress_detail.unwrap_or_default();
        let bytes = |value: Option<i64>| value.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        if let Some(id) = line.id {
            let layer = self.0.entry(id).or_default();
            match status.as_str() {
                "Downloading" => *layer = (bytes(detail.current), bytes(detail.total).max(layer.1)),
                "Download complete" | "Extracting" | "Pull complete" => layer.0 = layer.1,
                _ => {}
            }
        }
        self.0.values().fold((0, 0), |(have, total), layer| (have + layer.0, total + layer.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ProgressDetail;

    #[test]
    fn progress_is_the_sum_over_layers_and_never_shrinks() {
        let mut layers = Layers::default();
        let mut line = |id: &str, status: &str, current, total| {
            layers.take(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: Some(ProgressDetail { current, total }),
                ..CreateImageInfo::default()
            })
        };
        assert_eq!(line("a", "Pulling fs layer", None, None), (0, 0));
        assert_eq!(line("a", "Downloading", Some(10), Some(100)), (10, 100));
        assert_eq!(line("b", "Downloading", Some(5), Some(50)), (15, 150));
        assert_eq!(line("a", "Download complete", None, None), (105, 150));
        assert_eq!(line("a", "Extracting", Some(1), Some(100)), (105, 150));
        assert_eq!(line("b", "Pull complete", None, None), (150, 150));
    }
}
