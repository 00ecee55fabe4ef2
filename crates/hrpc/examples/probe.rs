//! Looks at a real cluster: `HADOOP_CONF_DIR=... cargo run -p dybox-hrpc --example probe`.
//!
//! It logs in by name and by token (an application whose master runs nowhere), under the protection that the
//! configuration asks for, and tries the wrong doors. Every line tells what was seen.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use dybox_hrpc::{Address, Auth, Call, Client, Options, RpcError, Settings, Target, Token};
use prost::Message;

const CLIENT: &str = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB";
const MASTER: &str = "org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB";
const NAME_NODE: &str = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
const CALL: Call = Call { deadline: Duration::from_secs(20), idempotent: true };

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(int64, tag = "1")]
    memory: i64,
    #[prost(int32, tag = "2")]
    cores: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Submission {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    queue: String,
    #[prost(message, optional, tag = "5")]
    launch: Option<Named>,
    #[prost(bool, tag = "7")]
    unmanaged: bool,
    #[prost(message, optional, tag = "9")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Submit {
    #[prost(message, optional, tag = "1")]
    submission: Option<Submission>,
}

#[derive(Clone, PartialEq, Message)]
struct WireToken {
    #[prost(bytes = "vec", tag = "1")]
    identifier: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    password: Vec<u8>,
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(string, tag = "4")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct Report {
    #[prost(int32, tag = "8")]
    state: i32,
    #[prost(message, optional, tag = "19")]
    token: Option<WireToken>,
}

#[derive(Clone, PartialEq, Message)]
struct Reported {
    #[prost(message, optional, tag = "1")]
    report: Option<Report>,
}

#[derive(Clone, PartialEq, Message)]
struct Register {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(int32, tag = "2")]
    port: i32,
    #[prost(string, tag = "3")]
    tracking: String,
}

#[derive(Clone, PartialEq, Message)]
struct Finish {
    #[prost(string, tag = "1")]
    diagnostics: String,
    #[prost(string, tag = "2")]
    url: String,
    #[prost(int32, tag = "3")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Finished {
    #[prost(bool, tag = "1")]
    unregistered: bool,
}

struct Probe {
    settings: Settings,
    options: Options,
}

impl Probe {
    fn door(&self, key: &str) -> Result<Address, Box<dyn Error>> {
        let text = self.settings.get(key).ok_or_else(|| format!("{key} is not set"))?;
        Ok(Address::read(text.trim_start_matches("hdfs://"), 8020).ok_or_else(|| format!("{key} is {text}"))?)
    }

    fn client(&self, key: &str, protocol: &'static str, auth: Auth) -> Result<Client, Box<dyn Error>> {
        let addresses = vec![self.door(key)?];
        Ok(Client::new(Target { addresses, protocol, auth, options: self.options.clone() }))
    }

    fn by_name(&self, key: &str, protocol: &'static str) -> Result<Client, Box<dyn Error>> {
        self.client(key, protocol, Auth::Simple { user: "root".to_owned() })
    }
}

fn tell(what: &str, seen: impl std::fmt::Debug) {
    let _ = writeln!(std::io::stdout(), "{what}: {seen:?}");
}

fn tell_error(what: &str, outcome: Result<impl std::fmt::Debug, RpcError>) {
    let _ = match outcome {
        Ok(fine) => writeln!(std::io::stdout(), "{what}: no error but {fine:?}"),
        Err(error) => writeln!(std::io::stdout(), "{what}: {error}\n    = {} [{error:?}]", error.advice()),
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let probe = Probe { options: Options::from_settings(&settings)?, settings };
    tell("protections", &probe.options.protections);
    let rm = probe.by_name("yarn.resourcemanager.address", CLIENT)?;
    let began = Instant::now();
    let new: Named = rm.call("getNewApplication", &(), CALL).await?;
    tell("a new application, in", began.elapsed());
    let began = Instant::now();
    for _ in 0..100 {
        let _: Named = rm.call("getClusterMetrics", &(), CALL).await?;
    }
    tell("a call takes", began.elapsed() / 100);
    wrong_doors(&probe).await?;
    let token = token_of(&rm, new.id).await?;
    by_token(&probe, token).await?;
    let idle = Duration::from_secs(std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0));
    tokio::time::sleep(idle).await;
    let again: Result<Named, _> = rm.call("getNewApplication", &(), Call { idempotent: false, ..CALL }).await;
    tell("a call after a pause works", again.is_ok());
    Ok(())
}

