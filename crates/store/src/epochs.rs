//! Which attempt of a master is the one, and where it listens.
//!
//! An epoch is an empty file that its owner created exclusively. The newest one counts. Who claims one takes the journal
//! over only then, so that the older attempt, when it finds its file taken, also finds the newer epoch.

use std::fmt;
use std::str::FromStr;

use crate::layout::SubDir;
use crate::{Store, StoreError};

/// Claims that others may win before this gives up.
const TRIES: u32 = 100;

/// The newest epoch of a sub-DAG; 0 where none was claimed.
pub async fn newest(store: &Store, sub: &SubDir) -> Result<u32, StoreError> {
    let entries = store.list(&sub.epochs()).await?;
    Ok(entries.iter().filter_map(|entry| entry.name.parse().ok()).max().unwrap_or(0))
}

/// Claims the next epoch.
pub async fn claim(store: &Store, sub: &SubDir) -> Result<u32, StoreError> {
    // None is ever removed: where the first is free, there is no other. Most masters are their sub-DAG's first.
    if store.claim(&sub.epoch(1)).await? {
        return Ok(1);
    }
    let mut epoch = newest(store, sub).await?;
    for _ in 0..TRIES {
        epoch += 1;
        if store.claim(&sub.epoch(epoch)).await? {
            return Ok(epoch);
        }
    }
    Err(StoreError::unreachable("claim", store.url(&sub.epochs()), "others claimed every epoch that was tried"))
}

/// Where a master listens: `host port epoch` in [`SubDir::master_addr`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterAddr {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its epoch: an older address is of a master that is gone.
    pub epoch: u32,
}

impl MasterAddr {
    /// Writes it down.
    pub async fn put(&self, store: &Store, sub: &SubDir) -> Result<(), StoreError> {
        store.put(&sub.master_addr(), self.to_string().into_bytes()).await
    }

    /// The last one that was written down.
    pub async fn get(store: &Store, sub: &SubDir) -> Result<Option<Self>, StoreError> {
        let name = sub.master_addr();
        let Some(text) = store.get_opt(&name).await? else { return Ok(None) };
        let addr = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        addr.map(Some)
            .ok_or_else(|| StoreError::damaged("understand", store.url(&name), "not a host, a port and an epoch"))
    }
}

impl fmt::Display for MasterAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.host, self.port, self.epoch)
    }
}

impl FromStr for MasterAddr {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_whitespace();
        let (Some(host), Some(port), Some(epoch), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(());
        };
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| ())?, epoch: epoch.parse().map_err(|_| ())? })
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::SubDagId;

    use super::*;
    use crate::layout::RunDir;
    use crate::{EpochFence, Fence};

    #[tokio::test]
    async fn epochs_grow_and_the_newest_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        let sub = RunDir::new(&"01jd0000000000000000000001".parse().unwrap()).sub(SubDagId(0));
        assert_eq!(newest(&store, &sub).await.unwrap(), 0);
        let first = claim(&store, &sub).await.unwrap();
        let fence = EpochFence { store: store.clone(), sub: sub.clone(), epoch: first };
        assert!(fence.still_mine().await.unwrap());
        assert_eq!((first, claim(&store, &sub).await.unwrap()), (1, 2));
        assert!(!fence.still_mine().await.unwrap());
    }

    #[tokio::test]
    async fn an_address_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        let sub = RunDir::new(&"01jd0000000000000000000001".parse().unwrap()).sub(SubDagId(0));
        assert_eq!(MasterAddr::get(&store, &sub).await.unwrap(), None);
        let addr = MasterAddr { host: "node-7.example".into(), port: 41234, epoch: 3 };
        addr.put(&store, &sub).await.unwrap();
        assert_eq!(MasterAddr::get(&store, &sub).await.unwrap(), Some(addr));
        store.put(&sub.master_addr(), "node-7").await.unwrap();
        assert!(MasterAddr::get(&store, &sub).await.is_err());
    }
}
