//! Errors of the crates below as failures of a command.

use dybox_client::ClientError;
use dybox_engine::EngineError;
use dybox_hrpc::RpcError;
use dybox_model::{ExitCode, RunId};
use dybox_store::{Kind as StoreKind, StoreError};
use dybox_yarn::{Kind, YarnError};

use super::codes::ErrorInfo;
use super::failure::chain;
use super::{Failure, codes};

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let advice = error.advice();
        match error {
            ClientError::Store(error) => error.into(),
            ClientError::Yarn(error) => error.into(),
            ClientError::NotFound { query } => {
                Self::coded(codes::NO_RUN, format!("there is no run {query:?}")).next(advice)
            }
            ClientError::Ambiguous { query, runs } => {
                let what = format!("{query:?} fits {} runs", runs.len());
                let ids: Vec<_> = runs.iter().take(10).map(RunId::as_str).collect();
                Self::coded(codes::MANY_RUNS, what).why(format!("they are {}", ids.join(", ")))
            }
            ClientError::Damaged { .. } => Self::coded(codes::RUN_DAMAGED, error.to_string()).next(advice),
            ClientError::Unheard { .. } => Self::coded(codes::UNHEARD, error.to_string()).next(advice).because(error),
            error => Self::new(error.exit(), error.to_string()).next(advice).because(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let next = sentence(error.advice());
        let far = error.place().starts_with("hdfs://");
        let info = match error.kind() {
            StoreKind::SafeMode => codes::SAFE_MODE,
            StoreKind::Denied if far => codes::HDFS_DENIED,
            StoreKind::Damaged => codes::STORE_READ,
            _ if far => codes::HDFS,
            _ => codes::STORE_READ,
        };
        let mut failure = Self::coded(info, error.to_string()).next(next);
        // Who is meant stands in the configuration; a missing right or a damaged file is no matter of the address.
        if far && (info.code == codes::HDFS.code || info.code == codes::SAFE_MODE.code) {
            let server = error.place().trim_start_matches("hdfs://").split('/').next().unwrap_or_default();
            failure = failure.place(server);
        }
        failure.because(error)
    }
}

impl From<YarnError> for Failure {
    fn from(error: YarnError) -> Self {
        let info = yarn_code(&error);
        let what = match info.code {
            // Which call it was that nobody answered is of little interest.
            code if code == codes::RM.code || code == codes::NOT_HADOOP.code || code == codes::HADOOP_CONF.code => {
                info.phrase.to_owned()
            }
            _ => error.to_string(),
        };
        let advice = sentence(error.advice());
        let next = match info.code {
            // Our own word for these says more than the general one.
            code if code == codes::NO_QUEUE.code || code == codes::QUEUE_DENIED.code => info.next.to_owned(),
            _ => advice,
        };
        let at = match &error {
            YarnError::Rpc { source, .. } => place_of(source),
            _ => None,
        };
        let mut failure = Self::coded(info, what).next(next);
        match &error {
            YarnError::Rpc { source, .. } => failure = failure.why(chain(source.as_ref())),
            YarnError::Conf { what, .. } => failure = failure.why(what.as_str()),
            _ => {}
        }
        if let Some(at) = at {
            failure = failure.place(at);
        }
        failure.because(error)
    }
}

/// Which of our errors it is.
fn yarn_code(error: &YarnError) -> &'static ErrorInfo {
    if let YarnError::Rpc { source, .. } = error
        && (matches!(source.as_ref(), RpcError::NotHadoop { .. } | RpcError::Garbled { .. })
            || source.is("RpcNoSuchProtocolException"))
    {
        return codes::NOT_HADOOP;
    }
    if matches!(error, YarnError::Conf { .. }) {
        return codes::HADOOP_CONF;
    }
    let said = error.to_string().to_ascii_lowercase();
    let says = |part: &str| said.contains(part);
    match error.kind() {
        Kind::Unreachable | Kind::NotReady => codes::RM,
        Kind::Invalid if says("tag") || says("name") => codes::BAD_NAME,
        Kind::Invalid => codes::TOO_LARGE,
        _ if says("label") => codes::NO_LABEL,
        _ if error.class() == Some("InvalidResourceRequestException") => codes::TOO_LARGE,
        _ if says("unknown queue") || says("is not a leaf queue") || says("stopped") && says("queue") => {
            codes::NO_QUEUE
        }
        Kind::Denied | Kind::Refused
            if says("queue") && (says("cannot submit") || says("not permi") || says("access")) =>
        {
            codes::QUEUE_DENIED
        }
        _ if says("tag") && says("length") => codes::BAD_NAME,
        Kind::Denied => codes::DENIED,
        Kind::Refused => codes::REJECTED,
        Kind::Gone => codes::CLUSTER,
    }
}

/// Which server an RPC error is about.
fn place_of(error: &RpcError) -> Option<String> {
    match error {
        RpcError::Remote { at, .. }
        | RpcError::Refused { at, .. }
        | RpcError::Unreachable { at, .. }
        | RpcError::NotHadoop { at, .. }
        | RpcError::Late { at, .. }
        | RpcError::Denied { at, .. }
        | RpcError::Mechanism { at, .. }
        | RpcError::Broken { at, .. }
        | RpcError::Garbled { at, .. } => Some(at.clone()),
        RpcError::TooLarge { .. } | RpcError::Local { .. } => None,
    }
}

/// An advice as our own lines are written: without a capital letter and a full stop.
fn sentence(advice: &str) -> String {
    let advice = advice.trim_end_matches('.');
    let mut letters = advice.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(letters).collect(),
        _ => advice.to_owned(),
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let advice = error.advice().trim_end_matches('.');
        let next = match advice.contains("dybox doctor") {
            true => advice.to_owned(),
            false => format!("{advice}; `dybox doctor` checks the rest"),
        };
        Self::coded(codes::ENGINE, "the Docker engine can't be used").why(error.to_string()).next(next)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(ExitCode::Internal, "an answer can't be written as JSON").source(error)
    }
}
