//! The files of one attempt on this machine: what its container gets to see of the host, and nothing else.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dybox_model::AttemptId;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::conf::Places;

/// Paths of an attempt's, or the sandbox's, exchange with its init.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) root: PathBuf,
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
    /// Inputs and outputs.
    pub(crate) data: PathBuf,
}

impl Files {
    pub(crate) fn of(places: &Places, attempt: AttemptId) -> Self {
        Self::under(&places.path(&places.grant.attempt(attempt)))
    }

    pub(crate) fn of_sandbox(places: &Places) -> Self {
        Self::under(&places.path(&places.grant.root()).join("sandbox"))
    }

    pub(crate) fn under(root: &Path) -> Self {
        let (stdout, stderr) = (with_end(root, "stdout"), with_end(root, "stderr"));
        Self {
            input: root.join("in"),
            output: root.join("out"),
            root: root.to_owned(),
            stdout,
            stderr,
            data: with_end(root, "data"),
        }
    }

    /// Makes everything anew, with the output at `shown` and links to it here, where that is wanted. The payload may run as anybody, so what it writes to is open to all; the directories
    /// above are closed to all but the submitter.
    pub(crate) fn make(&self, shown: Option<&Path>) -> io::Result<()> {
        self.remove_exchange()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        for (dir, mode) in [(&self.input, 0o755), (&self.output, 0o777)] {
            fs::create_dir(dir)?;
            fs::set_permissions(dir, Permissions::from_mode(mode))?;
        }
        self.remove_logs()?;
        for (file, end) in [(&self.stdout, "stdout"), (&self.stderr, "stderr")] {
            let real = shown.map(|shown| with_end(shown, end));
            File::create(real.as_ref().unwrap_or(file))?.set_permissions(Permissions::from_mode(0o666))?;
            if let Some(real) = real {
                symlink(real, file)?;
            }
        }
        Ok(())
    }

    /// Gives all of it to the next attempt in the same container, emptied first: whatever dies in between, no byte of
    /// this one counts as the next one's. What is mounted stays mounted.
    pub(crate) fn pass_on(&self, next: &Self, shown: Option<&Path>) -> io::Result<()> {
        for file in [&self.stdout, &self.stderr].into_iter().filter(|file| !is_empty(file)) {
            OpenOptions::new().write(true).truncate(true).open(file)?;
        }
        fs::rename(&self.root, &next.root)?;
        for (from, to, end) in [(&self.stdout, &next.stdout, "stdout"), (&self.stderr, &next.stderr, "stderr")] {
            let Some(shown) = shown else {
                fs::rename(from, to)?;
                continue;
            };
            let real = with_end(shown, end);
            fs::rename(fs::read_link(from)?, &real)?;
            absent_is_fine(fs::remove_file(to))?;
            symlink(real, to)?;
            fs::remove_file(from)?;
        }
        Ok(())
    }

    /// Whether anything was written.
    pub(crate) fn has_output(&self) -> bool {
        !is_empty(&self.stdout) || !is_empty(&self.stderr)
    }

    /// Writes one file for init, readable by all, runnable where `mode` says so.
    pub(crate) fn give(&self, name: &str, text: &str, mode: u32) -> io::Result<()> {
        let path = self.input.join(name);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))
    }

    pub(crate) fn lease(&self) -> PathBuf {
        self.input.join("lease")
    }

    pub(crate) fn verdict(&self) -> PathBuf {
        self.output.join("verdict")
    }

    pub(crate) fn result(&self) -> PathBuf {
        self.output.join("result")
    }

    /// Whether its task is a hook, as its init was told.
    pub(crate) fn are_of_hook(&self) -> bool {
        fs::read_to_string(self.input.join("spec")).is_ok_and(|spec| spec.lines().any(|line| line == "hook yes"))
    }

    /// Takes the spec away: an init that starts after this starts nothing.
    pub(crate) fn revoke(&self) {
        if let Err(error) = fs::remove_file(self.input.join("spec"))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.input.display(), %error, "can't take the spec away");
        }
    }

    /// Whether its init lives, whatever the engine says: init locks the lease's file before it reads the spec, and the
    /// kernel unlocks it at any death. After [`Self::revoke`] a no is final.
    pub(crate) fn alive(&self) -> bool {
        let path = self.lease();
        let (kind, from) = (libc::F_WRLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
        let mut whole = libc::flock { l_type: kind, l_whence: from, l_start: 0, l_len: 0, l_pid: 0 };
        let asked = File::open(&path).and_then(|file| Ok(fcntl(&file, FcntlArg::F_OFD_GETLK(&mut whole))?));
        match asked {
            Ok(_) => whole.l_type != libc::F_UNLCK as libc::c_short,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "can't ask who holds the lease");
                false
            }
        }
    }

    /// Whether its init runs, or ran to its end.
    pub(crate) fn begun(&self) -> bool {
        // In this order: the verdict is written before the lock is given up.
        self.alive() || self.verdict().exists()
    }

    pub(crate) fn remove_exchange(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(&self.root))
    }

    /// The output itself, which may lie elsewhere and then stays there.
    pub(crate) fn output_files(&self) -> [PathBuf; 2] {
        [&self.stdout, &self.stderr].map(|file| fs::read_link(file).unwrap_or_else(|_| file.clone()))
    }

    pub(crate) fn remove_data(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_dir_all(&self.data))
    }

    pub(crate) fn remove_logs(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_file(&self.stdout))?;
        absent_is_fine(fs::remove_file(&self.stderr))
    }
}

