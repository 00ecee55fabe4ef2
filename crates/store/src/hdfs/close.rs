//! Closing a file soon.
//!
//! The NameNode wants the DataNode's report of the last block before it calls a file closed, and hdfs-native asks again
//! only after half a second. The report is there after milliseconds, and closing asks anew when it is called anew: so
//! it is called anew after a short wait.

use std::time::Duration;

use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError};
use tokio::time::{Instant, sleep, timeout};

/// First and longest wait for one try. The first covers the last packet's way to the DataNode.
const WAITS: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(700));

/// Syncs and closes, or fails: then a lease recovery closes the file, with all that was synced in it.
pub(super) async fn close(writer: &mut FileWriter, deadline: Duration) -> Result<(), HdfsError> {
    writer.hsync().await?;
    let end = Instant::now() + deadline;
    let (mut wait, mut asked) = (WAITS.0, false);
    loop {
        match timeout(wait, writer.close()).await {
            // It was closed by the call whose answer we did not wait for, or by who fences us: all in it is synced.
            Ok(Err(HdfsError::RPCError(class, _))) if asked && class.ends_with("LeaseExpiredException") => {
                return Ok(());
            }
            Ok(closed) => return closed,
            Err(_) if Instant::now() > end => {
                return Err(HdfsError::OperationFailed("the NameNode does not call it closed".to_owned()));
            }
            Err(_) => (wait, asked) = ((wait * 2).min(WAITS.1), true),
        }
    }
}

/// Like [`close`], for a file that nobody else knows: where the NameNode does not call it closed, its lease is recovered.
pub(super) async fn close_own(client: &Client, path: &str, writer: &mut FileWriter) -> Result<(), HdfsError> {
    let closed = close(writer, Duration::from_secs(3)).await;
    if !matches!(closed, Err(HdfsError::OperationFailed(_))) {
        return closed;
    }
    let end = Instant::now() + Duration::from_secs(12);
    while !client.recover_lease(path).await? {
        if Instant::now() > end {
            return closed;
        }
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
