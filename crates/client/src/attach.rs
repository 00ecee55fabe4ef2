//! The line to a container's init that carries its streams, for `dybox shell`.
//!
//! A frame is one byte of kind, the length as u32 little-endian, and so many bytes.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use dybox_model::{AttemptId, GrantId, RunId, Visit};
use dybox_store::layout::RunDir;
use dybox_wire::WireError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::Client;
use crate::client::Place;

/// Longest frame that is believed; init sends at most 64 KiB.
const MAX_FRAME: u32 = 1 << 20;
/// How long the master of a task that runs may take to be reached.
const LIVES: Duration = Duration::from_secs(3);
/// Pause between two asks for a line through the cluster.
const ASK_AGAIN: Duration = Duration::from_millis(30);
/// Pause between two looks for a socket that does not exist yet.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What goes to the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    /// Bytes for its stdin.
    Stdin(Vec<u8>),
    /// Its stdin ends.
    StdinEnd,
    /// The size of its terminal.
    Size {
        /// Lines.
        rows: u16,
        /// Characters a line.
        cols: u16,
    },
    /// A signal, by number.
    Signal(u8),
}

/// What comes from the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Bytes of its stdout.
    Stdout(Vec<u8>),
    /// Bytes of its stderr.
    Stderr(Vec<u8>),
    /// Both have ended.
    End,
    /// The exit code of a visitor's command.
    Code(i32),
    /// A visitor's command did not start.
    Failed {
        /// The code that a shell would give.
        code: i32,
        /// Why.
        why: String,
    },
}

/// The end that speaks.
pub struct Mouth(Box<dyn AsyncWrite + Send + Unpin>);

/// The end that listens.
pub struct Ear(BufReader<Box<dyn AsyncRead + Send + Unpin>>);

impl fmt::Debug for Mouth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Mouth(..)")
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ear(..)")
    }
}

