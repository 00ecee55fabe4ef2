//! The last word of the administrator: the policy of the very machine on which a task is to start.

use std::fs;
use std::path::{Path, PathBuf};

use dybox_model::policy::{Asks, Rules, Submitter, is_never_given, left_to_administrator};
use dybox_model::{Cause, FIRST_FREE_PORT, TaskSpec};
use dybox_store::policy::{BadPolicy, POLICY_FILE, of_machine};

use crate::conf::Places;
use crate::start::Refused;

/// Asks this machine's policy for an attempt. It is read anew for each: an administrator's change counts at once.
pub(crate) fn judge(places: &Places, spec: &TaskSpec) -> Result<(), Refused> {
    let host = host(places);
    judged(places, spec, of_machine())
        .map_err(|text| Refused { cause: Cause::Policy, text: format!("{text} ({host})") })
}

/// Whether it lets an image be brought in advance.
pub(crate) fn allows_image(image: &str) -> bool {
    of_machine().is_ok_and(|rules| rules.is_none_or(|rules| rules.image(image).is_none()))
}

/// Asks it for one path of this machine that is no mount.
pub(crate) fn judge_path(places: &Places, path: &Path) -> Result<(), Refused> {
    let refused = |text: String| Refused { cause: Cause::Policy, text: format!("{text} ({})", host(places)) };
    let rules = of_machine().map_err(|bad| refused(bad.to_string()))?;
    path_refused(rules.as_ref(), places.far.is_some(), &real(path)).map_or(Ok(()), |text| Err(refused(text)))
}

fn judged(places: &Places, spec: &TaskSpec, rules: Result<Option<Rules>, BadPolicy>) -> Result<(), String> {
    let rules = rules.map_err(|bad| bad.to_string())?;
    let sources = spec.volumes.iter().filter(|mount| mount.named.is_none()).map(|mount| real(&mount.source));
    if let Some(text) = sources.filter_map(|path| path_refused(rules.as_ref(), places.far.is_some(), &path)).next() {
        return Err(text);
    }
    if let Some(port) = left_to_administrator(rules.as_ref(), &spec.ports).filter(|_| places.far.is_some()) {
        return Err(format!(
            "it publishes port {port}, below {FIRST_FREE_PORT}; no `published_ports` in {POLICY_FILE} allow it"
        ));
    }
    let Some(rules) = rules else { return Ok(()) };
    let (uid, gid) = places.owner;
    let who = Submitter { name: &places.user, uid, gid };
    let refusals = rules.refuse(who, &Asks::of(spec));
    if refusals.is_empty() { Ok(()) } else { Err(listed(refusals.iter())) }
}

/// Without a policy a cluster's machine gives nothing away; on one machine the client has looked.
fn path_refused(rules: Option<&Rules>, far: bool, path: &Path) -> Option<String> {
    if is_never_given(path) {
        return Some(format!(
            "{} is never given to a container; `mount_roots` decides, and this rule is built in",
            path.display()
        ));
    }
    match rules {
        Some(rules) => rules.path(path).map(|refusal| refusal.to_string()),
        None if far => Some(format!(
            "it uses {} of the machine; there is no {POLICY_FILE}, so no `mount_roots` allow it",
            path.display()
        )),
        None => None,
    }
}

fn listed<T: ToString>(all: impl Iterator<Item = T>) -> String {
    all.map(|one| one.to_string()).collect::<Vec<_>>().join("; ")
}

/// Links followed, as far as they lead anywhere: what is not there the engine refuses.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn host(places: &Places) -> String {
    let far = places.far.as_ref().map(|far| far.host.clone());
    far.unwrap_or_else(|| {
        nix::unistd::gethostname()
            .map_or_else(|_| "this machine".to_owned(), |name| name.to_string_lossy().into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_roots_is_seen_where_it_leads() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let rules = Rules { mount_roots: Some(vec![real(&inside)]), file: "p".into(), ..Rules::default() };
        let refused = |path: &Path| path_refused(Some(&rules), false, &real(path));
        assert_eq!(refused(&inside), None);
        assert!(refused(&inside.join("link")).unwrap().contains("`mount_roots` in p decides"));
        assert_eq!(path_refused(None, false, &outside), None, "one machine without a policy");
        assert!(path_refused(None, true, &outside).unwrap().contains("mount_roots"), "a cluster without a policy");
        assert!(path_refused(None, false, Path::new("/proc/1")).is_some());
    }
}
