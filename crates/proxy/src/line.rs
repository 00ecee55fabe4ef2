//! The line to an init whose container is used again: `out/line.sock`, words of `[length, u32 LE][text]`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// Init listens as soon as it runs; it waits for longer than this itself.
const CONNECT: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(2);
/// There is room for a word, unless init stands still.
const SAY: Duration = Duration::from_secs(5);
/// A verdict is short.
const LONGEST: usize = 64 << 10;

/// What the proxy holds of it. Dropping it ends an init that has nothing to do.
#[derive(Debug)]
pub(crate) struct Line {
    stream: UnixStream,
    heard: Vec<u8>,
}

/// A line that no event loop holds. Dropping it ends the init, too.
#[derive(Debug)]
pub(crate) struct Quiet {
    stream: std::os::unix::net::UnixStream,
    heard: Vec<u8>,
}

impl Quiet {
    /// In the event loop of the caller.
    pub(crate) fn wake(self) -> io::Result<Line> {
        Ok(Line { stream: UnixStream::from_std(self.stream)?, heard: self.heard })
    }
}

/// Connects to a socket in this directory, through its descriptor: the path may be longer than a socket's address.
pub(crate) async fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let dir = File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())).await
}

impl Line {
    /// Waits for an init that has just been started.
    pub(crate) async fn open(dir: &Path) -> io::Result<Self> {
        let until = Instant::now() + CONNECT;
        loop {
            match connect(dir, "line.sock").await {
                Ok(stream) => return Ok(Self { stream, heard: Vec::new() }),
                Err(error) if Instant::now() >= until => return Err(error),
                Err(_) => sleep(AGAIN).await,
            }
        }
    }

    /// Out of its event loop.
    pub(crate) fn quiet(self) -> io::Result<Quiet> {
        Ok(Quiet { stream: self.stream.into_std()?, heard: self.heard })
    }

    /// Says one word. An error: init did not get it.
    pub(crate) async fn say(&mut self, text: &str) -> io::Result<()> {
        let len = u32::try_from(text.len()).map_err(io::Error::other)?;
        let word = [&len.to_le_bytes()[..], text.as_bytes()].concat();
        timeout(SAY, self.stream.write_all(&word)).await?
    }

    /// The next word. May be given up and called again. An error: init is gone.
    pub(crate) async fn word(&mut self) -> io::Result<String> {
        loop {
            if let Some((len, rest)) = self.heard.split_first_chunk::<4>() {
                let len = u32::from_le_bytes(*len) as usize;
                if len > LONGEST {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if let Some(text) = rest.get(..len) {
                    let text = String::from_utf8_lossy(text).into_owned();
                    self.heard.drain(..4 + len);
                    return Ok(text);
                }
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_come_whole_however_they_are_cut() {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(dir.path().join("line.sock")).unwrap();
        let mut line = Line::open(dir.path()).await.unwrap();
        let (mut init, _) = listener.accept().await.unwrap();
        init.write_all(&[3, 0, 0, 0, b'a']).await.unwrap();
        assert!(timeout(Duration::from_millis(30), line.word()).await.is_err());
        init.write_all(&[b'b', b'c', 1, 0, 0, 0, b'd']).await.unwrap();
        assert_eq!((line.word().await.unwrap(), line.word().await.unwrap()), ("abc".to_owned(), "d".to_owned()));
        line.say("next").await.unwrap();
        let mut heard = [0; 8];
        init.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"\x04\0\0\0next");
        init.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        assert!(line.word().await.is_err());
        drop(init);
        assert!(Line::say(&mut line, "x").await.is_err());
    }
}
