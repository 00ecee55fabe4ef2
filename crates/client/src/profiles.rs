//! The administrator's registry of profiles: a file in the store, or where a setting says.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use dybox_job::Profiles;
use dybox_store::layout::PROFILES;
use dybox_store::{HdfsConf, Store, StoreError};

use crate::Client;

/// Most bytes of a registry, and one that tells that there are more.
const MOST: u64 = (1 << 20) + 1;
/// A command waits for HDFS so long before it says that the registry can't be read.
const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    /// The registry: in the store, or at `place` (a path of this machine, or an address in HDFS).
    pub async fn profiles(&self, place: Option<&str>) -> Profiles {
        match place {
            None => in_store(&self.store, PROFILES).await,
            Some(url) if url.starts_with("hdfs://") => self.in_hdfs(url).await,
            Some(path) => on_machine(Path::new(path)),
        }
    }

    async fn in_hdfs(&self, url: &str) -> Profiles {
        let unread = |why: &str| Profiles::Unread { place: url.to_owned(), why: why.to_owned() };
        let Some(conf) = self.cluster() else { return unread("it lies in HDFS, and no cluster is configured") };
        let Some((dir, name)) = url.rsplit_once('/').filter(|(_, name)| !name.is_empty()) else {
            return unread("it names a directory");
        };
        match Store::hdfs(HdfsConf { url: dir.to_owned(), ..conf.hdfs.clone() }) {
            Ok(store) => in_store(&store, name).await,
            Err(error) => unread(&error.to_string()),
        }
    }
}

async fn in_store(store: &Store, name: &str) -> Profiles {
    let place = store.url(name);
    let read = store.with_deadline(PATIENCE);
    match read.get_opt(name).await {
        Ok(Some(bytes)) => Profiles::File { name: place, bytes: bytes.to_vec() },
        Ok(None) => Profiles::Missing { place },
        Err(error) => Profiles::Unread { place, why: chain(&error) },
    }
}

fn on_machine(path: &Path) -> Profiles {
    let place = path.display().to_string();
    let mut bytes = Vec::new();
    match std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut bytes)) {
        Ok(_) => Profiles::File { name: place, bytes },
        Err(error) if error.kind() == ErrorKind::NotFound => Profiles::Missing { place },
        Err(error) => Profiles::Unread { place, why: dybox_store::look::words(&error) },
    }
}

/// An error with what is below it, in one line.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(below) = next {
        text = format!("{text}: {below}");
        next = below.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_registry_lies_in_the_store_or_where_a_setting_says() {
        let dir = tempfile::tempdir().unwrap();
        let client = Client::new(dir.path(), "dybox");
        let place = dir.path().join("profiles.yaml").display().to_string();
        assert_eq!(client.profiles(None).await, Profiles::Missing { place: place.clone() });
        std::fs::write(&place, "profiles: {}\n").unwrap();
        let file = Profiles::File { name: place.clone(), bytes: b"profiles: {}\n".to_vec() };
        assert_eq!((client.profiles(None).await, client.profiles(Some(&place)).await), (file.clone(), file));
        assert!(matches!(client.profiles(dir.path().to_str()).await, Profiles::Unread { .. }));
        let far = client.profiles(Some("hdfs://nn/apps/profiles.yaml")).await;
        assert!(matches!(&far, Profiles::Unread { why, .. } if why.contains("no cluster")), "{far:?}");
    }
}
