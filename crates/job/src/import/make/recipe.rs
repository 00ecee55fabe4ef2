//! A recipe as a script. Make gives each line a shell of its own and stops at the first that fails.

use std::collections::BTreeSet;

use super::expand::Local;
use super::parse::Makefile;
use super::rules::Built;

/// The script of a target, and what is to be said of it.
pub(super) fn script(
    file: &Makefile,
    target: &str,
    built: &Built,
    params: &mut BTreeSet<String>,
) -> (String, Vec<String>) {
    let mut local = file.local_of(Some(target));
    local.words = automatic(target, built);
    let one_shell = file.rules.iter().any(|rule| rule.targets.iter().any(|name| name == ".ONESHELL"));
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    for (text, number) in &built.recipe {
        let line = file.for_shell(text, &local, params);
        // A variable of several lines is several lines of the recipe.
        for part in split(&line) {
            let (quiet, part) = prefix(&part);
            if part.trim().is_empty() || part.trim_start().starts_with('#') {
                continue;
            }
            lines.push(one_line(part, quiet, one_shell));
        }
        if text.contains("$(MAKE)") || text.contains("${MAKE}") {
            notes.push(format!(
                "line {number}: it calls make again, in the container; --target brings that target over instead"
            ));
        }
    }
    let shell = file.named("SHELL", &Local::default());
    let shebang = match shell.trim() {
        "" | "/bin/sh" => String::new(),
        shell if shell.starts_with('/') => format!("#!{shell}\n"),
        shell => format!("#!/usr/bin/env {}\n", shell.split_whitespace().next().unwrap_or("sh")),
    };
    if lines.is_empty() {
        lines.push("true".to_owned());
    }
    let stop = if lines.len() > 1 || lines.iter().any(|line| line.contains('\n')) { "set -e\n" } else { "" };
    (format!("{shebang}{stop}{}\n", lines.join("\n")), notes)
}

/// `$@`, `$<`, `$^` and the others.
fn automatic(target: &str, built: &Built) -> std::collections::BTreeMap<String, String> {
    let mut once: Vec<String> = Vec::new();
    for name in &built.prerequisites {
        if !once.contains(name) {
            once.push(name.clone());
        }
    }
    let words = [
        ("@", target.to_owned()),
        ("<", built.prerequisites.first().cloned().unwrap_or_default()),
        ("^", once.join(" ")),
        ("?", once.join(" ")),
        ("+", built.prerequisites.join(" ")),
        ("|", built.order_only.join(" ")),
        ("*", built.stem.clone()),
    ];
    words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Lines, those that a backslash continues kept together.
fn split(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.split('\n') {
        match out.last_mut().filter(|_| open) {
            Some(last) => *last = format!("{last}\n{line}"),
            None => out.push(line.to_owned()),
        }
        open = line.ends_with('\\');
    }
    out
}

/// Whether failures of a line are passed over, and the line without make's signs.
fn prefix(line: &str) -> (bool, &str) {
    let rest = line.trim_start_matches(['@', '-', '+', ' ', '\t']);
    (line[..line.len() - rest.len()].contains('-'), rest)
}

fn one_line(line: &str, may_fail: bool, one_shell: bool) -> String {
    const LASTING: [&str; 8] = ["cd ", "export ", "set ", "exec ", "exit", ". ", "source ", "umask "];
    let begins = |word: &&str| {
        line.starts_with(*word) || line.contains(&format!("; {word}")) || line.contains(&format!("&& {word}"))
    };
    let name = line.split('=').next().unwrap_or_default();
    let sets = line.contains('=') && !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let apart = !one_shell && (LASTING.iter().any(begins) || sets);
    let line = if apart { format!("(\n{line}\n)") } else { line.to_owned() };
    match may_fail {
        true if line.contains('#') && !apart => format!("{{\n{line}\n}} || true"),
        true => format!("{line} || true"),
        false => line,
    }
}
