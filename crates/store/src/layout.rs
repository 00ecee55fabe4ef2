//! Names of everything in a store: the only place that knows them.
//!
//! ```text
//! runs/<run>/{run.json, plan.json, images.json, job.yaml, secret, credentials, stop}
//! runs/<run>/sub/<n>/{epoch/<k>, master.addr}
//! runs/<run>/sub/<n>/{journal, master.lock, master.sock, master.log, claim}
//! runs/<run>/grants/<grant>/{proxy.log, owner.lock, <attempt>/{in,out}/, <attempt>.stdout, <attempt>.stderr}
//! runs/<run>/grants/<grant>.swept
//! runs/<run>/logs/<grant>.log
//! runs/<run>/sessions/<n>.<application>
//! runs/<run>/{volumes, data}/<name>
//! runs/<run>/added/<stage>
//! runs/<run>/taken/<run that took from it>
//! cache/<job>/<stage>/<key>.<run>
//! volumes/<name>/
//! sessions/<application>/{journal, epoch/<k>, master.addr, credentials}
//! bin/dybox-<digest>
//! learned/<job>/<sub-DAG>.json
//! machine/{budget.lock, shares/, waiting/, starts/, pulls/, images/, init/, requests/}
//! ```
//!
//! All names are relative to the store; [`Home`] turns them into paths of this machine.

mod machine;
mod session;

use std::path::{Path, PathBuf};

use dybox_model::{AttemptId, GrantId, RunId, SubDagId};

pub use machine::Machine;
pub use session::{SESSIONS, session_credentials};

/// The directory of all runs.
pub const RUNS: &str = "runs";
/// Marks of runs that were removed while YARN still knows their applications.
pub const PRUNED: &str = "pruned";

/// The mark of one.
#[must_use]
pub fn pruned(run: &RunId) -> String {
    format!("{PRUNED}/{run}")
}

/// The directory of the binaries, open to all.
pub(crate) const BIN: &str = "bin";

/// The binary with this digest (SHA-256 in hex), for YARN to hand to masters and proxies.
#[must_use]
pub fn binary(sha256: &str) -> String {
    format!("{BIN}/dybox-{}", sha256.get(..16).unwrap_or(sha256))
}

/// What earlier runs of a job taught: one file for each cut of its stages, so that no two masters write the same one.
#[must_use]
pub fn learned(job: &str) -> String {
    format!("learned/{job}")
}

/// What stages of a job came to that succeeded: a directory each.
#[must_use]
pub fn cached_of_job(job: &str) -> String {
    format!("cache/{job}")
}

/// What one stage of a job came to.
#[must_use]
pub fn cached(job: &str, stage: &str) -> String {
    format!("cache/{job}/{stage}")
}

/// The socket's name in [`SubDir::root`]: bound and dialled through the directory's descriptor.
pub const MASTER_SOCKET: &str = "master.sock";
/// The directory of the named volumes that outlive runs.
pub const VOLUMES: &str = "volumes";
/// The administrator's registry of profiles.
pub const PROFILES: &str = "profiles.yaml";

