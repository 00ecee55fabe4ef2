//! Secrets of an attempt: their values, on the way into the container's memory, and as a login for its image.
//!
//! What the submitter read came with the run; what lies in HDFS is read here. No file of this machine gets a value.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dybox_engine::{login_key, login_of};
use dybox_model::{Cause, Login, MOST_SECRET, SECRETS_DIR, SecretRef, SecretSource, SecretUse, TaskSpec, format_bytes};
use dybox_redact::Words;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use crate::data::{missing_place, store_at};
use crate::files::Files;
use crate::image::NoImage;
use crate::line::connect;
use crate::ports::Ports;
use crate::start::Refused;

/// An init that was started listens soon. It waits for longer than this itself.
const CONNECT: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(2);
/// It takes what it is given at once, unless it stands still.
const SAY: Duration = Duration::from_secs(10);

/// The secrets of an attempt, read.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// As init hears them; empty where there are none.
    bytes: Vec<u8>,
    /// What to hide of them.
    pub(crate) words: Arc<Words>,
}

/// Reads all that the attempt takes.
pub(crate) async fn read(ports: &Ports, spec: &TaskSpec) -> Result<Given, Refused> {
    let mut given = Given::default();
    if spec.secrets.is_empty() {
        return Ok(given);
    }
    let mut values = Vec::new();
    for one in &spec.secrets {
        let value = value(ports, &one.secret).await?;
        let numbers = [at(one).len(), one.mode as usize, value.len()];
        for number in numbers {
            given.bytes.extend(u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        given.bytes.extend(at(one).as_bytes());
        given.bytes.extend(&value);
        values.push(value);
    }
    given.words = Arc::new(Words::of(values.iter().map(Vec::as_slice)));
    Ok(given)
}

/// Where the file itself is: what is wanted elsewhere is a link to it, for there is no memory.
fn at(one: &SecretUse) -> String {
    match one.target.starts_with(&format!("{SECRETS_DIR}/")) {
        true => one.target.clone(),
        false => format!("{SECRETS_DIR}/.{}", one.secret.name),
    }
}

/// The links that the container needs, each with what it leads to.
pub(crate) fn links(spec: &TaskSpec) -> Vec<(String, String)> {
    let elsewhere = spec.secrets.iter().filter(|one| at(one) != one.target);
    elsewhere.map(|one| (one.target.clone(), at(one))).collect()
}

async fn value(ports: &Ports, secret: &SecretRef) -> Result<Vec<u8>, Refused> {
    let SecretRef { name, from } = secret;
    if let SecretSource::Hdfs(place) = from {
        return there(ports, name, place).await;
    }
    let private = ports.private().await?;
    private.values.get(name).map(<[u8]>::to_vec).ok_or_else(|| Refused {
        cause: Cause::InputMissing,
        text: format!("the value of the secret {name:?} ({from}) is gone: `dybox resume` reads it again"),
    })
}

async fn there(ports: &Ports, name: &str, place: &str) -> Result<Vec<u8>, Refused> {
    let no = |cause, why: String| Refused { cause, text: format!("the secret {name:?}: {why}") };
    let (store, file) = store_at(&ports.places, place)?;
    let failed = |error| {
        let Refused { cause, text } = missing_place(place, &error);
        no(cause, text)
    };
    match store.stat(&file).await.map_err(failed)? {
        Some(stat) if stat.len > MOST_SECRET => {
            let why =
                format!("{place} has {}, at most {} are taken", format_bytes(stat.len), format_bytes(MOST_SECRET));
            Err(no(Cause::InputMissing, why))
        }
        Some(_) => Ok(store.get(&file).await.map_err(failed)?.to_vec()),
        None => Err(no(Cause::InputMissing, format!("nothing is at {place}"))),
    }
}

/// Gives an init that has been started what it waits for. An error: it did not get all of it, and starts nothing.
pub(crate) async fn give(files: &Files, given: &Given) -> io::Result<()> {
    if given.bytes.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + CONNECT;
    let mut line = loop {
        match connect(&files.output, "secrets.sock").await {
            Ok(line) => break line,
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => sleep(AGAIN).await,
        }
    };
    let len = u32::try_from(given.bytes.len()).map_err(io::Error::other)?;
    let say = async {
        line.write_all(&len.to_le_bytes()).await?;
        line.write_all(&given.bytes).await?;
        // It says one byte when it has them.
        line.read_exact(&mut [0]).await.map(drop)
    };
    timeout(SAY, say).await?
}

/// The login with which an image is asked for; nothing = what docker has on this machine.
pub(crate) async fn login(ports: &Ports, spec: &TaskSpec) -> Result<Option<Login>, NoImage> {
    let Some(auth) = &spec.registry_auth else { return Ok(handed(ports, &spec.image).await) };
    let no = |Refused { cause, text }| NoImage { cause, text };
    let value = value(ports, &auth.secret).await.map_err(no)?;
    let wrong = |why| NoImage {
        cause: Cause::ImageDenied,
        text: format!("registry_auth: the secret {:?} gives no login for {}: {why}", auth.secret.name, spec.image),
    };
    let Some(user) = &auth.username else { return login_of(&value, &spec.image).map(Some).map_err(wrong) };
    let password = String::from_utf8(value).map_err(|_| wrong("it is no text"))?;
    let password = password.trim_end_matches(['\n', '\r']).to_owned();
    Ok(Some(Login { username: Some(user.clone()), password: Some(password), token: None }))
}

/// The submitter's own login for the image's registry, where the client handed one over.
pub(crate) async fn handed(ports: &Ports, image: &str) -> Option<Login> {
    ports.private().await.ok()?.logins.get(&login_key(image)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, target: &str) -> SecretUse {
        let from = SecretSource::Env("X".to_owned());
        SecretUse { secret: SecretRef { name: name.to_owned(), from }, target: target.to_owned(), mode: 0o400 }
    }

    #[test]
    fn what_is_wanted_elsewhere_is_a_link_into_memory() {
        assert_eq!(at(&one("a", "/run/secrets/a")), "/run/secrets/a");
        assert_eq!(at(&one("a", "/run/secrets/d/b")), "/run/secrets/d/b");
        assert_eq!(at(&one("a", "/etc/app.key")), "/run/secrets/.a");
        assert_eq!(at(&one("a", "/run/secretsx")), "/run/secrets/.a");
    }

    #[tokio::test]
    async fn an_init_that_waits_gets_all_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::under(&dir.path().join("g/s0-0-1"));
        files.make(None).unwrap();
        let listener = tokio::net::UnixListener::bind(files.output.join("secrets.sock")).unwrap();
        let init = tokio::spawn(async move {
            let (mut line, _) = listener.accept().await.unwrap();
            let len = line.read_u32_le().await.unwrap();
            let mut bytes = vec![0; len as usize];
            line.read_exact(&mut bytes).await.unwrap();
            line.write_all(&[1]).await.unwrap();
            bytes
        });
        let given = Given { bytes: b"all of it".to_vec(), words: Arc::default() };
        give(&files, &given).await.unwrap();
        assert_eq!(init.await.unwrap(), b"all of it");
        give(&files, &Given::default()).await.unwrap();
    }
}
