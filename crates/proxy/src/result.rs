//! What a task left at `$DYBOX_RESULT`. The payload owns the directory, so nothing in it is trusted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dybox_model::{Cause, Exit, LONGEST_ANSWER};
use dybox_redact::Words;
use nix::fcntl::OFlag;
use serde_json::Value;

use crate::files::Files;

/// Most bytes of a result.
const MOST: u64 = 64 << 10;
/// Most bytes of init's verdict.
const VERDICT_MOST: u64 = 64 << 10;

/// What was found at `$DYBOX_RESULT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum ResultFile {
    /// Nothing.
    #[default]
    Absent,
    /// JSON text on one line.
    Json(String),
    /// Something that is not a result, and why.
    Bad(String),
}

impl ResultFile {
    /// Puts the result into the end; a bad one makes a failure of a success, and leaves a failure as it is.
    pub(crate) fn put_into(self, exit: &mut Exit) {
        match self {
            Self::Absent => {}
            Self::Json(text) => exit.result = Some(text),
            Self::Bad(why) if exit.cause.is_none() => {
                exit.cause = Some(Cause::BadResult);
                exit.text = why;
            }
            Self::Bad(_) => {}
        }
    }
}

/// Reads what an attempt left: its result, or the answer of a hook.
pub(crate) fn read_result(files: &Files, words: &Words) -> ResultFile {
    if files.are_of_hook() { read_answer(&files.result()) } else { read(&files.result(), words) }
}

/// An answer to the last byte, as a JSON string: what is wrong with it is told with its place.
fn read_answer(path: &Path) -> ResultFile {
    match read_plain(path, LONGEST_ANSWER as u64) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ResultFile::Absent,
        Err(error) => ResultFile::Bad(format!("can't read its answer: {error}")),
        Ok(None) => ResultFile::Bad(format!("its answer is longer than {} KiB", LONGEST_ANSWER >> 10)),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => ResultFile::Json(Value::String(text).to_string()),
            Err(_) => ResultFile::Bad("its answer is not UTF-8 text".to_owned()),
        },
    }
}

/// The result: JSON text as it is, other text as a JSON string, without the words.
fn read(path: &Path, words: &Words) -> ResultFile {
    match read_plain(path, MOST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ResultFile::Absent,
        Err(error) => ResultFile::Bad(format!("can't read the result: {error}")),
        Ok(None) => ResultFile::Bad(format!("the result has more than {} KiB", MOST >> 10)),
        Ok(Some(bytes)) if bytes.is_empty() => ResultFile::Absent,
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) if words.is_empty() => ResultFile::Json(as_json(&text)),
            Ok(text) => ResultFile::Json(without(&as_json(&words.text(&text)), words)),
            Err(_) => ResultFile::Bad("the result is not UTF-8 text".to_owned()),
        },
    }
}

fn as_json(text: &str) -> String {
    let text = text.trim();
    match serde_json::from_str::<Value>(text) {
        // Said again on one line, for it travels in tables and logs.
        Ok(value) => value.to_string(),
        Err(_) => Value::String(text.to_owned()).to_string(),
    }
}

/// The same with nothing of the words in its texts, which JSON may have written in other letters.
fn without(json: &str, words: &Words) -> String {
    fn walk(value: &mut Value, words: &Words) {
        match value {
            Value::String(text) => *text = words.text(text),
            Value::Array(list) => list.iter_mut().for_each(|value| walk(value, words)),
            Value::Object(map) => {
                let old = std::mem::take(map);
                for (key, mut value) in old {
                    walk(&mut value, words);
                    map.insert(words.text(&key), value);
                }
            }
            _ => {}
        }
    }
    let Ok(mut value) = serde_json::from_str(json) else { return String::new() };
    walk(&mut value, words);
    value.to_string()
}

