//! Ids as YARN writes them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One application: `application_1732147200000_0042`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId {
    /// When the ResourceManager was first started, milliseconds since 1970.
    pub cluster: i64,
    /// Counts from 1.
    pub number: i32,
}

/// One try of an application's master: `appattempt_1732147200000_0042_000001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// Its application.
    pub application: ApplicationId,
    /// Counts from 1.
    pub number: i32,
}

/// One YARN container (a grant): `container_e02_1732147200000_0042_01_000003`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The attempt that it was given to.
    pub attempt: AttemptId,
    /// The ResourceManager's restarts in the bits above 40, a counter below.
    pub number: i64,
}

/// A NodeManager: its host as the ResourceManager knows it, and its RPC port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Its name or address.
    pub host: String,
    /// Its RPC port; another one after a restart, unless configured.
    pub port: u16,
}

/// A text that is no such id.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text:?} is no {what} (such as {example})")]
pub struct BadId {
    /// What was expected.
    pub what: &'static str,
    /// How one looks.
    pub example: &'static str,
    /// What was there.
    pub text: String,
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application_{}_{:04}", self.cluster, self.number)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId { cluster, number } = self.application;
        write!(f, "appattempt_{cluster}_{number:04}_{:06}", self.number)
    }
}

const COUNTER_BITS: u32 = 40;

impl ContainerId {
    /// Its place among its attempt's containers, from 1, without the epoch that a restarted ResourceManager puts before it.
    #[must_use]
    pub const fn counter(&self) -> i64 {
        self.number & ((1 << COUNTER_BITS) - 1)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId { cluster, number } = self.attempt.application;
        let (epoch, counter) = (self.number >> COUNTER_BITS, self.counter());
        f.write_str("container_")?;
        if epoch > 0 {
            write!(f, "e{epoch:02}_")?;
        }
        write!(f, "{cluster}_{number:04}_{:02}_{counter:06}", self.attempt.number)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The next part between underscores as a number that is not negative.
fn number<T: TryFrom<i64>>(part: Option<&str>) -> Option<T> {
    let part = part.filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
    T::try_from(part.parse::<i64>().ok()?).ok()
}

impl FromStr for ApplicationId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let read = || {
            let mut parts = text.strip_prefix("application_")?.split('_');
            let id = Self { cluster: number(parts.next())?, number: number(parts.next())? };
            parts.next().is_none().then_some(id)
        };
        read().ok_or_else(|| BadId {
            what: "application id",
            example: "application_1732147200000_0001",
            text: text.to_owned(),
        })
    }
}

impl FromStr for AttemptId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let read = || {
            let mut parts = text.strip_prefix("appattempt_")?.split('_');
            let application = ApplicationId { cluster: number(parts.next())?, number: number(parts.next())? };
            let id = Self { application, number: number(parts.next())? };
            parts.next().is_none().then_some(id)
        };
        read().ok_or_else(|| BadId {
            what: "attempt id",
            example: "appattempt_1732147200000_0001_000001",
            text: text.to_owned(),
        })
    }
}

impl FromStr for ContainerId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let read = || {
            let rest = text.strip_prefix("container_")?;
            let (epoch, rest) = match rest.strip_prefix('e') {
                Some(rest) => rest.split_once('_')?,
                None => ("0", rest),
            };
            let mut parts = rest.split('_');
            let application = ApplicationId { cluster: number(parts.next())?, number: number(parts.next())? };
            let attempt = AttemptId { application, number: number(parts.next())? };
            let counter: i64 = number(parts.next())?;
            let epoch: i64 = number::<i32>(Some(epoch))?.into();
            let fits = counter < 1 << COUNTER_BITS && epoch < 1 << (63 - COUNTER_BITS) && parts.next().is_none();
            fits.then_some(Self { attempt, number: epoch << COUNTER_BITS | counter })
        };
        read().ok_or_else(|| BadId {
            what: "container id",
            example: "container_e01_1732147200000_0001_01_000001",
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for text in ["application_1732147200000_0042", "application_1732147200000_12345"] {
            assert_eq!(text.parse::<ApplicationId>().unwrap().to_string(), text);
        }
        let text = "appattempt_1732147200000_0042_000002";
        assert_eq!(text.parse::<AttemptId>().unwrap().to_string(), text);
        for text in ["container_1732147200000_0042_01_000003", "container_e17_1732147200000_0042_01_1000003"] {
            assert_eq!(text.parse::<ContainerId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_container_id_keeps_the_epoch_of_the_resource_manager() {
        let id: ContainerId = "container_e02_1_0001_01_000003".parse().unwrap();
        assert_eq!(id.number, (2 << 40) + 3);
    }

    #[test]
    fn what_is_no_id_is_said_so() {
        for text in
            ["", "application_1", "application_-1_1", "application_1_2_3", "job_1_2", "application_1_99999999999"]
        {
            assert!(text.parse::<ApplicationId>().is_err(), "{text}");
        }
        for text in ["container_1_2_3", "container_e_1_2_3_4", "container_e99999999_1_2_3_4", "container_1_2_3_-4"] {
            assert!(text.parse::<ContainerId>().is_err(), "{text}");
        }
        let error = "x".parse::<ApplicationId>().unwrap_err().to_string();
        assert_eq!(error, "\"x\" is no application id (such as application_1732147200000_0001)");
    }
}
