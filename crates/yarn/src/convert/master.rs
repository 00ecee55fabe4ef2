//! The ApplicationMaster's calls and their answers.

use dybox_hrpc::{RpcError, Token};
use dybox_model::{HIGHEST_PRIORITY, Node};

use super::{container, container_from, container_to, node, node_from, size_from, size_to, status, token_from};
use crate::am::machine::{Answer, AskLine, Failure, Heartbeat, Resize, Welcome};
use crate::error::{sentence, simple_name};
use crate::ids::NodeId;
use crate::proto::yarn;

/// YARN's number of the highest priority: there less comes first, and the master's own container has 0. Requests of one
/// priority differ by their id.
const FIRST: i32 = 1;

fn ask(line: &AskLine) -> yarn::ResourceRequestProto {
    yarn::ResourceRequestProto {
        priority: Some(yarn::PriorityProto { priority: Some(FIRST + HIGHEST_PRIORITY - line.priority) }),
        resource_name: Some(line.place.clone()),
        capability: Some(size_to(line.size)),
        num_containers: Some(i32::try_from(line.count).unwrap_or(i32::MAX)),
        relax_locality: Some(line.relax),
        allocation_request_id: Some(line.request),
    }
}

fn resize(from: &Resize) -> yarn::UpdateContainerRequestProto {
    const INCREASE: i32 = 0;
    const DECREASE: i32 = 1;
    yarn::UpdateContainerRequestProto {
        container_version: from.version,
        container_id: container_to(from.id),
        update_type: if from.grows { INCREASE } else { DECREASE },
        capability: Some(size_to(from.size)),
    }
}

pub(crate) fn heartbeat(from: &Heartbeat) -> yarn::AllocateRequestProto {
    let blacklist =
        yarn::ResourceBlacklistRequestProto { additions: from.avoid.clone(), removals: from.avoid_no_more.clone() };
    let any = !blacklist.additions.is_empty() || !blacklist.removals.is_empty();
    yarn::AllocateRequestProto {
        ask: from.asks.iter().map(ask).collect(),
        release: from.release.iter().map(|id| container_to(*id)).collect(),
        blacklist: any.then_some(blacklist),
        response_id: Some(from.response_id),
        progress: Some(from.progress),
        updates: from.resizes.iter().map(resize).collect(),
        tracking_url: from.tracking.clone(),
    }
}

fn node_token(from: &yarn::NmTokenProto) -> Option<(NodeId, Token)> {
    Some((node_from(from.node_id.as_ref())?, token_from(from.token.as_ref()?)))
}

pub(crate) fn welcome(from: &yarn::RegisterApplicationMasterResponseProto) -> Welcome {
    const CPU: i32 = 1;
    Welcome {
        max: from.maximum_capability.as_ref().map(|size| size_from(Some(size))),
        queue: from.queue().to_owned(),
        previous: from.previous_containers.iter().filter_map(container).collect(),
        tokens: from.previous_nm_tokens.iter().filter_map(node_token).collect(),
        counts_cpus: from.scheduler_resource_types.is_empty() || from.scheduler_resource_types.contains(&CPU),
    }
}

fn changed_node(from: &yarn::NodeReportProto) -> Option<(NodeId, Node)> {
    node(from).map(|report| (report.id, report.node))
}

fn preempted(from: Option<&yarn::PreemptionMessageProto>) -> Vec<crate::ContainerId> {
    let Some(from) = from else { return Vec::new() };
    let strict = from.strict.iter().flat_map(|contract| &contract.container);
    let all = strict.chain(from.contract.iter().flat_map(|contract| &contract.container));
    all.filter_map(|container| container_from(container.id.as_ref())).collect()
}

