//! A tar archive, unpacked below one path: nothing in it reaches anything else.
//!
//! Names are taken apart and may not climb; a link in the way is never followed; devices are passed over. Links are
//! made as they are: what they lead to is for whoever opens them.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

const BLOCK: usize = 512;
/// Longest extended header that is believed.
const LONGEST: u64 = 1 << 20;

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Where the archive is one link and nothing else: what it leads to.
    pub link: Option<String>,
    /// Names of what was passed over: devices, pipes.
    pub passed_over: Vec<String>,
}

/// One entry's header.
#[derive(Debug, Default)]
struct Entry {
    name: Vec<u8>,
    link: Vec<u8>,
    size: u64,
    mode: u32,
    kind: u8,
}

/// Unpacks the archive of one file or directory as `to`: the first part of every name in it is replaced by that path.
///
/// # Errors
/// It is no archive or is cut off; a name in it climbs; a file can't be written.
pub fn unpack(from: &mut impl Read, to: &Path) -> io::Result<Unpacked> {
    let mut done = Unpacked::default();
    let (mut dirs, mut entries): (Vec<(PathBuf, u32)>, u64) = (Vec::new(), 0);
    while let Some(entry) = next(from)? {
        entries += 1;
        let path = below(to, &entry.name)?;
        no_link_above(to, &path)?;
        match entry.kind {
            b'0' | 0 | b'7' => {
                done.bytes += write(from, &path, &entry)?;
                done.files += 1;
                continue;
            }
            b'5' => {
                make_dir(&path)?;
                dirs.push((path, entry.mode));
            }
            b'2' => {
                clear(&path)?;
                symlink(text(&entry.link), &path)?;
                done.link = Some(text(&entry.link));
            }
            b'1' => {
                let of = below(to, &entry.link)?;
                no_link_above(to, &of)?;
                clear(&path)?;
                fs::hard_link(of, &path)?;
                done.files += 1;
            }
            _ => done.passed_over.push(text(&entry.name)),
        }
        skip(from, entry.size)?;
    }
    // Last and from below: a directory may not be writable by its own mode.
    for (dir, mode) in dirs.into_iter().rev() {
        fs::set_permissions(dir, Permissions::from_mode(mode & 0o777))?;
    }
    done.link = done.link.filter(|_| entries == 1);
    Ok(done)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// The next entry that is no extension of the one after it; nothing at the end.
fn next(from: &mut impl Read) -> io::Result<Option<Entry>> {
    let mut more = BTreeMap::new();
    loop {
        let mut block = [0; BLOCK];
        from.read_exact(&mut block).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => bad("the archive is cut off"),
            _ => error,
        })?;
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let mut entry = header(&block)?;
        match entry.kind {
            b'x' => more.extend(records(&body(from, entry.size)?)?),
            b'g' => drop(body(from, entry.size)?),
            b'L' => drop(more.insert("path".to_owned(), cut(&body(from, entry.size)?).to_vec())),
            b'K' => drop(more.insert("linkpath".to_owned(), cut(&body(from, entry.size)?).to_vec())),
            _ => {
                entry.name = more.remove("path").unwrap_or(entry.name);
                entry.link = more.remove("linkpath").unwrap_or(entry.link);
                if let Some(size) = more.remove("size") {
                    entry.size = text(&size).parse().map_err(|_| bad("a size that is no number"))?;
                }
                // Links and directories have no content, whatever their header says.
                if matches!(entry.kind, b'1' | b'2' | b'5') {
                    entry.size = 0;
                }
                return Ok(Some(entry));
            }
        }
    }
}

fn header(block: &[u8; BLOCK]) -> io::Result<Entry> {
    let sum: u64 =
        block.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u64::from(byte) }).sum();
    if number(&block[148..156]).ok() != Some(sum) {
        return Err(bad("a header of the archive is damaged"));
    }
    let mut name = cut(&block[..100]).to_vec();
    let prefix = cut(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    let mode = u32::try_from(number(&block[100..108])? & 0o777).unwrap_or(0);
    let (size, link) = (number(&block[124..136])?, cut(&block[157..257]).to_vec());
    Ok(Entry { name, link, size, mode, kind: block[156] })
}

