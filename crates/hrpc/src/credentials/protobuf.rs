//! The second format of a credentials file: one protobuf message behind its length.

use bytes::Bytes;
use prost::Message;

use super::{Credentials, CredentialsError, Token};
use crate::proto::{CredentialsKvProto, CredentialsProto, TokenProto};

pub(super) fn read(bytes: &[u8], offset: usize) -> Result<Credentials, CredentialsError> {
    let damaged = |what| CredentialsError::Damaged { at: offset, what };
    let message = CredentialsProto::decode_length_delimited(bytes).map_err(|_| damaged("a protobuf message"))?;
    let mut credentials = Credentials::default();
    for CredentialsKvProto { alias, token, .. } in message.tokens {
        let token = token.ok_or_else(|| damaged("a token behind its alias"))?;
        credentials.tokens.push(Token {
            alias,
            identifier: token.identifier.to_vec(),
            password: token.password.to_vec(),
            kind: token.kind,
            service: token.service,
        });
    }
    for CredentialsKvProto { alias, secret, .. } in message.secrets {
        let secret = secret.ok_or_else(|| damaged("a secret behind its alias"))?;
        credentials.secrets.insert(alias, secret.to_vec());
    }
    Ok(credentials)
}

pub(super) fn write(credentials: &Credentials, out: &mut Vec<u8>) {
    let tokens = credentials.tokens.iter().map(|token| CredentialsKvProto {
        alias: token.alias.clone(),
        token: Some(TokenProto {
            identifier: Bytes::copy_from_slice(&token.identifier),
            password: Bytes::copy_from_slice(&token.password),
            kind: token.kind.clone(),
            service: token.service.clone(),
        }),
        secret: None,
    });
    let secrets = credentials.secrets.iter().map(|(alias, secret)| CredentialsKvProto {
        alias: alias.clone(),
        token: None,
        secret: Some(Bytes::copy_from_slice(secret)),
    });
    let message = CredentialsProto { tokens: tokens.collect(), secrets: secrets.collect() };
    out.extend_from_slice(&message.encode_length_delimited_to_vec());
}
