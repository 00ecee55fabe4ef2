//! Whatever a server says: no panic, no endless loop, no memory beyond what it sent.
#![no_main]

use dybox_hrpc::session::{Opening, Session};
use dybox_hrpc::{Auth, Protection, Token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, u8, Vec<u8>)| {
    let (by_token, piece, bytes) = input;
    let token = Token {
        alias: String::new(),
        identifier: vec![1, 2, 3],
        password: vec![9; 20],
        kind: String::new(),
        service: String::new(),
    };
    let mut session = Session::new(Opening {
        protocol: "org.example.ThingPB".to_owned(),
        auth: if by_token { Auth::Token(token) } else { Auth::Simple { user: "ada".to_owned() } },
        client_id: [7; 16],
        cnonce: "Y25vbmNl".to_owned(),
        protections: vec![Protection::Privacy, Protection::Integrity, Protection::Authentication],
        largest_frame: 1 << 20,
        caller: None,
        secure: by_token,
        fallback: true,
    });
    session.call("one", b"request");
    let mut answers = Vec::new();
    for part in bytes.chunks(usize::from(piece).max(1)) {
        if session.receive(part, &mut answers).is_err() {
            break;
        }
    }
    assert!(answers.len() <= 1);
    assert!(session.outgoing().len() < 4096 + 4 * bytes.len());
});
