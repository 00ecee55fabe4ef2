//! A sign of life of the engine, before anything is made that needs it.

use std::path::Path;
use std::time::Duration;

use dybox_engine::{Engine, EngineConf};
use dybox_model::ExitCode;
use dybox_store::layout::Machine;
use tokio::sync::oneshot;

use super::Context;
use crate::report::{Failure, codes};

/// An engine that hangs is told apart from one that is slow after this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A question to the engine that is under way, on a thread of its own: meanwhile this one plans.
pub(crate) struct Preflight(Option<oneshot::Receiver<Result<(), Failure>>>);

impl Preflight {
    /// Asks. Nothing waits for the answer of a question that is dropped. On the cluster every node has its own engine,
    /// and its proxies ask it.
    pub(crate) fn start(context: &Context) -> Result<Self, Failure> {
        if context.is_cluster()? {
            return Ok(Self(None));
        }
        let (tell, told) = oneshot::channel();
        let conf = context.engine_conf();
        let memory = context.home().join(Machine::engine());
        let ask = move || {
            let _ = tell.send(super::runtime().and_then(|runtime| runtime.block_on(ask(conf, &memory))));
        };
        // A thread that can't be started drops the sender, which is said below.
        drop(std::thread::Builder::new().name("preflight".to_owned()).spawn(ask));
        Ok(Self(Some(told)))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Why the engine can't be used.
    pub(crate) async fn passed(self) -> Result<(), Failure> {
        let lost = |_| Failure::new(ExitCode::Internal, "the engine can't be asked: no thread can be started");
        match self.0 {
            Some(told) => told.await.map_err(lost)?,
            None => Ok(()),
        }
    }
}

async fn ask(conf: EngineConf, memory: &Path) -> Result<(), Failure> {
    // What is remembered of an engine proves nothing about today: a ping is still to be answered.
    let alive = async { Engine::remembered(conf, memory).await?.0.ping().await };
    match tokio::time::timeout(PATIENCE, alive).await {
        Ok(answered) => answered.map_err(Failure::from),
        Err(_) => {
            let why = format!("it did not answer within {} s: it hangs or is overloaded", PATIENCE.as_secs());
            let next = "look into its log and restart it if that goes on; `dybox doctor` checks the rest";
            Err(Failure::coded(codes::ENGINE, "the Docker engine can't be used").why(why).next(next))
        }
    }
}