/// Up to the first zero.
fn cut(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Octal digits, or base 256 where the first bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let low = field[field.len() - 8..].try_into().map(u64::from_be_bytes);
        return low.map_err(|_| bad("a number that is too short"));
    }
    let digits = text(cut(field));
    let digits = digits.trim();
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| bad("a number that is none")) }
}

/// `LENGTH KEY=VALUE\n`, again and again.
fn records(mut bytes: &[u8]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut all = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|&byte| byte == b' ').ok_or_else(|| bad("a record without a length"))?;
        let len: usize = text(&bytes[..space]).parse().map_err(|_| bad("a record without a length"))?;
        let record = bytes.get(space + 1..len.saturating_sub(1)).ok_or_else(|| bad("a record that is cut off"))?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(|| bad("a record without a value"))?;
        all.insert(text(&record[..equals]), record[equals + 1..].to_vec());
        bytes = bytes.get(len..).ok_or_else(|| bad("a record that is cut off"))?;
    }
    Ok(all)
}

fn body(from: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    if size > LONGEST {
        return Err(bad("an extended header of more than 1 MiB"));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    from.read_exact(&mut bytes)?;
    skip_padding(from, size)?;
    Ok(bytes)
}

fn skip(from: &mut impl Read, size: u64) -> io::Result<()> {
    if io::copy(&mut from.take(size), &mut io::sink())? < size {
        return Err(bad("the archive is cut off"));
    }
    skip_padding(from, size)
}

fn skip_padding(from: &mut impl Read, size: u64) -> io::Result<()> {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    let padding = if over == 0 { 0 } else { BLOCK - over };
    from.read_exact(&mut [0; BLOCK][..padding])
}

/// The path of an entry: `to`, then all parts of its name but the first.
fn below(to: &Path, name: &[u8]) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let name = Path::new(std::ffi::OsStr::from_bytes(name));
    let mut path = to.to_owned();
    let parts = name.components().filter(|part| !matches!(part, Component::CurDir | Component::RootDir));
    for part in parts.clone().skip(1) {
        match part {
            Component::Normal(part) => path.push(part),
            _ => return Err(bad(format!("{} climbs out of the archive", name.display()))),
        }
    }
    match parts.clone().next() {
        Some(Component::Normal(_)) => Ok(path),
        None if name.has_root() || name.as_os_str() == "." || name.as_os_str() == "./" => Ok(path),
        _ => Err(bad(format!("{} climbs out of the archive", name.display()))),
    }
}

/// Whether every directory between `to` and a path below it is one, and no link to one.
fn no_link_above(to: &Path, path: &Path) -> io::Result<()> {
    let mut dir = path;
    while let Some(parent) = dir.parent().filter(|_| dir != to) {
        match fs::symlink_metadata(parent) {
            Ok(facts) if !facts.is_dir() => {
                return Err(bad(format!(
                    "{} leads through {}, which is no directory",
                    path.display(),
                    parent.display()
                )));
            }
            _ => dir = parent,
        }
        if parent == to {
            break;
        }
    }
    Ok(())
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => Ok(()),
        Ok(_) => Err(bad(format!("{} exists and is no directory", path.display()))),
        Err(_) => DirBuilder::new().mode(0o700).create(path),
    }
}

/// Takes away what is at a path, where it is no directory.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => Err(bad(format!("{} exists and is a directory", path.display()))),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// Writes one file; a part of one does not stay.
fn write(from: &mut impl Read, path: &Path, entry: &Entry) -> io::Result<u64> {
    clear(path)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = io::copy(&mut from.take(entry.size), &mut file).and_then(|bytes| {
        if bytes < entry.size {
            return Err(bad("the archive is cut off"));
        }
        file.flush()?;
        file.set_permissions(Permissions::from_mode(entry.mode))?;
        skip_padding(from, entry.size)?;
        Ok(bytes)
    });
    if written.is_err() {
        // The failure itself is what counts.
        let _ = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests;
