//! The payload's streams, to and from this process's own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use dybox_client::{Client, Ear, Heard, Mouth, Say};
use dybox_model::{AttemptId, GrantId, RunId};
use dybox_store::archive::{LogItem, Stream};
use dybox_store::logs::Select;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long a container may take to start; its image may have to be pulled first.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// Between two looks for more output in the archives.
const LOOK: Duration = Duration::from_millis(100);

/// The open line to a payload.
pub(super) struct Streams {
    /// Words to the payload; a full or broken line drops them.
    pub say: mpsc::Sender<Say>,
    /// Ends when the payload's streams have ended; an error when our own stdout or stderr can't be written.
    pub heard: JoinHandle<io::Result<()>>,
}

/// Waits for the line to a payload.
pub(super) fn connect(
    client: Client,
    run: RunId,
    grant: GrantId,
    attempt: AttemptId,
) -> JoinHandle<io::Result<(Ear, Mouth)>> {
    tokio::spawn(async move { client.attach(&run, grant, attempt, PATIENCE).await })
}

impl Streams {
    /// Starts carrying bytes in all directions.
    pub(super) fn open((ear, mouth): (Ear, Mouth), stdin: bool) -> Self {
        let (say, words) = mpsc::channel(16);
        tokio::spawn(speak(mouth, words));
        if stdin {
            tokio::spawn(read_stdin(say.clone()));
        }
        Self { say, heard: tokio::spawn(listen(ear)) }
    }
}

pub(in crate::command) async fn speak(mut mouth: Mouth, mut words: mpsc::Receiver<Say>) {
    while let Some(word) = words.recv().await {
        if mouth.say(&word).await.is_err() {
            return;
        }
    }
}

pub(in crate::command) async fn read_stdin(say: mpsc::Sender<Say>) {
    let Ok(mut stdin) = file(io::stdin().as_fd()) else { return };
    let mut bytes = vec![0; 32 << 10];
    while let Ok(read @ 1..) = stdin.read(&mut bytes).await {
        if say.send(Say::Stdin(bytes[..read].to_vec())).await.is_err() {
            return;
        }
    }
    let _ = say.send(Say::StdinEnd).await;
}

async fn listen(mut ear: Ear) -> io::Result<()> {
    let (mut stdout, mut stderr) = (file(io::stdout().as_fd())?, file(io::stderr().as_fd())?);
    loop {
        // A line that breaks ends the streams: the run says how the payload ended.
        match ear.hear().await.unwrap_or(Heard::End) {
            Heard::Stdout(bytes) => write(&mut stdout, &bytes).await?,
            Heard::Stderr(bytes) => write(&mut stderr, &bytes).await?,
            Heard::End | Heard::Code(_) | Heard::Failed { .. } => return Ok(()),
        }
    }
}

/// One of this process's own streams, without a buffer between.
pub(in crate::command) fn file(stream: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from_std(stream.try_clone_to_owned()?.into()))
}

pub(in crate::command) async fn write(to: &mut File, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await
}

/// The way out when no line could be opened: the output as it reaches the archives, until `over` says that all is there.
pub(super) async fn from_archives(client: Client, run: RunId, mut over: watch::Receiver<bool>) -> io::Result<()> {
    let (mut stdout, mut stderr) = (file(io::stdout().as_fd())?, file(io::stderr().as_fd())?);
    let mut logs = client.logs(&run, Select::default()).await.map_err(io::Error::other)?;
    loop {
        let last = *over.borrow_and_update();
        while let Some(item) = logs.next_within(LOOK).await.map_err(io::Error::other)? {
            let LogItem::Chunk { source, bytes, .. } = item else { continue };
            match source.stream {
                Stream::Stdout => write(&mut stdout, &bytes).await?,
                Stream::Stderr => write(&mut stderr, &bytes).await?,
            }
        }
        if last {
            return Ok(());
        }
    }
}
