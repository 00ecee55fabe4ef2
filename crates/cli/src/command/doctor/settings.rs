//! Every setting with where it came from, and the policy.

use dybox_model::policy::ANYBODY;
use dybox_model::{format_bytes, format_cpus};
use dybox_store::policy::POLICY_FILE;

use super::Finding;
use crate::command::Context;
use crate::conf::{KEYS, OTHER_ENV};
use crate::report::nearest;

/// Looks at the configuration, which is valid or no command would run.
pub(super) fn look(context: &Context) -> Vec<Finding> {
    let conf = &context.conf;
    let mut found: Vec<Finding> = conf
        .rows()
        .into_iter()
        .map(|(name, value, from)| Finding::ok("setting", name, format!("{value}  [{from}]")))
        .collect();
    let files: Vec<_> = conf.files.iter().map(|path| path.display().to_string()).collect();
    let read = if files.is_empty() { "none was found".to_owned() } else { files.join(", ") };
    found.push(Finding::ok("setting", "files", read));
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    found.extend(names.filter_map(|name| misspelt(&name)));
    found.push(policy(context));
    found
}

/// A variable that looks like a setting and is none. Others stay unnamed: a task sees many `DYBOX_` variables.
fn misspelt(name: &str) -> Option<Finding> {
    let known: Vec<&str> =
        KEYS.iter().flat_map(|key| key.env).copied().chain(OTHER_ENV.iter().map(|row| row.0)).collect();
    if !name.starts_with("DYBOX_") || known.contains(&name) {
        return None;
    }
    let near = nearest(name, known)?;
    Some(Finding::warn("setting", name, "nobody reads this variable", format!("did you mean {near}?")))
}

fn policy(context: &Context) -> Finding {
    let Some(policy) = &context.conf.policy else {
        let mounts = match context.is_cluster() {
            Ok(true) => "no mounts on the cluster",
            _ => "mounts under the job file's directory only",
        };
        return Finding::ok("policy", "file", format!("no {POLICY_FILE}: {mounts}"));
    };
    let mut rules = Vec::new();
    if let Some(roots) = &policy.mount_roots {
        let roots: Vec<_> = roots.iter().map(|root| root.display().to_string()).collect();
        rules.push(format!("mounts under {}", roots.join(", ")));
    }
    if let Some(names) = &policy.trusted_registries {
        rules.push(format!("registries {}", names.join(", ")));
    }
    if let Some(users) = &policy.may_run_as {
        let users = users.of.iter().map(|(who, whom)| match who.as_str() {
            ANYBODY => format!("users {}", whom.join(", ")),
            who => format!("for {who} users {}", whom.join(", ")),
        });
        rules.extend(users);
    }
    rules.extend(policy.max_cpus.map(|milli| format!("at most {} cpus a task", format_cpus(milli))));
    rules.extend(policy.max_memory.map(|bytes| format!("at most {} a task", format_bytes(bytes))));
    if policy.require_digest {
        rules.push("images by digest only".to_owned());
    }
    Finding::ok("policy", "file", format!("{}: {}", policy.file, rules.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_named_and_those_of_tasks_are_not() {
        assert_eq!(misspelt("DYBOX_HOEM").map(|finding| finding.fix), Some("did you mean DYBOX_HOME?".to_owned()));
        assert_eq!(misspelt("DYBOX_HOME"), None);
        assert_eq!(misspelt("DYBOX_TASK_INDEX"), None);
        assert_eq!(misspelt("HOMEDYBOX"), None);
    }
}
