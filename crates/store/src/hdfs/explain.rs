//! What HDFS said -> what kind of trouble it is.

use std::io;

use hdfs_native::HdfsError;

use crate::StoreError;
use crate::error::Kind;

/// The error of an operation at `place`.
pub(super) fn explain(operation: &'static str, place: String, error: HdfsError) -> StoreError {
    let (kind, why) = kind_of(&error);
    StoreError::of(kind, operation, place, why)
}

fn kind_of(error: &HdfsError) -> (Kind, String) {
    match error {
        HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _)
            if class.ends_with("RpcNoSuchProtocolException") =>
        {
            (Kind::Unreachable, "what answers there is no NameNode, but another daemon of Hadoop".to_owned())
        }
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            (of_class(class, message), first_line(message))
        }
        HdfsError::FileNotFound(_) => (Kind::Missing, "it does not exist".to_owned()),
        HdfsError::AlreadyExists(message) => (held_or_there(message), first_line(message)),
        HdfsError::IOError(error) => (Kind::Unreachable, io_text(error)),
        HdfsError::DataTransferError(message) => (Kind::Unreachable, format!("DataNode: {}", first_line(message))),
        HdfsError::BlocksNotFound(_) => (Kind::Unreachable, "no DataNode with its blocks answers".to_owned()),
        HdfsError::ChecksumError => (Kind::Damaged, "a checksum does not match".to_owned()),
        HdfsError::SASLError(message) => (Kind::Denied, format!("login: {}", first_line(message))),
        HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => (Kind::Denied, format!("login: {error}")),
        HdfsError::InvalidRPCResponse(_) => {
            (Kind::Unreachable, "what answers there is no NameNode: its answer makes no sense".to_owned())
        }
        HdfsError::InvalidArgument(message) if message.contains("No NameNode hosts") => {
            (Kind::Unreachable, "no setting names its NameNodes, and the address has no port".to_owned())
        }
        other => (Kind::Other, first_line(&other.to_string())),
    }
}

fn of_class(class: &str, message: &str) -> Kind {
    match class.rsplit(['.', '$']).next().unwrap_or(class) {
        "SafeModeException" => Kind::SafeMode,
        "RetriableException" if message.contains("SafeModeException") || message.contains("safe mode") => {
            Kind::SafeMode
        }
        "RetriableException" | "StandbyException" | "ObserverRetryOnActiveException" => Kind::Unreachable,
        "NotReplicatedYetException" | "BlockMissingException" | "ServerTooBusyException" => Kind::Unreachable,
        "FileNotFoundException" | "PathNotFoundException" => Kind::Missing,
        "AccessControlException" | "AuthorizationException" | "InvalidToken" | "SaslException" => Kind::Denied,
        "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaExceededException" => Kind::Full,
        "LeaseExpiredException" => Kind::Fenced,
        "RecoveryInProgressException" | "AlreadyBeingCreatedException" => Kind::Held,
        _ if message.contains("could only be written to 0 of the") => no_target(message),
        _ => Kind::Other,
    }
}

/// A block found no DataNode: none is there, those there failed us, or all are full.
fn no_target(message: &str) -> Kind {
    let none = message.contains("There are 0 datanode(s) running");
    let excluded = !message.contains("no node(s) are excluded");
    if none || excluded { Kind::Unreachable } else { Kind::Full }
}

/// hdfs-native makes one error of "a file is there" and "somebody writes it".
fn held_or_there(message: &str) -> Kind {
    let writes = ["lease", "being created", "under construction", "being recovered", "leaseholder"];
    if writes.iter().any(|word| message.contains(word)) { Kind::Held } else { Kind::Other }
}

fn io_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => "the connection was cut".to_owned(),
        _ => first_line(&error.to_string()),
    }
}

/// What was said, without the server's stack trace.
fn first_line(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    line.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(class: &str, message: &str) -> Kind {
        kind_of(&HdfsError::RPCError(class.to_owned(), message.to_owned())).0
    }

    #[test]
    fn what_hdfs_says_is_sorted_by_what_to_do() {
        let hdfs = "org.apache.hadoop.hdfs.";
        assert_eq!(kind(&format!("{hdfs}server.namenode.SafeModeException"), "x"), Kind::SafeMode);
        assert_eq!(
            kind(
                "org.apache.hadoop.ipc.RetriableException",
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException: x"
            ),
            Kind::SafeMode
        );
        assert_eq!(kind("org.apache.hadoop.ipc.StandbyException", "x"), Kind::Unreachable);
        assert_eq!(kind("org.apache.hadoop.security.AccessControlException", "x"), Kind::Denied);
        assert_eq!(kind(&format!("{hdfs}protocol.DSQuotaExceededException"), "x"), Kind::Full);
        assert_eq!(kind(&format!("{hdfs}server.namenode.LeaseExpiredException"), "x"), Kind::Fenced);
        assert_eq!(kind("org.apache.hadoop.security.token.SecretManager$InvalidToken", "x"), Kind::Denied);
        let target = |rest: &str| format!("File /a could only be written to 0 of the 1 minReplication nodes. {rest}");
        let none = target("There are 0 datanode(s) running and no node(s) are excluded in this operation.");
        let full = target("There are 3 datanode(s) running and no node(s) are excluded in this operation.");
        let away = target("There are 1 datanode(s) running and 1 node(s) are excluded in this operation.");
        assert_eq!(kind("java.io.IOException", &none), Kind::Unreachable);
        assert_eq!(kind("java.io.IOException", &full), Kind::Full);
        assert_eq!(kind("java.io.IOException", &away), Kind::Unreachable);
    }

    #[test]
    fn a_held_file_is_not_one_that_is_there() {
        let held = "Failed to APPEND_FILE /j for DFSClient_1 on 127.0.0.1 because lease is currently owned by x";
        assert_eq!(kind_of(&HdfsError::AlreadyExists(held.into())).0, Kind::Held);
        assert_eq!(kind_of(&HdfsError::AlreadyExists("/j for client 127.0.0.1 already exists".into())).0, Kind::Other);
    }

    #[test]
    fn the_servers_stack_is_left_out() {
        let error = HdfsError::RPCError("a.AccessControlException".into(), "no\n\tat a.b(C.java:1)\n".into());
        let error = explain("write", "hdfs://nn/x".to_owned(), error);
        assert_eq!(error.text(), "can't write hdfs://nn/x: no");
        assert!(error.advice().contains("HDFS"));
    }
}
