//! The administrator's policy: one file on each machine, and on a cluster one more in the store. What can't be read or
//! understood allows nothing.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dybox_model::policy::{ANYBODY, PublishedPorts, Rules, RunAs};
use dybox_model::{PortRange, parse_bytes, parse_cpus};
use toml::de::{DeTable, DeValue};

use crate::{Store, StoreError};

/// Where the policy of a machine lies. No flag and no variable changes that.
pub const POLICY_FILE: &str = "/etc/dybox/policy.toml";
/// The policy of a cluster, in the store.
pub const POLICY: &str = "policy.toml";

/// The keys of the policy and what each is for.
pub const POLICY_KEYS: &[(&str, &str)] = &[
    (
        "mount_roots",
        "Directories of the machine under which `volumes`, `inputs` and `outputs` may lie. Without a policy: the job file's own directory, on a cluster nothing.",
    ),
    ("trusted_registries", "Registries whose images may run (`docker.io` for names without one). Without: any."),
    (
        "may_run_as",
        "Whom `user:` may name beside the submitter: a list of uids, names of the image or whole `uid:gid`, or a table of such lists by submitter (`\"*\"` for all others). Without: any.",
    ),
    ("max_cpus", "Most cpus of one task."),
    ("max_memory", "Most memory of one task, with a unit."),
    ("require_digest", "`true`: images must be named by digest."),
    (
        "published_ports",
        "Ports of the machine that `ports` may publish: a range (`\"20000-20999\"`) or `\"none\"`. A port that the engine chooses is one of the range. Without: any; on a cluster, from 1024 on.",
    ),
];

/// What is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy {place} can't be used: {what}")]
pub struct BadPolicy {
    /// `file:line`, or the file.
    pub place: String,
    /// What, as a lower-case fragment.
    pub what: String,
    /// The key that nobody knows, where it is one.
    pub unknown: Option<String>,
}

/// This machine's.
///
/// # Errors
/// [`BadPolicy`]: nothing is allowed then.
pub fn of_machine() -> Result<Option<Rules>, BadPolicy> {
    at(Path::new(POLICY_FILE))
}

/// The policy in a file of this machine; nothing where there is none.
fn at(path: &Path) -> Result<Option<Rules>, BadPolicy> {
    let place = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&place, &text).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(BadPolicy { place, what: error.to_string(), unknown: None }),
    }
}

/// The one in the store; nothing where there is none.
///
/// # Errors
/// [`BadPolicy`], or the store's.
pub async fn of_store(store: &Store) -> Result<Option<Result<Rules, BadPolicy>>, StoreError> {
    let Some(bytes) = store.get_opt(POLICY).await? else { return Ok(None) };
    let place = store.url(POLICY);
    Ok(Some(match std::str::from_utf8(&bytes) {
        Ok(text) => parse(&place, text),
        Err(_) => Err(BadPolicy { place, what: "it is no UTF-8 text".to_owned(), unknown: None }),
    }))
}

/// Understands the text of a policy. `file` is for messages.
///
/// # Errors
/// The first line that is no TOML, has an unknown key or a wrong value.
pub fn parse(file: &str, text: &str) -> Result<Rules, BadPolicy> {
    let line = |at: usize| text[..text.floor_char_boundary(at)].matches('\n').count() + 1;
    let bad = |at: usize, what: String| BadPolicy { place: format!("{file}:{}", line(at)), what, unknown: None };
    let table = DeTable::parse(text)
        .map_err(|e| bad(e.span().map_or(0, |span| span.start), format!("it is no TOML: {}", e.message())))?;
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut rules = Rules { file: file.to_owned(), ..Rules::default() };
    for (key, value) in entries {
        let (at, name) = (key.span().start, key.into_inner().into_owned());
        if !POLICY_KEYS.iter().any(|(known, _)| *known == name) {
            let known: Vec<&str> = POLICY_KEYS.iter().map(|(key, _)| *key).collect();
            let what = format!("unknown key {name:?}; the keys are {}", known.join(", "));
            return Err(BadPolicy { unknown: Some(name), ..bad(at, what) });
        }
        take(&mut rules, &name, value.into_inner()).map_err(|why| bad(at, format!("`{name}`: {why}")))?;
        rules.lines.insert(name, line(at));
    }
    Ok(rules)
}

