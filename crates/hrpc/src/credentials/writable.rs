//! The first format of a credentials file: counts, texts and bytes behind their lengths.

use std::collections::BTreeMap;

use super::{Credentials, CredentialsError, Token, vint};

struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn damaged(&self, what: &'static str) -> CredentialsError {
        CredentialsError::Damaged { at: self.offset + self.length - self.rest.len(), what }
    }

    /// A count of things that take at least a byte each.
    fn count(&mut self, what: &'static str) -> Result<usize, CredentialsError> {
        let mut rest = self.rest;
        let count = vint::take(&mut rest).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count <= rest.len()).ok_or_else(|| self.damaged(what))?;
        self.rest = rest;
        Ok(count)
    }

    fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], CredentialsError> {
        let length = self.count(what)?;
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self, what: &'static str) -> Result<String, CredentialsError> {
        let bytes = self.bytes(what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.damaged(what))
    }
}

pub(super) fn read(bytes: &[u8], offset: usize) -> Result<Credentials, CredentialsError> {
    let mut reader = Reader { rest: bytes, length: bytes.len(), offset };
    let mut tokens = Vec::new();
    for _ in 0..reader.count("the number of tokens")? {
        tokens.push(Token {
            alias: reader.text("a token's alias")?,
            identifier: reader.bytes("a token's identifier")?.to_vec(),
            password: reader.bytes("a token's password")?.to_vec(),
            kind: reader.text("a token's kind")?,
            service: reader.text("a token's service")?,
        });
    }
    let mut secrets = BTreeMap::new();
    for _ in 0..reader.count("the number of secrets")? {
        let alias = reader.text("a secret's alias")?;
        secrets.insert(alias, reader.bytes("a secret")?.to_vec());
    }
    Ok(Credentials { tokens, secrets })
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    vint::put(out, i64::try_from(count).expect("what lies in memory can be counted"));
}

pub(super) fn write(credentials: &Credentials, out: &mut Vec<u8>) {
    put_count(out, credentials.tokens.len());
    for token in &credentials.tokens {
        put(out, token.alias.as_bytes());
        put(out, &token.identifier);
        put(out, &token.password);
        put(out, token.kind.as_bytes());
        put(out, token.service.as_bytes());
    }
    put_count(out, credentials.secrets.len());
    for (alias, secret) in &credentials.secrets {
        put(out, alias.as_bytes());
        put(out, secret);
    }
}
