//! How a token proves who we are, and what protects the frames afterwards: DIGEST-MD5 of RFC 2831, as Hadoop uses it.
//! Pure: the client's nonce is an argument.

mod challenge;
mod digest;
mod seal;

pub(crate) use challenge::Challenge;
pub(crate) use digest::{Login, Proof};
pub(crate) use seal::{Keys, Seal};

/// How much a layer of security does for every frame, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Nothing after the login (`auth`).
    Authentication,
    /// Frames can't be changed (`auth-int`).
    Integrity,
    /// Frames can't be read either (`auth-conf`, with 3DES).
    Privacy,
}

impl Protection {
    /// SASL's word for it.
    pub(crate) const fn qop(self) -> &'static str {
        match self {
            Self::Authentication => "auth",
            Self::Integrity => "auth-int",
            Self::Privacy => "auth-conf",
        }
    }

    /// Reads SASL's word.
    pub(crate) fn from_qop(word: &str) -> Option<Self> {
        [Self::Authentication, Self::Integrity, Self::Privacy].into_iter().find(|known| known.qop() == word)
    }

    /// Reads the word of `hadoop.rpc.protection`.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "authentication" => Some(Self::Authentication),
            "integrity" => Some(Self::Integrity),
            "privacy" => Some(Self::Privacy),
            _ => None,
        }
    }
}
