//! `placement.apart_from`: which stages are kept apart, and that one master sees all of them.

use std::collections::BTreeMap;

use dybox_model::SubDagId;

use crate::build::unknown_stage;
use crate::draft::Job;
use crate::report::Report;

/// The stages that each stage is kept apart from.
pub(crate) fn resolve(report: &mut Report, job: &Job, names: &BTreeMap<&str, u32>) -> Vec<Vec<u32>> {
    let mut all = Vec::with_capacity(job.stages.len());
    for (own, stage) in job.stages.iter().enumerate() {
        let mut apart = Vec::new();
        for name in stage.body.placement.apart_from.iter().flatten() {
            let own_name = &stage.name.value;
            match names.get(name.value.as_str()) {
                None => {
                    let message =
                        format!("stage {own_name:?} is kept apart from {:?}, which does not exist", name.value);
                    unknown_stage(report, "E0323", name, &message, names);
                }
                Some(&id) if id as usize == own => {
                    let message = format!("stage {own_name:?} is kept apart from itself");
                    let help = "write spread: host to keep its own tasks apart";
                    report.error("E0323", name.span, message).help(help);
                }
                Some(id) if apart.contains(id) => {
                    let message = format!("stage {own_name:?} is kept apart from {:?} twice", name.value);
                    report.error("E0315", name.span, message).help("keep one of them");
                }
                Some(&id) => apart.push(id),
            }
        }
        all.push(apart);
    }
    all
}

/// Stages that are in one sub-DAG because one of them is kept apart from the others.
pub(crate) fn together(apart: &[Vec<u32>]) -> impl Iterator<Item = Vec<u32>> + '_ {
    let named = (0u32..).zip(apart).filter(|(_, apart)| !apart.is_empty());
    named.map(|(own, apart)| [own].into_iter().chain(apart.iter().copied()).collect())
}

/// Reports stages that are kept apart and can't be: each master knows its own sub-DAG alone.
pub(crate) fn report_crossing(report: &mut Report, job: &Job, apart: &[Vec<u32>], of: &[SubDagId]) {
    for (own, apart) in apart.iter().enumerate() {
        let Some(&other) = apart.iter().find(|&&other| of[other as usize] != of[own]) else { continue };
        let (stage, other) = (&job.stages[own], &job.stages[other as usize].name.value);
        let named = stage.body.placement.apart_from.iter().flatten().find(|name| name.value == *other);
        let span = named.map_or(stage.name.span, |name| name.span);
        let message =
            format!("stage {:?} can't be kept apart from {other:?}: it is in another sub-DAG", stage.name.value);
        report
            .error("E0324", span, message)
            .note("the master of a sub-DAG places the tasks of that one alone")
            .help("give these stages the same subdag, queue and node_label");
    }
}
