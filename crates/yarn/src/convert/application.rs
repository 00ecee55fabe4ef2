//! Reports of applications, attempts and containers.

use super::{application_from, attempt_from, container_from, master, node_from, size_from, text, time};
use crate::application::{AppState, AppUsage, AttemptReport, ContainerReport, FinalStatus, LogGathering, Report};
use crate::proto::yarn;

const STATES: [AppState; 8] = [
    AppState::New,
    AppState::NewSaving,
    AppState::Submitted,
    AppState::Accepted,
    AppState::Running,
    AppState::Finished,
    AppState::Failed,
    AppState::Killed,
];

const ATTEMPT_STATES: [&str; 11] = [
    "NEW",
    "SUBMITTED",
    "SCHEDULED",
    "ALLOCATED_SAVING",
    "ALLOCATED",
    "LAUNCHED",
    "FAILED",
    "RUNNING",
    "FINISHING",
    "FINISHED",
    "KILLED",
];

/// The entry for a number that counts from 1.
pub(super) fn entry<T: Copy>(table: &[T], number: i32) -> Option<T> {
    let place = usize::try_from(number).ok()?.checked_sub(1)?;
    table.get(place).copied()
}

fn app_state(number: i32) -> AppState {
    entry(&STATES, number).unwrap_or(AppState::Other(number))
}

pub(crate) fn app_state_number(state: AppState) -> i32 {
    match state {
        AppState::Other(number) => number,
        known => STATES.iter().zip(1..).find(|(state, _)| **state == known).map_or(0, |(_, number)| number),
    }
}

const fn final_status(number: i32) -> FinalStatus {
    match number {
        // ENDED: every part of it said for itself how it ended; the master still said goodbye.
        1 | 4 => FinalStatus::Succeeded,
        2 => FinalStatus::Failed,
        3 => FinalStatus::Killed,
        _ => FinalStatus::Undefined,
    }
}

pub(crate) const fn final_status_number(status: FinalStatus) -> i32 {
    match status {
        FinalStatus::Undefined => 0,
        FinalStatus::Succeeded => 1,
        FinalStatus::Failed => 2,
        FinalStatus::Killed => 3,
    }
}

const fn log_gathering(number: i32) -> LogGathering {
    match number {
        2 => LogGathering::NotStarted,
        3 => LogGathering::Running { failures: false },
        4 => LogGathering::Succeeded,
        5 => LogGathering::Failed,
        6 => LogGathering::TimedOut,
        7 => LogGathering::Running { failures: true },
        _ => LogGathering::Disabled,
    }
}

fn count<N: TryInto<u64>>(number: Option<N>) -> u64 {
    number.and_then(|number| number.try_into().ok()).unwrap_or(0)
}

fn usage(from: Option<&yarn::ApplicationResourceUsageProto>) -> AppUsage {
    let Some(from) = from else { return AppUsage::default() };
    AppUsage {
        containers: u32::try_from(count(from.used_containers)).unwrap_or(u32::MAX),
        used: size_from(from.used.as_ref()),
        needed: size_from(from.needed.as_ref()),
        memory_mib_seconds: count(from.memory_seconds),
        core_seconds: count(from.vcore_seconds),
    }
}

pub(crate) fn report(from: &yarn::ApplicationReportProto) -> Option<Report> {
    Some(Report {
        id: application_from(from.application_id.as_ref()?),
        user: text(from.user.as_ref()),
        queue: text(from.queue.as_ref()),
        name: text(from.name.as_ref()),
        kind: text(from.application_type.as_ref()),
        tags: from.application_tags.clone(),
        state: app_state(from.state()),
        final_status: final_status(from.final_status()),
        master: master(from.host.as_ref(), from.rpc_port),
        tracking_url: text(from.tracking_url.as_ref()),
        original_url: text(from.original_tracking_url.as_ref()),
        diagnostics: text(from.diagnostics.as_ref()),
        attempt: from.current_attempt.as_ref().and_then(attempt_from),
        progress: from.progress(),
        usage: usage(from.usage.as_ref()),
        submitted: time(from.submit_time).or_else(|| time(from.start_time)),
        launched: time(from.launch_time),
        finished: time(from.finish_time),
        priority: from.priority.as_ref().map(yarn::PriorityProto::priority),
        logs: log_gathering(from.log_aggregation_status()),
    })
}

pub(crate) fn attempt_report(from: &yarn::ApplicationAttemptReportProto) -> Option<AttemptReport> {
    Some(AttemptReport {
        id: attempt_from(from.attempt_id.as_ref()?)?,
        state: entry(&ATTEMPT_STATES, from.state()).unwrap_or("UNKNOWN"),
        master: master(from.host.as_ref(), from.rpc_port),
        container: container_from(from.am_container_id.as_ref()),
        tracking_url: text(from.tracking_url.as_ref()),
        diagnostics: text(from.diagnostics.as_ref()),
        started: time(from.start_time),
        finished: time(from.finish_time),
    })
}

pub(crate) fn container_report(from: &yarn::ContainerReportProto) -> Option<ContainerReport> {
    const COMPLETE: i32 = 3;
    let complete = from.state() == COMPLETE;
    Some(ContainerReport {
        id: container_from(from.container_id.as_ref())?,
        node: node_from(from.node_id.as_ref()),
        size: size_from(from.resource.as_ref()),
        complete,
        exit: from.exit_status.filter(|_| complete),
        diagnostics: text(from.diagnostics.as_ref()),
        log_url: text(from.log_url.as_ref()),
        started: time(from.creation_time),
        finished: time(from.finish_time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_their_numbers() {
        for number in 1..=8 {
            assert_eq!(app_state_number(app_state(number)), number);
        }
        assert_eq!(app_state(99), AppState::Other(99));
        assert_eq!(app_state_number(AppState::Other(99)), 99);
        assert_eq!(entry(&ATTEMPT_STATES, 8), Some("RUNNING"));
    }
}