pub(crate) fn answer(from: &yarn::AllocateResponseProto) -> Answer {
    const RESYNC: i32 = 1;
    const SHUTDOWN: i32 = 2;
    let not_resized = |error: &yarn::UpdateContainerErrorProto| {
        let id = container_from(error.request.as_ref().map(|request| &request.container_id))?;
        Some((id, sentence(error.reason()), error.current_version()))
    };
    Answer {
        response_id: from.response_id(),
        resync: from.command == Some(RESYNC),
        shutdown: from.command == Some(SHUTDOWN),
        granted: from.allocated.iter().filter_map(container).collect(),
        completed: from.completed.iter().filter_map(status).collect(),
        headroom: size_from(from.limit.as_ref()),
        nodes: u32::try_from(from.cluster_nodes()).unwrap_or(0),
        changed_nodes: from.updated_nodes.iter().filter_map(changed_node).collect(),
        preempts: preempted(from.preempt.as_ref()),
        tokens: from.nm_tokens.iter().filter_map(node_token).collect(),
        own_token: from.am_rm_token.as_ref().map(token_from),
        resized: from.updated_containers.iter().filter_map(|updated| container(&updated.container)).collect(),
        not_resized: from.update_errors.iter().filter_map(not_resized).collect(),
        previous: from.previous_containers.iter().filter_map(container).collect(),
    }
}

/// An error with all its causes, in one line.
fn whole(error: &RpcError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What the machine must know of a failed call.
pub(crate) fn failure(error: &RpcError) -> Failure {
    match error {
        RpcError::Remote { class, message, .. } => remote(simple_name(class), message),
        RpcError::Denied { .. } | RpcError::Mechanism { .. } | RpcError::TooLarge { .. } => Failure::Over(whole(error)),
        _ => Failure::Away(whole(error)),
    }
}

fn remote(class: &str, message: &str) -> Failure {
    let words = sentence(message);
    match class {
        "ApplicationMasterNotRegisteredException" => Failure::NotRegistered,
        "ApplicationAttemptNotFoundException" | "ApplicationNotFoundException" | "InvalidToken" => Failure::Over(words),
        "InvalidApplicationMasterRequestException" if message.contains("already registered") => {
            Failure::AlreadyRegistered
        }
        "InvalidResourceRequestException" | "InvalidLabelResourceRequestException" => Failure::BadAsk(words),
        "InvalidApplicationMasterRequestException"
        | "InvalidResourceBlacklistRequestException"
        | "InvalidContainerReleaseException" => Failure::BadCall(words),
        // Standby, retriable, or broken in itself: none of it is about us.
        _ => Failure::Away(format!("{class}: {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        assert_eq!(remote("ApplicationMasterNotRegisteredException", "x"), Failure::NotRegistered);
        let already = "Application Master is already registered : application_1_0001";
        assert_eq!(remote("InvalidApplicationMasterRequestException", already), Failure::AlreadyRegistered);
        let large = remote("InvalidResourceRequestException", "Invalid resource request! x\n\tat y");
        assert_eq!(large, Failure::BadAsk("Invalid resource request! x".to_owned()));
        assert!(matches!(remote("NullPointerException", ""), Failure::Away(_)));
    }

    #[test]
    fn a_heartbeat_without_news_says_nothing_but_its_number() {
        let made = heartbeat(&Heartbeat { response_id: 7, ..Heartbeat::default() });
        assert_eq!(
            made,
            yarn::AllocateRequestProto { response_id: Some(7), progress: Some(0.0), ..Default::default() }
        );
    }

    #[test]
    fn an_ask_carries_its_request_and_its_place() {
        let line = AskLine {
            request: 9,
            place: "h".into(),
            count: 2,
            size: dybox_model::Resources { cpu_milli: 1, memory: 1 },
            relax: false,
            priority: 0,
        };
        let made = ask(&line);
        let number = |line: &AskLine| ask(line).priority.map(|priority| priority.priority());
        let first = AskLine { priority: HIGHEST_PRIORITY, ..line.clone() };
        assert!(Some(0) < number(&first) && number(&first) < number(&line), "less comes first in YARN");
        assert_eq!((made.allocation_request_id(), made.num_containers(), made.relax_locality()), (9, 2, false));
        assert_eq!(made.capability.map(|size| (size.memory(), size.virtual_cores())), Some((1, 1)));
    }
}
