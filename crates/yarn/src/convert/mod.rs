//! Hadoop's protobuf types <-> our nouns. Enters: whatever a server sends. Never: a panic over it.

mod application;
mod cluster;
mod launch;
mod master;

use dybox_hrpc::Token;
use dybox_model::{Millis, Resources};

use crate::container::{Container, ContainerStatus, exit};
use crate::ids::{ApplicationId, AttemptId, ContainerId, NodeId};
use crate::proto::{common, yarn};

pub(crate) use application::{app_state_number, attempt_report, container_report, final_status_number, report};
pub(crate) use cluster::{metrics, node, queue, queue_rights};
pub(crate) use launch::{launch_context, submission};
pub(crate) use master::{answer, failure, heartbeat, welcome};

const MIB: u64 = 1 << 20;
const MILLI: u32 = 1000;

pub(crate) fn application_to(id: ApplicationId) -> yarn::ApplicationIdProto {
    yarn::ApplicationIdProto { id: Some(id.number), cluster_timestamp: Some(id.cluster) }
}

pub(crate) fn attempt_to(id: AttemptId) -> yarn::ApplicationAttemptIdProto {
    yarn::ApplicationAttemptIdProto {
        application_id: Some(application_to(id.application)),
        attempt_id: Some(id.number),
    }
}

pub(crate) fn container_to(id: ContainerId) -> yarn::ContainerIdProto {
    yarn::ContainerIdProto { app_attempt_id: Some(attempt_to(id.attempt)), id: Some(id.number) }
}

pub(crate) fn application_from(id: &yarn::ApplicationIdProto) -> ApplicationId {
    ApplicationId { cluster: id.cluster_timestamp(), number: id.id() }
}

pub(crate) fn attempt_from(id: &yarn::ApplicationAttemptIdProto) -> Option<AttemptId> {
    Some(AttemptId { application: application_from(id.application_id.as_ref()?), number: id.attempt_id() })
}

pub(crate) fn container_from(id: Option<&yarn::ContainerIdProto>) -> Option<ContainerId> {
    let id = id?;
    Some(ContainerId { attempt: attempt_from(id.app_attempt_id.as_ref()?)?, number: id.id() })
}

pub(crate) fn node_from(id: Option<&yarn::NodeIdProto>) -> Option<NodeId> {
    let id = id?;
    Some(NodeId { host: id.host().to_owned(), port: u16::try_from(id.port()).ok()? })
}

/// Memory in whole mebibytes and cpus in whole cores, both rounded up and never zero: YARN counts no finer.
pub(crate) fn size_to(size: Resources) -> yarn::ResourceProto {
    let cores = size.cpu_milli.div_ceil(MILLI).max(1);
    yarn::ResourceProto {
        memory: Some(i64::try_from(size.memory.div_ceil(MIB).max(1)).unwrap_or(i64::MAX)),
        virtual_cores: Some(i32::try_from(cores).unwrap_or(i32::MAX)),
    }
}

/// What [`size_to`] makes of a size, as a size again.
pub(crate) fn rounded(size: Resources) -> Resources {
    size_from(Some(&size_to(size)))
}

pub(crate) fn size_from(size: Option<&yarn::ResourceProto>) -> Resources {
    let Some(size) = size else { return Resources::default() };
    resources(size.memory(), size.virtual_cores().into())
}

/// Mebibytes and cores; what is negative counts as nothing.
pub(crate) fn resources(mib: i64, cores: i64) -> Resources {
    Resources {
        cpu_milli: u32::try_from(cores.max(0)).unwrap_or(u32::MAX).saturating_mul(MILLI),
        memory: u64::try_from(mib.max(0)).unwrap_or(0).saturating_mul(MIB),
    }
}

pub(crate) fn token_from(token: &common::TokenProto) -> Token {
    Token {
        alias: String::new(),
        identifier: token.identifier.clone(),
        password: token.password.clone(),
        kind: token.kind.clone(),
        service: token.service.clone(),
    }
}

pub(crate) fn token_to(token: &Token) -> common::TokenProto {
    common::TokenProto {
        identifier: token.identifier.clone(),
        password: token.password.clone(),
        kind: token.kind.clone(),
        service: token.service.clone(),
    }
}

pub(crate) fn container(from: &yarn::ContainerProto) -> Option<Container> {
    Some(Container {
        id: container_from(from.id.as_ref())?,
        node: node_from(from.node_id.as_ref())?,
        http: from.node_http_address().to_owned(),
        size: size_from(from.resource.as_ref()),
        request: from.allocation_request_id(),
        version: from.version(),
        token: token_from(from.container_token.as_ref()?),
    })
}

pub(crate) fn status(from: &yarn::ContainerStatusProto) -> Option<ContainerStatus> {
    const COMPLETE: i32 = 3;
    Some(ContainerStatus {
        id: container_from(from.container_id.as_ref())?,
        complete: from.state() == COMPLETE,
        exit: from.exit_status.unwrap_or(exit::INVALID),
        diagnostics: from.diagnostics().trim().to_owned(),
    })
}

/// A time that was set.
fn time(millis: Option<i64>) -> Option<Millis> {
    millis.and_then(|millis| u64::try_from(millis).ok()).filter(|millis| *millis > 0).map(Millis)
}

/// A text that says something.
fn text(given: Option<&String>) -> String {
    given.map(String::as_str).filter(|text| *text != "N/A").unwrap_or_default().trim().to_owned()
}

fn master(host: Option<&String>, port: Option<i32>) -> Option<(String, u16)> {
    let host = text(host);
    let port = u16::try_from(port?).ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_to_what_yarn_counts() {
        let size = Resources { cpu_milli: 1500, memory: 100 * MIB + 1 };
        assert_eq!(rounded(size), Resources { cpu_milli: 2000, memory: 101 * MIB });
        assert_eq!(rounded(Resources::default()), Resources { cpu_milli: 1000, memory: MIB });
    }

    #[test]
    fn nonsense_from_a_server_is_no_panic() {
        assert_eq!(resources(-5, i64::MAX), Resources { cpu_milli: u32::MAX, memory: 0 });
        assert_eq!(container(&yarn::ContainerProto::default()), None);
        assert_eq!(time(Some(-1)), None);
        assert_eq!(master(Some(&"N/A".to_owned()), Some(-1)), None);
    }
}
