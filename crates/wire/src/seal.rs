//! Bytes that only who has a key can read: for what must lie in a file and is nobody else's business.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// What the key is derived for: the same text elsewhere gives another one.
const PURPOSE: &[u8] = b"dybox sealed bytes 1";

fn key(secret: &[u8]) -> Option<LessSafeKey> {
    let derived = Salt::new(HKDF_SHA256, &[]).extract(secret);
    let derived = derived.expand(&[PURPOSE], &CHACHA20_POLY1305).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(derived)))
}

/// Seals bytes with a key that is derived from `secret`; nothing where the system gives no random numbers.
#[must_use]
pub fn seal(secret: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).ok()?;
    let mut sealed = bytes.to_vec();
    key(secret)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed).ok()?;
    Some([&nonce[..], &sealed].concat())
}

/// What [`seal`] made; nothing where the key is another one, or a byte was changed.
#[must_use]
pub fn unseal(secret: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut bytes = sealed.to_vec();
    let len = key(secret)?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(len);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_what_was_not_changed() {
        let sealed = seal(b"a key", b"hush").unwrap();
        assert_eq!(unseal(b"a key", &sealed).as_deref(), Some(b"hush".as_slice()));
        assert!(!sealed.windows(4).any(|bytes| bytes == b"hush"));
        assert_eq!(unseal(b"another", &sealed), None);
        let mut changed = sealed.clone();
        changed[13] ^= 1;
        assert_eq!(unseal(b"a key", &changed), None);
        assert_eq!(unseal(b"a key", b"short"), None);
        assert_ne!(seal(b"a key", b"hush").unwrap(), sealed);
    }
}
