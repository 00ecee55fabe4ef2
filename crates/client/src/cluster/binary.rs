//! This program in HDFS: put there once, named by its digest, so that nodes that have it keep it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dybox_store::bundle::Binary;
use dybox_store::{Store, StoreError, layout};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ClientError;

/// Bits that everybody needs to run it.
const MODE: u32 = 0o755;
/// Programs whose digests are remembered: a person may have a few of them.
const REMEMBERED: usize = 8;

/// A digest that was computed before, and of which file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    path: PathBuf,
    len: u64,
    /// Of change, in nanoseconds: a build within one second makes another file.
    mtime_ns: i64,
    inode: u64,
    sha256: String,
}

/// Sees to it that the program at `path` lies in the store. `cache`: a directory where its digest is remembered.
///
/// # Errors
/// The program can't be read, or the store's.
pub(crate) async fn there(store: &Store, path: &Path, cache: Option<&Path>) -> Result<Binary, ClientError> {
    let name = name_of(path.to_owned(), cache.map(Path::to_owned)).await?;
    if let Some(binary) = look(store, &name).await? {
        return Ok(binary);
    }
    store.prepare().await?;
    store.put_file(&name, path, MODE).await?;
    look(store, &name)
        .await?
        .ok_or_else(|| StoreError::unreachable("find", store.url(&name), "it is gone again").into())
}

/// The program as it lies in the store, where it does. Uploads nothing.
pub(crate) async fn look(store: &Store, name: &str) -> Result<Option<Binary>, ClientError> {
    let (stat, public) = tokio::join!(store.stat(name), store.is_public(name));
    let Some(stat) = stat? else { return Ok(None) };
    // Whether strangers may read it decides who shares the nodes' copies, not whether it works.
    let public = public.unwrap_or(false);
    Ok(Some(Binary { url: store.url(name), len: stat.len, mtime_ms: stat.mtime_ms, public }))
}

/// The name in the store of the program at `path`.
pub(crate) async fn name_of(path: PathBuf, cache: Option<PathBuf>) -> Result<String, ClientError> {
    let unread = |source| ClientError::System { what: "read this program's own file", source };
    let digest = tokio::task::spawn_blocking(move || digest(&path, cache.as_deref()));
    let digest = digest.await.map_err(|join| unread(io::Error::other(join)))?.map_err(unread)?;
    Ok(layout::binary(&digest))
}

fn digest(path: &Path, cache: Option<&Path>) -> io::Result<String> {
    let facts = fs::metadata(path)?;
    let memory = cache.map(|dir| dir.join("binary.json"));
    let mut all = memory.as_deref().and_then(remembered).unwrap_or_default();
    if let Some(known) = all.iter().find(|known| known.fits(path, &facts)) {
        return Ok(known.sha256.clone());
    }
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    let known = Known::of(path, &facts, hex::encode(hash.finalize()));
    let sha256 = known.sha256.clone();
    all.retain(|other| other.path != known.path);
    all.insert(0, known);
    all.truncate(REMEMBERED);
    // Without it the next submission computes it again.
    let _ = memory.map_or(Ok(()), |memory| remember(&memory, &all));
    Ok(sha256)
}

impl Known {
    fn of(path: &Path, facts: &Metadata, sha256: String) -> Self {
        let mtime_ns = facts.mtime().saturating_mul(1_000_000_000).saturating_add(facts.mtime_nsec());
        Self { path: path.to_owned(), len: facts.len(), mtime_ns, inode: facts.ino(), sha256 }
    }

    fn fits(&self, path: &Path, facts: &Metadata) -> bool {
        *self == Self::of(path, facts, self.sha256.clone()) && self.sha256.len() == 2 * Sha256::output_size()
    }
}

/// The newest first.
fn remembered(memory: &Path) -> Option<Vec<Known>> {
    serde_json::from_slice(&fs::read(memory).ok()?).ok()
}

/// In one step: two clients may remember at once.
fn remember(memory: &Path, all: &[Known]) -> io::Result<()> {
    let dir = memory.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let staged = dir.join(format!(".binary-{}", std::process::id()));
    let mut file = File::create(&staged)?;
    file.write_all(&serde_json::to_vec(all)?)?;
    fs::rename(&staged, memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_named_by_its_content_and_put_once() {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("dybox"), dir.path().join("cache"));
        fs::write(&path, "one").unwrap();
        let store = Store::open_dir(dir.path().join("store"));
        let first = there(&store, &path, Some(&cache)).await.unwrap();
        let again = there(&store, &path, Some(&cache)).await.unwrap();
        assert_eq!(first, again);
        fs::write(&path, "two").unwrap();
        let other = there(&store, &path, Some(&cache)).await.unwrap();
        assert_ne!(first.url, other.url);
        assert_eq!(store.list("bin").await.unwrap().len(), 2);
    }

    #[test]
    fn a_remembered_digest_counts_for_the_same_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("dybox"), dir.path().join("cache"));
        fs::write(&path, "one").unwrap();
        let one = digest(&path, Some(&cache)).unwrap();
        assert_eq!(one, digest(&path, None).unwrap());
        assert_eq!(one, digest(&path, Some(&cache)).unwrap());
        fs::write(cache.join("binary.json"), "{").unwrap();
        assert_eq!(one, digest(&path, Some(&cache)).unwrap());
    }

    #[test]
    fn a_few_programs_are_remembered_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let path = |n: usize| dir.path().join(format!("dybox-{n}"));
        for n in 0..REMEMBERED + 2 {
            fs::write(path(n), n.to_string()).unwrap();
            digest(&path(n), Some(&cache)).unwrap();
        }
        let known = || remembered(&cache.join("binary.json")).unwrap().into_iter().map(|known| known.path);
        assert!(known().eq((2..REMEMBERED + 2).rev().map(path)), "the oldest are forgotten");
        // One that changed takes its own place.
        fs::write(path(3), "new").unwrap();
        digest(&path(3), Some(&cache)).unwrap();
        assert_eq!(known().filter(|other| *other == path(3)).count(), 1);
        assert_eq!(known().count(), REMEMBERED);
    }
}
