//! The server's challenge and its last answer: `key=value` pairs, some quoted, after RFC 2831, section 7.1.

use super::Protection;

/// What the server asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    pub(crate) realm: String,
    pub(crate) nonce: String,
    /// In the server's order; words that are not known are left out.
    pub(crate) protections: Vec<Protection>,
    pub(crate) ciphers: Vec<String>,
}

impl Challenge {
    /// Reads a challenge; the error says what is wrong with it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let pairs = pairs(bytes)?;
        let get = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let words = |key: &str| -> Vec<&str> {
            get(key).unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty()).collect()
        };
        let algorithm = get("algorithm").ok_or("the challenge names no algorithm")?;
        if algorithm != "md5-sess" {
            return Err(format!("the challenge asks for the algorithm {algorithm:.40}, known is md5-sess"));
        }
        let offered = words("qop");
        Ok(Self {
            realm: get("realm").unwrap_or_default().to_owned(),
            nonce: get("nonce").filter(|nonce| !nonce.is_empty()).ok_or("the challenge has no nonce")?.to_owned(),
            protections: if offered.is_empty() {
                vec![Protection::Authentication]
            } else {
                offered.into_iter().filter_map(Protection::from_qop).collect()
            },
            ciphers: words("cipher").into_iter().map(str::to_owned).collect(),
        })
    }
}

/// The value of one key in a server's text.
pub(super) fn find(bytes: &[u8], key: &str) -> Option<String> {
    pairs(bytes).ok()?.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// Splits `a=b,c="d,\"e"` into names (lower case) and values (unquoted).
fn pairs(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut rest = std::str::from_utf8(bytes).map_err(|_| "the challenge is not text".to_owned())?;
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t', '\r', '\n']);
        if rest.is_empty() {
            return Ok(found);
        }
        let (name, after) = rest.split_once('=').ok_or("a part of the challenge has no value")?;
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') { unquote(quoted)? } else { bare(after) };
        found.push((name.trim().to_ascii_lowercase(), value));
        rest = after;
    }
}

fn bare(text: &str) -> (String, &str) {
    let end = text.find(',').unwrap_or(text.len());
    (text[..end].trim().to_owned(), &text[end..])
}

/// What lies before the closing quote, and what follows it.
fn unquote(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(letters.next().ok_or("the challenge ends in a quote")?.1),
            _ => value.push(letter),
        }
    }
    Err("the challenge ends in a quote".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Challenge, Protection, find};

    #[test]
    fn a_challenge_as_hadoop_sends_it_is_read() {
        let text = br#"realm="default",nonce="a+b/c=",qop="auth-conf,auth-int,auth",charset=utf-8,cipher="3des,rc4",algorithm=md5-sess"#;
        let challenge = Challenge::read(text).expect("a challenge");
        assert_eq!((challenge.realm.as_str(), challenge.nonce.as_str()), ("default", "a+b/c="));
        assert_eq!(challenge.protections, [Protection::Privacy, Protection::Integrity, Protection::Authentication]);
        assert_eq!(challenge.ciphers, ["3des", "rc4"]);
    }

    #[test]
    fn quotes_may_hold_commas_and_quotes() {
        assert_eq!(find(br#"a="b,\"c\\" , rspauth=1f"#, "a").as_deref(), Some("b,\"c\\"));
        assert_eq!(find(br#"a="b,\"c\\" , rspauth=1f"#, "rspauth").as_deref(), Some("1f"));
    }

    #[test]
    fn a_bad_challenge_says_what_is_wrong() {
        for (text, why) in [
            (&b"nonce=\"x\""[..], "names no algorithm"),
            (b"nonce=\"x\",algorithm=md5", "known is md5-sess"),
            (b"algorithm=md5-sess", "has no nonce"),
            (b"nonce=\"x", "ends in a quote"),
            (b"nonce", "has no value"),
            (b"\xff\xfe", "is not text"),
        ] {
            let said = Challenge::read(text).expect_err("bad");
            assert!(said.contains(why), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_challenge_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
            let _ = Challenge::read(&bytes);
            let _ = Challenge::read(text.as_bytes());
        }
    }
}
