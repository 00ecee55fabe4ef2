//! One connection of Hadoop RPC, without a socket: bytes in, bytes and answers out.
//!
//! ```text
//! by name:   Open ------------------------------------> (broken)
//! by token:  Negotiating -> Proving -> Open ----------> (broken)
//! ```
//! Calls may be given at any time: they are held back until the connection is open. Random values are arguments, so
//! that the same input always gives the same output. Memory grows with what comes, never with what a length promises.

mod fault;
mod login;

use std::collections::BTreeSet;

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;

use crate::frame::{self, Frames};
use crate::proto::rpc_response_header_proto::RpcStatusProto;
use crate::proto::rpc_sasl_proto::SaslState;
use crate::proto::{
    IpcConnectionContextProto, RequestHeaderProto, RpcCallerContextProto, RpcRequestHeaderProto,
    RpcResponseHeaderProto, RpcSaslProto, RpcWrapProto, UserInformationProto,
};
use crate::sasl::{Protection, Seal};
use crate::target::Auth;

pub use fault::{Fault, Refusal};
use login::{Stage, Step};

const SASL: i32 = -33;
const CONTEXT: i32 = -3;
const PING: i32 = -4;
const AUTH_NONE: u8 = 0x00;
const AUTH_SASL: u8 = 0xdf;
/// No step of a login is larger.
const LARGEST_LOGIN: usize = 1 << 20;
/// What a protected frame adds to its content.
const WRAPPING: usize = 1 << 10;

/// What a connection begins with.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The protocol's Java interface.
    pub protocol: String,
    /// Who wants in.
    pub auth: Auth,
    /// Random: the same for all connections of a client.
    pub client_id: [u8; 16],
    /// Random text, new for every connection.
    pub cnonce: String,
    /// What we accept, best first.
    pub protections: Vec<Protection>,
    /// The largest frame, in bytes.
    pub largest_frame: usize,
    /// Said in the server's audit log.
    pub caller: Option<String>,
    /// The configuration asks for more than simple authentication.
    pub secure: bool,
    /// It allows simple authentication all the same, where a server knows nothing better.
    pub fallback: bool,
}

/// The end of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What [`Session::call`] returned.
    pub call: i32,
    /// The answer's message, or the server's exception.
    pub outcome: Result<Bytes, Refusal>,
}

/// The client's end of one connection.
pub struct Session {
    opening: Opening,
    stage: Stage,
    fault: Option<Fault>,
    out: BytesMut,
    frames: Frames,
    seal: Option<(Box<Seal>, Frames)>,
    held: Vec<(i32, Bytes)>,
    waiting: BTreeSet<i32>,
    next: i32,
    wrapped_round: bool,
}

impl Session {
    /// Begins a connection: the first bytes are in [`Session::outgoing`] at once.
    #[must_use]
    pub fn new(opening: Opening) -> Self {
        let negotiates = opening.secure || matches!(opening.auth, Auth::Token(_));
        let mut session = Self {
            frames: Frames::new(if negotiates { LARGEST_LOGIN } else { opening.largest_frame }, true),
            opening,
            stage: Stage::Negotiating,
            fault: None,
            out: BytesMut::new(),
            seal: None,
            held: Vec::new(),
            waiting: BTreeSet::new(),
            next: 0,
            wrapped_round: false,
        };
        session.out.extend_from_slice(b"hrpc\x09\0");
        session.out.extend_from_slice(&[if negotiates { AUTH_SASL } else { AUTH_NONE }]);
        if negotiates {
            session.put_sasl(&login::negotiate());
        } else {
            session.open(None);
        }
        session
    }

