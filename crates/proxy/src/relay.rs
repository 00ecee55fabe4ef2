//! What clients want of this proxy through its master: bytes of the archive, a terminal at a task.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use dybox_model::AttemptId;
use dybox_wire::{MasterClient, Piece};
use tokio::io::copy_bidirectional;
use tokio::net::UnixStream;

use crate::conf::Places;
use crate::files::Files;
use crate::line::connect;

/// More is read in several pieces: a proxy stays small.
const MOST: u32 = 256 << 10;

/// Answers with a piece of the archive on this machine, which is whole: the one in the store may lag.
pub(crate) async fn read(master: MasterClient, places: Arc<Places>, (ticket, offset, max): (u64, u64, u32)) {
    let path = places.path(&places.run.archive(places.grant_id));
    let piece = piece(&path, offset, max.min(MOST)).map_err(|error| format!("its archive can't be read: {error}"));
    if let Err(error) = master.answer(ticket, piece).await {
        tracing::debug!(%error, "nobody wants a piece of the archive any more");
    }
}

fn piece(path: &Path, offset: u64, max: u32) -> io::Result<Piece> {
    let file = match File::open(path) {
        Ok(file) => file,
        // It is made with the first output.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Piece { bytes: bytes::Bytes::new(), total: 0, closed: false });
        }
        Err(error) => return Err(error),
    };
    let total = file.metadata()?.len();
    let len = total.saturating_sub(offset).min(u64::from(max));
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
    // What is there is never taken back, but by the repair of a failed write: then it is too short by now.
    file.read_exact_at(&mut bytes, offset)?;
    Ok(Piece { bytes: bytes.into(), total, closed: false })
}

/// Carries between the client and the attach socket of the attempt's init, until one of them goes.
pub(crate) async fn attach(master: MasterClient, places: Arc<Places>, (ticket, attempt): (u64, AttemptId)) {
    let socket = match connect(&Files::of(&places, attempt).output, "attach.sock").await {
        Ok(socket) => socket,
        Err(error) => {
            let why = format!("{attempt} takes nobody at its terminal: {error}");
            let _ = master.answer(ticket, Err(why)).await;
            return;
        }
    };
    carry(master, ticket, socket).await;
}

/// Carries between the client and a socket, until one of them goes.
pub(crate) async fn carry(master: MasterClient, ticket: u64, mut socket: UnixStream) {
    match master.carry(ticket).await {
        // How it ends is for both ends to tell; here it is only over.
        Ok(mut pipe) => drop(copy_bidirectional(&mut pipe, &mut socket).await),
        Err(error) => tracing::debug!(%error, "nobody wants the line any more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("g.log");
        assert_eq!(piece(&path, 5, 10).unwrap().total, 0);
        std::fs::write(&path, b"0123456789").unwrap();
        let of = |offset, max| piece(&path, offset, max).unwrap();
        assert_eq!((&of(7, 10).bytes[..], of(7, 10).total), (&b"789"[..], 10));
        assert_eq!(&of(0, 2).bytes[..], b"01");
        assert!(of(u64::MAX, 2).bytes.is_empty());
    }
}
