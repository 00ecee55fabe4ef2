//! The values of a run's secrets, and logins for registries: on their way, and on one machine in a file of the run.
//!
//! No `Debug` text here shows one.

use std::collections::BTreeMap;
use std::fmt;

use dybox_model::Login;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::StoreError;

/// Values by the names of their secrets. Bytes of any kind.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretValues(BTreeMap<String, Vec<u8>>);

impl SecretValues {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        self.0.insert(name.to_owned(), value);
    }

    /// Those of these names alone.
    #[must_use]
    pub fn only<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let own = |name: &str| self.0.get(name).map(|value| (name.to_owned(), value.clone()));
        Self(names.into_iter().filter_map(own).collect())
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.values().map(Vec::as_slice)
    }

    /// How many bytes all have.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|value| value.len() as u64).sum()
    }
}

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Serialize for SecretValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, hex::encode(value))))
    }
}

impl<'de> Deserialize<'de> for SecretValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let value = |(name, text): (String, String)| match hex::decode(text) {
            Ok(value) => Ok((name, value)),
            // The text of the error must not show what it stumbled over.
            Err(_) => Err(serde::de::Error::custom("a value is damaged")),
        };
        Ok(Self(texts.into_iter().map(value).collect::<Result<_, _>>()?))
    }
}

/// What of a run nobody else may see. It travels in credentials, and lies in no file but, on one machine, one that goes
/// with the run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Private {
    /// Values of secrets.
    #[serde(default, skip_serializing_if = "SecretValues::is_empty")]
    pub values: SecretValues,
    /// Logins by registry (empty = Docker Hub).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub logins: BTreeMap<String, Login>,
}

impl Private {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.logins.is_empty()
    }

    /// As a file has it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts by name are JSON")
    }

    /// Reads what [`Private::encode`] made.
    ///
    /// # Errors
    /// `Damaged`, without a word of what was in it.
    pub fn decode(bytes: &[u8], whence: &str) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|_| StoreError::damaged("understand the secrets", whence, "it is cut"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_byte_by_byte_and_are_never_shown() {
        let mut private = Private::default();
        private.values.set("key", vec![0, 255, b'h', b'u', b's', b'h']);
        let login = Login { username: Some("me".to_owned()), password: Some("hush".to_owned()), token: None };
        private.logins.insert("r.example".to_owned(), login);
        assert_eq!(Private::decode(&private.encode(), "x").unwrap(), private);
        let shown = format!("{private:?}");
        assert!(shown.contains("key") && !shown.contains("hush") && !shown.contains("255"), "{shown}");
        let error = Private::decode(b"{\"values\":{\"key\":\"hush\"}}", "x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"));
    }
}
