//! Closing a file soon.
//!
//! The NameNode wants the DataNode's report of the last block before it calls a file closed, and hdfs-native asks again
//! only after half a second. The report is there after milliseconds, and closing asks anew when it is called anew: so
//! it is called anew after a short wait. A wait that ends before the DataNode has confirmed the last packet makes
//! hdfs-native forget the block, and the NameNode then never calls the file closed: the first wait is long enough for
//! that as far as can be known, and who fails soon has the lease recovered, which closes the file with all that is in it.

use std::time::Duration;

use hdfs_native::file::FileWriter;
use hdfs_native::{Client, HdfsError};
use tokio::time::{Instant, sleep, timeout};

/// Shortest and longest first wait, for the last packet's way to the DataNode and back.
const FIRST: (Duration, Duration) = (Duration::from_millis(60), Duration::from_secs(2));
/// So many times longer than a sync, which goes the same way, that way may take.
const SLOWER: u32 = 8;
/// Longest wait of a later try.
const LONGEST: Duration = Duration::from_millis(700);
/// How long the NameNode may take after the first try, as a rule a few milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Syncs and closes, or fails after about `patience`: then a lease recovery closes the file, with all that was synced.
pub(super) async fn close(writer: &mut FileWriter, patience: Duration) -> Result<(), HdfsError> {
    let began = Instant::now();
    writer.hsync().await?;
    let (mut wait, mut asked) = (first_wait(began.elapsed()), false);
    let end = Instant::now() + wait + patience;
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
            Err(_) => (wait, asked) = ((wait * 2).min(LONGEST), true),
        }
    }
}

fn first_wait(synced_in: Duration) -> Duration {
    (synced_in * SLOWER).clamp(FIRST.0, FIRST.1)
}

/// Like [`close`], for a file that nobody else knows: where the NameNode does not call it closed, its lease is recovered.
pub(super) async fn close_own(client: &Client, path: &str, writer: &mut FileWriter) -> Result<(), HdfsError> {
    let closed = close(writer, PATIENCE).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_datanode_gets_more_time_for_the_last_packet() {
        assert_eq!(first_wait(Duration::from_millis(3)), FIRST.0);
        assert_eq!(first_wait(Duration::from_millis(50)), Duration::from_millis(400));
        assert_eq!(first_wait(Duration::from_secs(5)), FIRST.1);
    }
}
