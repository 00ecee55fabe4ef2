//! What can go wrong between us and YARN, classified by what the caller must do.

use dybox_hrpc::RpcError;
use thiserror::Error;

/// What kind of failure it is: what a caller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// No answer: the server is down, cut off or slow. Trying again later may work.
    Unreachable,
    /// The server does not let this user or this token in.
    Denied,
    /// The server understood and said no; the same again will be refused again.
    Refused,
    /// We did not even send it: it breaks a rule that is known before.
    Invalid,
    /// What it is about is not there (any more).
    Gone,
    /// Not ready yet: the same again, a little later, may work.
    NotReady,
}

/// A failed operation on YARN.
#[derive(Clone, Debug, Error)]
pub enum YarnError {
    /// The call did not get an answer that counts.
    #[error("could not {operation}")]
    Rpc {
        /// What was to be done.
        operation: String,
        /// Why not.
        source: Box<RpcError>,
    },
    /// YARN said no. Its words are the sentence that matters, without class and stack.
    #[error("could not {operation}: {sentence}")]
    Refused {
        /// What was to be done.
        operation: String,
        /// The Java exception's full class name, or `FAILED`/`KILLED` for an application that was rejected.
        class: String,
        /// Why not, in YARN's words.
        sentence: String,
    },
    /// It is not sent because it breaks a rule.
    #[error("could not {operation}: {what}")]
    Invalid {
        /// What was to be done.
        operation: String,
        /// Which rule.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The configuration names no ResourceManager, or has a value that makes no sense.
    #[error("{what}")]
    Conf {
        /// What is wrong, with the place where it is written.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// YARN accepted the order, but what follows it did not come in time.
    #[error("could not {operation}: {what}")]
    Late {
        /// What was to be done.
        operation: String,
        /// What did not come.
        what: String,
    },
}

/// Exceptions that mean: there is no such thing.
const GONE: &[&str] =
    &["ApplicationNotFoundException", "ApplicationAttemptNotFoundException", "ContainerNotFoundException"];
/// Exceptions that mean: no rights.
const DENIED: &[&str] = &["AccessControlException", "AuthorizationException", "InvalidToken", "SaslException"];
/// Exceptions that mean: later.
const NOT_READY: &[&str] = &["NMNotYetReadyException", "RetriableException", "StandbyException"];

pub(crate) fn simple_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

/// The sentence of a Java message that a user needs: its first line, without exception classes before it.
pub(crate) fn sentence(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    let mut rest = line;
    // Nested causes come as `java.io.IOException: org.apache...YarnException: the sentence`.
    while let Some((class, after)) = rest.split_once(": ") {
        let is_class = class.contains('.') && class.chars().all(|c| c.is_alphanumeric() || "._$".contains(c));
        if !is_class || after.trim().is_empty() {
            break;
        }
        rest = after.trim();
    }
    rest.to_owned()
}

impl YarnError {
    /// What an RPC failure means for `operation`.
    pub(crate) fn rpc(operation: impl Into<String>, error: RpcError) -> Self {
        let operation = operation.into();
        match error {
            // Not YARN's word but that of another service, which listens where YARN should.
            other if other.is("RpcNoSuchProtocolException") => Self::Rpc { operation, source: Box::new(other) },
            RpcError::Remote { class, message, .. } => Self::Refused { operation, sentence: sentence(&message), class },
            other => Self::Rpc { operation, source: Box::new(other) },
        }
    }

    pub(crate) fn invalid(operation: &str, what: impl Into<String>, advice: &'static str) -> Self {
        Self::Invalid { operation: operation.to_owned(), what: what.into(), advice }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Rpc { source, .. } => match source.as_ref() {
                RpcError::Denied { .. } | RpcError::Mechanism { .. } => Kind::Denied,
                RpcError::TooLarge { .. } | RpcError::Local { .. } => Kind::Invalid,
                _ => Kind::Unreachable,
            },
            Self::Refused { class, .. } => {
                let name = simple_name(class);
                let among = |names: &[&str]| names.contains(&name);
                match () {
                    () if among(GONE) => Kind::Gone,
                    () if among(DENIED) => Kind::Denied,
                    () if among(NOT_READY) => Kind::NotReady,
                    () => Kind::Refused,
                }
            }
            Self::Invalid { .. } | Self::Conf { .. } => Kind::Invalid,
            Self::Late { .. } => Kind::Unreachable,
        }
    }

    /// The Java exception's simple name, where YARN gave one.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Rpc { source, .. } => source.class().map(simple_name),
            Self::Refused { class, .. } => Some(simple_name(class)),
            Self::Invalid { .. } | Self::Conf { .. } | Self::Late { .. } => None,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Rpc { source, .. } => source.advice(),
            Self::Invalid { advice, .. } | Self::Conf { advice, .. } => advice,
            Self::Late { .. } => "look at the ResourceManager's page and log, or try again",
            Self::Refused { class, sentence, .. } => refused_advice(simple_name(class), sentence),
        }
    }
}

fn refused_advice(class: &str, sentence: &str) -> &'static str {
    let says = |part: &str| sentence.to_ascii_lowercase().contains(part);
    match class {
        "InvalidResourceRequestException" => "ask for less: `dybox plan` shows the cluster's largest container",
        "InvalidLabelResourceRequestException" => "take a node label that the cluster has and the queue may use",
        "ApplicationNotFoundException" => "the ResourceManager forgets old applications: look into the run's directory",
        "AccessControlException" | "AuthorizationException" => "ask for the right, or use a queue that you may use",
        _ if says("queue") => "take a queue that exists and that you may submit to (`queue:` in the job file)",
        _ if says("renew") || says("token") => "get new tokens: the ResourceManager could not use those given",
        _ if says("changed on src filesystem") => "submit again: the binary in HDFS was replaced meanwhile",
        _ => "YARN's own words say why; its page of the application and its log say more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_that_matters_is_kept() {
        assert_eq!(
            sentence(
                "org.apache.hadoop.security.AccessControlException: Queue etl is not yours\n\tat java.x.Y(Z.java:1)"
            ),
            "Queue etl is not yours"
        );
        assert_eq!(sentence("\n  a: b\nc"), "a: b");
        assert_eq!(sentence(""), "no reason given");
        assert_eq!(sentence("java.io.IOException: "), "java.io.IOException:");
    }

    #[test]
    fn refusals_are_classified_by_their_class() {
        let refused = |class: &str| YarnError::Refused {
            operation: "read the report".into(),
            class: class.into(),
            sentence: "so".into(),
        };
        let kind = |class| refused(class).kind();
        assert_eq!(kind("org.apache.hadoop.yarn.exceptions.ApplicationNotFoundException"), Kind::Gone);
        assert_eq!(kind("org.apache.hadoop.security.AccessControlException"), Kind::Denied);
        assert_eq!(kind("org.apache.hadoop.yarn.exceptions.NMNotYetReadyException"), Kind::NotReady);
        assert_eq!(kind("org.apache.hadoop.yarn.exceptions.YarnException"), Kind::Refused);
        assert_eq!(refused("x.SecretManager$InvalidToken").class(), Some("InvalidToken"));
    }
}
