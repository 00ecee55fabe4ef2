//! What a session and this program's place in the store are, found out while the job is still read and planned.

use dybox_store::bundle::Binary;
use dybox_wire::SessionClient;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::{Application, Cluster, binary};
use crate::Client;
use crate::client::Place;

type Sought<T> = Shared<BoxFuture<'static, Option<T>>>;

/// Under way. Nothing came of it where it holds nothing: then it is tried again where it is needed, and why it fails is
/// said there.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    session: String,
    line: Sought<(Application, SessionClient)>,
    binary: Sought<Binary>,
}

impl Client {
    /// The same, which has begun to dial a session that will be handed a run. Changes nothing anywhere. Within a runtime
    /// only.
    #[must_use]
    pub fn dialling(mut self, session: Option<&str>) -> Self {
        if let (Place::Cluster(cluster), Some(session)) = (&mut self.place, session) {
            cluster.ahead = Some(Ahead::begin(cluster, session));
        }
        self
    }
}

impl Ahead {
    fn begin(cluster: &Cluster, session: &str) -> Self {
        let (there, name) = (cluster.clone(), session.to_owned());
        let line = async move {
            let application = there.session(&name).await.ok()?;
            let line = there.dial_session(&application).await.ok()?;
            Some((application, line))
        };
        let there = cluster.clone();
        let binary = async move {
            let conf = &there.conf;
            let name = binary::name_of(conf.binary.clone(), conf.cache.clone()).await.ok()?;
            binary::look(&there.store, &name).await.ok()?
        };
        let (line, binary) = (line.boxed().shared(), binary.boxed().shared());
        tokio::spawn(line.clone());
        tokio::spawn(binary.clone());
        Self { session: session.to_owned(), line, binary }
    }

    /// A session that was dialled by a test.
    #[cfg(test)]
    pub(super) fn found(session: &str, line: (Application, SessionClient)) -> Self {
        let (line, binary) = (async { Some(line) }.boxed().shared(), async { None }.boxed().shared());
        Self { session: session.to_owned(), line, binary }
    }
}

impl Cluster {
    /// A session as it was dialled ahead.
    pub(super) async fn dialled(&self, session: &str) -> Option<(Application, SessionClient)> {
        self.ahead.as_ref().filter(|ahead| ahead.session == session)?.line.clone().await
    }

    /// This program in the store, as it was looked for ahead.
    pub(super) async fn found_binary(&self) -> Option<Binary> {
        self.ahead.as_ref()?.binary.clone().await
    }
}
