//! What becomes of each thing that lies there.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use dybox_engine::{Identity, LABEL_RUN, Listed, NetworkSeen};
use dybox_model::{AttemptId, GrantId, Millis, RunId, SubDagId};
use dybox_store::Lock;
use dybox_store::layout::{Home, Machine, RunDir};

use crate::error::{ProxyError, file_error};

/// What becomes of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Its grant or run is over: it goes.
    Remove,
    /// `keep_failed` kept it for a person.
    Kept,
    /// Nobody can prove whose it is: it stays.
    Unproven,
}

impl Fate {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::Kept => "kept",
            Self::Unproven => "unproven",
        }
    }
}

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// The share of a dead grant.
    Grant,
    /// A container.
    Container,
    /// A network.
    Network,
    /// The named volumes of a run.
    Volume,
}

impl Thing {
    /// In a word, as answers name it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grant => "share",
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// Something that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub thing: Thing,
    /// The engine's id, or the share's name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The run that it says it is of.
    pub run: Option<RunId>,
    /// Its grant, where that is proven.
    pub grant: Option<GrantId>,
    /// Its attempt, where that is proven.
    pub attempt: Option<AttemptId>,
    /// When it was made, where that is known.
    pub made: Option<Millis>,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether that was done.
    pub done: bool,
    /// Why.
    pub why: String,
}

impl Found {
    pub(super) const fn new(thing: Thing, id: String, name: String) -> Self {
        let (run, grant, attempt, made) = (None, None, None, None);
        Self { thing, id, name, run, grant, attempt, made, fate: Fate::Unproven, done: false, why: String::new() }
    }

    pub(super) fn with(self, fate: Fate, why: impl Into<String>) -> Self {
        Self { fate, why: why.into(), ..self }
    }

    /// What happened to it, in a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match (self.done, self.fate) {
            (true, _) => "removed",
            (false, Fate::Remove) => "to remove",
            (false, Fate::Kept) => "kept",
            (false, Fate::Unproven) => "not touched",
        }
    }
}

/// The runs of a home, as far as they were asked for.
pub(super) struct Known {
    home: Home,
    secrets: BTreeMap<RunId, Option<String>>,
}

impl Known {
    pub(super) fn of(home: &Home) -> Self {
        Self { home: home.clone(), secrets: BTreeMap::new() }
    }

    /// What becomes of a container; nothing where its grant lives.
    pub(super) fn container(&mut self, one: Listed) -> Result<Option<Found>, ProxyError> {
        let what = Found {
            run: run_of(&one.labels),
            made: Some(one.created),
            ..Found::new(Thing::Container, one.id, one.name)
        };
        let identity = match self.proof(&what.name, &one.labels)? {
            Ok(identity) => identity,
            Err(why) => return Ok(Some(what.with(Fate::Unproven, why))),
        };
        let Some(grant) = identity.grant else {
            return Ok(Some(what.with(Fate::Unproven, "it names no grant")));
        };
        if lives(&self.home, &identity.run, grant)? {
            return Ok(None);
        }
        let dir = RunDir::new(&identity.run).grant(grant);
        let what = Found { grant: Some(grant), attempt: identity.attempt, ..what };
        let kept = identity.attempt.map(|attempt| self.home.path(&dir.kept(attempt)));
        if kept.is_some_and(|mark| mark.exists()) {
            return Ok(Some(what.with(Fate::Kept, "`keep_failed` kept it for a look")));
        }
        Ok(Some(what.with(Fate::Remove, format!("its grant {grant} is over"))))
    }

    /// What becomes of a network; nothing while its run may need it.
    pub(super) fn network(&mut self, one: NetworkSeen) -> Result<Option<Found>, ProxyError> {
        let what = Found { run: run_of(&one.labels), ..Found::new(Thing::Network, one.id, one.name) };
        let run = match self.proof(&what.name, &one.labels)? {
            Ok(identity) => identity.run,
            Err(why) => return Ok(Some(what.with(Fate::Unproven, why))),
        };
        if driven(&self.home, &run)? {
            return Ok(None);
        }
        Ok(Some(what.with(Fate::Remove, "nobody drives its run")))
    }

    /// Who a thing is, proven; or why that can't be proven.
    fn proof(&mut self, name: &str, labels: &BTreeMap<String, String>) -> Result<Result<Identity, String>, ProxyError> {
        let Some(identity) = Identity::claimed(name, labels) else {
            return Ok(Err("its labels make no sense".to_owned()));
        };
        let Some(secret) = self.secret(&identity.run)? else {
            return Ok(Err("its run is not in this home".to_owned()));
        };
        let proven = identity.proven(&secret, labels);
        Ok(if proven { Ok(identity) } else { Err("its proof is wrong: somebody else made it".to_owned()) })
    }

