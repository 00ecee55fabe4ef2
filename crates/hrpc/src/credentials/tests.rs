//! Files of both formats, whole, cut and damaged.

use proptest::prelude::*;

use super::{Credentials, CredentialsError, Token, kind};

fn token(kind: &str, service: &str) -> Token {
    Token {
        alias: String::new(),
        identifier: (0..18).collect(),
        password: (0..20).collect(),
        kind: kind.to_owned(),
        service: service.to_owned(),
    }
}

fn both() -> Credentials {
    let secrets = [("dybox.secret".to_owned(), vec![7; 300])].into();
    Credentials { tokens: vec![token(kind::AM_RM, ""), token(kind::HDFS, "10.0.0.1:8020")], secrets }
}

#[test]
fn a_file_as_a_node_manager_writes_it_is_read() {
    let mut bytes = b"HDTS\0\x01\0\x12".to_vec();
    bytes.extend(0..18);
    bytes.push(20);
    bytes.extend(0..20);
    bytes.extend(b"\x10YARN_AM_RM_TOKEN\0\0");
    let read = Credentials::read(&bytes).expect("credentials");
    assert_eq!(read.token(kind::AM_RM), Some(&token(kind::AM_RM, "")));
    assert_eq!(read.write(), bytes);
    assert_eq!(read.without(kind::AM_RM), Credentials::default());
}

#[test]
fn both_formats_come_back() {
    assert_eq!(Credentials::read(&both().write()), Ok(both()));
    assert_eq!(Credentials::read(&both().write_protobuf()), Ok(both()));
}

#[test]
fn what_is_cut_or_foreign_says_so() {
    let whole = both().write();
    for length in 5..whole.len() {
        let cut = Credentials::read(&whole[..length]);
        assert!(matches!(cut, Err(CredentialsError::Damaged { at, .. }) if at <= length), "{length}: {cut:?}");
    }
    let whole = both().write_protobuf();
    assert!((5..whole.len()).all(|length| Credentials::read(&whole[..length]).is_err()));
    assert_eq!(Credentials::read(b"HDTS\x07"), Err(CredentialsError::Format(7)));
    assert_eq!(Credentials::read(b""), Err(CredentialsError::Foreign));
    assert_eq!(Credentials::read(b"<html>"), Err(CredentialsError::Foreign));
}

#[test]
fn nothing_secret_is_shown() {
    let shown = format!("{:?}", both());
    assert!(shown.contains("dybox.secret") && !shown.contains("7, 7") && !shown.contains("0, 1, 2"), "{shown}");
}

#[test]
fn a_token_of_an_address_is_found_by_the_name_too() {
    let ips = ["10.0.0.1".parse().expect("an address")];
    let rewritten = both().for_hdfs_url("nn:8020", &ips);
    assert_eq!(rewritten.tokens.len(), 3);
    assert_eq!(rewritten.tokens[2].service, "nn:8020");
    assert_eq!(rewritten.clone().for_hdfs_url("nn:8020", &ips), rewritten);
    assert_eq!(both().for_hdfs_url("nn:9000", &ips), both(), "another port");
    assert_eq!(both().for_hdfs_url("ns", &ips), both(), "a name service has its own way");
}

proptest! {
    #[test]
    fn no_file_panics(format in 0..3_u8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Credentials::read(&[b"HDTS", &[format][..], &bytes].concat());
    }
}
