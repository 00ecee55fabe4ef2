//! Vectors that another implementation computed (Python's hashlib, hmac and OpenSSL's 3DES), and both ends together.

use proptest::prelude::*;

use super::{Keys, Protection, Seal};
use crate::sasl::{Challenge, Login};

const FRAMES: [&[u8]; 3] = [b"first frame", b"", b"the third one, which is longer than a block"];
const SIGNED: [&str; 3] = [
    "6669727374206672616d65eca5d59d477b99ddff15000100000000",
    "498c49ad7aa31820a92a000100000001",
    "746865207468697264206f6e652c207768696368206973206c6f6e676572207468616e206120626c6f636b\
     56936ed83eb783778af7000100000002",
];
const SEALED: [&str; 3] = [
    "0c7aaa4ab54ec983fdec0f0c10d56b21d207d5ba4a9b92d7000100000000",
    "ef6b7a403f0b94e892c2eb3a8e1b9022000100000001",
    "2881ab33a3a6938641eeac6c4bf7687a98c8f5b2eb3a8428575820c0fcae90f4f57eed8f354933f44d5a4d4335b0ef2b\
     b8e015a407eaf775000100000002",
];
const ANSWERS: [&str; 3] = [
    "fab61fd4721dba856a3e3fbee27fe59ee28b5eb60fdee588000100000000",
    "9c097be910a28fc30f3a3e39e2177dcf000100000001",
    "987cb1e839b2f5b6981f2d684706032d388525f624eb713c703ac2bdb71c6e7045f2f07bcd5cb9af76eba79acad088a0\
     fd6fa4dc943a1415000100000002",
];

fn keys() -> Keys {
    Keys::new(0x2005_fb07_614a_9c71_7ed8_92b7_1baf_5db4_u128.to_be_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

#[test]
fn the_login_matches_another_implementation() {
    let challenge = Challenge::read(b"realm=\"default\",nonce=\"bm9uY2UrLz0=\",qop=\"auth\",algorithm=md5-sess");
    let login = Login {
        user: "AAECAwQFBgcICQoLDA0ODxAR",
        password: "ZGVmZ2hpamtsbW5vcHFyc3R1dnc=",
        uri: "/default",
        cnonce: "Y25vbmNl",
    };
    for (protection, response, answer) in [
        (Protection::Authentication, "ddfdd7c01775f9bfa92d18bd04e69ba8", "b9a212938e2e012f1b74eb0f86e69bef"),
        (Protection::Integrity, "60f1df580fc6d6e214a20dfa96c41048", "608085194890d7f7ada23edc5781782b"),
        (Protection::Privacy, "183ee44e37641274eb063aa99ded568c", "2d9b105f91addff2466eaf38ba3ce052"),
    ] {
        let proof = login.answer(challenge.as_ref().expect("a challenge"), protection);
        assert!(proof.response.contains(&format!("response={response},")), "{}", proof.response);
        assert!(proof.is_proved_by(format!("rspauth={answer}").as_bytes()));
        assert_eq!(proof.keys.session, keys().session);
    }
}

#[test]
fn frames_match_another_implementation() {
    let mut sign = Seal::client(&keys(), Protection::Integrity).expect("a seal");
    let mut seal = Seal::client(&keys(), Protection::Privacy).expect("a seal");
    for (at, frame) in FRAMES.iter().enumerate() {
        assert_eq!(hex(&sign.wrap(frame)), SIGNED[at]);
        assert_eq!(hex(&seal.wrap(frame)), SEALED[at]);
        assert_eq!(seal.unwrap(&bytes(ANSWERS[at])).as_deref(), Ok(*frame));
    }
}

#[test]
fn what_was_changed_lost_or_repeated_is_refused() {
    for protection in [Protection::Integrity, Protection::Privacy] {
        let frame = |number: usize| {
            let mut server = Seal::server(&keys(), protection).expect("a seal");
            (0..=number).fold(Vec::new(), |_, _| server.wrap(b"a frame of some length"))
        };
        let open = |token: &[u8]| Seal::client(&keys(), protection).expect("a seal").unwrap(token);
        assert!(open(&frame(0)).is_ok());
        assert!(open(&frame(1)).is_err(), "one was lost");
        for place in 0..frame(0).len() {
            let mut changed = frame(0);
            changed[place] ^= 1;
            assert!(open(&changed).is_err(), "byte {place} was changed");
            assert!(open(&frame(0)[..place]).is_err(), "cut at {place}");
        }
        let mut client = Seal::client(&keys(), protection).expect("a seal");
        assert!(client.unwrap(&frame(0)).is_ok());
        assert!(client.unwrap(&frame(0)).is_err(), "repeated");
    }
}

proptest! {
    #[test]
    fn what_one_end_wraps_the_other_opens(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8),
        private in any::<bool>(),
    ) {
        let protection = if private { Protection::Privacy } else { Protection::Integrity };
        let mut client = Seal::client(&keys(), protection).expect("a seal");
        let mut server = Seal::server(&keys(), protection).expect("a seal");
        for frame in frames {
            prop_assert_eq!(server.unwrap(&client.wrap(&frame)), Ok(frame.clone()));
            prop_assert_eq!(client.unwrap(&server.wrap(&frame)), Ok(frame));
        }
    }

    #[test]
    fn no_token_panics(token in prop::collection::vec(any::<u8>(), 0..200), private in any::<bool>()) {
        let protection = if private { Protection::Privacy } else { Protection::Integrity };
        let _ = Seal::client(&keys(), protection).expect("a seal").unwrap(&token);
    }
}
