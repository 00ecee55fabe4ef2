//! What ends a connection, and what a server says when it refuses.

use crate::frame::BadFrame;
use crate::proto::RpcResponseHeaderProto;

/// More of a server's text than anybody reads.
const LONGEST: usize = 16 << 10;
/// The server does not know us, or we may not enter.
const DENIALS: [&str; 5] =
    ["InvalidToken", "SaslException", "AccessControlException", "AuthorizationException", "AuthenticationException"];

/// A Java exception as a server sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Full Java class name.
    pub class: String,
    /// Without the stack trace.
    pub message: String,
    /// May be empty.
    pub stack: String,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The other side is no Hadoop server; in words.
    NotHadoop(String),
    /// The other side does not let us in, or we do not trust it.
    Denied(Refusal),
    /// It wants a login that we can't do.
    Mechanism {
        /// `METHOD/MECHANISM`, in the server's order.
        offered: Vec<String>,
        /// Whether we have a token.
        token: bool,
    },
    /// The server gave the connection up, with an exception.
    Fatal(Refusal),
    /// Bytes that make no sense; in words.
    Garbled(String),
}

impl From<BadFrame> for Fault {
    fn from(bad: BadFrame) -> Self {
        match bad {
            BadFrame::Foreign(what) => Self::NotHadoop(what),
            BadFrame::Garbled(what) => Self::Garbled(what),
        }
    }
}

impl Refusal {
    pub(super) fn of(header: RpcResponseHeaderProto) -> Self {
        let class = header.exception_class_name.unwrap_or_else(|| "unknown".to_owned());
        let text = header.error_msg.unwrap_or_default();
        let (message, stack) = match text.find("\n\tat ").or_else(|| text.starts_with("\tat ").then_some(0)) {
            Some(at) => text.split_at(at),
            None => (text.as_str(), ""),
        };
        let message = message.strip_prefix(&format!("{class}: ")).unwrap_or(message);
        Self { message: cut(message.trim()), stack: cut(stack.trim_matches('\n')), class: cut(&class) }
    }

    /// A refusal of our own; its class has no dot.
    pub(super) fn ours(class: &str, message: impl Into<String>) -> Self {
        Self { class: class.to_owned(), message: message.into(), stack: String::new() }
    }

    fn simple_class(&self) -> &str {
        self.class.rsplit(['.', '$']).next().unwrap_or_default()
    }
}

impl Fault {
    /// What a server's last word means.
    pub(super) fn of(refusal: Refusal) -> Self {
        if let Some(offered) = demanded(&refusal.message) {
            return Self::Mechanism { offered, token: false };
        }
        if DENIALS.contains(&refusal.simple_class()) { Self::Denied(refusal) } else { Self::Fatal(refusal) }
    }
}

/// The methods in `SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]`.
fn demanded(message: &str) -> Option<Vec<String>> {
    let (_, rest) = message.split_once("SIMPLE authentication is not enabled")?;
    let (_, rest) = rest.split_once("Available:[")?;
    let (inside, _) = rest.split_once(']')?;
    Some(inside.split(',').map(|method| method.trim().to_owned()).filter(|method| !method.is_empty()).collect())
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}
