//! Logins for registries: those that `docker login` left in docker's configuration, and those of secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use dybox_model::{ImageRef, Login};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::conf::{DockerEnv, EngineConf};

/// Where Docker Hub's login is kept.
const HUB: &str = "https://index.docker.io/v1/";
/// A credential helper must answer within this.
const HELPER: Duration = Duration::from_secs(10);

/// The logins that docker has here for the registries of these images, by registry (empty = Docker Hub).
pub async fn logins<'a>(conf: &EngineConf, images: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Login> {
    let dir = conf.config_dir(&DockerEnv::read());
    let registries: BTreeSet<Option<String>> =
        images.into_iter().filter_map(|image| ImageRef::parse(image).ok()).map(|image| image.registry).collect();
    let mut all = BTreeMap::new();
    for registry in registries {
        if let Some(found) = login(dir.as_deref(), registry.as_deref()).await {
            all.insert(key(registry.as_deref()).to_owned(), found);
        }
    }
    all
}

/// What the login for an image is called in [`logins`].
#[must_use]
pub fn login_key(image: &str) -> String {
    ImageRef::parse(image).ok().map(|image| key(image.registry.as_deref()).to_owned()).unwrap_or_default()
}

/// The login for an image in the text of a secret: `user:password`, or docker's `config.json`.
///
/// # Errors
/// What is wrong with it, without a word of it.
pub fn login_of(text: &[u8], image: &str) -> Result<Login, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no text")?.trim();
    if !text.starts_with('{') {
        let (user, password) = text.split_once(':').ok_or("it is neither user:password nor docker's config.json")?;
        return Ok(Login { username: Some(user.to_owned()), password: Some(password.to_owned()), token: None });
    }
    let config: Value = serde_json::from_str(text).map_err(|_| "it is no JSON")?;
    plain(&config, server(&login_key(image))).ok_or("it has no login for the image's registry")
}

fn key(registry: Option<&str>) -> &str {
    match registry {
        None | Some("docker.io" | "index.docker.io") => "",
        Some(registry) => registry,
    }
}

fn server(key: &str) -> &str {
    if key.is_empty() { HUB } else { key }
}

/// As the engine takes it.
pub(crate) fn credentials(login: Login, image: &str) -> DockerCredentials {
    let Login { username, password, token } = login;
    let serveraddress = Some(server(&login_key(image)).to_owned());
    DockerCredentials { username, password, identitytoken: token, serveraddress, ..DockerCredentials::default() }
}

/// The login for a registry (nothing = Docker Hub); nothing where docker has none. A configuration that can't be read
/// counts as none: the registry's own answer then says that a login is missing.
pub(crate) async fn login(config_dir: Option<&Path>, registry: Option<&str>) -> Option<Login> {
    let text = tokio::fs::read(config_dir?.join("config.json")).await.ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let server = server(key(registry));
    let helper = config["credHelpers"][server].as_str().or_else(|| config["credsStore"].as_str());
    if let Some(helper) = helper
        && let Some(login) = ask_helper(helper, server).await
    {
        return Some(login);
    }
    plain(&config, server)
}

fn plain(config: &Value, server: &str) -> Option<Login> {
    let auths = config["auths"].as_object()?;
    let bare =
        |key: &str| key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let entry =
        auths.get(server).or_else(|| auths.iter().find(|(key, _)| bare(key) == bare(server)).map(|(_, v)| v))?;
    let token = entry["identitytoken"].as_str().map(str::to_owned);
    let decoded = STANDARD.decode(entry["auth"].as_str().unwrap_or_default()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let password = password.trim_end_matches('\0').to_owned();
    Some(Login { username: Some(user.to_owned()), password: Some(password), token })
}

async fn ask_helper(helper: &str, server: &str) -> Option<Login> {
    if helper.contains('/') {
        return None;
    }
    let mut child = Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let talk = async {
        stdin.write_all(server.as_bytes()).await.ok()?;
        drop(stdin);
        child.wait_with_output().await.ok()
    };
    let output = tokio::time::timeout(HELPER, talk).await.ok()??;
    let answer: Value = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())?;
    let secret = answer["Secret"].as_str()?.to_owned();
    let user = answer["Username"].as_str()?;
    // Helpers mark an identity token by this name.
    Some(match user {
        "<token>" => Login { token: Some(secret), ..Login::default() },
        user => Login { username: Some(user.to_owned()), password: Some(secret), token: None },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_login_of_docker_is_found_by_its_registry() {
        let dir = tempfile::tempdir().unwrap();
        let auth = STANDARD.encode("me:pa:ss");
        let text = format!(
            r#"{{"auths":{{"r.example:5000":{{"auth":"{auth}"}},"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#
        );
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        let found = login(Some(dir.path()), Some("r.example:5000")).await.unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("pa:ss")));
        assert!(login(Some(dir.path()), None).await.is_some());
        assert!(login(Some(dir.path()), Some("other.example")).await.is_none());
        assert!(login(None, None).await.is_none());
        let conf = EngineConf { host: None, config_dir: Some(dir.path().to_owned()) };
        let all = logins(&conf, ["r.example:5000/a:1", "busybox", "other.example/b", "r.example:5000/c"]).await;
        assert_eq!(all.keys().collect::<Vec<_>>(), ["", "r.example:5000"]);
        assert_eq!((login_key("busybox:1").as_str(), login_key("docker.io/a/b").as_str()), ("", ""));
        assert!(!format!("{all:?}").contains("pa:ss"));
    }

    #[test]
    fn a_login_in_a_secret_is_a_pair_or_dockers_configuration() {
        let image = "r.example:5000/a:1";
        let me = Login { username: Some("me".to_owned()), password: Some("pa:ss".to_owned()), token: None };
        assert_eq!(login_of(b"me:pa:ss\n", image), Ok(me.clone()));
        let config =
            format!(r#"{{"auths":{{"https://r.example:5000/":{{"auth":"{}"}}}}}}"#, STANDARD.encode("me:pa:ss"));
        assert_eq!(login_of(config.as_bytes(), image), Ok(me));
        assert!(login_of(config.as_bytes(), "busybox").is_err());
        assert!(
            login_of(b"nonsense", image).is_err() && login_of(b"{", image).is_err() && login_of(&[255], image).is_err()
        );
    }
}
