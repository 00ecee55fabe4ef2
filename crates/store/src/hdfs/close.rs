//! Closing a file soon.
//!
//! The NameNode wants the DataNode's report of the last block before it calls a file closed, and hdfs-native asks again
//! only after half a second. The report is there after milliseconds, and closing asks anew when it is called anew: so
//! it is called anew after a short wait.

use std::time::Duration;

use hdfs_native::HdfsError;
use hdfs_native::file::FileWriter;
use tokio::time::{Instant, timeout};

/// First and longest wait for one try. The first covers the last packet's way to the DataNode.
const WAITS: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(700));

/// Syncs and closes, or fails: then a lease recovery closes the file, with all that was synced in it.
pub(super) async fn close(writer: &mut FileWriter, deadline: Duration) -> Result<(), HdfsError> {
    writer.hsync().await?;
    let end = Instant::now() + deadline;
    let mut wait = WAITS.0;
    loop {
        match timeout(wait, writer.close()).await {
            Ok(closed) => return closed,
            Err(_) if Instant::now() > end => {
                return Err(HdfsError::OperationFailed("the NameNode does not call it closed".to_owned()));
            }
            Err(_) => wait = (wait * 2).min(WAITS.1),
        }
    }
}
