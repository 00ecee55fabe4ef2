//! The way to a live master: its address from YARN, the run's identity from its directory.

use std::time::Duration;

use dybox_model::{RunId, SubDagId};
use dybox_store::bundle::Tls;
use dybox_store::epochs::MasterAddr;
use dybox_store::layout::RunDir;
use dybox_store::{Store, StoreError};
use dybox_wire::{Address, MasterClient, TlsIdentity, WireError};
use tokio::time::{Instant, sleep};

use super::{Application, Cluster, Phase};

/// Between two looks at an application whose master is just starting.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long a machine that YARN names may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

impl Cluster {
    /// A line to the master of a sub-DAG, waiting for it as long as `patience`.
    pub(crate) async fn dial(
        &self,
        store: &Store,
        run: &RunId,
        subdag: SubDagId,
        patience: Duration,
    ) -> Result<MasterClient, WireError> {
        let until = Instant::now() + patience;
        loop {
            let dialled = match self.application(run, subdag).await {
                Ok(Some(application)) => self.dial_application(store, run, &application).await,
                Ok(None) => Err(absent("there is no application of it in YARN")),
                Err(error) => Err(absent(&error.to_string())),
            };
            match dialled {
                Err(_) if Instant::now() < until => sleep(LOOK_AGAIN).await,
                dialled => return dialled,
            }
        }
    }

    /// A line to the master of an application as it was reported.
    pub(crate) async fn dial_application(
        &self,
        store: &Store,
        run: &RunId,
        application: &Application,
    ) -> Result<MasterClient, WireError> {
        if application.phase != Phase::Runs {
            return Err(absent(&format!("{} is {}", application.id, application.state)));
        }
        let sub = RunDir::new(run).sub(application.subdag);
        let told = self.own(run).and_then(|own| own.listens.get(&application.subdag)).cloned();
        if let Some(told) = told
            && let Ok(master) = self.dial_at(store, run, told).await
        {
            return Ok(master);
        }
        let (host, port) = match &application.master {
            Some(master) => master.clone(),
            None => match MasterAddr::get(store, &sub).await {
                Ok(Some(MasterAddr { host, port, .. })) => (host, port),
                _ => return Err(absent(&format!("{} does not say where its master listens", application.id))),
            },
        };
        self.dial_at(store, run, (host, port)).await
    }

    /// A line to the master that wrote down where it listens: for when YARN can't be asked.
    pub(crate) async fn dial_as_written(
        &self,
        store: &Store,
        run: &RunId,
        subdag: SubDagId,
    ) -> Result<MasterClient, WireError> {
        match MasterAddr::get(store, &RunDir::new(run).sub(subdag)).await {
            Ok(Some(MasterAddr { host, port, .. })) => self.dial_at(store, run, (host, port)).await,
            Ok(None) => Err(absent("no master has written down where it listens")),
            Err(error) => Err(absent(&error.text())),
        }
    }

    async fn dial_at(
        &self,
        store: &Store,
        run: &RunId,
        (host, port): (String, u16),
    ) -> Result<MasterClient, WireError> {
        let identity = self.identity(store, run).await.map_err(|error| absent(&error.text()))?;
        let address = Address::Tcp { host, port, identity };
        match tokio::time::timeout(CONNECT, MasterClient::dial_at(&address, Duration::ZERO)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(WireError::Late { what: "dial" }),
        }
    }

    async fn identity(&self, store: &Store, run: &RunId) -> Result<TlsIdentity, StoreError> {
        let Tls { ca, cert, key } = match self.own(run) {
            Some(own) => own.tls.client.clone(),
            None => {
                let name = RunDir::new(run).credentials();
                let text = store.get(&name).await?;
                serde_json::from_slice(&text).map_err(|_| {
                    StoreError::unreachable("understand", store.url(&name), "it is not the client's identity")
                })?
            }
        };
        Ok(TlsIdentity { ca, cert, key })
    }
}

/// There is no master to dial now.
fn absent(why: &str) -> WireError {
    WireError::Ended { what: "dial", why: why.to_owned() }
}
