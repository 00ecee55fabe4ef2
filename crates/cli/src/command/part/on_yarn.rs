//! What YARN hands to an ApplicationMaster and to a proxy: their environment and their token files.

use std::env::{self, VarError};
use std::path::PathBuf;

use dybox_hrpc::{Credentials, kind};
use dybox_master::{AmConf, SessionConf, YarnConf};
use dybox_model::ExitCode;
use dybox_store::bundle::{AGENT_ALIAS, BUNDLE_ALIAS, Bundle, GRANT_BUNDLE_ALIAS, SESSION_ALIAS, SessionBundle};

use crate::command::place::{bad_tokens, tokens};
use crate::report::{Failure, chain};

/// Who these are started by; a person has no use for them.
const NEXT: &str = "leave this to DYbox: `dybox run --yarn` starts masters and proxies";

/// What an ApplicationMaster is to be.
pub(super) enum Handed {
    /// The master of a sub-DAG.
    Run(Box<YarnConf>),
    /// The master of a session.
    Session(Box<SessionConf>),
}

/// What a master is told; reads and understands it.
pub(super) fn conf() -> Result<Handed, Failure> {
    let mut credentials = credentials()?;
    let container =
        variable("CONTAINER_ID")?.parse().map_err(|e| failed("CONTAINER_ID is no container id").because(e))?;
    let host = variable("NM_HOST")?;
    let page = env::var("NM_HTTP_PORT").ok().map(|port| format!("{host}:{port}"));
    let token = credentials.token(kind::AM_RM).cloned();
    let token = token.ok_or_else(|| bad_tokens("it holds no token for the ResourceManager").next(NEXT))?;
    let (run, session) = (credentials.secrets.remove(BUNDLE_ALIAS), credentials.secrets.remove(SESSION_ALIAS));
    let senseless = |e| bad_tokens(format!("what the client put into it makes no sense: {}", chain(&e))).next(NEXT);
    let work_dir = env::current_dir().map_err(|e| failed("there is no working directory").because(e))?;
    // Not its path: what YARN brought here is a link that may be cleaned up.
    let program = PathBuf::from("/proc/self/exe");
    let am = AmConf { bundle: (), credentials, token, container, host, page, work_dir, program };
    if let Some(handed) = session {
        let bundle = SessionBundle::decode(&handed).map_err(senseless)?;
        return Ok(Handed::Session(Box::new(am.with(bundle))));
    }
    let handed = run.ok_or_else(|| bad_tokens("it is not of a master's container").next(NEXT))?;
    Ok(Handed::Run(Box::new(am.with(Bundle::decode(&handed).map_err(senseless)?))))
}

/// What a master has put into the launch context of a proxy's grant; whether it is for a session's agent.
pub(super) fn handed_over() -> Result<(Vec<u8>, bool), Failure> {
    let mut secrets = credentials()?.secrets;
    let handed = secrets.remove(GRANT_BUNDLE_ALIAS).map(|bundle| (bundle, false));
    let handed = handed.or_else(|| secrets.remove(AGENT_ALIAS).map(|bundle| (bundle, true)));
    handed.ok_or_else(|| bad_tokens("it is not of a proxy's container").next(NEXT))
}

fn credentials() -> Result<Credentials, Failure> {
    let found = tokens().map_err(|failure| failure.next(NEXT))?;
    found.ok_or_else(|| failed("this is no YARN container: HADOOP_TOKEN_FILE_LOCATION is not set"))
}

fn variable(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|error| match error {
        VarError::NotPresent => failed(&format!("this is no YARN container: {name} is not set")),
        VarError::NotUnicode(_) => failed(&format!("{name} is no text")),
    })
}

pub(super) fn failed(what: &str) -> Failure {
    Failure::new(ExitCode::Invalid, what).next(NEXT)
}
