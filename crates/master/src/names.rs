//! Names of the stages that hooks add, where hooks of more than one sub-DAG may: no two stages of a run have one name.
//!
//! Enters: what a hook has answered. Leaves: the same, or why not. Masters that run at the same time know nothing of what
//! the others add, so a name is a file of the run's directory: who makes it first has it.

use dybox_driver::{Answer, HookEnd};
use dybox_job::{MOST_STAGES, Plan};
use dybox_model::HookId;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::next::Rest;

/// Names that are taken at a time.
const TOGETHER: usize = 32;
/// Longest name of a stage.
const LONGEST: usize = 63;

/// Where the answers of hooks are to go. In most runs one sub-DAG has hooks, and its master sees to the names alone.
pub(crate) fn first(rest: &Rest, told: mpsc::UnboundedSender<HookEnd>) -> mpsc::UnboundedSender<HookEnd> {
    if !is_shared(&rest.plan) {
        return told;
    }
    let rest = rest.clone();
    let (answers, mut ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(HookEnd { hook, answer }) = ends.recv().await {
            let answer = match answer {
                Ok(answer) => taken(&rest, hook, &answer).await.map(|()| answer),
                failed => failed,
            };
            // The master may have ended meanwhile.
            let _ = told.send(HookEnd { hook, answer });
        }
    });
    answers
}

fn is_shared(plan: &Plan) -> bool {
    plan.subdags.iter().filter(|subdag| !subdag.hooks.is_empty()).count() > 1
}

/// Takes the names of all that a hook adds. What it took in an earlier try, or before its master died, is its own.
async fn taken(rest: &Rest, hook: HookId, answer: &Answer) -> Result<(), String> {
    for names in added(answer).chunks(TOGETHER) {
        let mut all = JoinSet::new();
        for name in names {
            let (rest, name) = (rest.clone(), name.clone());
            all.spawn(async move { take(&rest, hook, &name).await });
        }
        // Of several that are taken the first in the alphabet is named, whoever answers first.
        let refused = all.join_all().await.into_iter().filter_map(Result::err).min();
        refused.map_or(Ok(()), Err)?;
    }
    Ok(())
}

async fn take(rest: &Rest, hook: HookId, name: &str) -> Result<(), String> {
    let file = rest.dir.added(name);
    let failed =
        |error: dybox_store::StoreError| format!("the name of stage \"{name}\" could not be taken: {}", error.text());
    if rest.store.put_new(&file, hook.0.to_string()).await.map_err(failed)? {
        return Ok(());
    }
    let text = rest.store.get(&file).await.map_err(failed)?;
    let owner = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()).map(HookId);
    if owner == Some(hook) {
        return Ok(());
    }
    let other = owner.and_then(|owner| rest.plan.hooks.get(owner.0 as usize));
    let other = other.map_or_else(|| "another hook".to_owned(), |hook| format!("hook \"{}\"", hook.label()));
    Err(format!(
        "its decision adds stage \"{name}\", which {other} in another sub-DAG has added; \
         give it another name, or let one hook add both"
    ))
}

/// The names under `add` that can be names: planning refuses the others.
fn added(answer: &Answer) -> Vec<String> {
    let can_be = |name: &&String| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=LONGEST).contains(&name.len()) && name.chars().all(plain)
    };
    let said = answer.adds.as_deref().and_then(|said| serde_json::from_str::<Value>(said).ok());
    let stages = said.as_ref().and_then(|said| said["add"].as_object());
    stages.into_iter().flat_map(|stages| stages.keys()).filter(can_be).take(MOST_STAGES).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_no_file() {
        let adds = r#"{"add": {"../x": {}, "a/b": {}, "": {}, "A": {}, "a-1": {}, "b": {}}, "skip": ["c"]}"#;
        let answer = Answer { adds: Some(adds.to_owned()), ..Answer::default() };
        assert_eq!(added(&answer), ["a-1", "b"]);
        assert_eq!(added(&Answer::default()), Vec::<String>::new());
    }
}
