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
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            "the connection was cut".to_owned()
        }
        _ => first_line(&error.to_string()),
    }
}

/// What was said, without the server's stack trace.
fn first_line(message: &str) -> String {
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    line.chars().take(400).collect()
}
