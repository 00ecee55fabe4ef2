//! Unix sockets in a directory, however long its path is.
//!
//! A socket's address holds 108 bytes, a run directory's path may hold more: both ends go through the directory's
//! file descriptor, `/proc/self/fd/N/name`.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use tokio::net::{UnixListener, UnixStream};

use crate::error::WireError;

/// A directory, kept open for as long as its sockets are dealt with.
struct Place {
    dir: File,
    path: PathBuf,
    name: String,
}

impl Place {
    fn open(dir: &Path, name: &str) -> Result<Self, WireError> {
        let path = dir.join(name);
        let dir = File::open(dir).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => WireError::NobodyThere { path: path.clone(), source },
            _ => WireError::Socket { what: "open the directory of", path: path.clone(), source },
        })?;
        Ok(Self { dir, path, name: name.to_owned() })
    }

    fn address(&self) -> String {
        format!("/proc/self/fd/{}/{}", self.dir.as_raw_fd(), self.name)
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.address()).await
    }
}

/// Connects, and makes sure that the process at the other end is this user's or root's.
pub(crate) async fn connect(dir: &Path, name: &str) -> Result<UnixStream, WireError> {
    let place = Place::open(dir, name)?;
    let stream = place.connect().await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            WireError::NobodyThere { path: place.path.clone(), source }
        }
        _ => WireError::Socket { what: "connect to", path: place.path.clone(), source },
    })?;
    match stranger(&stream) {
        None => Ok(stream),
        Some(uid) => Err(WireError::Stranger { path: place.path, uid }),
    }
}

/// Listens, for this user alone; takes the place of a socket whose process is gone.
pub(crate) async fn listen(dir: &Path, name: &str) -> Result<UnixListener, WireError> {
    let place = Place::open(dir, name)?;
    if place.connect().await.is_ok() {
        return Err(WireError::InUse { path: place.path });
    }
    let socket = |what, source| WireError::Socket { what, path: dir.join(name), source };
    match fs::remove_file(place.address()) {
        Ok(()) => {}
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(socket("remove the dead socket", source)),
    }
    let listener = UnixListener::bind(place.address()).map_err(|source| socket("listen on", source))?;
    fs::set_permissions(place.address(), Permissions::from_mode(0o600))
        .map_err(|source| socket("close to others", source))?;
    Ok(listener)
}

/// The uid at the other end, when it is neither this user's nor root's.
pub(crate) fn stranger(stream: &UnixStream) -> Option<u32> {
    let own = geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own || peer.uid() == 0 => None,
        Ok(peer) => Some(peer.uid()),
        Err(_) => Some(u32::MAX),
    }
}
