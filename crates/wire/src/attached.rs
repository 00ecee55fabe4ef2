//! A terminal's bytes on their way through a master: pipes at both ends, streams of the wire in between.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::proto::Chunk;

/// Bytes of a chunk, and of what a pipe holds.
const CHUNK: usize = 32 << 10;

/// After the last word was said, for the other end to have heard it: a call that is dropped takes with it what is still
/// on its way.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A pipe whose other end is fed from `replies` and feeds `said`; the pipe ends when either does.
pub(crate) fn pipe(replies: Streaming<Chunk>, said: mpsc::Sender<Bytes>) -> DuplexStream {
    let (near, far) = duplex(CHUNK);
    let (out, into) = split(far);
    tokio::spawn(async move {
        let mut hearing = pin!(hear(replies, into));
        tokio::select! {
            _ = &mut hearing => {}
            () = say(out, said) => drop(timeout(LAST_WORDS, hearing).await),
        }
    });
    near
}

async fn hear(mut replies: Streaming<Chunk>, mut into: WriteHalf<DuplexStream>) -> io::Result<()> {
    while let Ok(Some(chunk)) = replies.message().await {
        into.write_all(&chunk.bytes).await?;
    }
    into.shutdown().await
}

async fn say(mut out: ReadHalf<DuplexStream>, said: mpsc::Sender<Bytes>) {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    while let Ok(1..) = out.read_buf(&mut buffer).await {
        if said.send(buffer.split().freeze()).await.is_err() {
            return;
        }
    }
}

/// At the master: what one end says is told to the other, until either goes.
pub(crate) async fn pass<M>(mut from: Streaming<M>, to: mpsc::Sender<M::Out>)
where
    M: Carried,
{
    while let Some(Ok(Some(message))) = tokio::select! {
        message = from.message() => Some(message),
        () = to.closed() => None,
    } {
        if to.send(message.out()).await.is_err() {
            return;
        }
    }
}

/// A message with bytes in it, as the other end's channel takes them.
pub(crate) trait Carried {
    type Out;

    fn out(self) -> Self::Out;
}

impl Carried for crate::proto::AttachChunk {
    type Out = Bytes;

    fn out(self) -> Bytes {
        self.bytes
    }
}

impl Carried for crate::proto::CarryChunk {
    type Out = Result<Bytes, Status>;

    fn out(self) -> Self::Out {
        Ok(self.bytes)
    }
}
