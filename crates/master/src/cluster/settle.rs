//! What is put into the run's directory beside the work: nobody waits for it, but it is there before this master ends.

use std::sync::Arc;
use std::time::Duration;

use dybox_job::Plan;
use dybox_store::epochs::MasterAddr;
use dybox_store::layout::RunDir;
use dybox_store::{StopMark, Store, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::YarnConf;
use crate::rm::FromRm;

const AGAIN: Duration = Duration::from_secs(5);

/// Begins. `at`: the port and the epoch of this master; `stops` hears of a stop that nobody could bring here before.
pub(super) fn start(
    conf: &YarnConf,
    store: &Store,
    (at, stops): ((u16, u32), mpsc::UnboundedSender<FromRm>),
    plan: &Arc<Plan>,
) -> JoinHandle<()> {
    let (conf, store, plan) = (conf.clone(), store.clone(), plan.clone());
    tokio::spawn(async move {
        // Proxies that lost an earlier master look here first.
        let dir = RunDir::new(&conf.bundle.info.run);
        let addr = MasterAddr { host: conf.host.clone(), port: at.0, epoch: at.1 };
        let sub = dir.sub(conf.bundle.subdag);
        let listens = async || {
            addr.put(&store, &sub).await?;
            match plan.is_last(conf.bundle.subdag) {
                true => Ok(()),
                false => hear_stop(&store, &dir, &stops).await,
            }
        };
        let all = async || {
            let (there, written) = tokio::join!(listens(), write(&conf, &store, &dir, &plan));
            there.and(written)
        };
        while let Err(error) = all().await {
            tracing::warn!("the run's directory could not be written, it is tried again: {}", error.text());
            sleep(AGAIN).await;
        }
    })
}

/// Another master that ends the run leaves the mark, and then looks where this one listens: who did that before it was
/// written down here is heard now.
async fn hear_stop(store: &Store, dir: &RunDir, stops: &mpsc::UnboundedSender<FromRm>) -> Result<(), StoreError> {
    if let Some(why) = StopMark::why(store, dir).await? {
        // A master that has ended wants to know nothing.
        let _ = stops.send(FromRm::Marked(why));
    }
    Ok(())
}

/// All files of the run that are not there yet; `run.json` last, for with it the run is complete.
async fn write(conf: &YarnConf, store: &Store, dir: &RunDir, plan: &Plan) -> Result<(), StoreError> {
    let bundle = &conf.bundle;
    if store.exists(&dir.info()).await? && !is_new_identity(conf, store, dir).await? {
        return Ok(());
    }
    let json = |done: Result<Vec<u8>, serde_json::Error>| done.expect("texts and numbers are JSON");
    let identity = json(serde_json::to_vec(&bundle.tls.client));
    let (plan_name, job_name, secret_name, identity_name) = (dir.plan(), dir.job(), dir.secret(), dir.credentials());
    let (plan, job, secret, identity) = tokio::join!(
        missing(store, &plan_name, || json(serde_json::to_vec(plan))),
        missing(store, &job_name, || bundle.job.clone().into_bytes()),
        missing(store, &secret_name, || bundle.secret.clone().into_bytes()),
        store.put(&identity_name, identity),
    );
    plan.and(job).and(secret).and(identity)?;
    missing(store, &dir.info(), || json(serde_json::to_vec_pretty(&bundle.info))).await
}

/// A run that is resumed has new certificates.
async fn is_new_identity(conf: &YarnConf, store: &Store, dir: &RunDir) -> Result<bool, StoreError> {
    let there = store.get_opt(&dir.credentials()).await?;
    let there = there.and_then(|text| serde_json::from_slice(&text).ok());
    Ok(there.as_ref() != Some(&conf.bundle.tls.client))
}

async fn missing(store: &Store, name: &str, text: impl FnOnce() -> Vec<u8>) -> Result<(), StoreError> {
    match store.exists(name).await? {
        true => Ok(()),
        false => store.put(name, text()).await,
    }
}
