//! The directory of an authority: made once, and asked again for each node that comes later.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dybox_wire::roster::{Authority, Badge, identity_text};

use crate::conf::StateError;

/// Makes what is missing in `dir`: the authority (`ca.pem`, `ca.key`), the certificates of servers (`server.pem`),
/// readers (`reader.pem`), users' masters (`master.pem`) and operators (`operator.pem`), and one for the agent of each of
/// `hosts` (`node-HOST.pem`).
/// Returns what was made.
///
/// # Errors
/// [`StateError`]; what was made before stays.
pub fn init(dir: &Path, hosts: &[String]) -> Result<Vec<PathBuf>, StateError> {
    fs::create_dir_all(dir).map_err(|source| StateError::File { what: "make", path: dir.to_owned(), source })?;
    let mut made = Vec::new();
    let authority = authority(dir, &mut made)?;
    let fixed = [Badge::Server, Badge::Reader, Badge::Master, Badge::Operator];
    let fixed = ["server", "reader", "master", "operator"].map(str::to_owned).into_iter().zip(fixed);
    let nodes = hosts.iter().map(|host| (format!("node-{host}"), Badge::Agent(host.clone())));
    for (name, badge) in fixed.chain(nodes) {
        let path = dir.join(format!("{name}.pem"));
        if !path.exists() {
            let text = identity_text(&authority.issue(&badge)?);
            write(&path, &text, 0o600)?;
            made.push(path);
        }
    }
    Ok(made)
}

fn authority(dir: &Path, made: &mut Vec<PathBuf>) -> Result<Authority, StateError> {
    let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    if cert.exists() || key.exists() {
        return Ok(Authority::of(read(&cert)?, read(&key)?));
    }
    let authority = Authority::make()?;
    write(&key, authority.key(), 0o600)?;
    write(&cert, authority.cert(), 0o644)?;
    made.extend([cert, key]);
    Ok(authority)
}

pub(crate) fn read(path: &Path) -> Result<String, StateError> {
    fs::read_to_string(path).map_err(|source| StateError::File { what: "read", path: path.to_owned(), source })
}

/// Whole or not at all: a half key would be believed at the next start.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), StateError> {
    let half = path.with_extension("half");
    let written = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&half)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&half, path)
    };
    written().map_err(|source| StateError::File { what: "write", path: path.to_owned(), source })
}
