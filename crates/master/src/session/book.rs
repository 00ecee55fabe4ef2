//! What a session has in hand, written down: one JSON line for each sub-DAG that comes, and one when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dybox_model::{RunId, SubDagId};
use dybox_store::bundle::Bundle;
use dybox_store::epochs::{self, MasterAddr};
use dybox_store::layout::SubDir;
use dybox_store::{Appender, EpochFence, Guard, Private, Store, StoreError, Trouble};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::pool::Key;
use crate::MasterError;
use crate::cluster::PATIENCE;
use crate::cluster::SessionConf;

/// How long it waits for HDFS.
const OUTAGE: Duration = Duration::from_secs(300);
/// Of so many that are over the marks are removed once more.
const LAST: usize = 64;

/// In the extras of a bundle in the journal.
const SEALED: &str = "sealed";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    /// What of the bundle is private is sealed: this file lies in HDFS.
    Took(Box<Bundle>),
    Over {
        run: RunId,
        subdag: SubDagId,
    },
}

/// The journal of a session, open.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) store: Store,
    pub(super) epoch: u32,
    /// What earlier masters had in hand.
    pub(super) runs: BTreeMap<Key, Bundle>,
    /// What was over last before this master: their marks may be there still.
    pub(super) over_last: Vec<Key>,
    appender: Appender,
    /// What is private is sealed with it. It is in the session's credentials, and nowhere else.
    key: String,
}

/// Fences an older attempt, reads what it had in hand, and says where the session is now.
pub(super) async fn open(
    conf: &SessionConf,
    port: u16,
    trouble: mpsc::UnboundedSender<Trouble>,
) -> Result<Book, MasterError> {
    let store = Store::hdfs(conf.bundle.store.clone())?.with_patience(PATIENCE);
    let sub = SubDir::of_session(&conf.application());
    let epoch = epochs::claim(&store, &sub).await?;
    let journal = sub.journal();
    let mut bytes = Vec::new();
    if epoch > 1 && store.close_dead(&journal).await? {
        bytes = store.get(&journal).await?.to_vec();
    }
    let Past { mut runs, over_last, whole } = fold(&bytes);
    let key = conf.bundle.tls.master.key.clone();
    runs.values_mut().for_each(|bundle| open_sealed(bundle, &key));
    let mut appender = store.take_over(&journal).await?;
    if appender.len() > whole {
        appender.truncate(whole).await?;
    }
    let fence = Arc::new(EpochFence { store: store.clone(), sub: sub.clone(), epoch });
    let appender = appender.guarded(Guard { fence, patience: OUTAGE, trouble });
    let addr = MasterAddr { host: conf.host.clone(), port, epoch };
    addr.put(&store, &sub).await?;
    Ok(Book { store, epoch, runs, over_last, appender, key })
}

/// The bundle as it may lie in a file. Where it can't be sealed, what is private is left out: tasks then miss it, should
/// this master die.
fn sealed(bundle: &Bundle, key: &str) -> Bundle {
    let mut bundle = bundle.clone();
    let private = std::mem::take(&mut bundle.private);
    if !private.is_empty()
        && let Some(sealed) = dybox_wire::seal(key.as_bytes(), &private.encode())
    {
        bundle.extra.insert(SEALED.to_owned(), hex(&sealed));
    }
    bundle
}

fn open_sealed(bundle: &mut Bundle, key: &str) {
    let Some(sealed) = bundle.extra.remove(SEALED).and_then(|text| unhex(&text)) else { return };
    let private = dybox_wire::unseal(key.as_bytes(), &sealed);
    match private.and_then(|bytes| Private::decode(&bytes, "the session's journal").ok()) {
        Some(private) => bundle.private = private,
        None => tracing::error!(run = %bundle.info.run, "the secrets of a run can't be unsealed"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What a journal says.
struct Past {
    /// What was taken and is not over.
    runs: BTreeMap<Key, Bundle>,
    over_last: Vec<Key>,
    /// How many bytes are whole lines.
    whole: u64,
}

fn fold(bytes: &[u8]) -> Past {
    let (mut runs, mut over, mut whole) = (BTreeMap::new(), Vec::new(), 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Ok(record) = serde_json::from_slice(line) else { break };
        if line.last() != Some(&b'\n') {
            break;
        }
        whole += line.len() as u64;
        match record {
            Record::Took(bundle) => drop(runs.insert((bundle.info.run.clone(), bundle.subdag), *bundle)),
            Record::Over { run, subdag } => {
                runs.remove(&(run.clone(), subdag));
                over.push((run, subdag));
            }
        }
    }
    // Each mark goes right after its record: only the last ones can have been left.
    let mut over_last = over.split_off(over.len().saturating_sub(LAST));
    over_last.retain(|key| !runs.contains_key(key));
    Past { runs, over_last, whole }
}

impl Book {
    pub(super) async fn took(&mut self, bundle: &Bundle) -> Result<(), StoreError> {
        self.write(&Record::Took(Box::new(sealed(bundle, &self.key)))).await
    }

    pub(super) async fn over(&mut self, (run, subdag): Key) -> Result<(), StoreError> {
        self.write(&Record::Over { run, subdag }).await
    }

    async fn write(&mut self, record: &Record) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record).expect("texts and numbers are JSON");
        line.push(b'\n');
        self.appender.write_synced(&line).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_sealed_for_the_next_master_of_the_session() {
        let text = serde_json::json!({
            "version": 1, "store": {"url": "hdfs://nn/x", "settings": {}}, "job": "", "secret": "",
            "info": {"version": 1, "run": "01jd0000000000000000000001", "job": "j", "tags": [], "submitted": 1,
                "uid": 1, "gid": 1, "user": "ann", "cwd": "/", "job_sha256": "", "binary": "dybox"},
            "tls": {"master": {"ca": "", "cert": "", "key": ""}, "proxy": {"ca": "", "cert": "", "key": ""},
                "client": {"ca": "", "cert": "", "key": ""}},
            "subdag": 0, "binary": {"url": "", "len": 1, "mtime_ms": 1, "public": false},
            "private": {"values": {"pw": "68756e74657232"}},
        });
        let bundle: Bundle = serde_json::from_value(text).unwrap();
        assert_eq!(bundle.private.values.get("pw"), Some(b"hunter2".as_slice()));
        let mut kept = sealed(&bundle, "the session's key");
        let line = serde_json::to_string(&Record::Took(Box::new(kept.clone()))).unwrap();
        assert!(!line.contains("68756e74657232") && !line.contains("hunter2") && line.contains(SEALED), "{line}");
        let mut other = kept.clone();
        open_sealed(&mut other, "another key");
        assert!(other.private.is_empty());
        open_sealed(&mut kept, "the session's key");
        assert_eq!(kept, bundle);
    }

    #[test]
    fn a_line_that_a_crash_cut_is_none() {
        let run: RunId = "01jd0000000000000000000001".parse().unwrap();
        let mut bytes = serde_json::to_vec(&Record::Over { run: run.clone(), subdag: SubDagId(0) }).unwrap();
        bytes.push(b'\n');
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(b"{\"took\":{\"ver");
        assert_eq!((fold(&bytes).whole, fold(&bytes).over_last), (whole, vec![(run, SubDagId(0))]));
        assert_eq!(fold(&bytes[..bytes.len() - 14]).whole, 0, "a line without its end counts for nothing");
    }
}
