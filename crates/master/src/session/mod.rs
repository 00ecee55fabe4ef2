//! The master of a session: an ApplicationMaster that keeps grants warm, and in whose process the masters of a user's
//! runs live, each with its own journal, port and mind.
//!
//! One actor owns the pool of grants; runs talk to it as they would to YARN ([`Hand`]). What it has taken is in a
//! journal of its own before anybody hears of it, so that its next attempt goes on with all runs.

mod actor;
mod avoid;
mod book;
mod hand;
mod page;
mod pool;
mod runs;

use std::path::PathBuf;

use dybox_store::bundle::Bundle;
use dybox_wire::serve_session;
use dybox_yarn::{Settings, am};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::MasterError;
use crate::cluster::{ANY, BEATS, SessionConf, YarnConf, identity};

pub(crate) use hand::Hand;
use pool::Key;

impl SessionConf {
    /// What the master of a run in it knows.
    fn of_run(&self, bundle: Bundle) -> YarnConf {
        let work_dir = self.dir_of(&(bundle.info.run.clone(), bundle.subdag));
        YarnConf { work_dir, ..self.clone().with(bundle) }
    }

    /// What the master of a sub-DAG may fill.
    fn dir_of(&self, (run, subdag): &Key) -> PathBuf {
        self.work_dir.join(format!("{run}.{}", subdag.0))
    }

    fn application(&self) -> String {
        self.container.attempt.application.to_string()
    }
}

/// Keeps a session until it is stopped, or nobody used it for long; or this attempt can't go on, and YARN starts the
/// next one. Made for a current-thread runtime.
///
/// # Errors
/// [`MasterError`].
pub async fn run_session(conf: SessionConf) -> Result<(), MasterError> {
    let (server, calls, port) = serve_session(ANY, &identity(&conf.bundle.tls.master)).await?;
    let page = TcpListener::bind(ANY).await.map_err(MasterError::Page)?;
    let page_port = page.local_addr().map_err(MasterError::Page)?.port();
    let settings = Settings::from_map(conf.bundle.store.settings.clone());
    let (line, events) = am::start(am::Conf {
        user: Some(conf.bundle.user.clone()),
        host: conf.host.clone(),
        rpc_port: port,
        tracking_url: format!("http://{}:{page_port}/", conf.host),
        beat: BEATS.0,
        quick_beat: BEATS.1,
        ..am::Conf::new(settings, conf.container, conf.token.clone())
    });
    let (troubles, troubled) = mpsc::unbounded_channel();
    let book = book::open(&conf, port, troubles).await?;
    tracing::info!(name = conf.bundle.spec.name, epoch = book.epoch, port, runs = book.runs.len(), "in control");
    actor::Session::new(conf, line, (server, port), book).serve((calls, events, troubled), page).await
}
