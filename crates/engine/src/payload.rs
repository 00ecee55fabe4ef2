//! What init runs: the payload's words, and the spec file that tells init.

use dybox_model::{Cause, Exec, Millis, TaskSpec};

use crate::image::ImageInfo;
use crate::options::{SCRIPT_INSIDE, cleared};

/// How long a container lives without a sign of its proxy.
pub const LEASE_TTL: Millis = Millis::from_secs(15);
/// How often the proxy writes the lease's counter.
pub const LEASE_BEAT: Millis = Millis::from_secs(2);
/// Most time between TERM and KILL when the lease is over.
const LEASE_GRACE: Millis = Millis::from_secs(4);

/// The words that the payload starts with, as `docker run` composes them: an entrypoint of the job's own clears the
/// image's command.
///
/// # Errors
/// [`Cause::NoCommand`] where neither the stage nor the image names one.
pub fn argv(spec: &TaskSpec, image: &ImageInfo) -> Result<Vec<String>, Cause> {
    if let Some(script) = &spec.script {
        let own = script.starts_with("#!");
        let script = SCRIPT_INSIDE.to_owned();
        return Ok(if own { vec![script] } else { vec!["/bin/sh".to_owned(), script] });
    }
    let mut words = spec.entrypoint.clone().unwrap_or_else(|| image.entrypoint.clone());
    match (&spec.command, &spec.entrypoint) {
        (Some(command), _) => words.extend(command.iter().cloned()),
        (None, None) => words.extend(image.command.iter().cloned()),
        (None, Some(_)) => {}
    }
    if words.is_empty() { Err(Cause::NoCommand) } else { Ok(words) }
}

/// The text of `in/spec` for this attempt.
#[must_use]
pub fn init_spec(spec: &TaskSpec, image: &ImageInfo, argv: &[String], lease_ttl: Millis) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        text.push_str(key);
        text.push(' ');
        text.push_str(&escape(value));
        text.push('\n');
    };
    for (i, word) in argv.iter().enumerate() {
        line(&format!("argv.{i}"), word);
    }
    line("grace_ms", &spec.stop_grace.0.to_string());
    line("lease_ttl_ms", &lease_ttl.0.to_string());
    line("lease_grace_ms", &spec.stop_grace.min(LEASE_GRACE).0.to_string());
    if let Some(signal) = spec.stop_signal.as_ref().or(image.stop_signal.as_ref()) {
        line("stop_signal", signal);
    }
    match spec.attach {
        Some(attach) if attach.tty => line("attach", "tty"),
        Some(attach) if attach.stdin => line("attach", "stdin"),
        Some(_) => line("attach", "output"),
        None => {}
    }
    if !spec.secrets.is_empty() {
        line("secrets", "yes");
    }
    if spec.hook {
        line("hook", "yes");
    }
    if spec.reuse {
        line("task", &spec.attempt.to_string());
        line("reuse", "yes");
        for (i, dir) in cleared(spec).iter().enumerate() {
            line(&format!("fresh.{i}"), dir);
        }
    }
    text
}

/// What init is told to go on with `next` in a container that was made for `first`, whose variables it has.
#[must_use]
pub fn init_next(first: &TaskSpec, next: &TaskSpec) -> String {
    let mut text = format!("task {}\n", next.attempt);
    for (name, value) in first.changes(next) {
        text.push_str(&format!("env {name}={}\n", escape(value)));
    }
    text
}