    fn secret(&mut self, run: &RunId) -> Result<Option<String>, ProxyError> {
        if let Some(secret) = self.secrets.get(run) {
            return Ok(secret.clone());
        }
        let path = self.home.path(&RunDir::new(run).secret());
        let secret = match fs::read(&path) {
            // An empty one, of a disk that was full, would prove what anybody made.
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|text| !text.is_empty()),
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(file_error("read", path)(error)),
        };
        self.secrets.insert(run.clone(), secret.clone());
        Ok(secret)
    }
}

/// Whether a proxy holds the grant, or somebody sweeps it.
pub(super) fn lives(home: &Home, run: &RunId, grant: GrantId) -> Result<bool, ProxyError> {
    let owner = home.path(&RunDir::new(run).grant(grant).owner());
    let share = home.path(&Machine::share(run, grant));
    Ok(Lock::is_held(&owner)? || Lock::is_held(&share)?)
}

/// Whether a master or a proxy of the run lives on this machine.
pub(super) fn driven(home: &Home, run: &RunId) -> Result<bool, ProxyError> {
    let dir = RunDir::new(run);
    for name in names(home, &format!("{}/sub", dir.root()))? {
        if let Ok(subdag) = name.parse().map(SubDagId)
            && Lock::is_held(&home.path(&dir.sub(subdag).lock()))?
        {
            return Ok(true);
        }
    }
    for name in names(home, &dir.grants())? {
        if let Ok(grant) = name.parse::<GrantId>()
            && lives(home, run, grant)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Names in a directory of the home; none where it is not there.
pub(super) fn names(home: &Home, dir: &str) -> Result<Vec<String>, ProxyError> {
    let path = home.path(dir);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(file_error("list", path)(error)),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn run_of(labels: &BTreeMap<String, String>) -> Option<RunId> {
    labels.get(LABEL_RUN)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dybox_engine::Role;

    use super::*;

    const RUN: &str = "01jd0000000000000000000abc";

    fn listed(secret: &str, name: &str) -> Listed {
        let identity = Identity {
            role: Role::Task,
            run: RUN.parse().unwrap(),
            grant: Some(GrantId::compose(SubDagId(0), 1, 2)),
            attempt: Some("s0-3-1".parse().unwrap()),
            name: "task".to_owned(),
        };
        Listed { id: "1".to_owned(), name: name.to_owned(), labels: identity.labels(secret), ..Listed::default() }
    }

    fn home(dir: &Path, secret: &str) -> (Known, std::path::PathBuf) {
        let home = Home::new(dir);
        let run = RunDir::new(&RUN.parse().unwrap());
        let grant = run.grant(GrantId::compose(SubDagId(0), 1, 2));
        fs::create_dir_all(home.path(&grant.root())).unwrap();
        fs::write(home.path(&run.secret()), secret).unwrap();
        (Known::of(&home), home.path(&grant.owner()))
    }

    #[test]
    fn only_what_the_secret_proves_goes_and_only_where_nobody_holds_the_grant() {
        let dir = tempfile::tempdir().unwrap();
        let (mut known, owner) = home(dir.path(), "good\n");
        let fate = |known: &mut Known, one| known.container(one).unwrap().map(|found| found.fate);
        assert_eq!(fate(&mut known, listed("good", "task")), Some(Fate::Remove));
        assert_eq!(fate(&mut known, listed("good", "other")), Some(Fate::Unproven), "labels of another's name");
        assert_eq!(fate(&mut known, listed("bad", "task")), Some(Fate::Unproven));
        let lock = Lock::try_take(&owner).unwrap().unwrap();
        assert_eq!(fate(&mut known, listed("good", "task")), None, "its grant lives");
        assert_eq!(fate(&mut known, listed("bad", "task")), Some(Fate::Unproven), "and that is no proof");
        drop(lock);
        fs::write(owner.with_file_name("s0-3-1.kept"), "").unwrap();
        assert_eq!(fate(&mut known, listed("good", "task")), Some(Fate::Kept));
    }

    #[test]
    fn an_empty_secret_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut known, _) = home(dir.path(), "");
        let found = known.container(listed("", "task")).unwrap().unwrap();
        assert_eq!((found.fate, found.why.as_str()), (Fate::Unproven, "its run is not in this home"));
    }
}
