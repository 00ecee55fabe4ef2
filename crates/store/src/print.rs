//! What lies at a place, told without being read: names, sizes and times.

use dybox_model::Millis;
use dybox_model::cache::Print;
use sha2::{Digest, Sha256};

use crate::{Store, StoreError};

/// More files are not looked at.
const MOST: usize = 100_000;

/// A file or directory of a store; nothing where there is none, or more than can be looked at. `of`: the path in the container and the place, as the job
/// file names them.
///
/// # Errors
/// The store's, where it does not answer or may not be read.
pub async fn print(store: &Store, name: &str, of: (&str, &str)) -> Result<Option<Print>, StoreError> {
    let Some(stat) = store.stat(name).await? else { return Ok(None) };
    let mut all = Vec::new();
    if stat.is_dir {
        let mut dirs = vec![String::new()];
        while let Some(dir) = dirs.pop() {
            for entry in store.list(&format!("{name}{dir}")).await? {
                let below = format!("{dir}/{}", entry.name);
                match entry.is_dir {
                    true => dirs.push(below),
                    false => all.push((below, entry.len, entry.mtime_ms)),
                }
            }
            if all.len() > MOST {
                return Ok(None);
            }
        }
        all.sort();
    } else {
        all.push((String::new(), stat.len, stat.mtime_ms));
    }
    Ok(Some(sum_up(&all, of)))
}

fn sum_up(all: &[(String, u64, u64)], (path, place): (&str, &str)) -> Print {
    let mut digest = Sha256::new();
    for (name, len, mtime) in all {
        digest.update(format!("{name}\0{len}\0{mtime}\0"));
    }
    Print {
        place: place.to_owned(),
        path: path.to_owned(),
        files: all.len() as u64,
        bytes: all.iter().map(|(_, len, _)| len).sum(),
        newest: Millis(all.iter().map(|(.., mtime)| *mtime).max().unwrap_or(0)),
        sum: hex::encode(&digest.finalize()[..12]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_a_size_and_a_time_tell_one_tree_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        let look = || async { print(&store, "t", ("/in", "./t")).await.unwrap() };
        assert_eq!(look().await, None);
        store.put("t/a", "one").await.unwrap();
        store.put("t/b/c", "two").await.unwrap();
        let first = look().await.unwrap();
        assert_eq!((first.files, first.bytes, first.place.as_str()), (2, 6, "./t"));
        assert_eq!(look().await.unwrap().sum, first.sum);
        store.rename("t/a", "t/d").await.unwrap();
        let renamed = look().await.unwrap();
        assert!(renamed.sum != first.sum && renamed.bytes == first.bytes);
        let file = std::fs::File::options().write(true).open(dir.path().join("t/d")).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_ne!(look().await.unwrap().sum, renamed.sum);
        assert_eq!(print(&store, "t/d", ("", "x")).await.unwrap().map(|one| one.bytes), Some(3));
    }
}
