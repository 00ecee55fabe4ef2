//! The server's end of a connection, without a socket: what tests speak to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use prost::Message;

use crate::frame::{self, Frames};
use crate::proto::rpc_response_header_proto::RpcStatusProto;
use crate::proto::rpc_sasl_proto::{SaslAuth, SaslState};
use crate::proto::{
    IpcConnectionContextProto, RequestHeaderProto, RpcRequestHeaderProto, RpcResponseHeaderProto, RpcSaslProto,
    RpcWrapProto,
};
use crate::sasl::{Challenge, Login, Protection, Seal};
use crate::{Auth, Token};

pub(crate) const NONCE: &str = "c2VydmVyK25vbmNlLz0=";

pub(crate) fn token() -> Token {
    Token {
        alias: String::new(),
        identifier: vec![1, 2, 3],
        password: vec![9; 20],
        kind: "THING".to_owned(),
        service: String::new(),
    }
}

/// What a client asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) call: i32,
    pub(crate) method: String,
    pub(crate) protocol: String,
    pub(crate) request: Bytes,
}

/// How a twin lets clients in.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Simple,
    Token {
        password: Vec<u8>,
        protection: Protection,
    },
    /// Offers these, whatever they are.
    Offers(Vec<(&'static str, &'static str)>),
}

pub(crate) struct Twin {
    door: Door,
    preamble: Vec<u8>,
    frames: Frames,
    inner: Frames,
    seal: Option<Seal>,
    pub(crate) out: BytesMut,
    pub(crate) user: Option<String>,
    pub(crate) pings: usize,
}

impl Twin {
    pub(crate) fn new(door: Door) -> Self {
        Self {
            door,
            preamble: Vec::new(),
            frames: Frames::new(128 << 20, false),
            inner: Frames::new(128 << 20, false),
            seal: None,
            out: BytesMut::new(),
            user: None,
            pings: 0,
        }
    }

