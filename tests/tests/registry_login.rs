//! A private registry with TLS and a password, and the logins that docker's own configuration has for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use dybox_tests::{Engine, Follow, PASSWORD, Registry, USER, Workspace};

/// `user:password` for `config.json`: ann with the right one, ann with a wrong one.
const RIGHT: &str = "YW5uOm9wZW4gc2VzYW1l";
const WRONG: &str = "YW5uOmNsb3NlZA==";

/// A private registry with one image that this engine has not, in a user's place.
struct Private {
    place: Workspace,
    registry: Registry,
    image: String,
}

impl Private {
    fn new() -> Self {
        let (registry, place, engine) = (Registry::private(), Workspace::new(), Engine::machine());
        let image = format!("{}/team/tool:1", registry.server());
        let private = Self { place, registry, image };
        let config =
            private.config(&format!(r#"{{"auths":{{"{}":{{"auth":"{RIGHT}"}}}}}}"#, private.registry.server()));
        engine.docker(&["tag", "dybox-test/busybox:1", &private.image]);
        let pushed = engine.docker(&["--config", &config.display().to_string(), "push", &private.image]);
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        private.forget();
        private.place.job(&format!(
            "stages:\n  a: {{ image: \"{}\", retry: {{ max: 3 }}, script: \"echo came in\" }}\n",
            private.image
        ));
        private
    }

    /// Writes docker's configuration; its directory.
    fn config(&self, text: &str) -> PathBuf {
        self.place.write("docker/config.json", text).parent().expect("a directory").to_owned()
    }

    fn forget(&self) {
        Engine::machine().docker(&["rmi", &self.image]);
    }

    fn run(&self, more: impl FnOnce(&mut Command)) -> dybox_tests::Done {
        let mut command = self.place.command(&["run", "job.yaml"]);
        command.env("DOCKER_CONFIG", self.place.path().join("docker"));
        more(&mut command);
        Follow::start(&mut command).end(Duration::from_secs(120))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.forget();
    }
}

#[test]
fn a_login_of_dockers_own_configuration_opens_a_private_registry() {
    let private = Private::new();
    let server = private.registry.server();
    private.config(&format!(r#"{{"auths":{{"{server}":{{"auth":"{RIGHT}"}}}}}}"#));
    let done = private.run(|_| ()).expect(0);
    private.place.dybox(&["logs", "--no-prefix", &done.run_id()]).expect(0).says("came in");
    private.place.assert_nothing_left();
}

#[test]
fn a_credential_helper_is_asked_for_the_password() {
    let private = Private::new();
    let server = private.registry.server();
    let helper = format!(
        "#!/bin/sh\nread server\n[ \"$1 $server\" = 'get {server}' ] || exit 1\necho '{{\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n"
    );
    let helper = private.place.write("bin/docker-credential-dytest", &helper);
    fs::set_permissions(&helper, Permissions::from_mode(0o755)).unwrap();
    private.config(&format!(r#"{{"credHelpers":{{"{server}":"dytest"}}}}"#));
    let path = format!("{}:{}", helper.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let on_path = |command: &mut Command| {
        command.env("PATH", path);
    };
    private.run(on_path).expect(0);
    private.place.assert_nothing_left();
}

#[test]
fn a_wrong_or_missing_password_is_the_users_and_told_in_the_registrys_words() {
    let private = Private::new();
    let server = private.registry.server();
    for auths in [String::new(), format!(r#""{server}":{{"auth":"{WRONG}"}}"#)] {
        private.config(&format!(r#"{{"auths":{{{auths}}}}}"#));
        let done = private.run(|_| ()).expect(1);
        let run = done.run_id();
        done.says("C1011");
        let tries = private.place.status(&format!("{run}/a/0"));
        assert_eq!(tries["attempts"].as_array().map(Vec::len), Some(1), "never tried again: {tries}");
        let text = tries["attempts"][0]["text"].as_str().unwrap_or_default().to_owned();
        // The engine keeps a refusal for itself where it tries plain HTTP next; else it says the registry's words.
        assert!(text.contains("auth") || text.contains("HTTPS server"), "{text}");
        assert!(!text.contains(PASSWORD) && !text.contains("closed"), "no password is told: {text}");
    }
    private.place.assert_nothing_left();
}

#[test]
fn a_stage_s_own_login_is_a_secret() {
    let private = Private::new();
    private.config("{}");
    let server = private.registry.server();
    private.place.write("pair", &format!("{USER}:{PASSWORD}\n"));
    private.place.write("config", &format!(r#"{{"auths":{{"{server}":{{"auth":"{RIGHT}"}}}}}}"#));
    private.place.write("word", &format!("{PASSWORD}\n"));
    let job = |auth: &str| {
        private.place.job(&format!(
            "stages:\n  a: {{ image: \"{}\", registry_auth: {auth}, retry: {{ max: 3 }}, script: \"echo came in; ! ls /run/secrets\" }}\nsecrets: {{ pair: {{ file: pair }}, config: {{ file: ./config }}, word: {{ file: word }} }}\n",
            private.image
        ));
    };
    for auth in ["pair", "config", "{ username: ann, password_secret: word }"] {
        job(auth);
        let done = private.run(|_| ()).expect(0);
        private.place.dybox(&["logs", "--no-prefix", &done.run_id()]).expect(0).says("came in");
        private.place.until_idle();
        private.forget();
    }
    job("{ username: eve, password_secret: word }");
    private.run(|_| ()).expect(1).says("C1011");
    job("word");
    let told = private.run(|_| ()).expect(1).says("C1011").says("neither user:password nor docker's config.json");
    assert!(!told.out.contains(PASSWORD) && !told.err.contains(PASSWORD), "{}", told.out);
    private.place.assert_nothing_left();
}
