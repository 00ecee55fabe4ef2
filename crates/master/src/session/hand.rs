//! What the master of a sub-DAG has of the session that it is in: the same orders as to YARN, and a few more.

use dybox_model::GrantId;
use dybox_yarn::{ApplicationId, ContainerId, am};
use tokio::sync::{mpsc, oneshot};

use super::pool::Key;
use crate::MasterError;

/// What a sub-DAG's master says.
#[derive(Debug)]
pub(crate) enum Said {
    /// It is in control; its journal knows these grants and their containers.
    Began(Vec<(GrantId, String)>),
    /// As to YARN.
    Order(am::Order),
    /// Start a proxy, with its bundle.
    Start { grant: GrantId, container: String, bundle: Vec<u8> },
    /// Take the next sub-DAG of the run, as the bundle of its master.
    Next { bundle: Vec<u8>, answer: oneshot::Sender<Result<(String, u16), String>> },
}

/// One sub-DAG's hand on its session. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hand {
    key: Key,
    application: ApplicationId,
    session: mpsc::UnboundedSender<(Key, Said)>,
}

impl Hand {
    pub(super) const fn new(key: Key, application: ApplicationId, session: mpsc::UnboundedSender<(Key, Said)>) -> Self {
        Self { key, application, session }
    }

    /// The session's.
    pub(crate) const fn application(&self) -> ApplicationId {
        self.application
    }

    pub(crate) fn began(&self, known: Vec<(GrantId, String)>) {
        self.say(Said::Began(known));
    }

    pub(crate) fn order(&self, order: am::Order) {
        self.say(Said::Order(order));
    }

    pub(crate) fn start(&self, grant: GrantId, container: ContainerId, bundle: Vec<u8>) {
        self.say(Said::Start { grant, container: container.to_string(), bundle });
    }

    /// Hands the next sub-DAG over; it is written down when this returns.
    pub(crate) async fn next(&self, bundle: Vec<u8>) -> Result<(), MasterError> {
        let (answer, answered) = oneshot::channel();
        self.say(Said::Next { bundle, answer });
        let over = |why| MasterError::Over { why };
        answered.await.map_err(|_| over("the session ends".to_owned()))?.map(drop).map_err(over)
    }

    fn say(&self, said: Said) {
        // A session that ends needs to hear nothing.
        let _ = self.session.send((self.key.clone(), said));
    }
}
