//! Files and directories on their way into a task and out of it: copied whole, with their sum, and shown under their name
//! in one step.
//!
//! No symbolic link of this machine is ever followed: what a payload leaves must not make us read or write elsewhere.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use crate::dir::off_loop;
use crate::{Store, StoreError};

/// Bytes that are read and written at once.
const PIECE: usize = 1 << 20;
/// Deeper, something is wrong.
const DEEPEST: usize = 64;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Copied {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// CRC-32C over all of them: of one file that of its content, of a directory over names and contents in order.
    pub crc32c: u32,
}

/// A file of a tree: its name below the root (empty for a root that is a file itself), and its bytes.
pub type Leaf = (PathBuf, u64);

/// All regular files at or below a path of this machine, in order.
///
/// # Errors
/// Something there is neither a file nor a directory, or can't be read.
pub fn leaves(root: &Path) -> Result<Vec<Leaf>, StoreError> {
    let mut all = Vec::new();
    walk(root, Path::new(""), &mut all)?;
    all.sort();
    Ok(all)
}

fn walk(root: &Path, below: &Path, all: &mut Vec<Leaf>) -> Result<(), StoreError> {
    let path = if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) };
    let failed = |error| StoreError::new("read", path.display(), error);
    let meta = fs::symlink_metadata(&path).map_err(failed)?;
    if meta.is_file() {
        all.push((below.to_owned(), meta.len()));
        return Ok(());
    }
    if !meta.is_dir() || below.components().count() > DEEPEST {
        let why = if meta.is_dir() { "it is too deep" } else { "it is neither a file nor a directory" };
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
    }
    for entry in fs::read_dir(&path).map_err(failed)? {
        walk(root, &below.join(entry.map_err(failed)?.file_name()), all)?;
    }
    Ok(())
}

/// Copies a file or directory of this machine to a place where nothing is yet.
///
/// # Errors
/// What can't be read or written.
pub async fn copy(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    off_loop("copy", &from.clone(), move || copy_tree(&from, &to)).await
}

fn copy_tree(from: &Path, to: &Path) -> Result<Copied, StoreError> {
    let mut copied = Copied::default();
    if fs::symlink_metadata(from).is_ok_and(|meta| meta.is_dir()) {
        make(to)?;
    }
    for (name, _) in leaves(from)? {
        let (source, target) = (at(from, &name), at(to, &name));
        if let Some(dir) = target.parent() {
            make(dir)?;
        }
        copied.begin(&name);
        let mut reader = open(&source)?;
        let mut writer = create(&target)?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = reader.read(&mut piece).map_err(|error| StoreError::new("read", source.display(), error))?;
            if read == 0 {
                break;
            }
            copied.add(&piece[..read]);
            writer.write_all(&piece[..read]).map_err(|error| StoreError::new("write", target.display(), error))?;
        }
    }
    Ok(copied)
}

/// Copies a file or directory of a store to a place of this machine where nothing is yet. `sizes` is told all bytes before the
/// first is read, and may refuse; `progress` the bytes so far and in all.
///
/// # Errors
/// It is missing, or can't be read or written.
pub async fn fetch(
    store: &Store,
    name: &str,
    to: &Path,
    sizes: impl Fn(u64) -> Result<(), StoreError>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Copied, StoreError> {
    let all = far_leaves(store, name).await?;
    let total = all.iter().map(|(_, len)| len).sum();
    sizes(total)?;
    let mut copied = Copied::default();
    let is_file = all.len() == 1 && all[0].0.as_os_str().is_empty();
    if !is_file {
        make(to)?;
    }
    for (below, len) in &all {
        let (source, target) = (far_at(name, below), at(to, below));
        if let Some(dir) = target.parent() {
            make(dir)?;
        }
        copied.begin(below);
        let (reader, mut writer) = (store.open(&source).await?, create(&target)?);
        let mut offset = 0;
        while offset < *len {
            let piece = reader.read_at(offset, PIECE).await?;
            if piece.is_empty() {
                let why = io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read");
                return Err(StoreError::new("read", store.url(&source), why));
            }
            offset += piece.len() as u64;
            copied.add(&piece);
            writer.write_all(&piece).map_err(|error| StoreError::new("write", target.display(), error))?;
            progress(copied.bytes, total);
        }
    }
    Ok(copied)
}

/// All files at or below a name of the store, in order.
async fn far_leaves(store: &Store, name: &str) -> Result<Vec<Leaf>, StoreError> {
    let missing = || StoreError::new("read", store.url(name), io::ErrorKind::NotFound.into());
    let stat = store.stat(name).await?.ok_or_else(missing)?;
    if !stat.is_dir {
        return Ok(vec![(PathBuf::new(), stat.len)]);
    }
    let (mut all, mut dirs) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(dir) = dirs.pop() {
        for entry in store.list(&far_at(name, &dir)).await? {
            let below = dir.join(&entry.name);
            match entry.is_dir {
                true => dirs.push(below),
                false => all.push((below, entry.len)),
            }
        }
    }
    all.sort();
    Ok(all)
}

/// Puts a file or directory of this machine into a store: copied beside its name under one that `tag` makes its own, then
/// renamed. What is there under its name is replaced; what an earlier try with this tag left goes.
///
/// # Errors
/// It can't be read or written; nothing is there under its name then but what was there before.
pub async fn put(from: &Path, store: &Store, name: &str, tag: &str) -> Result<Copied, StoreError> {
    let (dir, base) = name.rsplit_once('/').map_or(("", name), |(dir, base)| (dir, base));
    let beside = |what: &str| format!("{}{what}", if dir.is_empty() { String::new() } else { format!("{dir}/") });
    let (staged, old) = (beside(&format!(".{base}.{tag}")), beside(&format!(".{base}.{tag}.old")));
    store.remove_tree(&staged).await?;
    let done = put_all(from, store, &staged).await;
    let copied = match done {
        Ok(copied) => copied,
        Err(error) => {
            let _ = store.remove_tree(&staged).await;
            return Err(error);
        }
    };
    if store.stat(name).await?.is_some_and(|stat| stat.is_dir) {
        store.remove_tree(&old).await?;
        store.rename(name, &old).await?;
    }
    store.rename(&staged, name).await?;
    store.remove_tree(&old).await?;
    Ok(copied)
}

async fn put_all(from: &Path, store: &Store, staged: &str) -> Result<Copied, StoreError> {
    let root = from.to_owned();
    let all = off_loop("read", from, move || leaves(&root)).await?;
    let mut copied = Copied::default();
    if fs::symlink_metadata(from).is_ok_and(|meta| meta.is_dir()) {
        store.make_dir(staged, 0o755).await?;
    }
    for (below, _) in &all {
        let source = at(from, below);
        copied.begin(below);
        let sum = source.clone();
        let (bytes, crc) = off_loop("read", &source, move || sum_of(&sum, copied.crc32c)).await?;
        (copied.bytes, copied.crc32c) = (copied.bytes + bytes, crc);
        store.put_file(&far_at(staged, below), &source, 0o644).await?;
    }
    Ok(copied)
}

fn sum_of(path: &Path, mut crc: u32) -> Result<(u64, u32), StoreError> {
    let (mut file, mut piece, mut bytes) = (open(path)?, vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece).map_err(|error| StoreError::new("read", path.display(), error))? {
            0 => return Ok((bytes, crc)),
            read => {
                crc = crc32c::crc32c_append(crc, &piece[..read]);
                bytes += read as u64;
            }
        }
    }
}

