//! The state servers that the configuration names, and how this user shows who it is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use dybox_model::roster::{NodeView, RosterView};
use dybox_model::sweep::SweepOrder;
use dybox_store::bundle::{RosterAccess, Tls};
use dybox_wire::roster::{RosterClient, read_identity};
use dybox_wire::{TlsIdentity, WireError};

use super::Context;
use crate::report::{Failure, chain, codes};

/// For one server's whole answer; people wait for it.
const ANSWER: Duration = Duration::from_secs(3);
/// For who goes on without an answer.
pub(crate) const AT_ONCE: Duration = Duration::from_millis(200);

/// Every state server.
#[derive(Debug)]
pub(crate) struct Servers {
    /// `host:port` of each.
    pub addresses: Vec<String>,
    identity: TlsIdentity,
}

impl Servers {
    /// Those of the configuration; nothing where it names none.
    pub(crate) fn of(context: &Context) -> Result<Option<Self>, Failure> {
        let Some(text) = &context.conf.state_servers.value else { return Ok(None) };
        let addresses = addresses(text);
        if addresses.is_empty() {
            return Ok(None);
        }
        let Some(path) = &context.conf.state_identity.value else {
            return Err(Failure::coded(codes::CONF_VALUE, "`state_servers` is set, and `state_identity` is not")
                .next("set `state_identity` to the file that `dybox state-server init` made for you"));
        };
        Ok(Some(Self { addresses, identity: identity(path)? }))
    }

    /// The first good answer of any with what masters go by, for who does not wait for it.
    pub(crate) async fn at_once(&self, images: Vec<String>) -> Option<(String, RosterView)> {
        let mut asked = tokio::task::JoinSet::new();
        for address in &self.addresses {
            let (address, identity, images) = (address.clone(), self.identity.clone(), images.clone());
            asked.spawn(async move {
                let client = RosterClient::dial(&address, &identity, AT_ONCE).await.ok()?;
                Some((address, client.advice(images, AT_ONCE).await.ok()?))
            });
        }
        let first = async {
            while let Some(answer) = asked.join_next().await {
                if let Ok(Some(answer)) = answer {
                    return Some(answer);
                }
            }
            None
        };
        tokio::time::timeout(AT_ONCE, first).await.ok().flatten()
    }

    /// The same, where a command can't do without.
    pub(crate) fn needed(context: &Context) -> Result<Self, Failure> {
        Self::of(context)?.ok_or_else(|| Failure::coded(codes::NO_SERVERS, "no state server is configured"))
    }

    /// The first good answer of any.
    pub(crate) async fn nodes(&self, host: Option<&str>) -> Result<(String, RosterView), Failure> {
        let mut asked = tokio::task::JoinSet::new();
        for address in &self.addresses {
            let (address, identity) = (address.clone(), self.identity.clone());
            let host = host.map(str::to_owned);
            asked.spawn(async move {
                let answer = ask(&address, &identity, host.as_deref()).await;
                (address, answer)
            });
        }
        let mut troubles = Vec::new();
        while let Some(answer) = asked.join_next().await {
            match answer {
                Ok((address, Ok(view))) => return Ok((address, view)),
                Ok((_, Err(error))) => troubles.push(chain(&error)),
                Err(error) => troubles.push(error.to_string()),
            }
        }
        Err(Failure::coded(codes::STATE_SERVER, "no state server answers").why(troubles.join("; ")))
    }

    /// What one server says.
    pub(crate) async fn ask(&self, address: &str) -> Result<RosterView, WireError> {
        ask(address, &self.identity, None).await
    }

    /// Drains a node, or ends that, on every server; what those say that did not take it.
    pub(crate) async fn mark(&self, host: &str, drained: bool, why: &str, by: &str) -> Vec<Result<(), String>> {
        let mut done = Vec::new();
        for address in &self.addresses {
            let marked = async {
                let client = RosterClient::dial(address, &self.identity, ANSWER).await?;
                client.mark(host, (drained, why, by), ANSWER).await
            };
            done.push(marked.await.map_err(|error| format!("{address}: {}", chain(&error))));
        }
        done
    }

    /// Orders all agents to sweep, through every server, since an agent may have a line to one alone. Returns the
    /// machines whose agents were told (nothing where no server took it), and what servers say that did not take it.
    pub(crate) async fn sweep(&self, order: &SweepOrder) -> (Option<BTreeSet<String>>, Vec<String>) {
        let (mut told, mut troubles) = (None::<BTreeSet<String>>, Vec::new());
        let order = order.clone();
        let answers = self.each(move |client| {
            let order = order.clone();
            async move { client.sweep(None, &order, ANSWER).await }
        });
        for (address, answer) in answers.await {
            match answer {
                Ok(hosts) => told.get_or_insert_default().extend(hosts),
                Err(error) => troubles.push(format!("{address}: {}", chain(&error))),
            }
        }
        (told, troubles)
    }

    /// What all servers that answer say of all nodes; a node comes once for each of them.
    pub(crate) async fn all_nodes(&self) -> Vec<NodeView> {
        let answers = self.each(|client| async move { client.nodes(None, Vec::new(), ANSWER).await }).await;
        answers.into_iter().filter_map(|(_, answer)| answer.ok()).flat_map(|view| view.nodes).collect()
    }

    /// Asks all servers at the same time.
    async fn each<T, F>(
        &self,
        ask: impl Fn(RosterClient) -> F + Clone + Send + 'static,
    ) -> Vec<(String, Result<T, WireError>)>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, WireError>> + Send,
    {
        let mut asked = tokio::task::JoinSet::new();
        for address in &self.addresses {
            let (address, identity, ask) = (address.clone(), self.identity.clone(), ask.clone());
            asked.spawn(async move {
                let answer = match RosterClient::dial(&address, &identity, ANSWER).await {
                    Ok(client) => ask(client).await,
                    Err(error) => Err(error),
                };
                (address, answer)
            });
        }
        asked.join_all().await
    }
}

/// Who this is, for others to read.
pub(crate) fn user() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    user.map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name)
}

/// What masters are handed. A run goes on without it, so what is wrong with it is said and no more.
pub(crate) fn for_masters(context: &Context) -> Option<RosterAccess> {
    match Servers::of(context) {
        Ok(servers) => servers.map(|Servers { addresses, identity: TlsIdentity { ca, cert, key } }| RosterAccess {
            servers: addresses,
            identity: Tls { ca, cert, key },
        }),
        Err(failure) => {
            context.screen.warn(&format!("masters will not know the roster: {}", failure.what));
            None
        }
    }
}

async fn ask(address: &str, identity: &TlsIdentity, host: Option<&str>) -> Result<RosterView, WireError> {
    let client = RosterClient::dial(address, identity, ANSWER).await?;
    client.nodes(host, Vec::new(), ANSWER).await
}

/// Addresses with commas or spaces between them.
pub(crate) fn addresses(text: &str) -> Vec<String> {
    text.split([',', ' ']).map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// A certificate with its key, as `dybox state-server init` writes them.
pub(crate) fn identity(path: &Path) -> Result<TlsIdentity, Failure> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::coded(codes::CONF_READ, "the certificate can't be read").place(place.clone()).source(error)
    })?;
    read_identity(&text).map_err(|error| {
        let why = match error {
            WireError::Credentials { why } => why,
            other => other.to_string(),
        };
        Failure::coded(codes::CONF_VALUE, "the certificate can't be used").place(place).why(why)
    })
}
