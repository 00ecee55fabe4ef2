//! The values of secrets that a submitter gives: read at submission, and again by whoever goes on with a run.

use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use dybox_job::Plan;
use dybox_model::{MOST_SECRET, SecretSource, format_bytes};
use dybox_store::SecretValues;

use crate::ClientError;
use dybox_store::look::words;

/// The value behind a reference, or why it can't be read; nothing where it is read elsewhere.
pub(crate) fn value(from: &SecretSource) -> Option<Result<Vec<u8>, String>> {
    let value = match from {
        SecretSource::Env(name) => {
            std::env::var_os(name).map(OsStringExt::into_vec).ok_or_else(|| "it is not set".to_owned())
        }
        SecretSource::File(path) => {
            let read = || {
                let mut bytes = Vec::new();
                fs::File::open(path)?.take(MOST_SECRET + 1).read_to_end(&mut bytes)?;
                Ok::<_, std::io::Error>(bytes)
            };
            read().map_err(|error| words(&error))
        }
        SecretSource::Hdfs(_) => return None,
    };
    Some(value.and_then(|value| match value.len() as u64 {
        0 => Err("it is empty".to_owned()),
        len if len > MOST_SECRET => Err(format!("it has more than {}", format_bytes(MOST_SECRET))),
        _ => Ok(value),
    }))
}

/// The values that a plan needs of its submitter. `before`: those that are there already count where a reference can't
/// be read any more.
pub(crate) fn read(plan: &Plan, before: &SecretValues) -> Result<SecretValues, ClientError> {
    let mut values = SecretValues::default();
    for (name, secret) in plan.secrets(None) {
        let Some(read) = value(&secret.from) else { continue };
        let value = match (read, before.get(name)) {
            (Ok(value), _) => value,
            (Err(_), Some(before)) => before.to_vec(),
            (Err(why), None) => {
                return Err(ClientError::Secret { name: name.to_owned(), from: secret.from.to_string(), why });
            }
        };
        values.set(name, value);
    }
    match values.bytes() {
        bytes if bytes > MOST_SECRET => {
            let why =
                format!("all together have {}, at most {} can be sent", format_bytes(bytes), format_bytes(MOST_SECRET));
            Err(ClientError::Secret { name: "*".to_owned(), from: "the secrets of the job".to_owned(), why })
        }
        _ => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_is_there_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let file = SecretSource::File(path.clone());
        assert_eq!(value(&file), Some(Err("no such file".to_owned())));
        fs::write(&path, b"a\xff\n").unwrap();
        assert_eq!(value(&file), Some(Ok(b"a\xff\n".to_vec())));
        fs::write(&path, b"").unwrap();
        assert_eq!(value(&file), Some(Err("it is empty".to_owned())));
        fs::write(&path, vec![0; MOST_SECRET as usize + 1]).unwrap();
        assert!(value(&file).unwrap().unwrap_err().contains("more than"));
        assert_eq!(value(&SecretSource::Env("DYBOX_NO_SUCH".to_owned())), Some(Err("it is not set".to_owned())));
        assert!(value(&SecretSource::Env("PATH".to_owned())).unwrap().is_ok());
        assert_eq!(value(&SecretSource::Hdfs("hdfs:///a/b".to_owned())), None);
    }
}
