//! The files that hooks are: they lie beside the job file, and the machine that drives the run is another one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use dybox_job::Plan;
use dybox_model::{HookId, RunId, format_bytes};
use dybox_store::layout::RunDir;
use dybox_store::{Store, transfer};
use futures_util::future::try_join_all;

use super::Cluster;
use crate::ClientError;
use crate::submit::Submission;

/// Most bytes of all of them together: programs, no data.
const MOST: u64 = 16 << 20;
/// What a copy that was cut off is known by.
const TAG: &str = "submit";

impl Cluster {
    /// Puts what hooks name into the run's directory, where their masters find it.
    pub(super) async fn take_hooks_along(
        &self,
        store: &Store,
        run: &RunId,
        (plan, submission): (&Plan, &Submission),
    ) -> Result<(), ClientError> {
        if plan.hooks.is_empty() {
            return Ok(());
        }
        let failed = |source| ClientError::System { what: "read what the hooks run", source };
        let found = named(&dir_of(submission), plan).map_err(failed)?;
        let to = RunDir::new(run).hooks();
        let put = |(name, path): (String, PathBuf)| {
            let to = format!("{to}/{name}");
            async move { transfer::put(&path, store, &to, TAG).await }
        };
        try_join_all(found.into_iter().map(put)).await?;
        Ok(())
    }
}

fn dir_of(submission: &Submission) -> PathBuf {
    let file = submission.job_file.as_ref().map(|file| submission.cwd.join(file));
    file.and_then(|file| file.parent().map(PathBuf::from)).unwrap_or_else(|| submission.cwd.clone())
}

/// Words of hooks that are files or directories below `dir`, by their names from there. One that lies within another one
/// comes with that.
fn named(dir: &Path, plan: &Plan) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    // What runs in a container of its own is in its image.
    let here = |id: u32| plan.stage_of_hook(HookId(id)).is_none();
    let hooks = (0u32..).zip(&plan.hooks).filter(|(id, _)| here(*id));
    for word in hooks.flat_map(|(_, hook)| &hook.run) {
        if let Some(name) = below(word) {
            let path = dir.join(&name);
            if path.exists() && path.canonicalize()?.starts_with(dir.canonicalize()?) {
                found.insert(name, path);
            }
        }
    }
    let all: Vec<String> = found.keys().cloned().collect();
    found.retain(|name, _| {
        !all.iter().any(|other| name.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/')))
    });
    let mut bytes = 0;
    for path in found.values() {
        let leaves = transfer::leaves(path).map_err(|error| io::Error::other(error.text()))?;
        bytes += leaves.iter().map(|(_, len)| len).sum::<u64>();
    }
    if bytes > MOST {
        let (has, most) = (format_bytes(bytes), format_bytes(MOST));
        return Err(io::Error::other(format!("{has} lie where they point, and at most {most} go along")));
    }
    Ok(found)
}

/// The name of a file in the job file's directory, as a path without `.` and `..`.
fn below(word: &str) -> Option<String> {
    let plain = |part| match part {
        Component::CurDir => Some(None),
        Component::Normal(name) => Some(Some(name.to_str()?.to_owned())),
        _ => None,
    };
    let parts: Vec<String> =
        Path::new(word).components().map(plain).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use dybox_job::Hook;
    use dybox_model::{Millis, SubDagId};

    use super::*;

    fn names(dir: &Path, words: &[&str]) -> io::Result<Vec<String>> {
        let run = words.iter().map(|&word| word.to_owned()).collect();
        let hook =
            Hook { after: Vec::new(), holds: Vec::new(), run, timeout: Millis(1), memory: 1, subdag: SubDagId(0) };
        let plan: Plan = serde_json::from_value(serde_json::json!({
            "version": 1, "name": "j", "tags": [], "params": {}, "fail_fast": false, "stages": [], "hooks": [],
            "subdags": [],
        }))
        .unwrap();
        Ok(named(dir, &Plan { hooks: vec![hook], ..plan })?.into_keys().collect())
    }

    #[test]
    fn what_lies_beside_the_job_file_goes_along() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["decide.py", "lib/a.py", "lib/b.py"] {
            std::fs::create_dir_all(dir.path().join("lib")).unwrap();
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(other.path(), dir.path().join("out")).unwrap();
        let found = |words: &[&str]| names(dir.path(), words).unwrap();
        assert_eq!(found(&["python3", "./decide.py", "--fast", "lib/a.py"]), ["decide.py", "lib/a.py"]);
        assert_eq!(found(&["lib/a.py", "lib"]), ["lib"]);
        assert!(found(&["sh", "-c", "echo '{}'", "/bin/sh", "../x", ".", "out", "gone.py"]).is_empty());
        let large = std::fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(MOST + 1).unwrap();
        assert!(names(dir.path(), &["large"]).unwrap_err().to_string().contains("at most 16MiB"));
    }
}