impl Copied {
    fn begin(&mut self, name: &Path) {
        self.files += 1;
        self.crc32c = crc32c::crc32c_append(self.crc32c, name.as_os_str().as_encoded_bytes());
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
    }
}

fn at(root: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { root.to_owned() } else { root.join(below) }
}

fn far_at(name: &str, below: &Path) -> String {
    if below.as_os_str().is_empty() { name.to_owned() } else { format!("{name}/{}", below.display()) }
}

/// A directory that others may read, with those above it.
fn make(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o755)))
        .map_err(|error| StoreError::new("create the directory", dir.display(), error))
}

fn open(path: &Path) -> Result<File, StoreError> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    opened.map_err(|error| StoreError::new("read", path.display(), error))
}

fn create(path: &Path) -> Result<File, StoreError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
    let made = made.and_then(|file| file.set_permissions(Permissions::from_mode(0o644)).map(|()| file));
    made.map_err(|error| StoreError::new("write", path.display(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path) -> PathBuf {
        let root = dir.join("tree");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(root.join("a"), "one").unwrap();
        fs::write(root.join("sub/b"), "three").unwrap();
        root
    }

    #[tokio::test]
    async fn a_tree_goes_out_and_comes_in_with_the_same_sum() {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (tree(dir.path()), Store::open_dir(dir.path().join("store")));
        let out = put(&root, &store, "x/data", "t1").await.unwrap();
        assert_eq!((out.files, out.bytes), (2, 8));
        let back = dir.path().join("back");
        let come = fetch(&store, "x/data", &back, |_| Ok(()), |_, _| ()).await.unwrap();
        assert_eq!((come, fs::read_to_string(back.join("sub/b")).unwrap().as_str()), (out, "three"));
        assert_eq!(copy(&root, &dir.path().join("copied")).await.unwrap(), out);
        // Replaced whole, and nothing else is left there.
        fs::remove_file(root.join("a")).unwrap();
        put(&root, &store, "x/data", "t2").await.unwrap();
        assert_eq!(store.list("x/data").await.unwrap().len(), 1);
        assert_eq!(fs::read_dir(dir.path().join("store/x")).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn one_file_has_the_sum_of_its_content_and_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, store) = (dir.path().join("f"), Store::open_dir(dir.path().join("store")));
        for text in ["old", "new one"] {
            fs::write(&file, text).unwrap();
            let put = put(&file, &store, "f", "t").await.unwrap();
            assert_eq!((put.bytes, put.crc32c), (text.len() as u64, crc32c::crc32c(text.as_bytes())));
            assert_eq!(store.get("f").await.unwrap(), text.as_bytes());
        }
    }

    #[tokio::test]
    async fn no_link_is_followed_and_what_is_missing_or_too_large_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let root = tree(dir.path());
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        let store = Store::open_dir(dir.path().join("store"));
        assert!(put(&root, &store, "d", "t").await.is_err() && !store.exists("d").await.unwrap());
        assert!(copy(&root, &dir.path().join("c")).await.is_err());
        let gone = fetch(&store, "none", &dir.path().join("n"), |_| Ok(()), |_, _| ()).await.unwrap_err();
        assert!(gone.is_missing());
        store.put("f", "12345").await.unwrap();
        let full = |bytes: u64| Err(StoreError::new("x", bytes, io::ErrorKind::StorageFull.into()));
        let no = fetch(&store, "f", &dir.path().join("f"), full, |_, _| ()).await.unwrap_err();
        assert!(no.to_string().contains('5') && !dir.path().join("f").exists());
    }
}
