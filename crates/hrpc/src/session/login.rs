//! The steps of a login: which offer is taken, and whether the server proves itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Fault, Opening, Refusal};
use crate::proto::RpcSaslProto;
use crate::proto::rpc_sasl_proto::{SaslAuth, SaslState};
use crate::sasl::{Challenge, Login, Proof, Protection, Seal};
use crate::target::Auth;

const DIGEST: &str = "DIGEST-MD5";

/// How far a connection has come.
pub(super) enum Stage {
    /// We asked what the server offers.
    Negotiating,
    /// We sent our proof.
    Proving {
        proof: Box<Proof>,
        /// The server has proved itself as well.
        proved: bool,
    },
    /// The login is over.
    Open,
}

/// What follows from a server's step.
pub(super) enum Step {
    Send(RpcSaslProto, Stage),
    SendAndOpen(RpcSaslProto),
    Open(Option<Box<Seal>>),
}

/// The first step: what do you offer?
pub(super) fn negotiate() -> RpcSaslProto {
    message(SaslState::Negotiate, None, Vec::new())
}

/// Takes the server's step.
pub(super) fn step(stage: &Stage, said: RpcSaslProto, opening: &Opening) -> Result<Step, Fault> {
    let state = SaslState::try_from(said.state)
        .map_err(|_| Fault::Garbled(format!("the unknown step {} of a login", said.state)))?;
    match (stage, state) {
        (Stage::Negotiating, SaslState::Negotiate) => choose(said.auths, opening),
        (Stage::Negotiating, SaslState::Success) => only_simple(opening).map(|()| Step::Open(None)),
        (Stage::Proving { proof, proved: false }, SaslState::Challenge) => {
            check(proof, said.token.as_deref())?;
            let answer = message(SaslState::Response, Some(Bytes::new()), Vec::new());
            Ok(Step::Send(answer, Stage::Proving { proof: proof.clone(), proved: true }))
        }
        (Stage::Proving { proof, proved }, SaslState::Success) => {
            if !proved {
                check(proof, said.token.as_deref())?;
            }
            Ok(Step::Open(Seal::client(&proof.keys, proof.protection).map(Box::new)))
        }
        _ => Err(Fault::Garbled(format!("the step {} of a login out of turn", state.as_str_name()))),
    }
}

/// Takes the first offer that we hold something for.
fn choose(offers: Vec<SaslAuth>, opening: &Opening) -> Result<Step, Fault> {
    let token = matches!(opening.auth, Auth::Token(_));
    for offer in &offers {
        match (&opening.auth, offer.method.as_str(), offer.mechanism.as_str()) {
            (Auth::Token(token), "TOKEN", DIGEST) => {
                let user = STANDARD.encode(&token.identifier);
                let password = STANDARD.encode(&token.password);
                return prove(offer, (&user, &password), opening);
            }
            (Auth::Simple { .. }, "SIMPLE", _) => {
                only_simple(opening)?;
                let chosen = SaslAuth { challenge: None, ..offer.clone() };
                return Ok(Step::SendAndOpen(message(SaslState::Initiate, Some(Bytes::new()), vec![chosen])));
            }
            _ => {}
        }
    }
    let offered = offers.iter().take(8).map(|offer| format!("{:.40}/{:.40}", offer.method, offer.mechanism));
    Err(Fault::Mechanism { offered: offered.collect(), token })
}

fn prove(offer: &SaslAuth, (user, password): (&str, &str), opening: &Opening) -> Result<Step, Fault> {
    let challenge = offer.challenge.as_deref().ok_or_else(|| garbled("an offer of DIGEST-MD5 without a challenge"))?;
    let challenge = Challenge::read(challenge).map_err(Fault::Garbled)?;
    let protection = agree(&challenge, &opening.protections)?;
    let uri =
        format!("{}/{}", offer.protocol.as_deref().unwrap_or_default(), offer.server_id.as_deref().unwrap_or_default());
    let login = Login { user, password, uri: &uri, cnonce: &opening.cnonce };
    let proof = login.answer(&challenge, protection);
    let chosen = SaslAuth { challenge: None, ..offer.clone() };
    let response = Bytes::from(proof.response.clone());
    let initiate = message(SaslState::Initiate, Some(response), vec![chosen]);
    Ok(Step::Send(initiate, Stage::Proving { proof: Box::new(proof), proved: false }))
}

/// The first protection of ours that the server offers too.
fn agree(challenge: &Challenge, ours: &[Protection]) -> Result<Protection, Fault> {
    let words = |list: &[Protection]| list.iter().map(|one| one.qop()).collect::<Vec<_>>().join(", ");
    let chosen = ours.iter().find(|one| challenge.protections.contains(one)).copied().ok_or_else(|| {
        let offered = words(&challenge.protections);
        let text = format!(
            "no common protection: the server offers {offered}, hadoop.rpc.protection here allows {}",
            words(ours)
        );
        Fault::Denied(Refusal::ours("NoCommonProtection", text))
    })?;
    if chosen == Protection::Privacy && !challenge.ciphers.iter().any(|cipher| cipher == "3des") {
        let text = format!("no common cipher: the server offers {:.100}, known is 3des", challenge.ciphers.join(", "));
        return Err(Fault::Denied(Refusal::ours("NoCommonCipher", text)));
    }
    Ok(chosen)
}

fn check(proof: &Proof, answer: Option<&[u8]>) -> Result<(), Fault> {
    if proof.is_proved_by(answer.unwrap_or_default()) {
        return Ok(());
    }
    let text = "the server did not prove that it knows the token: it may be another one than it claims to be";
    Err(Fault::Denied(Refusal::ours("UnprovenServer", text)))
}

/// The server knows nothing better than simple authentication: is that enough?
fn only_simple(opening: &Opening) -> Result<(), Fault> {
    let text = match &opening.auth {
        Auth::Token(_) => "the server knows only simple authentication, and takes no token",
        Auth::Simple { .. } if opening.secure && !opening.fallback => {
            "the server knows only simple authentication; hadoop.security.authentication here asks for more, and \
             ipc.client.fallback-to-simple-auth-allowed is not set"
        }
        Auth::Simple { .. } => return Ok(()),
    };
    Err(Fault::Denied(Refusal::ours("SimpleOnly", text)))
}

fn garbled(text: &str) -> Fault {
    Fault::Garbled(text.to_owned())
}

fn message(state: SaslState, token: Option<Bytes>, auths: Vec<SaslAuth>) -> RpcSaslProto {
    RpcSaslProto { version: None, state: state as i32, token, auths }
}
