//! The static init that this program carries inside.

/// The bytes of the static init, for this machine's kind.
#[must_use]
pub fn init_binary() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/dybox-init"))
}

/// The SHA-256 of [`init_binary`] in hex: its name on the machine.
#[must_use]
pub fn init_digest() -> &'static str {
    env!("DYBOX_INIT_DIGEST")
}