/// A store that is a directory of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// The store in this directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// Takes a run's directory (`--run-dir`) apart.
    #[must_use]
    pub fn of_run_dir(dir: &Path) -> Option<(Self, RunDir)> {
        let run: RunId = dir.file_name()?.to_str()?.parse().ok()?;
        let runs = dir.parent()?;
        (runs.file_name()? == RUNS).then(|| Some((Self(runs.parent()?.to_owned()), RunDir::new(&run))))?
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// The path on this machine of a name of the store.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// Names of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir(String);

impl RunDir {
    /// The names of `run`.
    #[must_use]
    pub fn new(run: &RunId) -> Self {
        Self(format!("{RUNS}/{run}"))
    }

    /// The run whose [`RunDir::logs`] this is.
    #[must_use]
    pub fn of_logs(dir: &str) -> Option<Self> {
        dir.strip_suffix("/logs").map(|root| Self(root.to_owned()))
    }

    /// The run's directory.
    #[must_use]
    pub fn root(&self) -> String {
        self.0.clone()
    }

    /// Inputs and outputs that the run keeps in its own store (`run:NAME`).
    #[must_use]
    pub fn data(&self) -> String {
        format!("{}/data", self.0)
    }

    /// On HDFS: the files of the job file's directory that hooks name.
    #[must_use]
    pub fn hooks(&self) -> String {
        format!("{}/hooks", self.0)
    }

    /// The directory of the runs that took something from this one.
    #[must_use]
    pub fn takers(&self) -> String {
        format!("{}/taken", self.0)
    }

    /// Taken by the hook that adds a stage of this name, where more than one sub-DAG has hooks: the hook's number.
    #[must_use]
    pub fn added(&self, stage: &str) -> String {
        format!("{}/added/{stage}", self.0)
    }

    /// The directory of the named volumes that go with the run.
    #[must_use]
    pub fn volumes(&self) -> String {
        format!("{}/volumes", self.0)
    }

    /// Who submitted what: [`RunInfo`](crate::RunInfo) as JSON. Written last: a run exists once this does.
    #[must_use]
    pub fn info(&self) -> String {
        format!("{}/run.json", self.0)
    }

    /// The plan as JSON.
    #[must_use]
    pub fn plan(&self) -> String {
        format!("{}/plan.json", self.0)
    }

    /// On a cluster's node: the images that the plan names, as a JSON list.
    #[must_use]
    pub fn images(&self) -> String {
        format!("{}/images.json", self.0)
    }

    /// The job file's text.
    #[must_use]
    pub fn job(&self) -> String {
        format!("{}/job.yaml", self.0)
    }

    /// 64 hex digits that sign the labels of the run's containers.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{}/secret", self.0)
    }

    /// On HDFS: the identity with which clients dial the run's masters, [`Tls`](crate::bundle::Tls) as JSON.
    #[must_use]
    pub fn credentials(&self) -> String {
        format!("{}/credentials", self.0)
    }

    /// The mark that the run is to end: [`StopMark`](crate::StopMark) as JSON.
    #[must_use]
    pub fn stop(&self) -> String {
        format!("{}/stop", self.0)
    }

    /// Names of one sub-DAG.
    #[must_use]
    pub fn sub(&self, subdag: SubDagId) -> SubDir {
        SubDir(format!("{}/sub/{}", self.0, subdag.0))
    }

    /// The directory of all grants.
    #[must_use]
    pub fn grants(&self) -> String {
        format!("{}/grants", self.0)
    }

    /// Names of one grant.
    #[must_use]
    pub fn grant(&self, grant: GrantId) -> GrantDir {
        GrantDir(format!("{}/grants/{grant}", self.0))
    }

    /// The grant whose archive has this name in [`RunDir::logs`].
    #[must_use]
    pub fn grant_of_archive(name: &str) -> Option<GrantId> {
        name.strip_suffix(".log")?.parse().ok()
    }

    /// The directory of all log archives.
    #[must_use]
    pub fn logs(&self) -> String {
        format!("{}/logs", self.0)
    }

    /// The name in [`RunDir::logs`] of the log archive of one grant.
    #[must_use]
    pub fn archive_name(grant: GrantId) -> String {
        format!("{grant}.log")
    }

    /// The log archive of one grant.
    #[must_use]
    pub fn archive(&self, grant: GrantId) -> String {
        format!("{}/{}", self.logs(), Self::archive_name(grant))
    }
}

/// Names of one sub-DAG of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubDir(String);

impl SubDir {
    /// Its directory; [`MASTER_SOCKET`] is in it.
    #[must_use]
    pub fn root(&self) -> String {
        self.0.clone()
    }

    /// Its journal.
    #[must_use]
    pub fn journal(&self) -> String {
        format!("{}/journal", self.0)
    }

    /// On one machine: [`Private`](crate::Private) as JSON, from its submission to its end.
    #[must_use]
    pub fn secrets(&self) -> String {
        format!("{}/secrets", self.0)
    }

    /// Held by its master while that lives.
    #[must_use]
    pub fn lock(&self) -> String {
        format!("{}/master.lock", self.0)
    }