/// What init is told of a visitor's command, in the words of its spec.
#[must_use]
pub fn init_visit(exec: &Exec) -> String {
    let mut text = String::new();
    for (i, word) in exec.argv.iter().enumerate() {
        text.push_str(&format!("argv.{i} {}\n", escape(word)));
    }
    for (name, value) in &exec.env {
        text.push_str(&format!("env {}={}\n", escape(name), escape(value)));
    }
    if let Some(dir) = &exec.workdir {
        text.push_str(&format!("workdir {}\n", escape(dir)));
    }
    match (exec.tty, exec.stdin) {
        (true, _) => text.push_str("attach tty\n"),
        (false, true) => text.push_str("attach stdin\n"),
        (false, false) => text.push_str("attach output\n"),
    }
    text
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{image, task};

    fn words(entrypoint: Option<&[&str]>, command: Option<&[&str]>) -> Result<String, Cause> {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let image = ImageInfo { entrypoint: list(&["E"]), command: list(&["C"]), ..image() };
        let spec = TaskSpec { entrypoint: entrypoint.map(list), command: command.map(list), ..task() };
        argv(&spec, &image).map(|words| words.join(" "))
    }

    #[test]
    fn words_are_composed_as_docker_run_does() {
        assert_eq!(words(None, None), Ok("E C".to_owned()));
        assert_eq!(words(None, Some(&["c"])), Ok("E c".to_owned()));
        assert_eq!(words(Some(&["e"]), None), Ok("e".to_owned()));
        assert_eq!(words(Some(&["e"]), Some(&["c"])), Ok("e c".to_owned()));
        assert_eq!(words(Some(&[]), Some(&["c"])), Ok("c".to_owned()));
        assert_eq!(words(Some(&[]), None), Err(Cause::NoCommand));
    }

    #[test]
    fn a_script_runs_by_its_own_interpreter_or_by_the_shell() {
        let run = |script: &str| argv(&TaskSpec { script: Some(script.to_owned()), ..task() }, &image()).unwrap();
        assert_eq!(run("echo a"), ["/bin/sh", "/.dybox/in/script"]);
        assert_eq!(run("#!/usr/bin/env python3\n"), ["/.dybox/in/script"]);
    }

    #[test]
    fn a_container_that_is_used_again_hears_what_to_clear_and_what_differs() {
        let spec = TaskSpec { reuse: true, env: vec![("A".to_owned(), "1".to_owned())], ..task() };
        let text = init_spec(&spec, &image(), &["a".to_owned()], LEASE_TTL);
        let attempt = spec.attempt;
        assert!(text.contains(&format!("task {attempt}\nreuse yes\nfresh.0 ")), "{text}");
        assert!(text.contains(" /tmp\n") && text.contains(" /dev/shm\n"), "{text}");
        let mut next = TaskSpec { env: vec![("A".to_owned(), "x\ny".to_owned())], ..spec.clone() };
        assert!(!spec.leads_to(&next), "an attempt does not follow itself");
        next.attempt.task.index += 1;
        assert!(spec.leads_to(&next));
        assert_eq!(init_next(&spec, &next), format!("task {}\nenv A=x\\ny\n", next.attempt));
        assert!(!spec.leads_to(&TaskSpec { pids: 1, ..next.clone() }));
        assert!(!TaskSpec { reuse: false, ..spec }.leads_to(&next));
    }

    #[test]
    fn a_hook_is_told_to_be_one() {
        let words = |hook| init_spec(&TaskSpec { hook, ..task() }, &image(), &["a".to_owned()], LEASE_TTL);
        assert!(words(true).ends_with("\nhook yes\n") && !words(false).contains("hook"), "{}", words(true));
    }

    #[test]
    fn a_visitor_is_told_in_the_words_of_the_spec() {
        let exec = Exec {
            argv: vec!["sh".to_owned(), "a\nb".to_owned()],
            env: vec![("A".to_owned(), "1=\\".to_owned())],
            workdir: Some("/tmp".to_owned()),
            ..Exec::default()
        };
        let text = init_visit(&exec);
        assert_eq!(text, "argv.0 sh\nargv.1 a\\nb\nenv A=1=\\\\\nworkdir /tmp\nattach output\n");
        assert!(init_visit(&Exec { tty: true, ..exec }).ends_with("attach tty\n"));
    }

    #[test]
    fn the_spec_keeps_every_byte_of_a_word() {
        let argv = ["sh".to_owned(), "a\nb\\n c".to_owned(), String::new()];
        let text = init_spec(&task(), &image(), &argv, LEASE_TTL);
        assert_eq!(
            text,
            "argv.0 sh\nargv.1 a\\nb\\\\n c\nargv.2 \ngrace_ms 10000\nlease_ttl_ms 15000\nlease_grace_ms 4000\n"
        );
    }
}
