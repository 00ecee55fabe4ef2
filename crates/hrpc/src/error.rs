//! What can go wrong with a call, classified by what the caller can do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// A failed call. Every variant names the server that it is about.
#[derive(Clone, Debug, Error)]
pub enum RpcError {
    /// The server ran the call and answered with a Java exception. Not a fault of the connection.
    #[error("{at} answered {method} with {}: {message}", simple_name(class))]
    Remote {
        /// The server, `host:port`.
        at: String,
        /// The called method.
        method: String,
        /// The exception's full Java class name.
        class: String,
        /// Its message, without the stack trace.
        message: String,
        /// Its stack trace; may be empty.
        stack: String,
    },
    /// Nobody listens there.
    #[error("nobody listens on {at}")]
    Refused {
        /// The server, `host:port`.
        at: String,
        /// The system's word for it.
        source: Arc<io::Error>,
    },
    /// The host is not known, there is no way to it, or it did not answer the connection in time.
    #[error("{at} can't be reached")]
    Unreachable {
        /// The server, `host:port`.
        at: String,
        /// The system's word for it.
        source: Arc<io::Error>,
    },
    /// What listens there does not speak Hadoop RPC.
    #[error("{at} does not speak Hadoop RPC: {what}")]
    NotHadoop {
        /// The server, `host:port`.
        at: String,
        /// What it said instead.
        what: String,
    },
    /// No answer in time. The server may have run the call.
    #[error("{at} did not answer {method} within {:.1} s", waited.as_secs_f32())]
    Late {
        /// The server, `host:port`.
        at: String,
        /// The called method.
        method: String,
        /// How long the call waited.
        waited: Duration,
    },
    /// The server does not let us in: a bad or expired token, a user without rights, a demanded mechanism.
    #[error("{at} does not let us in: {}: {message}", simple_name(class))]
    Denied {
        /// The server, `host:port`.
        at: String,
        /// The exception's full Java class name; ours (without a dot) when we refused.
        class: String,
        /// Why.
        message: String,
    },
    /// The server wants a way to prove who we are that DYbox lacks.
    #[error("{at} {}", demand(offered, *token))]
    Mechanism {
        /// The server, `host:port`.
        at: String,
        /// What it offered, as `METHOD/MECHANISM`.
        offered: Vec<String>,
        /// Whether we hold a token.
        token: bool,
    },
    /// The connection was lost before the answer came.
    #[error("the connection to {at} was lost during {method}")]
    Broken {
        /// The server, `host:port`.
        at: String,
        /// The called method.
        method: String,
        /// Whether the server may have got the request.
        sent: bool,
        /// The system's word for it.
        source: Arc<io::Error>,
    },
    /// The server's bytes can't be understood.
    #[error("an answer of {at} can't be understood: {what}")]
    Garbled {
        /// The server, `host:port`.
        at: String,
        /// What is wrong with it.
        what: String,
    },
    /// The request is larger than servers take.
    #[error("{method} would send {bytes} bytes, and servers take {most}")]
    TooLarge {
        /// The called method.
        method: String,
        /// The request's size.
        bytes: usize,
        /// The bound, `ipc.maximum.data.length`.
        most: usize,
    },
    /// This process itself can't make the call: no address, no random numbers.
    #[error("{what}")]
    Local {
        /// What is missing.
        what: String,
    },
}

fn simple_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

fn demand(offered: &[String], token: bool) -> String {
    let wanted = offered.join(" or ");
    let takes_tokens = offered.iter().any(|one| one == "TOKEN" || one == "TOKEN/DIGEST-MD5");
    if token {
        format!("takes no token of ours but asks for {wanted}, which this version of dybox can't do")
    } else if takes_tokens {
        format!("asks for {wanted} to log in, and there is no token for it")
    } else {
        format!("asks for {wanted} to log in, which this version of dybox can't do")
    }
}

impl RpcError {
    /// The Java exception's full class name, where there was one.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Remote { class, .. } | Self::Denied { class, .. } => Some(class),
            _ => None,
        }
    }

    /// Whether the server's exception is `name`, given as the simple or the full class name.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.class().is_some_and(|class| class == name || simple_name(class) == name)
    }

    /// What whoever called can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Remote { .. } if self.is("RpcNoSuchProtocolException") => {
                "the port belongs to another Hadoop service: check the address in the configuration"
            }
            Self::Remote { .. } if self.is("StandbyException") => {
                "no active server was found: check the failover of the cluster, or try again later"
            }
            Self::Remote { .. } => "the server understood the call and refused it: its message says why",
            Self::Refused { .. } => "check that the daemon runs and that the configured port is its RPC port",
            Self::Unreachable { .. } => "check the host's name in the configuration, the network and firewalls",
            Self::NotHadoop { .. } => {
                "the configuration names a wrong port: take the daemon's RPC port (ResourceManager: 8032 by default), \
                 not the one of its web page"
            }
            Self::Late { .. } => "the server is busy, paused or cut off: look at its log, or try again later",
            Self::Denied { class, .. } if simple_name(class) == "InvalidToken" => {
                "the token is unknown to the server or has expired: get a new one"
            }
            Self::Denied { .. } => "check hadoop.security.authentication, the user and the server's access lists",
            Self::Mechanism { .. } => {
                "use a token file (HADOOP_TOKEN_FILE_LOCATION) with a token for this service, or a cluster with simple \
                 authentication"
            }
            Self::Broken { .. } => "the server went away: look at its log, or try again",
            Self::Garbled { .. } => "the server speaks another version, or something between changes bytes: tell us",
            Self::TooLarge { .. } => "make the request smaller, or raise ipc.maximum.data.length on the server",
            Self::Local { .. } => "check the configuration of this machine",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RpcError;

    #[test]
    fn classes_are_known_by_their_simple_names() {
        let error = RpcError::Denied {
            at: "rm:1".to_owned(),
            class: "org.apache.hadoop.security.token.SecretManager$InvalidToken".to_owned(),
            message: "gone".to_owned(),
        };
        assert!(error.is("InvalidToken") && error.advice().contains("expired"));
        assert_eq!(error.to_string(), "rm:1 does not let us in: InvalidToken: gone");
    }

    #[test]
    fn a_demand_says_whether_a_token_would_help() {
        let said = |offered: &[&str], token| {
            let offered = offered.iter().map(|one| (*one).to_owned()).collect();
            RpcError::Mechanism { at: "rm:1".to_owned(), offered, token }.to_string()
        };
        assert_eq!(
            said(&["TOKEN", "KERBEROS"], false),
            "rm:1 asks for TOKEN or KERBEROS to log in, and there is no token for it"
        );
        assert!(
            said(&["KERBEROS/GSSAPI"], false)
                .ends_with("asks for KERBEROS/GSSAPI to log in, which this version of dybox can't do")
        );
        assert!(
            said(&["TOKEN/SCRAM-SHA-256"], true).contains("takes no token of ours but asks for TOKEN/SCRAM-SHA-256")
        );
    }
}