/// Reads init's verdict; nothing where it is not there.
pub(crate) fn read_verdict(path: &Path) -> io::Result<Option<String>> {
    match read_plain(path, VERDICT_MOST) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(None) => Err(io::Error::new(io::ErrorKind::InvalidData, "too large")),
        Ok(Some(bytes)) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

/// A regular file of at most `most` bytes; nothing where it is larger. No links are followed, and no pipe blocks.
fn read_plain(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file: File = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> ResultFile {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        std::fs::write(&path, bytes).unwrap();
        read(&path, &Words::default())
    }

    #[test]
    fn json_stays_json_and_other_text_becomes_a_string() {
        assert_eq!(of(b"{\"b\": 1,\n \"a\": [2]}\n"), ResultFile::Json("{\"b\":1,\"a\":[2]}".to_owned()));
        assert_eq!(of(b"12\n"), ResultFile::Json("12".to_owned()));
        assert_eq!(of(b"two words\n"), ResultFile::Json("\"two words\"".to_owned()));
        assert_eq!(of(b""), ResultFile::Absent);
    }

    #[test]
    fn secrets_are_not_in_a_result_however_it_is_written() {
        let words = Words::of([b"pa\"ss".as_slice(), b"12345678"]);
        let of = |text: &str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("result");
            std::fs::write(&path, text).unwrap();
            read(&path, &words)
        };
        assert_eq!(
            of(r#"{"a": ["x pa\"ss"], "pa\u0022ss": 1}"#),
            ResultFile::Json(r#"{"a":["x ***"],"***":1}"#.to_owned())
        );
        assert_eq!(of("12345678"), ResultFile::Json("\"***\"".to_owned()));
        assert_eq!(of("pa\"ss"), ResultFile::Json("\"***\"".to_owned()));
        assert_eq!(of("{\"rows\": 8}"), ResultFile::Json("{\"rows\":8}".to_owned()));
    }

    #[test]
    fn what_is_too_large_or_no_text_is_bad() {
        assert!(matches!(of(&vec![b'x'; 64 << 10]), ResultFile::Json(_)));
        assert!(matches!(of(&vec![b'x'; (64 << 10) + 1]), ResultFile::Bad(_)));
        assert!(matches!(of(&[0xff, 0xfe]), ResultFile::Bad(_)));
    }

    #[test]
    fn a_bad_result_fails_a_success_alone() {
        let mut exit = Exit { cause: None, ..Exit::not_started(Cause::Internal, "", dybox_model::Millis(0)) };
        ResultFile::Bad("too large".to_owned()).put_into(&mut exit);
        assert_eq!(exit.cause, Some(Cause::BadResult));
        exit.cause = Some(Cause::ExitCode);
        ResultFile::Bad("too large".to_owned()).put_into(&mut exit);
        assert_eq!(exit.cause, Some(Cause::ExitCode));
    }

    #[test]
    fn links_directories_and_pipes_are_no_results() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(read(&at("none"), &Words::default()), ResultFile::Absent);
        std::os::unix::fs::symlink("/etc/passwd", at("link")).unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["link", "dir", "pipe"] {
            assert!(matches!(read(&at(name), &Words::default()), ResultFile::Bad(_)), "{name}");
        }
    }

    #[test]
    fn an_answer_of_a_hook_is_kept_to_the_last_byte() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::under(&dir.path().join("a"));
        files.make(None).unwrap();
        let said = |spec: &str, text: &[u8]| {
            files.give("spec", spec, 0o644).unwrap();
            std::fs::write(files.result(), text).unwrap();
            read_result(&files, &Words::default())
        };
        let (hook, task) = ("argv.0 a\ngrace_ms 1\nhook yes\n", "argv.0 a\\nhook yes\ngrace_ms 1\n");
        assert_eq!(said(hook, b"{ }\n"), ResultFile::Json("\"{ }\\n\"".to_owned()));
        assert_eq!(said(task, b"{ }\n"), ResultFile::Json("{}".to_owned()), "a word is no line");
        let long = vec![b' '; LONGEST_ANSWER];
        assert!(matches!(said(hook, &long), ResultFile::Json(_)));
        assert!(matches!(said(task, &long), ResultFile::Bad(_)));
        let bad = |text: &[u8]| match said(hook, text) {
            ResultFile::Bad(why) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(bad(&[long, vec![b' ']].concat()), "its answer is longer than 1024 KiB");
        assert_eq!(bad(b"\xff"), "its answer is not UTF-8 text");
    }
}
