//! What goes over an agent's line: protobuf messages, each behind its length in four bytes (big end first). A length of
//! zero is a beat: it says that there is still somebody.

use std::io;

use bytes::{BufMut, Bytes};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most bytes of one message: facts of a node with thousands of images.
pub(super) const MAX: usize = 4 << 20;
const HEAD: usize = 4;
/// Room for a message grows with what has come of it: a length alone costs its reader nothing.
const ROOM: usize = 16 << 10;

/// Why no message comes any more.
#[derive(Debug)]
pub(super) enum Torn {
    /// The other end has closed, between two messages.
    Closed,
    /// The connection is broken, or has ended within a message.
    Cut(io::Error),
    /// What came is no message.
    Garbled(String),
}

/// Takes messages from a line. Between two messages it holds no memory but its own: a server has a thousand of them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    got: usize,
    body: Vec<u8>,
}

impl Frames {
    /// The next message; nothing = a beat. Who stops waiting for it loses nothing of what has come.
    pub(super) async fn next<M: Message + Default>(
        &mut self,
        line: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<M>, Torn> {
        while self.got < HEAD {
            match line.read(&mut self.head[self.got..]).await.map_err(Torn::Cut)? {
                0 if self.got == 0 => return Err(Torn::Closed),
                0 => return Err(Torn::Cut(io::ErrorKind::UnexpectedEof.into())),
                read => self.got += read,
            }
        }
        let len = u32::from_be_bytes(self.head) as usize;
        if len > MAX {
            return Err(Torn::Garbled(format!("a message of {len} bytes; at most {MAX} are taken")));
        }
        while self.body.len() < len {
            let missing = len - self.body.len();
            if self.body.len() == self.body.capacity() {
                self.body.reserve_exact(missing.min(self.body.len().max(ROOM)));
            }
            if (&mut *line).take(missing as u64).read_buf(&mut self.body).await.map_err(Torn::Cut)? == 0 {
                return Err(Torn::Cut(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        self.got = 0;
        let body = Bytes::from(std::mem::take(&mut self.body));
        if body.is_empty() {
            return Ok(None);
        }
        M::decode(body).map(Some).map_err(|error| Torn::Garbled(error.to_string()))
    }
}

/// Puts a message on a line, or a beat where there is none.
pub(super) async fn say(line: &mut (impl AsyncWrite + Unpin), message: Option<&impl Message>) -> io::Result<()> {
    let len = message.map_or(0, Message::encoded_len);
    let head = u32::try_from(len).ok().filter(|_| len <= MAX);
    let head = head.ok_or_else(|| io::Error::other(format!("a message of {len} bytes is too long for a line")))?;
    // As one write, which is one record of TLS where it is short.
    let mut frame = Vec::with_capacity(HEAD + len);
    frame.put_u32(head);
    if let Some(message) = message {
        message.encode(&mut frame).map_err(io::Error::other)?;
    }
    line.write_all(&frame).await?;
    line.flush().await
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::proto::{Facts, NodeReport};

    fn report(len: usize) -> NodeReport {
        let facts = Facts { agent: "a".repeat(len), ..Facts::default() };
        NodeReport { host: "n1".to_owned(), facts: Some(facts), ..NodeReport::default() }
    }

    /// The next message, and how often the wait for it was given up.
    async fn next_of(frames: &mut Frames, line: &mut DuplexStream) -> (Option<NodeReport>, usize) {
        for given_up in 0..10_000 {
            let polled = {
                let mut next = pin!(frames.next(line));
                poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await
            };
            if let Poll::Ready(said) = polled {
                return (said.unwrap(), given_up);
            }
            tokio::task::yield_now().await;
        }
        panic!("what came is lost");
    }

    #[tokio::test]
    async fn messages_and_beats_come_out_as_they_went_in_however_often_the_wait_is_given_up() {
        let (mut there, mut here) = duplex(1000);
        let lens = [Some(0), None, Some(5), Some(ROOM * 3 + 1), None, Some(1)];
        let saying = tokio::spawn(async move {
            for len in lens {
                say(&mut there, len.map(report).as_ref()).await.unwrap();
            }
            there
        });
        let mut frames = Frames::default();
        let mut given_up = 0;
        for len in lens {
            let (said, times) = next_of(&mut frames, &mut here).await;
            given_up += times;
            assert_eq!(said, len.map(report));
            assert_eq!(frames.body.capacity(), 0, "nothing is kept of it");
        }
        assert!(given_up > 3, "{given_up}");
        drop(saying.await.unwrap());
        assert!(matches!(frames.next::<NodeReport>(&mut here).await, Err(Torn::Closed)));
    }

    #[tokio::test]
    async fn a_length_is_believed_as_far_as_bytes_come() {
        for (said, room) in [(u32::try_from(MAX).unwrap(), ROOM), (u32::try_from(MAX + 1).unwrap(), 0)] {
            let (mut there, mut here) = duplex(100);
            let mut frames = Frames::default();
            there.write_all(&[&said.to_be_bytes()[..], &[1; 10]].concat()).await.unwrap();
            let next = timeout(Duration::from_millis(20), frames.next::<NodeReport>(&mut here)).await;
            assert_eq!(matches!(next, Ok(Err(Torn::Garbled(_)))), room == 0, "{next:?}");
            assert_eq!(frames.body.capacity(), room);
        }
        assert!(say(&mut Vec::new(), Some(&report(MAX))).await.is_err());
        let (mut there, mut here) = duplex(2 * MAX);
        say(&mut there, Some(&report(MAX - 64))).await.unwrap();
        assert_eq!(Frames::default().next(&mut here).await.unwrap(), Some(report(MAX - 64)));
    }

    #[tokio::test]
    async fn who_ends_within_a_message_has_not_closed() {
        for half in [&b"\0\0"[..], b"\0\0\0\x05", b"\0\0\0\x05\x0a\x02"] {
            let (mut there, mut here) = duplex(100);
            there.write_all(half).await.unwrap();
            drop(there);
            let next = Frames::default().next::<NodeReport>(&mut here).await;
            assert!(matches!(&next, Err(Torn::Cut(error)) if error.kind() == io::ErrorKind::UnexpectedEof), "{next:?}");
        }
    }
}