fn take(rules: &mut Rules, name: &str, found: DeValue<'_>) -> Result<(), String> {
    match name {
        "mount_roots" => {
            let roots: Vec<PathBuf> = list(found)?.into_iter().map(PathBuf::from).collect();
            if let Some(root) = roots.iter().find(|root| !root.is_absolute()) {
                return Err(format!("{} is not absolute", root.display()));
            }
            // Paths are compared as they really are.
            let real = |root: PathBuf| std::fs::canonicalize(&root).unwrap_or(root);
            rules.mount_roots = Some(roots.into_iter().map(real).collect());
        }
        "trusted_registries" => rules.trusted_registries = Some(list(found)?),
        "may_run_as" => {
            let of = match found {
                DeValue::Table(table) => {
                    let lists = table.into_iter().map(|(who, names)| {
                        let who = who.into_inner().into_owned();
                        list(names.into_inner()).map(|names| (who, names))
                    });
                    lists.collect::<Result<_, _>>()?
                }
                other => BTreeMap::from([(ANYBODY.to_owned(), list(other)?)]),
            };
            rules.may_run_as = Some(RunAs { of });
        }
        "max_cpus" => rules.max_cpus = Some(parse_cpus(&scalar(&found)?)?),
        "max_memory" => rules.max_memory = Some(parse_bytes(&scalar(&found)?)?),
        "published_ports" => {
            rules.published_ports = Some(match scalar(&found)?.as_str() {
                "none" => PublishedPorts::None,
                range => PublishedPorts::Within(PortRange::parse(range)?),
            });
        }
        _ => match found {
            DeValue::Boolean(wanted) => rules.require_digest = wanted,
            _ => return Err("write true or false".to_owned()),
        },
    }
    Ok(())
}

fn scalar(found: &DeValue<'_>) -> Result<String, String> {
    match found {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(number.as_str().replace('_', "")),
        DeValue::Float(number) => Ok(number.as_str().replace('_', "")),
        _ => Err("write one value".to_owned()),
    }
}

fn list(found: DeValue<'_>) -> Result<Vec<String>, String> {
    match found {
        DeValue::Array(items) => items.iter().map(|item| scalar(item.get_ref())).collect(),
        _ => Err("write a list, like [\"a\", \"b\"]".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_read_whole_and_strictly() {
        let text = "mount_roots = [\"/nowhere/data\"]\nmax_cpus = 4\nmax_memory = \"8GiB\"\n\
                    may_run_as = [1000, \"www\"]\nrequire_digest = true\npublished_ports = \"8000-8099\"\n";
        let rules = parse("policy.toml", text).unwrap();
        assert_eq!(rules.mount_roots, Some(vec!["/nowhere/data".into()]));
        assert_eq!((rules.max_cpus, rules.max_memory, rules.require_digest), (Some(4000), Some(8 << 30), true));
        assert_eq!(rules.may_run_as.as_ref().unwrap().of["*"], ["1000", "www"]);
        assert_eq!((rules.lines["max_cpus"], rules.lines["require_digest"]), (2, 5));
        let range = PortRange { first: 8000, last: 8099 };
        assert_eq!(rules.published_ports, Some(PublishedPorts::Within(range)));
        let ports = |text: &str| parse("p", &format!("published_ports = {text}")).map(|rules| rules.published_ports);
        assert_eq!(ports("\"none\""), Ok(Some(PublishedPorts::None)));
        assert_eq!(ports("8080"), Ok(Some(PublishedPorts::Within(PortRange::one(8080)))));
        assert!(ports("\"9-8\"").is_err() && ports("\"any\"").is_err() && ports("[1]").is_err());
        let table = parse("p", "[may_run_as]\nann = [0]\n\"*\" = []\n").unwrap().may_run_as.unwrap();
        assert_eq!((table.of["ann"].len(), table.of["*"].len()), (1, 0));
        let place = |text: &str| parse("policy.toml", text).unwrap_err().place;
        assert_eq!(place("\nmount_roots = [\"data\"]"), "policy.toml:2");
        assert_eq!(place("mounts = []"), "policy.toml:1");
        assert_eq!(parse("p", "mounts = []").unwrap_err().unknown.as_deref(), Some("mounts"));
        assert_eq!((place("max_memory = 5"), place("a = = 1")), ("policy.toml:1".into(), "policy.toml:1".into()));
    }

    #[tokio::test]
    async fn the_store_has_one_or_none_and_what_is_torn_is_no_policy() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        assert_eq!(of_store(&store).await.unwrap(), None);
        assert_eq!(at(&dir.path().join(POLICY)), Ok(None));
        store.put(POLICY, "max_cpus = 1\n").await.unwrap();
        let rules = of_store(&store).await.unwrap().unwrap().unwrap();
        assert_eq!((rules.max_cpus, rules.file), (Some(1000), store.url(POLICY)));
        store.put(POLICY, "max_cpus = \n").await.unwrap();
        assert!(of_store(&store).await.unwrap().unwrap().is_err() && at(&dir.path().join(POLICY)).is_err());
    }
}
