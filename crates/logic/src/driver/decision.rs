//! Which decisions of a hook are sound.

use dybox_model::{Decision, StageEnd};

use super::grow;
use super::state::{Book, State};

/// Most tasks of a stage.
const MOST_TASKS: u32 = 100_000;

/// Whether everything that a hook decided can be done now.
///
/// # Errors
/// What can't, as a sentence for the hook's author.
pub(super) fn check(book: &Book, decision: &Decision) -> Result<(), String> {
    grow::check(book, decision)?;
    for name in &decision.skip {
        changeable(book, "skip", name)?;
    }
    for (name, &tasks) in &decision.parallelism {
        let stage = changeable(book, "parallelism", name)?;
        if book.fanned[stage as usize] {
            return Err(format!(
                "its decision sets the parallelism of stage \"{name}\", which has one task for each item; change its list"
            ));
        }
        if tasks == 0 || tasks > MOST_TASKS {
            return Err(format!(
                "its decision sets the parallelism of stage \"{name}\" to {tasks}; write a number from 1 to {MOST_TASKS}"
            ));
        }
    }
    book.begins.check(decision)
}

fn changeable(book: &Book, key: &str, name: &str) -> Result<u32, String> {
    let Some(stage) = book.names.find(name) else {
        return Err(format!("its decision names stage \"{name}\" under \"{key}\", which the job does not have"));
    };
    if book.hook_of.contains_key(&stage) {
        return Err(format!("its decision names stage \"{name}\" under \"{key}\", which is a hook; hooks always run"));
    }
    let node = &book.nodes[stage as usize];
    if !node.ours {
        return Err(format!(
            "its decision names stage \"{name}\" under \"{key}\", which is in another sub-DAG; decide in a hook there"
        ));
    }
    let ran = matches!(node.state, State::Running | State::Ended(StageEnd::Succeeded)) || node.started;
    if ran {
        return Err(format!(
            "its decision names stage \"{name}\" under \"{key}\", which has started already; let the hook hold it"
        ));
    }
    Ok(stage)
}
