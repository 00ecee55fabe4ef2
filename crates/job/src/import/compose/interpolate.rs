//! `${VAR:-default}` of a compose file: variables become parameters.

use std::collections::BTreeMap;

use crate::import::out::{Mapping, Out};

/// The variables that a file uses.
#[derive(Debug, Default)]
pub(super) struct Variables {
    used: BTreeMap<String, Variable>,
}

#[derive(Debug, Default)]
struct Variable {
    default: Option<String>,
    required: bool,
}

impl Variables {
    pub(super) fn is_used(&self) -> bool {
        !self.used.is_empty()
    }

    /// The text with our templates in the place of compose's.
    pub(super) fn fill(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(tail) = rest.strip_prefix('$') {
                // A dollar sign of its own; before a bracket it must not look like a template of ours.
                out.push_str(if tail.starts_with('{') { "$$" } else { "$" });
                rest = tail;
            } else if let Some(end) = rest.strip_prefix('{').and_then(closing) {
                out.push_str(&self.braced(&rest[1..=end]));
                rest = &rest[end + 2..];
            } else {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                let name = &rest[..end];
                if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    out.push_str(&format!("${{params.{}}}", self.used(name, None, false)));
                    rest = &rest[end..];
                } else {
                    out.push('$');
                }
            }
        }
        out + rest
    }

    /// What stands between the brackets: `VAR`, `VAR:-default`, `VAR:?message`, `VAR:+other`.
    fn braced(&mut self, inner: &str) -> String {
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
        let (name, rest) = inner.split_at(end);
        if name.is_empty() {
            return format!("$${{{inner}}}");
        }
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        match rest.chars().next() {
            // A default that is a variable itself: its own default counts.
            Some('-') => {
                let default = &rest[1..];
                let inner = default.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
                let default = inner.map_or(Some(default), |inner| inner.split_once('-').map(|(_, default)| default));
                format!("${{params.{}}}", self.used(name, default, false))
            }
            Some('?') => format!("${{params.{}}}", self.used(name, None, true)),
            Some('+') => {
                let other = rest[1..].replace('\\', "\\\\").replace('"', "\\\"");
                let name = self.used(name, None, false);
                format!("${{params.{name} == \"\" ? \"\" : \"{other}\"}}")
            }
            _ => format!("${{params.{}}}", self.used(name, None, false)),
        }
    }

    /// Notes a variable down and gives the parameter's name.
    fn used(&mut self, name: &str, default: Option<&str>, required: bool) -> String {
        let name = name.trim_start_matches('_');
        let name =
            if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name.to_owned() } else { format!("v{name}") };
        let same = self.used.keys().find(|known| known.eq_ignore_ascii_case(&name)).cloned();
        let name = same.unwrap_or(name);
        let known = self.used.entry(name.clone()).or_default();
        known.default = known.default.take().or_else(|| default.map(str::to_owned));
        known.required |= required;
        name
    }

    /// The parameters of the job.
    pub(super) fn declare(&self, job: &mut Mapping) {
        if self.used.is_empty() {
            return;
        }
        let mut params = Mapping::default();
        for (name, variable) in &self.used {
            let value = match (&variable.default, variable.required) {
                (None, true) => Out::Flow(vec![("required".to_owned(), Out::plain(true))]),
                (default, _) => Out::Text(crate::import::literal(default.as_deref().unwrap_or_default())),
            };
            params.put(name, value);
        }
        job.put("params", Out::Map(params));
    }
}

/// Where a bracket that is open closes, others inside of it passed over.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_parameters_and_other_dollars_stay() {
        let mut variables = Variables::default();
        let mut fill = |text: &str| variables.fill(text);
        assert_eq!(fill("a:${TAG:-1.2}"), "a:${params.TAG}");
        assert_eq!(fill("$HOME/x $$HOME $${X} $1 ${"), "${params.HOME}/x $HOME $${X} $1 ${");
        assert_eq!(fill("${A:-${B:-c}}"), "${params.A}");
        assert_eq!(fill("${X:+y}"), "${params.X == \"\" ? \"\" : \"y\"}");
        assert_eq!(fill("${PW:?give one}"), "${params.PW}");
        let mut job = Mapping::default();
        variables.declare(&mut job);
        let text = job.text();
        for line in ["  TAG: \"1.2\"", "  HOME: \"\"", "  A: c", "  PW: { required: true }"] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}
