//! What an image's name stands for: another process of this program asks the engine, or the registry through it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dybox_model::PullPolicy;
use tokio::process::Command;
use tokio::time::timeout;

/// No answer in this time is none.
const LIMIT: Duration = Duration::from_secs(12);

/// The id of the image that a task would run now.
///
/// # Errors
/// Why that is not known here, in a phrase.
pub(super) async fn meaning(program: &Path, image: &str, pull: PullPolicy) -> Result<String, String> {
    let mut command = Command::new(program);
    command.arg0("dybox").arg("image-id").args((pull == PullPolicy::Always).then_some("--newest")).arg("--").arg(image);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let answer = timeout(LIMIT, command.output()).await;
    let text = match answer {
        Ok(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(Ok(_)) => return Err("no engine of this machine says what it stands for".to_owned()),
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err("the engine did not say in time what it stands for".to_owned()),
    };
    match text.is_empty() {
        true if pull == PullPolicy::Always => Err("the registry has another one than this machine's engine".to_owned()),
        true => Err("this machine's engine does not have it".to_owned()),
        false => Ok(text),
    }
}
