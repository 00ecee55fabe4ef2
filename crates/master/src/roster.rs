//! Asks the state servers which machines' engines work, beside everything else. Nobody waits for them but a master that
//! has just started, and that for a moment.

use std::time::Duration;

use dybox_logic::master::{Advice, Advisor};
use dybox_model::Millis;
use dybox_model::roster::{BringOrder, NodeView};
use dybox_store::bundle::RosterAccess;
use dybox_wire::roster::RosterClient;
use dybox_wire::{TlsIdentity, WireError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cluster::identity;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(3);
/// For an answer.
const ANSWER: Duration = Duration::from_millis(200);
/// For a connection, which nobody waits for.
const DIAL: Duration = Duration::from_secs(2);
/// Wishes for images that wait for the one before them.
const WISHES: usize = 16;

/// An image, and the machines whose agents are to bring it.
type Wishes = (Vec<String>, BringOrder);

/// What the roster says; nothing ever comes where no state server is configured.
#[derive(Debug)]
pub(crate) struct Roster {
    advice: mpsc::UnboundedReceiver<Vec<Advice>>,
    images: Option<oneshot::Sender<Vec<String>>>,
    wishes: Option<mpsc::Sender<Wishes>>,
}

impl Roster {
    /// Dials the state servers.
    pub(crate) fn start(access: Option<&RosterAccess>) -> Self {
        let (tell, advice) = mpsc::unbounded_channel();
        let (images, named) = oneshot::channel();
        if let Some(access) = access.filter(|access| !access.servers.is_empty()) {
            let servers = Servers::new(access.servers.clone(), identity(&access.identity));
            let (wish, wished) = mpsc::channel(WISHES);
            tokio::spawn(look(servers, named, (tell, wished)));
            return Self { advice, images: Some(images), wishes: Some(wish) };
        }
        Self { advice, images: None, wishes: None }
    }

    /// The way to agents that bring images; nothing where no state server is configured.
    pub(crate) fn wishes(&self) -> Option<mpsc::Sender<Wishes>> {
        self.wishes.clone()
    }

    /// What is known now, and later: `images` are those that tasks will need. Waits 200 ms at most.
    pub(crate) async fn begin(
        mut self,
        images: Vec<String>,
    ) -> (Option<Vec<Advice>>, mpsc::UnboundedReceiver<Vec<Advice>>) {
        let Some(named) = self.images.take() else { return (None, self.advice) };
        let _ = named.send(images);
        let first = timeout(ANSWER, self.advice.recv()).await.ok().flatten();
        (first, self.advice)
    }
}

/// Until nobody listens any more.
async fn look(
    mut servers: Servers,
    named: oneshot::Receiver<Vec<String>>,
    (tell, mut wished): (mpsc::UnboundedSender<Vec<Advice>>, mpsc::Receiver<Wishes>),
) {
    servers.connect().await;
    let Ok(images) = named.await else { return };
    let (start, mut advisor, mut first) = (Instant::now(), Advisor::default(), true);
    loop {
        let answer = servers.ask(&images).await;
        let now = Millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        if let Some(nodes) = answer {
            advisor.hear(now, &nodes);
        }
        // Whoever waits for the first answer hears of none, too.
        if let Some(news) = advisor.news(now).or_else(|| std::mem::take(&mut first).then(Vec::new)) {
            first = false;
            if tell.send(news).is_err() {
                return;
            }
        }
        let next = Instant::now() + EVERY;
        loop {
            tokio::select! {
                () = sleep_until(next) => break,
                Some((hosts, order)) = wished.recv() => servers.bring(hosts, &order).await,
                () = tell.closed() => return,
            }
        }
    }
}

/// All state servers, and the one that answers.
struct Servers {
    addresses: Vec<String>,
    identity: TlsIdentity,
    client: Option<RosterClient>,
    /// Nobody answered the last time: it was said.
    silent: bool,
    /// The identity may read, and not have images brought: it was said.
    refused: bool,
}

impl Servers {
    fn new(addresses: Vec<String>, identity: TlsIdentity) -> Self {
        Self { addresses, identity, client: None, silent: false, refused: false }
    }

    /// The whole roster, where a server answers in time.
    async fn ask(&mut self, images: &[String]) -> Option<Vec<NodeView>> {
        if self.client.is_none() {
            self.connect().await;
        }
        let client = self.client.as_ref()?;
        match client.advice(images.to_vec(), ANSWER).await {
            Ok(view) => Some(view.nodes),
            Err(error) => {
                tracing::info!("a state server does not answer: {error}");
                // Another one may.
                self.client = None;
                None
            }
        }
    }

    /// Has agents bring an image. A favour: who does not answer in time is asked no second time.
    async fn bring(&mut self, hosts: Vec<String>, order: &BringOrder) {
        if self.refused {
            return;
        }
        if self.client.is_none() {
            self.connect().await;
        }
        let Some(client) = self.client.as_ref() else { return };
        match client.bring(hosts, order, ANSWER).await {
            Ok(told) => tracing::info!(image = order.image, agents = told.join(", "), "an image is to come there"),
            Err(WireError::Denied { why, .. }) => {
                self.refused = true;
                tracing::info!("agents bring no images for this run: {why}");
            }
            Err(error) => {
                tracing::info!(image = order.image, "a state server passes no wish on: {error}");
                self.client = None;
            }
        }
    }

    /// Takes the server whose line is there first.
    async fn connect(&mut self) {
        let mut dials = JoinSet::new();
        for address in self.addresses.clone() {
            let identity = self.identity.clone();
            dials.spawn(async move {
                let dialled = RosterClient::dial(&address, &identity, DIAL).await;
                dialled.map_err(|error| format!("{address}: {error}"))
            });
        }
        let mut troubles = Vec::new();
        while let Some(dialled) = dials.join_next().await {
            match dialled {
                Ok(Ok(client)) => {
                    (self.client, self.silent) = (Some(client), false);
                    return;
                }
                Ok(Err(trouble)) => troubles.push(trouble),
                Err(error) => troubles.push(error.to_string()),
            }
        }
        if !std::mem::replace(&mut self.silent, true) {
            tracing::warn!("no state server answers; the run goes on without: {}", troubles.join("; "));
        }
    }
}
