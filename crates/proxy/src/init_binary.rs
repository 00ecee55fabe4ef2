//! The static init that this program carries inside, compressed: a proxy that writes it has a megabyte less in memory.

use std::io::Read;

use flate2::read::ZlibDecoder;

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dybox-init.z"));

/// The static init, for this machine's kind, piece by piece.
pub fn init_binary() -> impl Read {
    ZlibDecoder::new_with_buf(PACKED, vec![0; 8 << 10])
}

/// Its length in bytes.
pub(crate) const fn init_length() -> u64 {
    include!(concat!(env!("OUT_DIR"), "/dybox-init.length"))
}

/// The SHA-256 of [`init_binary`] in hex: its name on the machine.
#[must_use]
pub fn init_digest() -> &'static str {
    env!("DYBOX_INIT_DIGEST")
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn what_is_carried_is_what_its_digest_says() {
        let mut bytes = Vec::new();
        init_binary().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, init_length());
        assert_eq!(hex::encode(Sha256::digest(&bytes)), init_digest());
    }
}