    /// Begins a call. Its bytes go out as soon as the connection is open.
    pub fn call(&mut self, method: &str, request: &[u8]) -> i32 {
        let id = self.free_id();
        let header = RequestHeaderProto {
            method_name: method.to_owned(),
            declaring_class_protocol_name: self.opening.protocol.clone(),
            client_protocol_version: 1,
        };
        let mut body = BytesMut::new();
        frame::put_delimited(&mut body, &header.encode_to_vec());
        frame::put_delimited(&mut body, request);
        self.waiting.insert(id);
        if self.is_open() {
            self.put(&self.header(id, 0), &[&body]);
        } else {
            self.held.push((id, body.freeze()));
        }
        id
    }

    /// Says that we are still here. Does nothing before the connection is open.
    pub fn ping(&mut self) {
        if self.is_open() {
            self.put(&self.header(PING, -1), &[]);
        }
    }

    /// Nobody waits for this call any more: its answer will be dropped.
    pub fn forget(&mut self, call: i32) {
        self.waiting.remove(&call);
        self.held.retain(|(id, _)| *id != call);
    }

    /// Whether calls reach the server: the login is over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// What is to be written to the socket, in order.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        &self.out
    }

    /// The first bytes of [`Session::outgoing`] are written.
    pub fn written(&mut self, bytes: usize) {
        self.out.advance(bytes.min(self.out.len()));
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
    }

    /// Takes in what came from the socket. After a fault the connection is over.
    pub fn receive(&mut self, bytes: &[u8], answers: &mut Vec<Answer>) -> Result<(), Fault> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        self.frames.push(bytes);
        let read = self.read_frames(answers);
        if let Err(fault) = &read {
            self.fault = Some(fault.clone());
        }
        read
    }

    fn read_frames(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        while let Some(frame) = self.frames.next()? {
            self.read(frame, false, answers)?;
            while let Some(inner) = self.next_inner()? {
                self.read(inner, true, answers)?;
            }
        }
        Ok(())
    }

    fn next_inner(&mut self) -> Result<Option<Bytes>, Fault> {
        match &mut self.seal {
            Some((_, inner)) => Ok(inner.next()?),
            None => Ok(None),
        }
    }

    /// Reads one frame; `inner`: it came inside a protected one.
    fn read(&mut self, mut frame: Bytes, inner: bool, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let header: RpcResponseHeaderProto = frame::take_message(&mut frame)?;
        let status = RpcStatusProto::try_from(header.status)
            .map_err(|_| Fault::Garbled(format!("the unknown status {}", header.status)))?;
        #[expect(clippy::cast_possible_wrap, reason = "the server writes a signed number as an unsigned one")]
        let call = header.call_id as i32;
        match (status, call) {
            (RpcStatusProto::Fatal, _) | (RpcStatusProto::Error, SASL) => Err(Fault::of(Refusal::of(header))),
            (RpcStatusProto::Success, SASL) if inner => Err(Fault::Garbled("a login inside a call".to_owned())),
            (RpcStatusProto::Success, SASL) if self.is_open() => self.unwrap(&mut frame),
            (RpcStatusProto::Success, SASL) => self.log_in(&mut frame),
            _ if !self.is_open() => Err(Fault::Garbled("an answer before the login is over".to_owned())),
            _ if self.seal.is_some() && !inner => {
                Err(Fault::Garbled("an unprotected frame on a protected connection".to_owned()))
            }
            (RpcStatusProto::Success, _) => {
                let message = frame::take(&mut frame)?;
                if frame.has_remaining() {
                    return Err(Fault::Garbled(format!("{} bytes follow an answer", frame.remaining())));
                }
                self.settle(call, Ok(message), answers)
            }
            (RpcStatusProto::Error, _) => self.settle(call, Err(Refusal::of(header)), answers),
        }
    }

    fn settle(&mut self, call: i32, outcome: Result<Bytes, Refusal>, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        if self.waiting.remove(&call) {
            answers.push(Answer { call, outcome });
        } else if call < 0 || (call >= self.next && !self.wrapped_round) {
            return Err(Fault::Garbled(format!("an answer to the call {call}, which was never made")));
        }
        Ok(())
    }

    fn unwrap(&mut self, frame: &mut Bytes) -> Result<(), Fault> {
        let message: RpcWrapProto = frame::take_message(frame)?;
        let Some((seal, inner)) = &mut self.seal else {
            return Err(Fault::Garbled("a step of the login after its end".to_owned()));
        };
        if message.state != SaslState::Wrap as i32 {
            return Err(Fault::Garbled("a step of the login after its end".to_owned()));
        }
        let token = message.token.unwrap_or_default();
        inner.push(&seal.unwrap(&token).map_err(|why| Fault::Garbled(why.to_owned()))?);
        Ok(())
    }

    fn log_in(&mut self, frame: &mut Bytes) -> Result<(), Fault> {
        let message: RpcSaslProto = frame::take_message(frame)?;
        match login::step(&self.stage, message, &self.opening)? {
            Step::Send(reply, stage) => {
                self.put_sasl(&reply);
                self.stage = stage;
            }
            Step::Open(seal) => self.open(seal),
            Step::SendAndOpen(reply) => {
                self.put_sasl(&reply);
                self.open(None);
            }
        }
        Ok(())
    }

    /// The login is over: says who we are, then sends what was held back.
    fn open(&mut self, seal: Option<Box<Seal>>) {
        let largest = self.opening.largest_frame;
        self.frames.set_largest(if seal.is_some() { largest.saturating_add(WRAPPING) } else { largest });
        self.seal = seal.map(|seal| (seal, Frames::new(largest, false)));
        self.stage = Stage::Open;
        let effective_user = match &self.opening.auth {
            Auth::Simple { user } => Some(user.clone()),
            Auth::Token(_) => None,
        };
        let context = IpcConnectionContextProto {
            user_info: Some(UserInformationProto { effective_user, real_user: None }),
            protocol: Some(self.opening.protocol.clone()),
        };
        self.put(&self.header(CONTEXT, -1), &[&frame::delimited(&context)]);
        for (id, body) in std::mem::take(&mut self.held) {
            self.put(&self.header(id, 0), &[&body]);
        }
    }

    fn free_id(&mut self) -> i32 {
        loop {
            let id = self.next;
            self.next = id.wrapping_add(1) & i32::MAX;
            self.wrapped_round |= self.next == 0;
            if !self.waiting.contains(&id) {
                return id;
            }
        }
    }

    fn header(&self, call_id: i32, retry_count: i32) -> RpcRequestHeaderProto {
        RpcRequestHeaderProto {
            rpc_kind: Some(crate::proto::rpc_request_header_proto::RpcKindProto::RpcProtocolBuffer as i32),
            rpc_op: Some(crate::proto::rpc_request_header_proto::OperationProto::RpcFinalPacket as i32),
            call_id,
            client_id: if call_id == SASL { Bytes::new() } else { Bytes::copy_from_slice(&self.opening.client_id) },
            retry_count: Some(retry_count),
            caller_context: self
                .opening
                .caller
                .as_ref()
                .filter(|_| call_id >= 0)
                .map(|context| RpcCallerContextProto { context: context.clone(), signature: None }),
        }
    }

    /// Appends a frame, protected where that was agreed.
    fn put(&mut self, header: &RpcRequestHeaderProto, rest: &[&[u8]]) {
        let Some((seal, _)) = &mut self.seal else { return frame::put(&mut self.out, header, rest) };
        let mut plain = BytesMut::new();
        frame::put(&mut plain, header, rest);
        let token = Bytes::from(seal.wrap(&plain));
        let wrap = RpcWrapProto { state: SaslState::Wrap as i32, token: Some(token) };
        let header = self.header(SASL, -1);
        frame::put(&mut self.out, &header, &[&frame::delimited(&wrap)]);
    }

    fn put_sasl(&mut self, message: &RpcSaslProto) {
        let header = self.header(SASL, -1);
        frame::put(&mut self.out, &header, &[&frame::delimited(message)]);
    }
}
