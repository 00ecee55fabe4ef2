//! Logins for registries: those that `docker login` left in docker's configuration.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Where Docker Hub's login is kept.
const HUB: &str = "https://index.docker.io/v1/";
/// A credential helper must answer within this.
const HELPER: Duration = Duration::from_secs(10);

/// The login for a registry (nothing = Docker Hub); nothing where docker has none. A configuration that can't be read
/// counts as none: the registry's own answer then says that a login is missing.
pub(crate) async fn login(config_dir: Option<&Path>, registry: Option<&str>) -> Option<DockerCredentials> {
    let text = tokio::fs::read(config_dir?.join("config.json")).await.ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    let server = match registry {
        None | Some("docker.io" | "index.docker.io") => HUB,
        Some(registry) => registry,
    };
    let helper = config["credHelpers"][server].as_str().or_else(|| config["credsStore"].as_str());
    if let Some(helper) = helper
        && let Some(login) = ask_helper(helper, server).await
    {
        return Some(login);
    }
    plain(&config, server)
}

fn plain(config: &Value, server: &str) -> Option<DockerCredentials> {
    let auths = config["auths"].as_object()?;
    let bare =
        |key: &str| key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let entry =
        auths.get(server).or_else(|| auths.iter().find(|(key, _)| bare(key) == bare(server)).map(|(_, v)| v))?;
    let token = entry["identitytoken"].as_str().map(str::to_owned);
    let decoded = STANDARD.decode(entry["auth"].as_str().unwrap_or_default()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(DockerCredentials {
        username: Some(user.to_owned()),
        password: Some(password.trim_end_matches('\0').to_owned()),
        serveraddress: Some(server.to_owned()),
        identitytoken: token,
        ..DockerCredentials::default()
    })
}

async fn ask_helper(helper: &str, server: &str) -> Option<DockerCredentials> {
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
    let (username, password, identitytoken) =
        if user == "<token>" { (None, None, Some(secret)) } else { (Some(user.to_owned()), Some(secret), None) };
    let serveraddress = Some(server.to_owned());
    Some(DockerCredentials { username, password, identitytoken, serveraddress, ..DockerCredentials::default() })
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
    }
}