fn is_empty(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.len() == 0)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

pub(crate) fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, mut content: impl Read, mode: u32) -> io::Result<()> {
    let mut fresh = path.to_path_buf().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let mut write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        io::copy(&mut content, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        fs::rename(&fresh, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&fresh)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_innermost_files_are_open_to_the_payload() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::under(&dir.path().join("g/s0-0-1"));
        files.make(None).unwrap();
        files.give("script", "#!/bin/sh\n", 0o755).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&files.root), mode(&files.input), mode(&files.output)], [0o700, 0o755, 0o777]);
        assert_eq!([mode(&files.stdout), mode(&files.input.join("script"))], [0o666, 0o755]);
        fs::write(files.verdict(), "old").unwrap();
        files.make(None).unwrap();
        assert!(!files.verdict().exists(), "an older try leaves no verdict");
        files.remove_exchange().unwrap();
        files.remove_logs().unwrap();
        files.remove_logs().unwrap();
        assert!(!files.root.exists() && !files.stderr.exists());
    }

    #[test]
    fn an_init_is_alive_for_as_long_as_it_holds_the_lease() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::under(&dir.path().join("g/s0-0-1"));
        assert!(!files.alive(), "no files");
        files.make(None).unwrap();
        files.give("lease", "", 0o644).unwrap();
        assert!(!files.alive() && !files.begun());
        let lease = File::open(files.lease()).unwrap();
        let (kind, from) = (libc::F_RDLCK as libc::c_short, libc::SEEK_SET as libc::c_short);
        let whole = libc::flock { l_type: kind, l_whence: from, l_start: 0, l_len: 0, l_pid: 0 };
        fcntl(&lease, FcntlArg::F_OFD_SETLK(&whole)).unwrap();
        assert!(files.alive() && files.alive() && files.begun(), "to ask takes nothing away");
        drop(lease);
        assert!(!files.alive());
        fs::write(files.verdict(), "end").unwrap();
        assert!(files.begun());
    }

    #[test]
    fn the_next_attempt_gets_the_same_files_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Files::under(&dir.path().join("g/s0-0-1")), Files::under(&dir.path().join("g/s0-1-1")));
        let [shown, then] = ["work-0-1", "work-1-1"].map(|name| dir.path().join(name));
        for (first, second) in [(None, None), (Some(&shown), Some(&then))] {
            one.make(first.map(PathBuf::as_path)).unwrap();
            one.give("spec", "x", 0o644).unwrap();
            let mounted = File::open(&one.stdout).unwrap();
            fs::write(&one.stdout, "said").unwrap();
            assert!(one.has_output());
            one.pass_on(&two, second.map(PathBuf::as_path)).unwrap();
            assert!(!two.has_output() && two.input.join("spec").exists() && !one.root.exists());
            fs::write(&two.stdout, "more").unwrap();
            assert_eq!(mounted.metadata().unwrap().len(), 4, "what is mounted is the same file");
            two.remove_exchange().unwrap();
        }
        assert_eq!(fs::read_to_string(dir.path().join("work-1-1.stdout")).unwrap(), "more");
        assert!(!dir.path().join("work-0-1.stdout").exists());
    }

    #[test]
    fn output_that_is_shown_elsewhere_stays_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::under(&dir.path().join("g/s0-0-1"));
        let shown = dir.path().join("main.v2-0-1");
        files.make(Some(&shown)).unwrap();
        files.make(Some(&shown)).unwrap();
        let [stdout, stderr] = files.output_files();
        assert_eq!((stdout.file_name().unwrap(), stderr.file_name().unwrap()).0, "main.v2-0-1.stdout");
        fs::write(&stderr, "seen").unwrap();
        assert_eq!(fs::read_to_string(&files.stderr).unwrap(), "seen");
        files.remove_logs().unwrap();
        assert!(stdout.exists() && stderr.exists() && !files.stderr.exists());
    }
}
