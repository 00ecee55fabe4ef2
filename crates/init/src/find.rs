//! Finding the payload's program, and saying why it does not start.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use crate::verdict::Failure;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file that `word` means: itself where it has a slash, else the first executable one on the PATH.
pub(crate) fn find(word: &str, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    if word.contains('/') {
        return Ok(PathBuf::from(word));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut locked = None;
    for dir in std::env::split_paths(path).filter(|_| !word.is_empty()) {
        let file = dir.join(word);
        if !file.is_file() {
            continue;
        }
        if access(&file, AccessFlags::X_OK).is_ok() {
            return Ok(file);
        }
        locked.get_or_insert(file);
    }
    Err(match locked {
        Some(file) => explain(&file, Errno::EACCES),
        None => not_found(format!("{word}: not found on PATH ({})", path.to_string_lossy())),
    })
}

fn not_found(text: String) -> Failure {
    Failure { errno: Errno::ENOENT as i32, kind: "not-found", text, code: 127 }
}

/// Why `program` could not be executed.
pub(crate) fn explain(program: &Path, errno: Errno) -> Failure {
    let name = program.display();
    let locked = |text: String| Failure { errno: errno as i32, kind: "not-executable", text, code: 126 };
    match errno {
        Errno::ENOENT if program.exists() => {
            let text = format!("{name}: {}", bad_interpreter(program));
            Failure { errno: errno as i32, kind: "bad-interpreter", text, code: 127 }
        }
        Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENAMETOOLONG => {
            not_found(format!("{name}: {}", errno.desc()))
        }
        Errno::EACCES if program.is_dir() => locked(format!("{name}: is a directory")),
        Errno::EACCES | Errno::EPERM | Errno::E2BIG | Errno::ETXTBSY => locked(format!("{name}: {}", errno.desc())),
        Errno::ENOEXEC => locked(format!("{name}: neither a program for this machine nor a script with a #! line")),
        _ => Failure { errno: errno as i32, ..Failure::own(format!("{name}: {}", errno.desc())) },
    }
}

/// The file exists, so what is missing is the program that its first line or its ELF header names.
fn bad_interpreter(program: &Path) -> String {
    let mut head = Vec::new();
    // A head that can't be read gives the general answer.
    let _ = std::fs::File::open(program).map(|file| file.take(256).read_to_end(&mut head));
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    let Some(rest) = line.strip_prefix(b"#!") else {
        return "the loader that this program names does not exist in the image".to_owned();
    };
    let rest = String::from_utf8_lossy(rest);
    let word = rest.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default();
    if line.ends_with(b"\r") {
        return format!("its #! line names {word:?}: it ends with a carriage return (the file has CRLF line ends)");
    }
    format!("its #! line names {word:?}, which does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn file(dir: &Path, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_first_executable_file_on_the_path_is_meant() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        file(one.path(), "tool", 0o644, "");
        let path = std::env::join_paths([one.path(), two.path()]).unwrap();
        assert_eq!(find("tool", Some(&path)).unwrap_err().code, 126);
        let good = file(two.path(), "tool", 0o755, "");
        assert_eq!(find("tool", Some(&path)), Ok(good));
        assert_eq!(find("other", Some(&path)).unwrap_err().code, 127);
        assert_eq!(find("", Some(&path)).unwrap_err().code, 127);
        assert_eq!(find("./x", Some(&path)), Ok("./x".into()));
    }

    #[test]
    fn a_missing_interpreter_is_told_from_a_missing_file() {
        let dir = tempfile::tempdir().unwrap();
        let crlf = explain(&file(dir.path(), "a", 0o755, "#!/bin/sh\r\necho\r\n"), Errno::ENOENT);
        assert_eq!((crlf.kind, crlf.code), ("bad-interpreter", 127));
        assert!(crlf.text.contains("\"/bin/sh\\r\"") && crlf.text.contains("CRLF"), "{}", crlf.text);
        let gone = explain(&file(dir.path(), "b", 0o755, "#! /no/perl -w\n"), Errno::ENOENT);
        assert!(gone.text.ends_with("names \"/no/perl\", which does not exist"), "{}", gone.text);
        assert_eq!(explain(&dir.path().join("c"), Errno::ENOENT).kind, "not-found");
        assert_eq!(explain(dir.path(), Errno::EACCES).text, format!("{}: is a directory", dir.path().display()));
        assert_eq!(explain(dir.path(), Errno::ENOEXEC).code, 126);
        assert_eq!(explain(dir.path(), Errno::ENOMEM).kind, "internal");
    }
}
