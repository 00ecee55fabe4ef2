//! What lies on the engine, and what is to become of it.

use std::collections::BTreeMap;
use std::path::Path;

use dybox_client::Client;
use dybox_engine::{Identity, LABEL_RUN, Listed, NetworkSeen};
use dybox_model::{GrantId, RunId, SubDagId};
use dybox_store::Lock;
use dybox_store::layout::{Home, Machine, RunDir};

use crate::report::Failure;

/// What becomes of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its grant or run is over: it goes.
    Remove,
    /// `keep_failed` kept it for a person.
    Kept,
    /// Nobody can prove whose it is: it stays.
    Unproven,
}

impl Fate {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Kept => "kept",
            Self::Unproven => "unproven",
        }
    }
}

/// Something that is left.
#[derive(Debug)]
pub(super) struct Found {
    /// `container`, `network` or `share`.
    pub kind: &'static str,
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The run that it says it is of.
    pub run: Option<RunId>,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether that was done.
    pub done: bool,
    /// Why.
    pub why: String,
}

impl Found {
    /// What happened to it, in a word.
    pub(super) const fn word(&self) -> &'static str {
        match (self.done, self.fate) {
            (true, _) => "removed",
            (false, Fate::Remove) => "to remove",
            (false, Fate::Kept) => "kept",
            (false, Fate::Unproven) => "not touched",
        }
    }
}

/// The runs of this home, as far as they were asked for.
pub(super) struct Known<'a> {
    client: &'a Client,
    home: Home,
    secrets: BTreeMap<RunId, Option<String>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(client: &'a Client, home: &Path) -> Self {
        Self { client, home: Home::new(home), secrets: BTreeMap::new() }
    }

    /// What becomes of a container; nothing where its grant lives.
    pub(super) async fn container(&mut self, one: Listed) -> Result<Option<Found>, Failure> {
        let what = Found {
            kind: "container",
            id: one.id,
            name: one.name,
            run: run_of(&one.labels),
            fate: Fate::Remove,
            done: false,
            why: String::new(),
        };
        let identity = match self.proof(&what.name, &one.labels).await? {
            Ok(identity) => identity,
            Err(why) => return Ok(Some(Found { fate: Fate::Unproven, why, ..what })),
        };
        let Some(grant) = identity.grant else {
            return Ok(Some(Found { fate: Fate::Unproven, why: "it names no grant".to_owned(), ..what }));
        };
        if self.lives(&identity.run, grant)? {
            return Ok(None);
        }
        let dir = RunDir::new(&identity.run).grant(grant);
        let kept = identity.attempt.map(|attempt| self.home.path(&dir.kept(attempt)));
        if kept.is_some_and(|mark| mark.exists()) {
            return Ok(Some(Found { fate: Fate::Kept, why: "`keep_failed` kept it for a look".to_owned(), ..what }));
        }
        Ok(Some(Found { why: format!("its grant {grant} is over"), ..what }))
    }

    /// What becomes of a network; nothing while its run may need it.
    pub(super) async fn network(&mut self, one: NetworkSeen) -> Result<Option<Found>, Failure> {
        let what = Found {
            kind: "network",
            id: one.id,
            name: one.name,
            run: run_of(&one.labels),
            fate: Fate::Remove,
            done: false,
            why: String::new(),
        };
        let run = match self.proof(&what.name, &one.labels).await? {
            Ok(identity) => identity.run,
            Err(why) => return Ok(Some(Found { fate: Fate::Unproven, why, ..what })),
        };
        if self.driven(&run).await? {
            return Ok(None);
        }
        Ok(Some(Found { why: "nobody drives its run".to_owned(), ..what }))
    }

    /// Who a thing is, proven; or why that can't be proven.
    async fn proof(
        &mut self,
        name: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Result<Identity, String>, Failure> {
        let Some(identity) = Identity::claimed(name, labels) else {
            return Ok(Err("its labels make no sense".to_owned()));
        };
        let Some(secret) = self.secret(&identity.run).await? else {
            return Ok(Err("its run is not in this home".to_owned()));
        };
        let proven = identity.proven(&secret, labels);
        Ok(if proven { Ok(identity) } else { Err("its proof is wrong: somebody else made it".to_owned()) })
    }

    async fn secret(&mut self, run: &RunId) -> Result<Option<String>, Failure> {
        if let Some(secret) = self.secrets.get(run) {
            return Ok(secret.clone());
        }
        let bytes = self.client.store().get_opt(&RunDir::new(run).secret()).await?;
        let secret = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
        self.secrets.insert(run.clone(), secret.clone());
        Ok(secret)
    }

    /// Whether a proxy holds the grant, or somebody sweeps it.
    fn lives(&self, run: &RunId, grant: GrantId) -> Result<bool, Failure> {
        let owner = self.home.path(&RunDir::new(run).grant(grant).owner());
        let share = self.home.path(&Machine::share(run, grant));
        Ok(Lock::is_held(&owner)? || Lock::is_held(&share)?)
    }

    /// Whether a master or a proxy of the run lives.
    async fn driven(&self, run: &RunId) -> Result<bool, Failure> {
        let dir = RunDir::new(run);
        for entry in self.client.store().list(&format!("{}/sub", dir.root())).await? {
            if let Ok(subdag) = entry.name.parse().map(SubDagId)
                && self.client.is_driven(run, subdag).await?
            {
                return Ok(true);
            }
        }
        for entry in self.client.store().list(&dir.grants()).await? {
            if let Ok(grant) = entry.name.parse::<GrantId>()
                && self.lives(run, grant)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn run_of(labels: &BTreeMap<String, String>) -> Option<RunId> {
    labels.get(LABEL_RUN)?.parse().ok()
}
