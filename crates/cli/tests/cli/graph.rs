//! Pictures of job files and of runs.

use crate::home::{FAILED, Home};

const JOB: &str = "name: pic\ndefaults: { image: \"busybox:1\" }\nstages:\n  a: {}\n  b: { needs: [a], parallelism: 3 }\n  c: { needs: { a: succeeded, b: finished } }\n";

#[test]
fn a_job_file_is_drawn_in_every_kind() {
    let home = Home::empty();
    let path = home.dir.path().join("job.yaml");
    std::fs::write(&path, JOB).unwrap();
    let path = path.to_str().unwrap();
    let text = home.out(0, &["graph", path]);
    assert!(text.contains("b ×3  ← a") && text.contains("c  ← a, b (finished)"), "{text}");
    assert!(home.out(0, &["graph", path, "--format", "dot"]).starts_with("digraph \"pic\" {"));
    assert!(home.out(0, &["graph", path, "--format", "mermaid"]).contains("flowchart TD"));
    let svg = home.out(0, &["graph", path, "--format", "svg"]);
    assert!(svg.starts_with("<svg ") && svg.contains("3 tasks") && svg.ends_with("</svg>\n"), "{svg}");
    assert_eq!(home.out(0, &["graph", path, "-o", "name"]), "a\nb\nc\n");
    std::fs::write(path, JOB.replace("[a]", "[x]")).unwrap();
    assert!(home.err(3, &["graph", path]).contains("error[E0312]"));
}

#[test]
fn a_run_is_drawn_with_the_states_of_its_stages() {
    let home = Home::with_runs();
    let text = home.out(0, &["graph", FAILED]);
    assert!(text.contains("extract ×2  failed") && text.contains("join  skipped  ← extract"), "{text}");
    let painted = home.out(0, &["graph", FAILED, "--color", "always"]);
    assert!(painted.contains("\u{1b}[1;31mfailed"), "{painted}");
    assert!(home.out(0, &["graph", FAILED, "--format", "svg"]).contains("2 tasks, failed"));
    assert_eq!(home.json(&["graph", FAILED, "-o", "json"])["stages"][0]["state"], "failed");
    assert!(home.err(7, &["graph", "nowhere"]).contains("E2101"));
    assert!(home.err(2, &["graph", "@latest/join"]).contains("a picture shows a whole run"));
    assert!(home.err(3, &["graph", "nowhere.yaml"]).contains("E0101"));
}
