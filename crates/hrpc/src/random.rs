//! Random values for a connection: the one thing that a session does not make itself.

use std::fs::File;
use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Sixteen bytes of the system's random numbers.
pub(crate) fn bytes() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The same as text.
pub(crate) fn text() -> io::Result<String> {
    Ok(STANDARD.encode(bytes()?))
}