async fn wrong_doors(probe: &Probe) -> Result<(), Box<dyn Error>> {
    let try_one = async |key: &str, protocol, method: &str| -> Result<(), Box<dyn Error>> {
        let outcome: Result<Named, _> = probe.by_name(key, protocol)?.call(method, &(), CALL).await;
        tell_error(&format!("{method} at {key}"), outcome);
        Ok(())
    };
    try_one("yarn.resourcemanager.webapp.address", CLIENT, "getNewApplication").await?;
    try_one("yarn.resourcemanager.scheduler.address", MASTER, "registerApplicationMaster").await?;
    try_one("yarn.resourcemanager.address", "org.apache.hadoop.yarn.api.ApplicationClientProtocol", "x").await?;
    try_one("yarn.resourcemanager.address", CLIENT, "noSuchMethod").await?;
    try_one("yarn.resourcemanager.address", NAME_NODE, "getServerDefaults").await?;
    let defaults: Named = probe.by_name("fs.defaultFS", NAME_NODE)?.call("getServerDefaults", &(), CALL).await?;
    tell("the NameNode's defaults, in bytes", defaults.id.len());
    let stranger = Token {
        alias: String::new(),
        identifier: b"\x0a\x02\x08\x01".to_vec(),
        password: vec![1; 20],
        kind: String::new(),
        service: String::new(),
    };
    let client = probe.client("yarn.resourcemanager.scheduler.address", MASTER, Auth::Token(stranger.clone()))?;
    tell_error("a wrong token", client.call::<_, Named>("registerApplicationMaster", &(), CALL).await);
    Ok(())
}

async fn token_of(rm: &Client, id: Vec<u8>) -> Result<Token, Box<dyn Error>> {
    let submission = Submission {
        id: id.clone(),
        name: "probe of hrpc".to_owned(),
        queue: "default".to_owned(),
        launch: Some(Named::default()),
        unmanaged: true,
        resource: Some(Resource { memory: 64, cores: 1 }),
    };
    let () = rm.call("submitApplication", &Submit { submission: Some(submission) }, CALL).await?;
    for _ in 0..100 {
        let reported: Reported = rm.call("getApplicationReport", &Named { id: id.clone() }, CALL).await?;
        if let Some(WireToken { identifier, password, kind, service }) = reported.report.and_then(|one| one.token) {
            return Ok(Token { alias: String::new(), identifier, password, kind, service });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("no token came".into())
}

async fn by_token(probe: &Probe, token: Token) -> Result<(), Box<dyn Error>> {
    let bad = Token { password: vec![0; 20], ..token.clone() };
    let client = probe.client("yarn.resourcemanager.scheduler.address", MASTER, Auth::Token(bad))?;
    tell_error("a wrong password", client.call::<_, Named>("registerApplicationMaster", &(), CALL).await);
    let client = probe.client("yarn.resourcemanager.scheduler.address", MASTER, Auth::Token(token.clone()))?;
    let began = Instant::now();
    let register = Register { host: "127.0.0.1".to_owned(), port: -1, tracking: String::new() };
    let answer: Named = client.call("registerApplicationMaster", &register, CALL).await?;
    tell("registered by token, in", began.elapsed());
    tell("with bytes", answer.id.len());
    client.set_token(token);
    let large = Finish { diagnostics: "x".repeat(300_000), url: String::new(), status: 1 };
    let bye: Result<Finished, _> = client.call("finishApplicationMaster", &large, CALL).await;
    tell("300 kB of diagnostics, over a new line", bye);
    Ok(())
}
