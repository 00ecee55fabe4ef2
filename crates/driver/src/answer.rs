//! What a hook said, as a decision.

use dybox_model::Decision;
use serde_json::Value;

/// Most of a wrong answer that is shown.
const SHOWN: usize = 400;

/// What a hook said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// What it decided, but for stages that are new.
    pub decision: Decision,
    /// All that it said, where it wants stages added: they are planned against the run as it is when the hook has ended.
    pub adds: Option<String>,
}

/// Reads a hook's standard output. Nothing at all = go on as planned.
///
/// # Errors
/// A sentence that shows what is wrong, and the answer itself (its beginning, made safe to print).
pub fn answer(stdout: &[u8]) -> Result<Answer, String> {
    let shown = || show(stdout);
    let text = std::str::from_utf8(stdout).map_err(|_| format!("its answer is not UTF-8: {}", shown()))?;
    if text.trim().is_empty() {
        return Ok(Answer::default());
    }
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| format!("its answer is no JSON ({error}): {}; write notes to stderr, not stdout", shown()))?;
    let Value::Object(keys) = &mut value else {
        return Err(format!("its answer is no JSON object: {}", shown()));
    };
    let adds = match keys.remove("add") {
        None => None,
        Some(Value::Object(stages)) => (!stages.is_empty()).then(|| text.to_owned()),
        Some(_) => return Err(format!("its answer has \"add\", which is no mapping of stages: {}", shown())),
    };
    if let Some(Value::Object(params)) = keys.get_mut("params") {
        // The plan knows their types; until then they are kept as text.
        for (_, value) in params.iter_mut().filter(|(_, value)| !value.is_string() && !value.is_null()) {
            *value = Value::String(value.to_string());
        }
    }
    let decision = serde_json::from_value(value);
    let decision = decision.map_err(|error| format!("its answer is no decision ({error}): {}", shown()))?;
    Ok(Answer { decision, adds })
}

/// Reads what the task of a hook left as its result: all that it wrote, as the JSON text of a string.
///
/// # Errors
/// As [`answer`].
pub fn answer_of_task(result: Option<&str>) -> Result<Answer, String> {
    match result.map(serde_json::from_str::<String>) {
        None => Ok(Answer::default()),
        Some(Ok(said)) => answer(said.as_bytes()),
        Some(Err(error)) => Err(format!("its answer was not kept as it was said ({error})")),
    }
}

fn show(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    let safe: String = text.trim_end().escape_debug().collect();
    let more = if bytes.len() > SHOWN { "..." } else { "" };
    format!("\"{safe}\"{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(stdout: &[u8]) -> Result<Decision, String> {
        answer(stdout).map(|answer| answer.decision)
    }

    #[test]
    fn stages_that_are_new_are_left_to_be_planned() {
        let text = "{\"add\":{\"x\":{\"image\":\"a:1\"}},\"skip\":[\"b\"]}";
        let said = answer(text.as_bytes()).unwrap();
        assert_eq!((said.decision.skip, said.adds.as_deref()), (vec!["b".to_owned()], Some(text)));
        assert_eq!(answer(b"{\"add\":{}}").unwrap(), Answer::default());
        assert!(answer(b"{\"add\":[1]}").unwrap_err().contains("no mapping of stages"));
    }

    #[test]
    fn a_task_says_the_same() {
        let said = |text: &str| answer_of_task(Some(&Value::from(text).to_string()));
        assert_eq!(answer_of_task(None), Ok(Answer::default()));
        assert_eq!(said(" {\"skip\": [\"b\"]}\n").unwrap().decision.skip, ["b"]);
        assert_eq!(said("done!\n"), answer(b"done!\n"));
        // As it was written: problems in what it adds are shown with their lines.
        let text = "{\n \"add\": {\"x\": {}}}";
        assert_eq!(said(text).unwrap().adds.as_deref(), Some(text));
        assert!(answer_of_task(Some("{}")).is_err());
    }

    #[test]
    fn every_key_is_optional() {
        assert_eq!(decision(b" \n"), Ok(Decision::default()));
        assert_eq!(decision(b"{}"), Ok(Decision::default()));
        let said = decision(b"{\"skip\":[\"a\"],\"parallelism\":{\"b\":8},\"stop\":\"enough\"}").unwrap();
        assert_eq!(
            (said.skip, said.parallelism.get("b"), said.stop.as_deref()),
            (vec!["a".into()], Some(&8), Some("enough"))
        );
    }

    #[test]
    fn parameters_are_kept_as_text() {
        let said = decision(b"{\"params\":{\"n\":3,\"l\":[1],\"day\":\"monday\"}}").unwrap();
        let all: Vec<_> = said.params.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(all, [("day", "monday"), ("l", "[1]"), ("n", "3")]);
        assert!(decision(b"{\"params\":{\"n\":null}}").is_err());
    }

    #[test]
    fn anything_else_is_an_error_that_shows_it() {
        let wrong = |text: &str| decision(text.as_bytes()).unwrap_err();
        assert!(wrong("done!\n").ends_with("\"done!\"; write notes to stderr, not stdout"), "{}", wrong("done!\n"));
        assert_eq!(wrong("[1]"), "its answer is no JSON object: \"[1]\"");
        assert!(wrong("{\"skipp\":[]}").contains("unknown field `skipp`"));
        assert!(wrong("{\"parallelism\":{\"a\":-1}}").starts_with("its answer is no decision"));
        assert!(decision(b"\xff").unwrap_err().starts_with("its answer is not UTF-8"));
        assert!(wrong(&format!("\u{1b}[2J{}", "x".repeat(5000))).len() < 700);
        assert!(!wrong("\u{1b}[2J").contains('\u{1b}'), "escapes are not printed");
    }
}
