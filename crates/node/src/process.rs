//! Processes that the agent starts for one thing each, and their answers: one line of JSON.

use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// What it answers; `what` it does is told where it fails. It gets so much time, and may say so many bytes.
pub(crate) async fn answer<T: DeserializeOwned>(
    mut command: Command,
    what: &str,
    (limit, most): (Duration, u64),
) -> Result<T, String> {
    let mut child = command.spawn().map_err(|error| format!("{what} can't be started: {error}"))?;
    let Some(stdout) = child.stdout.take() else { return Err(format!("{what} has no output")) };
    let work = async {
        let mut text = Vec::new();
        let read = stdout.take(most).read_to_end(&mut text).await;
        (read.map(|_| text), child.wait().await)
    };
    match timeout(limit, work).await {
        Err(_) => Err(format!("{what} is not done after {} s", limit.as_secs())),
        Ok((Err(error), _) | (_, Err(error))) => Err(format!("{what} was not heard: {error}")),
        Ok((Ok(_), Ok(status))) if !status.success() => {
            Err(format!("{what} failed ({status}); the agent's log says why"))
        }
        Ok((Ok(text), Ok(_))) => {
            serde_json::from_slice(&text).map_err(|error| format!("{what} can't be understood: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use dybox_model::sweep::HomeSweep;

    use super::*;

    #[tokio::test]
    async fn a_process_that_fails_or_talks_nonsense_is_trouble_in_words() {
        let limits = (Duration::from_secs(60), 1 << 20);
        let said = |words: &'static str| async move {
            let mut command = Command::new("sh");
            command.args(["-c", words]).stdout(Stdio::piped());
            answer::<HomeSweep>(command, "its sweep", limits).await
        };
        assert_eq!(said(r#"echo '{"kept":3}'"#).await.unwrap().kept, 3);
        assert!(said("exit 5").await.unwrap_err().contains("exit status: 5"));
        assert!(said("echo hello").await.unwrap_err().contains("can't be understood"));
        let none = answer::<HomeSweep>(Command::new("/not/there"), "its sweep", limits).await.unwrap_err();
        assert!(none.contains("can't be started"), "{none}");
    }
}
