//! Proof that a container or network is ours: an HMAC under the run's secret. Labels alone prove nothing, because an
//! image can carry any label.

use std::collections::BTreeMap;

use dybox_model::{AttemptId, GrantId, RunId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Label: the run.
pub const LABEL_RUN: &str = "dybox.run";
/// Label: the grant.
const LABEL_GRANT: &str = "dybox.grant";
/// Label: the attempt.
const LABEL_ATTEMPT: &str = "dybox.attempt";
/// Label: `task`, `sandbox` or `network`.
const LABEL_KIND: &str = "dybox.kind";
/// Label: the proof, in hex.
const LABEL_PROOF: &str = "dybox.proof";

/// What a thing on the engine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs an attempt.
    Task,
    /// Holds the network namespace of a slot.
    Sandbox,
    /// A network of the run.
    Network,
}

impl Role {
    const ALL: [Self; 3] = [Self::Task, Self::Sandbox, Self::Network];

    const fn word(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Sandbox => "sandbox",
            Self::Network => "network",
        }
    }
}

/// Who a container or network says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What it is for.
    pub role: Role,
    /// Its run.
    pub run: RunId,
    /// Its grant; a network of the run has none.
    pub grant: Option<GrantId>,
    /// Its attempt; only tasks have one.
    pub attempt: Option<AttemptId>,
    /// Its name on the engine.
    pub name: String,
}

impl Identity {
    /// The labels that say it and prove it.
    #[must_use]
    pub fn labels(&self, secret: &str) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        labels.insert(LABEL_KIND.to_owned(), self.role.word().to_owned());
        labels.insert(LABEL_RUN.to_owned(), self.run.to_string());
        // Empty values, not missing ones: a label of the image by the same name must not shine through.
        labels.insert(LABEL_GRANT.to_owned(), text(self.grant));
        labels.insert(LABEL_ATTEMPT.to_owned(), text(self.attempt));
        labels.insert(LABEL_PROOF.to_owned(), hex::encode(self.mac(secret).finalize().into_bytes()));
        labels
    }

    /// What the labels of a thing named `name` claim; nothing where they make no sense. A claim, not a proof.
    #[must_use]
    pub fn claimed(name: &str, labels: &BTreeMap<String, String>) -> Option<Self> {
        let get = |key: &str| labels.get(key).map(String::as_str);
        let role = Role::ALL.into_iter().find(|role| Some(role.word()) == get(LABEL_KIND))?;
        Some(Self {
            role,
            run: get(LABEL_RUN)?.parse().ok()?,
            grant: parse(get(LABEL_GRANT))?,
            attempt: parse(get(LABEL_ATTEMPT))?,
            name: name.trim_start_matches('/').to_owned(),
        })
    }

    /// Whether the labels prove this identity under the run's secret. Takes the same time for every wrong proof.
    #[must_use]
    pub fn proven(&self, secret: &str, labels: &BTreeMap<String, String>) -> bool {
        let proof = labels.get(LABEL_PROOF).and_then(|proof| hex::decode(proof).ok());
        proof.is_some_and(|proof| self.mac(secret).verify_slice(&proof).is_ok())
    }

    fn mac(&self, secret: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
        let Self { role, run, name, .. } = self;
        let said = format!("{}\n{run}\n{}\n{}\n{name}", role.word(), text(self.grant), text(self.attempt));
        mac.update(said.as_bytes());
        mac
    }
}

fn text(id: Option<impl ToString>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// An id that may be empty; nothing where it is neither empty nor an id.
fn parse<T: std::str::FromStr>(text: Option<&str>) -> Option<Option<T>> {
    match text.unwrap_or_default() {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01jd0000000000000000000abc";

    fn identity() -> Identity {
        Identity {
            role: Role::Task,
            run: RUN.parse().unwrap(),
            grant: Some("g0-1-2".parse().unwrap()),
            attempt: Some("s0-3-1".parse().unwrap()),
            name: "dybox-00000abc-a-3-1".to_owned(),
        }
    }

    #[test]
    fn what_we_made_is_proven_ours() {
        let labels = identity().labels("secret");
        let claim = Identity::claimed("/dybox-00000abc-a-3-1", &labels).unwrap();
        assert_eq!(claim, identity());
        assert!(claim.proven("secret", &labels));
    }

    #[test]
    fn copied_labels_prove_nothing_under_another_name_run_or_secret() {
        let mut labels = identity().labels("secret");
        assert!(!identity().proven("other", &labels));
        let copy = Identity::claimed("somebody-elses", &labels).unwrap();
        assert!(!copy.proven("secret", &labels));
        labels.insert(LABEL_ATTEMPT.to_owned(), "s0-4-1".to_owned());
        let moved = Identity::claimed("dybox-00000abc-a-3-1", &labels).unwrap();
        assert!(!moved.proven("secret", &labels));
        labels.remove(LABEL_PROOF);
        assert!(!moved.proven("secret", &labels));
    }

    #[test]
    fn labels_that_make_no_sense_claim_nothing() {
        let mut labels = identity().labels("secret");
        labels.insert(LABEL_GRANT.to_owned(), "nonsense".to_owned());
        assert_eq!(Identity::claimed("x", &labels), None);
        assert_eq!(Identity::claimed("x", &BTreeMap::new()), None);
    }
}
