//! What a person points at: a run, a stage of it, a task of that.

use std::str::FromStr;

use crate::report::{Failure, codes};

/// `RUN[/STAGE[/N]]`, not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Id, beginning or end of an id, name of a job, or `@latest`.
    pub run: String,
    /// Name of a stage.
    pub stage: Option<String>,
    /// Index of a task, from 0.
    pub task: Option<u32>,
}

impl Target {
    /// Adds the stage that was given as a word of its own (`logs RUN STAGE[/N]`).
    pub(crate) fn with(mut self, stage: Option<&str>) -> Result<Self, Failure> {
        let Some(text) = stage else { return Ok(self) };
        if self.stage.is_some() {
            return Err(bad(text, "the stage is named twice"));
        }
        let (stage, task) = stage_task(text).map_err(|why| bad(text, &why))?;
        self.stage = Some(stage);
        self.task = task;
        Ok(self)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (run, rest) = match text.split_once('/') {
            Some((run, rest)) => (run, Some(rest)),
            None => (text, None),
        };
        if run.is_empty() {
            return Err("the run is missing: write RUN, RUN/STAGE or RUN/STAGE/N".to_owned());
        }
        let (stage, task) = match rest {
            Some(rest) => stage_task(rest).map(|(stage, task)| (Some(stage), task))?,
            None => (None, None),
        };
        Ok(Self { run: run.to_owned(), stage, task })
    }
}

/// `STAGE[/N]`
fn stage_task(text: &str) -> Result<(String, Option<u32>), String> {
    let (stage, task) = match text.split_once('/') {
        Some((stage, task)) => (stage, Some(task)),
        None => (text, None),
    };
    if stage.is_empty() {
        return Err("the stage's name is empty: write RUN/STAGE or RUN/STAGE/N".to_owned());
    }
    let task = task.map(|task| task.parse().map_err(|_| format!("{task:?} is no number of a task; they count from 0")));
    Ok((stage.to_owned(), task.transpose()?))
}

fn bad(text: &str, why: &str) -> Failure {
    Failure::coded(codes::BAD_TARGET, format!("{text:?} is no target")).why(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_name_a_run_a_stage_a_task() {
        let target =
            |run: &str, stage: Option<&str>, task| Target { run: run.into(), stage: stage.map(Into::into), task };
        assert_eq!("@latest".parse(), Ok(target("@latest", None, None)));
        assert_eq!("01j/join".parse(), Ok(target("01j", Some("join"), None)));
        assert_eq!("01j/join/3".parse(), Ok(target("01j", Some("join"), Some(3))));
        for wrong in ["", "/a", "a/", "a/b/c", "a/b/1/2", "a/b/-1"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stage_may_be_a_word_of_its_own() {
        let run: Target = "01j".parse().unwrap();
        assert_eq!(run.clone().with(Some("join/2")).unwrap(), "01j/join/2".parse().unwrap());
        let twice: Target = "01j/a".parse().unwrap();
        assert_eq!(twice.with(Some("b")).unwrap_err().exit, dybox_model::ExitCode::Usage);
    }
}
