//! Sessions against golden bytes and against a twin in memory.

use proptest::prelude::*;
use prost::Message;

use super::twin::{Asked, Door, Twin, simple, token};
use crate::proto::rpc_response_header_proto::RpcStatusProto;
use crate::session::{Answer, Fault, Opening, Session};
use crate::{Auth, Protection};

fn opening(auth: Auth) -> Opening {
    let mut client_id = [0; 16];
    (0..).zip(&mut client_id).for_each(|(number, byte)| *byte = number);
    Opening {
        protocol: "org.example.ThingPB".to_owned(),
        auth,
        client_id,
        cnonce: "Y25vbmNl".to_owned(),
        protections: vec![Protection::Privacy, Protection::Integrity, Protection::Authentication],
        largest_frame: 1 << 20,
        caller: None,
        secure: false,
        fallback: false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn outgoing(session: &mut Session) -> Vec<u8> {
    let bytes = session.outgoing().to_vec();
    session.written(bytes.len());
    bytes
}

/// Lets both ends talk in pieces until they are silent.
fn talk(session: &mut Session, twin: &mut Twin, piece: usize) -> Result<(Vec<Asked>, Vec<Answer>), Fault> {
    let (mut asked, mut answers) = (Vec::new(), Vec::new());
    loop {
        let there = outgoing(session);
        there.chunks(piece).for_each(|part| asked.extend(twin.receive(part)));
        let back = twin.out.split();
        for part in back.chunks(piece) {
            session.receive(part, &mut answers)?;
        }
        if there.is_empty() && back.is_empty() {
            return Ok((asked, answers));
        }
    }
}

#[test]
fn the_first_bytes_are_those_of_hadoop() {
    let mut session = Session::new(opening(simple()));
    assert!(session.is_open());
    assert_eq!(
        hex(&outgoing(&mut session)),
        "68727063090000000000381a0802100018052210000102030405060708090a0b0c0d0e0f28011c12050a036164611a13\
         6f72672e6578616d706c652e5468696e675042"
    );
    assert_eq!(session.call("get", &[8, 7]), 0);
    assert_eq!(
        hex(&outgoing(&mut session)),
        "0000003b1a0802100018002210000102030405060708090a0b0c0d0e0f28001c0a0367657412136f72672e6578616d70\
         6c652e5468696e6750421801020807"
    );
    session.ping();
    assert_eq!(hex(&outgoing(&mut session)), "0000001b1a0802100018072210000102030405060708090a0b0c0d0e0f2801");
    let mut session = Session::new(opening(Auth::Token(token())));
    assert_eq!(hex(&outgoing(&mut session)), "687270630900df0000000e0a08021000184122002801021001");
}

#[test]
fn calls_are_answered_in_any_order_under_any_protection() {
    let doors = [Protection::Authentication, Protection::Integrity, Protection::Privacy]
        .map(|protection| (Auth::Token(token()), Door::Token { password: vec![9; 20], protection }));
    for (auth, door) in doors.into_iter().chain([(simple(), Door::Simple)]) {
        for piece in [1, 7, 100_000] {
            let mut session = Session::new(opening(auth.clone()));
            let mut twin = Twin::new(door.clone());
            let calls = [session.call("one", b"1"), session.call("two", &[2; 5000])];
            let (asked, _) = talk(&mut session, &mut twin, piece).expect("no fault");
            assert_eq!(asked.len(), 2, "{door:?}");
            assert_eq!((asked[1].method.as_str(), asked[1].request.len()), ("two", 5000));
            assert_eq!(asked[0].protocol, "org.example.ThingPB");
            assert_eq!(twin.user.as_deref(), matches!(auth, Auth::Simple { .. }).then_some("ada"));
            session.ping();
            twin.answer(calls[1], &[7; 70_000]);
            twin.refuse(RpcStatusProto::Error, calls[0], ("org.example.NoException", "no,\nnever"));
            let (_, answers) = talk(&mut session, &mut twin, piece).expect("no fault");
            assert_eq!(twin.pings, 1);
            assert_eq!(answers[0].outcome.as_deref().map(<[u8]>::len), Ok(70_000));
            let refusal = answers[1].outcome.as_ref().expect_err("refused");
            assert_eq!((refusal.class.as_str(), refusal.message.as_str()), ("org.example.NoException", "no,\nnever"));
            assert!(refusal.stack.contains("Thing.java:1"));
        }
    }
}

#[test]
fn a_wrong_password_is_a_denial() {
    let mut session = Session::new(opening(Auth::Token(token())));
    let mut twin = Twin::new(Door::Token { password: vec![1], protection: Protection::Authentication });
    let fault = talk(&mut session, &mut twin, 1000).expect_err("denied");
    assert!(matches!(&fault, Fault::Denied(refusal) if refusal.class == "javax.security.sasl.SaslException"));
    assert_eq!(session.receive(b"", &mut Vec::new()), Err(fault), "and stays one");
}

#[test]
fn protections_must_meet() {
    let ours = vec![Protection::Privacy];
    let mut session = Session::new(Opening { protections: ours, ..opening(Auth::Token(token())) });
    let mut twin = Twin::new(Door::Token { password: vec![9; 20], protection: Protection::Integrity });
    let fault = talk(&mut session, &mut twin, 1000).expect_err("denied");
    assert!(
        matches!(fault, Fault::Denied(refusal) if refusal.message.contains("offers auth-int, hadoop.rpc.protection here allows auth-conf"))
    );
}

#[test]
fn unknown_logins_are_named() {
    for (auth, offers) in [
        (Auth::Token(token()), vec![("TOKEN", "SCRAM-SHA-256"), ("KERBEROS", "GSSAPI")]),
        (simple(), vec![("TOKEN", "DIGEST-MD5"), ("KERBEROS", "GSSAPI")]),
    ] {
        let mut session = Session::new(Opening { secure: true, ..opening(auth) });
        let fault = talk(&mut session, &mut Twin::new(Door::Offers(offers.clone())), 9).expect_err("no way in");
        let Fault::Mechanism { offered, .. } = fault else { panic!("{fault:?}") };
        assert_eq!(offered[0], format!("{}/{}", offers[0].0, offers[0].1));
    }
}

#[test]
fn simple_authentication_is_enough_only_when_allowed() {
    for door in [Door::Simple, Door::Offers(vec![("SIMPLE", "")])] {
        let secure = Opening { secure: true, ..opening(simple()) };
        let fault = talk(&mut Session::new(secure.clone()), &mut Twin::new(door.clone()), 9).expect_err("not enough");
        assert!(matches!(fault, Fault::Denied(refusal) if refusal.class == "SimpleOnly"));
        let mut session = Session::new(Opening { fallback: true, ..secure });
        let mut twin = Twin::new(door);
        session.call("one", b"");
        let (asked, _) = talk(&mut session, &mut twin, 9).expect("let in");
        assert_eq!((asked.len(), twin.user.as_deref()), (1, Some("ada")));
    }
    let fault = talk(&mut Session::new(opening(Auth::Token(token()))), &mut Twin::new(Door::Simple), 9);
    assert!(matches!(fault, Err(Fault::Denied(refusal)) if refusal.message.contains("takes no token")));
}

/// A session that is open and has made the call 0.
fn open() -> (Session, Twin) {
    let (mut session, mut twin) = (Session::new(opening(simple())), Twin::new(Door::Simple));
    assert_eq!(session.call("one", b""), 0);
    talk(&mut session, &mut twin, 1000).expect("no fault");
    (session, twin)
}

#[test]
fn a_fatal_answer_ends_the_connection() {
    for (class, message, what) in [
        ("org.apache.hadoop.security.token.SecretManager$InvalidToken", "gone", "Denied"),
        ("org.apache.hadoop.security.AccessControlException", "no", "Denied"),
        ("org.apache.hadoop.ipc.RPC$VersionMismatch", "old", "Fatal"),
        (
            "org.apache.hadoop.security.AccessControlException",
            "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]",
            "Mechanism { offered: [\"TOKEN\", \"KERBEROS\"], token: false }",
        ),
    ] {
        let (mut session, mut twin) = open();
        twin.refuse(RpcStatusProto::Fatal, -1, (class, message));
        let fault = talk(&mut session, &mut twin, 1000).expect_err("over");
        assert!(format!("{fault:?}").starts_with(what), "{fault:?}");
    }
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let garbled = |bytes: &[u8]| {
        let (mut session, _) = open();
        match session.receive(bytes, &mut Vec::new()) {
            Err(Fault::Garbled(what) | Fault::NotHadoop(what)) => what,
            other => panic!("{other:?}"),
        }
    };
    let (_, mut twin) = open();
    twin.answer(17, b"");
    assert!(garbled(&twin.out).contains("never made"));
    twin.out.clear();
    twin.answer(-7, b"");
    assert!(garbled(&twin.out).contains("never made"));
    assert!(garbled(b"\x7f\xff\xff\xff").contains("it answers"));
    assert!(garbled(b"HTTP/1.1 404 Not Found\r\n").contains("web server"));
    assert!(garbled(b"\0\0\0\x02\x08\x00").contains("length"));
    twin.out.clear();
    twin.answer(0, b"");
    let mut longer = twin.out.to_vec();
    longer.push(0);
    longer[3] += 1;
    assert!(garbled(&longer).contains("1 bytes follow"));
}

#[test]
fn forgotten_calls_are_no_fault() {
    let (mut session, mut twin) = open();
    session.forget(0);
    twin.answer(0, b"late");
    assert_eq!(talk(&mut session, &mut twin, 3).expect("no fault").1, []);
    let mut held = Session::new(opening(Auth::Token(token())));
    let call = held.call("one", b"");
    held.forget(call);
    let mut twin = Twin::new(Door::Token { password: vec![9; 20], protection: Protection::Privacy });
    assert_eq!(talk(&mut held, &mut twin, 1000).expect("no fault").0, []);
}

proptest! {
    #[test]
    fn no_bytes_panic_or_take_memory(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        by_token in any::<bool>(),
        piece in 1..50_usize,
    ) {
        let auth = if by_token { Auth::Token(token()) } else { simple() };
        let mut session = Session::new(opening(auth));
        session.call("one", b"");
        let mut answers = Vec::new();
        for part in bytes.chunks(piece) {
            let _ = session.receive(part, &mut answers);
        }
        prop_assert!(session.outgoing().len() < 2000);
    }

    #[test]
    fn no_change_of_a_real_conversation_panics(
        place in 0..500_usize,
        byte in any::<u8>(),
        cut in any::<bool>(),
        protection in 0..3_usize,
    ) {
        let protection = [Protection::Authentication, Protection::Integrity, Protection::Privacy][protection];
        let mut session = Session::new(opening(Auth::Token(token())));
        let mut twin = Twin::new(Door::Token { password: vec![9; 20], protection });
        let call = session.call("one", b"");
        let (mut passed, mut answers) = (0, Vec::new());
        for _ in 0..4 {
            let there = outgoing(&mut session);
            for asked in twin.receive(&there) {
                twin.answer(asked.call, b"\x0a\x01x");
            }
            let mut back = twin.out.split().to_vec();
            if let Some(at) = place.checked_sub(passed).filter(|at| *at < back.len()) {
                if cut { back.truncate(at) } else { back[at] ^= byte }
            }
            passed += back.len();
            if session.receive(&back, &mut answers).is_err() {
                break;
            }
        }
        prop_assert!(answers.len() <= 1 && answers.iter().all(|answer| answer.call == call));
    }

    #[test]
    fn no_frame_of_messages_panics(
        call in any::<u32>(),
        status in -1..5_i32,
        text in ".{0,40}",
        rest in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let header = crate::proto::RpcResponseHeaderProto {
            call_id: call,
            status,
            error_msg: Some(text),
            ..Default::default()
        };
        let mut bytes = bytes::BytesMut::new();
        crate::frame::put(&mut bytes, &header, &[&rest]);
        for auth in [Auth::Token(token()), simple()] {
            let _ = Session::new(opening(auth)).receive(&bytes, &mut Vec::new());
        }
        prop_assert!(header.encoded_len() < bytes.len());
    }
}
