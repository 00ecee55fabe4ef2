//! What YARN hands to an ApplicationMaster: its environment and its token file.

use std::env::{self, VarError};
use std::path::PathBuf;

use dybox_hrpc::{Credentials, kind};
use dybox_master::YarnConf;
use dybox_model::ExitCode;
use dybox_store::bundle::{BUNDLE_ALIAS, Bundle};

use crate::report::Failure;

/// Reads and understands it.
pub(super) fn conf() -> Result<YarnConf, Failure> {
    let path = PathBuf::from(variable("HADOOP_TOKEN_FILE_LOCATION")?);
    let container =
        variable("CONTAINER_ID")?.parse().map_err(|e| failed("CONTAINER_ID is no container id").because(e))?;
    let host = variable("NM_HOST")?;
    let text = std::fs::read(&path)
        .map_err(|e| failed(&format!("the token file {} can't be read", path.display())).because(e))?;
    let mut credentials = Credentials::read(&text).map_err(|e| {
        let next = e.advice();
        failed("the token file can't be understood").next(next).because(e)
    })?;
    let token = credentials.token(kind::AM_RM).cloned();
    let token = token.ok_or_else(|| failed("the token file holds no token for the ResourceManager"))?;
    let handed = credentials.secrets.remove(BUNDLE_ALIAS);
    let handed = handed.ok_or_else(|| failed("the token file is not of a master's container"))?;
    let bundle =
        Bundle::decode(&handed).map_err(|e| failed("what the client handed over can't be understood").because(e))?;
    let work_dir = env::current_dir().map_err(|e| failed("there is no working directory").because(e))?;
    // Not its path: what YARN brought here is a link that may be cleaned up.
    let program = PathBuf::from("/proc/self/exe");
    Ok(YarnConf { bundle, credentials, token, container, host, work_dir, program })
}

fn variable(name: &str) -> Result<String, Failure> {
    env::var(name).map_err(|error| match error {
        VarError::NotPresent => failed(&format!("this is no ApplicationMaster: {name} is not set")),
        VarError::NotUnicode(_) => failed(&format!("{name} is no text")),
    })
}

fn failed(what: &str) -> Failure {
    Failure::new(ExitCode::Invalid, what).next("leave this to DYbox: `dybox run --yarn` starts masters")
}