    /// The directory of the epochs that were claimed on HDFS.
    #[must_use]
    pub fn epochs(&self) -> String {
        format!("{}/epoch", self.0)
    }

    /// One epoch: an empty file that its master created exclusively.
    #[must_use]
    pub fn epoch(&self, epoch: u32) -> String {
        format!("{}/epoch/{epoch}", self.0)
    }

    /// There from a `resume` on until a master has opened the journal again: the end that the journal tells is no end.
    #[must_use]
    pub fn again(&self) -> String {
        format!("{}/again", self.0)
    }

    /// Where its master listens on the cluster: [`MasterAddr`](crate::epochs::MasterAddr).
    #[must_use]
    pub fn master_addr(&self) -> String {
        format!("{}/master.addr", self.0)
    }

    /// Where its master listens.
    #[must_use]
    pub fn socket(&self) -> String {
        format!("{}/{MASTER_SOCKET}", self.0)
    }

    /// Its master's stderr.
    #[must_use]
    pub fn log(&self) -> String {
        format!("{}/master.log", self.0)
    }

    /// Created by whoever starts its first master; says who.
    #[must_use]
    pub fn claim(&self) -> String {
        format!("{}/claim", self.0)
    }
}

/// Names of one grant of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantDir(String);

impl GrantDir {
    /// Its directory.
    #[must_use]
    pub fn root(&self) -> String {
        self.0.clone()
    }

    /// Its proxy's stderr.
    #[must_use]
    pub fn log(&self) -> String {
        format!("{}/proxy.log", self.0)
    }

    /// Held by its proxy, or by who sweeps after it.
    #[must_use]
    pub fn owner(&self) -> String {
        format!("{}/owner.lock", self.0)
    }

    /// What sweeps of it found, one JSON line each; beside its directory, which a sweep removes.
    #[must_use]
    pub fn swept(&self) -> String {
        format!("{}.swept", self.0)
    }

    /// The directory of an attempt's exchange with its init.
    #[must_use]
    pub fn attempt(&self, attempt: AttemptId) -> String {
        format!("{}/{attempt}", self.0)
    }

    /// The mark of a failed attempt whose container stays for a look.
    #[must_use]
    pub fn kept(&self, attempt: AttemptId) -> String {
        format!("{}.kept", self.attempt(attempt))
    }

    /// What init reads; mounted read-only.
    #[must_use]
    pub fn input(&self, attempt: AttemptId) -> String {
        format!("{}/{attempt}/in", self.0)
    }

    /// What init and the payload write.
    #[must_use]
    pub fn output(&self, attempt: AttemptId) -> String {
        format!("{}/{attempt}/out", self.0)
    }

    /// The file that the payload's stdout goes to.
    #[must_use]
    pub fn stdout(&self, attempt: AttemptId) -> String {
        format!("{}/{attempt}.stdout", self.0)
    }

    /// The file that the payload's stderr goes to.
    #[must_use]
    pub fn stderr(&self, attempt: AttemptId) -> String {
        format!("{}/{attempt}.stderr", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01jd0000000000000000000001";

    #[test]
    fn a_run_directory_leads_back_to_its_home_and_run() {
        let run: RunId = RUN.parse().unwrap();
        let home = Home::new("/data/dybox");
        let dir = home.path(&RunDir::new(&run).root());
        assert_eq!(Home::of_run_dir(&dir), Some((home, RunDir::new(&run))));
        assert_eq!(Home::of_run_dir(Path::new("/data/dybox/jobs/01jd0000000000000000000001")), None);
        assert_eq!(Home::of_run_dir(Path::new("/data/runs/nightly")), None);
    }

    #[test]
    fn texts_of_users_never_become_paths() {
        let run: RunId = RUN.parse().unwrap();
        let mark = RunDir::new(&run).session(SubDagId(3), "application_1_0007");
        assert_eq!(RunDir::of_session(mark.rsplit('/').next().unwrap()), Some((SubDagId(3), "application_1_0007")));
        assert!(!Machine::request("../../etc/passwd").contains(".."));
        assert_eq!(Machine::pull("a/b:1").matches('/').count(), 2);
    }
}
