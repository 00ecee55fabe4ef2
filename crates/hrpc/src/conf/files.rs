//! Site files with what they include, from the directories where they may lie.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::xml::{self, Item};
use super::{ConfError, Source};

/// In the order in which Hadoop reads them.
const SITES: [&str; 3] = ["core-site.xml", "hdfs-site.xml", "yarn-site.xml"];
const DEEPEST: usize = 8;
const MOST_FILES: usize = 100;
const LARGEST: u64 = 8 << 20;

/// One property of a file.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) key: String,
    pub(super) text: String,
    pub(super) is_final: bool,
    pub(super) source: Source,
}

/// What the site files say, in order, and which files these are.
#[derive(Debug, Default)]
pub(super) struct Sites {
    pub(super) said: Vec<Said>,
    pub(super) files: Vec<PathBuf>,
    read: usize,
}

/// Where to look, after the environment: the directories, and what to say when nothing is there.
pub(super) fn directories(env: &dyn Fn(&str) -> Option<String>) -> (Vec<PathBuf>, String) {
    let set = |name: &str| env(name).filter(|value| !value.trim().is_empty()).map(PathBuf::from);
    let mut dirs: Vec<PathBuf> = ["HADOOP_CONF_DIR", "YARN_CONF_DIR"].into_iter().filter_map(set).collect();
    dirs.dedup();
    if dirs.is_empty() {
        dirs.extend(set("HADOOP_HOME").map(|home| home.join("etc/hadoop")));
    }
    (dirs, "none of HADOOP_CONF_DIR, YARN_CONF_DIR and HADOOP_HOME is set".to_owned())
}

/// Reads every site file from the first directory that holds it.
pub(super) fn load(dirs: &[PathBuf]) -> Result<Sites, ConfError> {
    let mut sites = Sites::default();
    for name in SITES {
        for path in dirs.iter().map(|dir| dir.join(name)) {
            if sites.take(&path, 0)? {
                sites.files.push(path);
                break;
            }
        }
    }
    if sites.files.is_empty() {
        let looked: Vec<_> = dirs
            .iter()
            .map(|dir| {
                let there = if dir.is_dir() { "holds none of" } else { "is no directory, so there is no" };
                format!("{} {there} {}", dir.display(), SITES.join(", "))
            })
            .collect();
        return Err(ConfError::NotFound { looked: looked.join("; ") });
    }
    Ok(sites)
}

impl Sites {
    /// Takes in one file; `false` when it is not there.
    fn take(&mut self, path: &Path, depth: usize) -> Result<bool, ConfError> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            Err(source) => return Err(ConfError::Unreadable { path: path.to_owned(), source }),
        };
        self.read += 1;
        let items = xml::read(&text).map_err(|bad| ConfError::Broken {
            path: path.to_owned(),
            line: bad.line,
            column: bad.column,
            what: bad.what,
        })?;
        self.add(path, items, depth)?;
        Ok(true)
    }

    fn add(&mut self, path: &Path, items: Vec<Item>, depth: usize) -> Result<(), ConfError> {
        for item in items {
            match item {
                Item::Property { key, text, is_final, line } => {
                    self.said.push(Said { key, text, is_final, source: Source::File { path: path.to_owned(), line } });
                }
                Item::Include { href, otherwise, line } => self.include((path, line), &href, otherwise, depth)?,
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        (path, line): (&Path, u32),
        href: &str,
        otherwise: Option<Vec<Item>>,
        depth: usize,
    ) -> Result<(), ConfError> {
        let broken = |what: String| ConfError::Broken { path: path.to_owned(), line, column: 1, what };
        if depth >= DEEPEST || self.read >= MOST_FILES {
            return Err(broken(format!("the include of {href} goes on and on: do files include each other?")));
        }
        let wanted = href.strip_prefix("file://").or_else(|| href.strip_prefix("file:")).unwrap_or(href);
        if wanted.contains("://") {
            return Err(broken(format!("the include of {href}: only files can be included")));
        }
        let wanted = path.parent().unwrap_or(Path::new(".")).join(wanted);
        if self.take(&wanted, depth + 1)? {
            return Ok(());
        }
        match otherwise {
            Some(items) => self.add(path, items, depth + 1),
            None => Err(broken(format!("the included file {} is not there", wanted.display()))),
        }
    }
}

/// A regular file's text, within a bound.
fn read(path: &Path) -> io::Result<String> {
    let facts = fs::metadata(path)?;
    let unfit = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what.to_owned()));
    if !facts.is_file() {
        return unfit("it is no regular file");
    }
    if facts.len() > LARGEST {
        return unfit("it is larger than 8 MiB");
    }
    String::from_utf8(fs::read(path)?).or_else(|_| unfit("it is not UTF-8"))
}
