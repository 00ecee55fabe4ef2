//! What protects the frames after a login: a proof over each (`auth-int`), and 3DES around it (`auth-conf`).
//!
//! The cipher's state and the counters run on from frame to frame, so frames must be wrapped in the order in which
//! they are sent.

use cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use des::TdesEde2;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use super::Protection;

const MAC: usize = 10;
/// The type and the counter that end every wrapped frame.
const TAIL: usize = 6;
const BLOCK: usize = 8;
const TYPE: [u8; 2] = [0, 1];

/// What both sides know after the login.
#[derive(Clone)]
pub(crate) struct Keys {
    session: [u8; 16],
}

impl Keys {
    pub(crate) const fn new(session: [u8; 16]) -> Self {
        Self { session }
    }

    fn derived(&self, purpose: &str) -> [u8; 16] {
        let mut digest = Md5::new();
        digest.update(self.session);
        digest.update(purpose);
        digest.finalize().into()
    }
}

/// One end of a protected connection.
pub(crate) struct Seal {
    sign: Signer,
    check: Signer,
    encrypt: Option<cbc::Encryptor<TdesEde2>>,
    decrypt: Option<cbc::Decryptor<TdesEde2>>,
}

struct Signer {
    key: [u8; 16],
    number: u32,
}

impl Signer {
    /// The proof over one frame, and its number.
    fn next(&mut self, message: &[u8]) -> ([u8; MAC], [u8; 4]) {
        let number = self.number.to_be_bytes();
        self.number = self.number.wrapping_add(1);
        let mut mac = Hmac::<Md5>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(&number);
        mac.update(message);
        let whole = mac.finalize().into_bytes();
        let mut short = [0; MAC];
        short.copy_from_slice(&whole[..MAC]);
        (short, number)
    }
}

impl Seal {
    /// The client's end; `None` when frames are not protected.
    pub(crate) fn client(keys: &Keys, protection: Protection) -> Option<Self> {
        Self::new(keys, protection, ["client-to-server", "server-to-client"])
    }

    /// The server's end, for tests.
    #[cfg(test)]
    pub(crate) fn server(keys: &Keys, protection: Protection) -> Option<Self> {
        Self::new(keys, protection, ["server-to-client", "client-to-server"])
    }

    fn new(keys: &Keys, protection: Protection, [out, back]: [&str; 2]) -> Option<Self> {
        if protection == Protection::Authentication {
            return None;
        }
        let signer = |way: &str| Signer {
            key: keys.derived(&format!("Digest session key to {way} signing key magic constant")),
            number: 0,
        };
        let sealing = |way: &str| keys.derived(&format!("Digest H(A1) to {way} sealing key magic constant"));
        let private = protection == Protection::Privacy;
        Some(Self {
            sign: signer(out),
            check: signer(back),
            encrypt: private.then(|| cipher(&sealing(out))),
            decrypt: private.then(|| cipher(&sealing(back))),
        })
    }

    /// Protects one frame.
    pub(crate) fn wrap(&mut self, message: &[u8]) -> Vec<u8> {
        let (mac, number) = self.sign.next(message);
        let mut out = Vec::with_capacity(message.len() + BLOCK + MAC + TAIL);
        out.extend_from_slice(message);
        if let Some(encrypt) = &mut self.encrypt {
            let padding = BLOCK - (message.len() + MAC) % BLOCK;
            let byte = u8::try_from(padding).expect("at most one block");
            out.resize(message.len() + padding, byte);
            out.extend_from_slice(&mac);
            let (blocks, _) = Array::slice_as_chunks_mut(&mut out);
            encrypt.encrypt_blocks(blocks);
        } else {
            out.extend_from_slice(&mac);
        }
        out.extend_from_slice(&TYPE);
        out.extend_from_slice(&number);
        out
    }

    /// Opens one frame; the error says what is wrong with it. After an error nothing more can be opened.
    pub(crate) fn unwrap(&mut self, token: &[u8]) -> Result<Vec<u8>, &'static str> {
        let sealed = token.len().checked_sub(TAIL).ok_or("a protected frame is too short")?;
        let (body, tail) = token.split_at(sealed);
        let mut body = body.to_vec();
        if let Some(decrypt) = &mut self.decrypt {
            let (blocks, rest) = Array::slice_as_chunks_mut(&mut body);
            if !rest.is_empty() {
                return Err("a protected frame does not end with a block");
            }
            decrypt.decrypt_blocks(blocks);
        }
        let end = body.len().checked_sub(MAC).ok_or("a protected frame is too short")?;
        let given = body.split_off(end);
        if self.decrypt.is_some() {
            let padding = usize::from(*body.last().ok_or("a protected frame is too short")?);
            if padding == 0 || padding > BLOCK.min(body.len()) {
                return Err("a protected frame has a wrong padding");
            }
            body.truncate(body.len() - padding);
        }
        let (mac, number) = self.check.next(&body);
        if tail[..2] != TYPE || tail[2..] != number || given != mac {
            return Err("a protected frame was changed, lost or repeated on its way");
        }
        Ok(body)
    }
}

fn cipher<C: KeyIvInit<KeySize = cbc::cipher::consts::U16, IvSize = cbc::cipher::consts::U8>>(key: &[u8; 16]) -> C {
    let mut iv = [0; BLOCK];
    iv.copy_from_slice(&key[8..]);
    C::new(&des_key(key).into(), &iv.into())
}

/// Spreads twice 56 bits over twice eight bytes with odd parity, as DES wants its keys.
fn des_key(key: &[u8; 16]) -> [u8; 16] {
    let mut out = [0; 16];
    for (half, source) in key[..14].chunks_exact(7).enumerate() {
        let bits = source.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
        for place in 0..8 {
            let seven = ((bits >> (7 * (7 - place))) & 0x7f) as u8;
            out[half * 8 + place] = (seven << 1) | u8::from(seven.count_ones().is_multiple_of(2));
        }
    }
    out
}

#[cfg(test)]
mod tests;
