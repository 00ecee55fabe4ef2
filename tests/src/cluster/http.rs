//! One HTTP request to a daemon's page.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::{Broken, Context};

/// What a page answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header lines, as they came.
    pub head: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<serde_json::Value, Broken> {
        serde_json::from_str(&self.body).map_err(|error| Broken::new(format!("not JSON ({error}): {:.200}", self.body)))
    }
}

/// Asks `host:port` for `path`, at most 20 s long for each step: a busy machine is slow.
///
/// # Errors
/// When nobody answers.
pub fn request(method: &str, address: &str, path: &str) -> Result<Answer, Broken> {
    let limit = Duration::from_secs(20);
    let at: SocketAddr = address.parse().map_err(|_| Broken::new(format!("{address} is no address")))?;
    let mut stream = TcpStream::connect_timeout(&at, limit).doing("connecting to a page")?;
    stream.set_read_timeout(Some(limit)).and_then(|()| stream.set_write_timeout(Some(limit))).doing("a deadline")?;
    // HTTP/1.0: the answer is whole when the server closes, and never in chunks.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json, */*\r\nContent-Length: 0\r\n\r\n"
    )
    .doing("asking a page")?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).doing("reading a page")?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| Broken::new("an answer without a head"))?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
