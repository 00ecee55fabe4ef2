//! The client's side of DIGEST-MD5 with the algorithm md5-sess.

use md5::{Digest, Md5};

use super::challenge::{Challenge, find};
use super::{Keys, Protection};

const NONCE_COUNT: &str = "00000001";

/// Who wants in. Nothing of it is kept.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// `protocol/server`; a Hadoop token's is `/default`.
    pub(crate) uri: &'a str,
    /// Random text of the client.
    pub(crate) cnonce: &'a str,
}

/// A challenge that is answered: what to send, and what the server must answer to prove itself.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) response: String,
    pub(crate) protection: Protection,
    pub(crate) keys: Keys,
    expected: String,
}

impl Proof {
    /// Whether the server's last answer shows that it knows the password too.
    pub(crate) fn is_proved_by(&self, answer: &[u8]) -> bool {
        find(answer, "rspauth").is_some_and(|given| given == self.expected)
    }

    /// What the server says at the end, for tests.
    #[cfg(test)]
    pub(crate) fn server_answer(&self) -> String {
        format!("rspauth={}", self.expected)
    }
}

impl Login<'_> {
    /// Answers a challenge under the protection that was chosen.
    pub(crate) fn answer(&self, challenge: &Challenge, protection: Protection) -> Proof {
        let inner = md5(&[self.user, ":", &challenge.realm, ":", self.password]);
        let mut outer = Md5::new();
        outer.update(inner);
        outer.update(format!(":{}:{}", challenge.nonce, self.cnonce));
        let session: [u8; 16] = outer.finalize().into();
        let proof = |before: &str| {
            let tail = if protection == Protection::Authentication { "" } else { ":00000000000000000000000000000000" };
            let second = hex(&md5(&[before, ":", self.uri, tail]));
            let qop = protection.qop();
            let first = hex(&session);
            hex(&md5(&[&first, ":", &challenge.nonce, ":", NONCE_COUNT, ":", self.cnonce, ":", qop, ":", &second]))
        };
        Proof {
            response: self.text(challenge, protection, &proof("AUTHENTICATE")),
            protection,
            keys: Keys::new(session),
            expected: proof(""),
        }
    }

    fn text(&self, challenge: &Challenge, protection: Protection, response: &str) -> String {
        let cipher = if protection == Protection::Privacy { ",cipher=\"3des\"" } else { "" };
        format!(
            "charset=utf-8,username=\"{}\",realm=\"{}\",nonce=\"{}\",nc={NONCE_COUNT},cnonce=\"{}\",digest-uri=\"{}\",\
             maxbuf=65536,response={response},qop={}{cipher}",
            quoted(self.user),
            quoted(&challenge.realm),
            quoted(&challenge.nonce),
            quoted(self.cnonce),
            quoted(self.uri),
            protection.qop(),
        )
    }
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

fn md5(parts: &[&str]) -> [u8; 16] {
    let mut digest = Md5::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Challenge, Login, Protection};

    fn challenge(realm: &str, nonce: &str) -> Challenge {
        Challenge {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            protections: vec![Protection::Authentication],
            ciphers: Vec::new(),
        }
    }

    #[test]
    fn the_example_of_rfc_2831_comes_out() {
        let login =
            Login { user: "chris", password: "secret", uri: "imap/elwood.innosoft.com", cnonce: "OA6MHXh6VqTrRk" };
        let proof = login.answer(&challenge("elwood.innosoft.com", "OA6MG9tEQGm2hh"), Protection::Authentication);
        assert!(proof.response.contains("response=d388dad90d4bbd760a152321f2143af7,"), "{}", proof.response);
        assert!(proof.is_proved_by(b"rspauth=ea40f60335c427b5527b84dbabcdfffd"));
        assert!(!proof.is_proved_by(b"rspauth=ea40f60335c427b5527b84dbabcdfffe"));
        assert!(!proof.is_proved_by(b""));
    }

    #[test]
    fn quotes_in_what_the_server_says_are_escaped() {
        let login = Login { user: "u", password: "p", uri: "/default", cnonce: "c" };
        let proof = login.answer(&challenge("a\"b\\", "n"), Protection::Privacy);
        assert!(proof.response.contains(r#"realm="a\"b\\""#), "{}", proof.response);
        assert!(proof.response.ends_with(r#"qop=auth-conf,cipher="3des""#), "{}", proof.response);
    }
}