    /// Takes in a client's bytes.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Asked> {
        let missing = (7 - self.preamble.len()).min(bytes.len());
        self.preamble.extend_from_slice(&bytes[..missing]);
        self.frames.push(&bytes[missing..]);
        let mut asked = Vec::new();
        while let Some(frame) = self.frames.next().expect("frames") {
            asked.extend(self.read(frame, false));
            while let Some(inner) = self.inner.next().expect("frames") {
                asked.extend(self.read(inner, true));
            }
        }
        asked
    }

    fn read(&mut self, mut frame: Bytes, inner: bool) -> Option<Asked> {
        let header: RpcRequestHeaderProto = frame::take_message(&mut frame).expect("a header");
        assert_eq!((header.rpc_kind, header.rpc_op), (Some(2), Some(0)));
        match header.call_id {
            -33 => self.sasl(frame::take(&mut frame).expect("a step")),
            call => {
                assert_eq!(inner, self.seal.is_some(), "protected as agreed");
                assert_eq!(header.client_id.len(), 16);
                return self.plain(call, frame);
            }
        }
        None
    }

    fn plain(&mut self, call: i32, mut frame: Bytes) -> Option<Asked> {
        match call {
            -3 => {
                let context: IpcConnectionContextProto = frame::take_message(&mut frame).expect("a context");
                self.user = context.user_info.expect("a user info").effective_user;
                None
            }
            -4 => {
                self.pings += 1;
                None
            }
            call => {
                let header: RequestHeaderProto = frame::take_message(&mut frame).expect("a request header");
                let request = frame::take(&mut frame).expect("a request");
                assert!(frame.is_empty() && header.client_protocol_version == 1);
                let protocol = header.declaring_class_protocol_name;
                Some(Asked { call, method: header.method_name, protocol, request })
            }
        }
    }

    fn challenge(&self, protection: Protection) -> String {
        let qop = protection.qop();
        format!(
            "realm=\"default\",nonce=\"{NONCE}\",qop=\"{qop}\",cipher=\"3des,rc4\",charset=utf-8,algorithm=md5-sess"
        )
    }

    fn sasl(&mut self, step: Bytes) {
        if let Some(seal) = &mut self.seal {
            let wrap = RpcWrapProto::decode(step).expect("a wrapped frame");
            let plain = seal.unwrap(&wrap.token.expect("a token")).expect("an honest frame");
            return self.inner.push(&plain);
        }
        let step = RpcSaslProto::decode(step).expect("a step");
        match SaslState::try_from(step.state).expect("a state") {
            SaslState::Negotiate => self.offer(),
            SaslState::Initiate => self.let_in(step),
            other => panic!("{other:?} was not expected"),
        }
    }

    fn offer(&mut self) {
        let offer = |(method, mechanism): (&str, &str), challenge: Option<String>| SaslAuth {
            method: method.to_owned(),
            mechanism: mechanism.to_owned(),
            protocol: Some(String::new()),
            server_id: Some("default".to_owned()),
            challenge: challenge.map(Bytes::from),
        };
        let auths = match &self.door {
            Door::Simple => return self.say(SaslState::Success, None, Vec::new()),
            Door::Offers(offers) => offers.iter().map(|one| offer(*one, None)).collect(),
            Door::Token { protection, .. } => vec![
                offer(("KERBEROS", "GSSAPI"), None),
                offer(("TOKEN", "DIGEST-MD5"), Some(self.challenge(*protection))),
            ],
        };
        self.say(SaslState::Negotiate, None, auths);
    }

    fn let_in(&mut self, step: RpcSaslProto) {
        let Door::Token { password, protection } = self.door.clone() else { return };
        assert!(step.auths.len() == 1 && step.auths[0].challenge.is_none() && step.auths[0].method == "TOKEN");
        let said = String::from_utf8(step.token.expect("a proof").to_vec()).expect("text");
        let part = |key: &str| {
            let (_, rest) = said.split_once(&format!("{key}=")).expect("a part");
            rest.trim_start_matches('"').split(['"', ',']).next().expect("a value").to_owned()
        };
        let cnonce = part("cnonce");
        let (user, password) = (STANDARD.encode(token().identifier), STANDARD.encode(password));
        let login = Login { user: &user, password: &password, uri: "/default", cnonce: &cnonce };
        let challenge = Challenge::read(self.challenge(protection).as_bytes()).expect("a challenge");
        let proof = login.answer(&challenge, protection);
        if !proof.response.contains(&format!("response={},", part("response"))) {
            return self.refuse(
                RpcStatusProto::Fatal,
                -33,
                ("javax.security.sasl.SaslException", "Mismatched response."),
            );
        }
        self.say(SaslState::Success, Some(proof.server_answer().into()), Vec::new());
        self.seal = Seal::server(&proof.keys, protection);
    }

    fn say(&mut self, state: SaslState, token: Option<Bytes>, auths: Vec<SaslAuth>) {
        let step = RpcSaslProto { version: None, state: state as i32, token, auths };
        frame::put(&mut self.out, &header(-33, RpcStatusProto::Success), &[&frame::delimited(&step)]);
    }

    /// Answers a call.
    pub(crate) fn answer(&mut self, call: i32, message: &[u8]) {
        let mut body = BytesMut::new();
        frame::put_delimited(&mut body, message);
        self.put(&header(call, RpcStatusProto::Success), &body);
    }

    /// Answers a call with an exception, or ends the connection with one.
    pub(crate) fn refuse(&mut self, status: RpcStatusProto, call: i32, (class, message): (&str, &str)) {
        let header = RpcResponseHeaderProto {
            exception_class_name: Some(class.to_owned()),
            error_msg: Some(format!("{message}\n\tat org.example.Thing.run(Thing.java:1)")),
            ..header(call, status)
        };
        self.put(&header, &[]);
    }

    fn put(&mut self, header: &RpcResponseHeaderProto, rest: &[u8]) {
        let Some(seal) = &mut self.seal else { return frame::put(&mut self.out, header, &[rest]) };
        let mut plain = BytesMut::new();
        frame::put(&mut plain, header, &[rest]);
        let wrap = RpcWrapProto { state: SaslState::Wrap as i32, token: Some(seal.wrap(&plain).into()) };
        let outer = self::header(-33, RpcStatusProto::Success);
        frame::put(&mut self.out, &outer, &[&frame::delimited(&wrap)]);
    }
}

fn header(call: i32, status: RpcStatusProto) -> RpcResponseHeaderProto {
    RpcResponseHeaderProto {
        call_id: call.cast_unsigned(),
        status: status as i32,
        server_ipc_version_num: Some(9),
        ..RpcResponseHeaderProto::default()
    }
}

/// How clients of a twin log in.
pub(crate) fn simple() -> Auth {
    Auth::Simple { user: "ada".to_owned() }
}