impl Client {
    /// A line to the payload of an attempt; waits for it as long as `patience`.
    ///
    /// # Errors
    /// The last failure to connect, when `patience` is over.
    pub async fn attach(
        &self,
        run: &RunId,
        grant: GrantId,
        attempt: AttemptId,
        patience: Duration,
    ) -> io::Result<(Ear, Mouth)> {
        match &self.place {
            Place::Machine(machine) => {
                attach(&machine.home.path(&RunDir::new(run).grant(grant).output(attempt)), patience).await
            }
            Place::Cluster(cluster) => {
                let subdag = grant.subdag();
                let until = tokio::time::Instant::now() + patience;
                loop {
                    let failed = match cluster.dial(&self.store, run, subdag, Duration::ZERO).await {
                        Ok(master) => match master.attach(grant, attempt).await {
                            Ok(line) => return Ok(ends(line)),
                            Err(error) => error,
                        },
                        Err(error) => error,
                    };
                    if tokio::time::Instant::now() >= until {
                        return Err(io::Error::other(failed));
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
    }

    /// Something beside the payload of an attempt that runs, through its master and its proxy: a command's streams, or
    /// the bytes of what is copied. The journal says who was there.
    ///
    /// # Errors
    /// The master or the proxy can't be reached, or refuses it.
    pub async fn visit(
        &self,
        run: &RunId,
        (grant, attempt): (GrantId, AttemptId),
        visit: &Visit,
    ) -> Result<Line, WireError> {
        let master = self.dial(run, grant.subdag(), LIVES).await?;
        Ok(Line(Box::new(master.visit(grant, attempt, visit).await?)))
    }
}

/// An open line to something beside a payload.
pub struct Line(Box<dyn Both>);

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl fmt::Debug for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Line(..)")
    }
}

impl Line {
    /// Both ends of a command's streams.
    #[must_use]
    pub fn ends(self) -> (Ear, Mouth) {
        ends(self.0)
    }

    /// The bytes of what is copied.
    #[must_use]
    pub fn bytes(self) -> impl AsyncRead + Send + Unpin {
        self.0
    }
}

/// Connects to `attach.sock` in `out_dir`, an attempt's out directory; waits for it as long as `patience`.
///
/// # Errors
/// The last failure to connect, when `patience` is over.
async fn attach(out_dir: &Path, patience: Duration) -> io::Result<(Ear, Mouth)> {
    let until = tokio::time::Instant::now() + patience;
    loop {
        match connect(out_dir).await {
            Ok(stream) => {
                return Ok(ends(stream));
            }
            Err(error) if tokio::time::Instant::now() >= until => return Err(error),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Both ends of a line.
pub(crate) fn ends(line: impl AsyncRead + AsyncWrite + Send + 'static) -> (Ear, Mouth) {
    let (ear, mouth) = tokio::io::split(line);
    (Ear(BufReader::with_capacity(1 << 16, Box::new(ear))), Mouth(Box::new(mouth)))
}

/// The path of a socket has at most 108 bytes, the path of a run may have more: so it is named through an open directory.
async fn connect(out_dir: &Path) -> io::Result<UnixStream> {
    let dir = std::fs::File::open(out_dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/attach.sock", dir.as_raw_fd())).await
}

impl Mouth {
    /// Sends one thing.
    ///
    /// # Errors
    /// When the other end is gone.
    pub async fn say(&mut self, what: &Say) -> io::Result<()> {
        self.0.write_all(&encode(what)).await?;
        self.0.flush().await
    }
}

impl Ear {
    /// Waits for the next thing. An end of the connection counts as [`Heard::End`].
    ///
    /// # Errors
    /// When a frame is cut off or is none.
    pub async fn hear(&mut self) -> io::Result<Heard> {
        let mut head = [0; 5];
        match self.0.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Heard::End),
            read => read?,
        };
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        if length > MAX_FRAME {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        self.0.read_exact(&mut bytes).await?;
        match head[0] {
            10 => Ok(Heard::Stdout(bytes)),
            11 => Ok(Heard::Stderr(bytes)),
            12 => Ok(Heard::End),
            13 | 14 if bytes.len() >= 4 => {
                let code = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let why = || String::from_utf8_lossy(&bytes[4..]).into_owned();
                Ok(if head[0] == 13 { Heard::Code(code) } else { Heard::Failed { code, why: why() } })
            }
            kind => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of the unknown kind {kind}"))),
        }
    }
}

fn encode(what: &Say) -> Vec<u8> {
    let frame = |kind: u8, bytes: &[u8]| {
        let mut frame = Vec::with_capacity(bytes.len() + 5);
        frame.push(kind);
        frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        frame.extend_from_slice(bytes);
        frame
    };
    match what {
        Say::Stdin(bytes) => frame(0, bytes),
        Say::StdinEnd => frame(1, &[]),
        Say::Size { rows, cols } => {
            let ([a, b], [c, d]) = (rows.to_le_bytes(), cols.to_le_bytes());
            frame(2, &[a, b, c, d])
        }
        Say::Signal(number) => frame(3, &[*number]),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn frames_are_those_of_init() {
        assert_eq!(encode(&Say::Stdin(b"ab".to_vec())), [0, 2, 0, 0, 0, b'a', b'b']);
        assert_eq!(encode(&Say::StdinEnd), [1, 0, 0, 0, 0]);
        assert_eq!(encode(&Say::Size { rows: 24, cols: 300 }), [2, 4, 0, 0, 0, 24, 0, 44, 1]);
        assert_eq!(encode(&Say::Signal(15)), [3, 1, 0, 0, 0, 15]);
    }

    #[tokio::test]
    async fn streams_stay_apart_and_a_socket_may_come_late_and_lie_deep() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let there = deep.clone();
        let init = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let dir = std::fs::File::open(&there).unwrap();
            let listener = UnixListener::bind(format!("/proc/self/fd/{}/attach.sock", dir.as_raw_fd())).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[10, 1, 0, 0, 0, b'o', 11, 1, 0, 0, 0, b'e', 12, 0, 0, 0, 0]).await.unwrap();
            let mut heard = [0; 6];
            stream.read_exact(&mut heard).await.unwrap();
            heard
        });
        let (mut ear, mut mouth) = attach(&deep, Duration::from_secs(5)).await.unwrap();
        mouth.say(&Say::Signal(2)).await.unwrap();
        assert_eq!(ear.hear().await.unwrap(), Heard::Stdout(b"o".to_vec()));
        assert_eq!(ear.hear().await.unwrap(), Heard::Stderr(b"e".to_vec()));
        assert_eq!(ear.hear().await.unwrap(), Heard::End);
        assert_eq!(init.await.unwrap(), [3, 1, 0, 0, 0, 2]);
    }

    #[tokio::test]
    async fn a_socket_that_never_comes_is_given_up() {
        let root = tempfile::tempdir().unwrap();
        assert!(attach(root.path(), Duration::from_millis(20)).await.is_err());
    }
}
