//! Which archives a run has now, and who has each: the store, or a proxy that still writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dybox_model::GrantId;
use tokio::task::JoinSet;

use super::live::{Grants, Live, LiveGrant};
use crate::layout::RunDir;
use crate::{Entry, Store, StoreError};

/// Files that are closed at once for their dead writers.
const AT_ONCE: usize = 16;

/// An archive that is there.
pub(super) struct Found {
    /// Its name in the directory.
    pub(super) name: String,
    /// Bytes in it, where that is known without a look at it.
    pub(super) len: Option<u64>,
    /// Who reads it to us.
    pub(super) live: Option<(Arc<dyn Live>, GrantId)>,
}

/// Finds archives.
#[derive(Debug)]
pub(super) struct Finder {
    grants: Grants,
    /// Archives of dead writers that were looked after.
    settled: BTreeSet<String>,
    /// What was last heard of the grants.
    known: Vec<LiveGrant>,
    heard: bool,
}

impl Finder {
    pub(super) const fn new(grants: Grants) -> Self {
        Self { grants, settled: BTreeSet::new(), known: Vec::new(), heard: false }
    }

    /// What is there now, by name.
    pub(super) async fn archives(&mut self, store: &Store, dir: &str) -> Result<Vec<Found>, StoreError> {
        let entries = store.list(dir).await?;
        let archive = |entry: &Entry| !entry.is_dir && entry.name.ends_with(".log");
        let stored = entries.into_iter().filter(archive).map(|entry| (entry.name, entry.len));
        let mut stored: BTreeMap<String, u64> = stored.collect();
        let mut found = Vec::new();
        match &self.grants {
            Grants::Unknown => {}
            Grants::AllOver => self.settle(store, dir, stored.iter().map(|(name, len)| (name.clone(), *len))).await,
            Grants::Live(live) => {
                let (live, mut over) = (Arc::clone(live), Vec::new());
                match live.grants().await {
                    Ok(grants) => self.known = grants,
                    // A master that is replaced comes back: what was known of its grants holds until then.
                    Err(error) if error.passes() && self.heard => {}
                    Err(error) => return Err(error),
                }
                self.heard = true;
                for grant in &self.known {
                    let name = RunDir::archive_name(grant.grant);
                    if !grant.over {
                        stored.remove(&name);
                        found.push(Found { name, len: grant.size, live: Some((Arc::clone(&live), grant.grant)) });
                    } else if let Some(len) = stored.get(&name) {
                        over.push((name, *len));
                    }
                }
                self.settle(store, dir, over.into_iter()).await;
            }
        }
        found.extend(stored.into_iter().map(|(name, len)| Found { name, len: Some(len), live: None }));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Closes archives whose writers died with them open. One that can't be closed is read as far as that goes.
    async fn settle(&mut self, store: &Store, dir: &str, over: impl Iterator<Item = (String, u64)>) {
        if !store.is_remote() {
            return;
        }
        let mut closing = JoinSet::new();
        for (name, len) in over {
            if !self.settled.insert(name.clone()) {
                continue;
            }
            if closing.len() >= AT_ONCE {
                closing.join_next().await;
            }
            let (store, name) = (store.clone(), format!("{dir}/{name}"));
            closing.spawn(async move {
                let readable = async { store.open(&name).await?.size().await };
                if readable.await.is_ok_and(|size| size < len) {
                    let _ = store.close_dead(&name).await;
                }
            });
        }
        while closing.join_next().await.is_some() {}
    }
}
