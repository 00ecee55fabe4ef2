//! Reading commands over runs that were written by hand.

use crate::home::{FAILED, Home, LOST, attempt};
use dybox_store::archive::Stream;

#[test]
fn ps_lists_the_newest_first_with_their_states() {
    let home = Home::with_runs();
    let answer = home.json(&["ps", "-o", "json"]);
    assert_eq!(answer["version"], 1);
    let runs = answer["runs"].as_array().unwrap();
    assert_eq!((runs[0]["run"].as_str(), runs[1]["run"].as_str()), (Some(LOST), Some(FAILED)));
    assert_eq!((&runs[0]["state"], &runs[0]["resumable"]), (&"lost".into(), &true.into()));
    assert_eq!((&runs[1]["state"], &runs[1]["seconds"]), (&"failed".into(), &3.6.into()));
    assert_eq!(runs[1]["submitted"], "2025-11-21T08:00:00.000Z");
    assert_eq!(runs[1]["stages"]["ended"], 2);
    assert_eq!(home.out(0, &["ps", "-q", "--limit", "1"]), format!("{LOST}\n"));
    assert_eq!(home.out(0, &["ps", "-q", "--state", "failed"]), format!("{FAILED}\n"));
    assert!(home.out(0, &["ps"]).contains("lost (resume)"));
    assert_eq!(home.out(0, &["ps", "-o", "jsonl"]).lines().count(), 2);
}

#[test]
fn an_empty_home_is_an_empty_list() {
    let home = Home::empty();
    assert_eq!(home.json(&["ps", "-o", "json"])["runs"], serde_json::json!([]));
    let said = home.err(7, &["status"]);
    assert!(said.contains("error[E2101]") && said.contains("dybox run JOB.yaml"), "{said}");
}

#[test]
fn runs_are_found_by_id_beginning_end_name_and_latest() {
    let home = Home::with_runs();
    let run = |query: &str| home.json(&["status", query, "-o", "json"])["run"]["run"].clone();
    assert_eq!(run("@latest"), LOST);
    assert_eq!(run("nightly"), LOST);
    assert_eq!(run(FAILED), FAILED);
    assert_eq!(run("000faiad"), FAILED);
    let said = home.err(7, &["status", "01jd"]);
    assert!(said.contains("error[E2102]") && said.contains(FAILED) && said.contains(LOST), "{said}");
    let said = home.err(7, &["status", "nigtly"]);
    assert!(said.contains("did you mean \"nightly\"?"), "{said}");
    let said = home.err(7, &["status", "nightly/jion"]);
    assert!(said.contains("error[E2103]") && said.contains("did you mean \"join\"?"), "{said}");
    let said = home.err(7, &["status", "nightly/extract/2"]);
    assert!(said.contains("its tasks are extract/0 to extract/1"), "{said}");
    home.err(2, &["status", "nightly/extract/x"]);
}

#[test]
fn status_shows_the_tree_with_causes() {
    let home = Home::with_runs();
    let text = home.out(0, &["status", FAILED]);
    assert!(text.starts_with(&format!("nightly {FAILED}  failed in 3.6s\n")), "{text}");
    assert!(text.contains("├─ extract") && text.contains("└─ join"), "{text}");
    assert!(text.contains("C1001 exit code 3"), "{text}");
    let answer = home.json(&["status", &format!("{FAILED}/extract"), "-o", "json"]);
    let stage = &answer["stages"][0];
    assert_eq!(
        (&stage["state"], &stage["cause"], &stage["tasks"]["failed"]),
        (&"failed".into(), &"C1001".into(), &1.into())
    );
    assert_eq!(stage["list"][1]["code"], 3);
    let answer = home.json(&["status", &format!("{FAILED}/extract/1"), "-o", "json"]);
    assert_eq!(answer["attempts"][0]["code"], 3);
    assert_eq!(answer["attempts"][0]["seconds"], 1.0);
}

#[test]
fn why_tells_cause_owner_last_lines_and_next_step() {
    let home = Home::with_runs();
    home.write_log(&[(attempt(0, 1, 1), Stream::Stderr, b"one\ntwo\x1b[31m!\n")]);
    let answer = home.json(&["why", FAILED, "-o", "json"]);
    let reasons = answer["reasons"].as_array().unwrap();
    assert_eq!(reasons[0]["state"], "failed");
    let extract = reasons.iter().find(|reason| reason["subject"] == "extract").unwrap();
    assert_eq!((&extract["cause"], &extract["owner"]), (&"C1001".into(), &"user".into()));
    assert_eq!(extract["stderr"], serde_json::json!(["one", "two!"]));
    let text = home.out(0, &["why", FAILED]);
    assert!(text.contains("| two!") && text.contains("next:"), "{text}");
    let text = home.out(0, &["why", LOST]);
    assert!(text.contains(&format!("dybox resume {LOST}")), "{text}");
    let text = home.out(0, &["why", &format!("{FAILED}/join")]);
    assert!(text.contains("it needs extract, which is failed"), "{text}");
}

#[test]
fn a_damaged_journal_is_said_and_the_rest_is_shown() {
    let home = Home::with_runs();
    let path = home.dir.path().join(format!("runs/{FAILED}/sub/0/journal"));
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(home.err(0, &["status", FAILED]).contains("damaged at byte"));
}

#[test]
fn explain_knows_codes_names_exits_and_keys() {
    let home = Home::empty();
    let text = home.out(0, &["explain", "oom"]);
    assert!(text.starts_with("C1003 oom (cause): it used more memory than it asked for\n"), "{text}");
    assert!(home.out(0, &["explain", "9"]).contains("lost to the platform"));
    assert!(home.out(0, &["explain", "E2101"]).contains("no such run"));
    assert!(home.out(0, &["explain", "retry.max"]).contains("further tries"));
    assert!(home.out(0, &["explain", "stages.join.retry.max"]).contains("further tries"));
    assert!(home.err(7, &["explain", "retri.max"]).contains("did you mean \"retry.max\"?"));
    assert_eq!(home.json(&["explain", "C1003", "-o", "json"])["topics"][0]["alias"], "oom");
}
