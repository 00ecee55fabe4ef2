//! What starts in a grant: the launch context of a proxy, as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dybox_model::GrantId;
use dybox_store::Private;
use dybox_store::bundle::{BUNDLE_VERSION, Binary, Bundle, GRANT_BUNDLE_ALIAS, GrantBundle, IMAGES};
use dybox_yarn::{Credentials, Launch, LocalResource};
use tokio::sync::mpsc;

use super::{FromRm, Room};
use crate::rm::own::Child;

/// All that is the same for every proxy of this master.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) bundle: Bundle,
    /// Where this master listens.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Tokens that proxies need too.
    pub(crate) credentials: Credentials,
    /// This program's own file.
    pub(crate) program: PathBuf,
    /// The images that the plan names: no node may think that nobody needs them while the run lives there.
    pub(crate) images: BTreeSet<String>,
    /// The secrets that this sub-DAG's stages take.
    pub(crate) secrets: BTreeSet<String>,
}

impl Launcher {
    /// What a proxy is told.
    pub(super) fn of(&self, grant: GrantId, room: &Room) -> Start<'_> {
        Start { launcher: self, bundle: self.bundle(grant, room).encode() }
    }

    /// As a child of this process.
    pub(super) fn own(&self, grant: GrantId, room: &Room, tell: mpsc::UnboundedSender<FromRm>) -> Child {
        Child::start((grant, &self.program), self.bundle(grant, room).encode(), tell)
    }

    fn bundle(&self, grant: GrantId, room: &Room) -> GrantBundle {
        let Bundle { info, subdag, store, secret, tls, private, .. } = &self.bundle;
        let values = private.values.only(self.secrets.iter().map(String::as_str));
        let images = serde_json::to_string(&self.images).expect("names are JSON");
        GrantBundle {
            version: BUNDLE_VERSION,
            run: info.run.clone(),
            subdag: *subdag,
            grant,
            size: room.size,
            store: store.clone(),
            secret: secret.clone(),
            tls: tls.proxy.clone(),
            host: self.host.clone(),
            port: self.port,
            uid: info.uid,
            gid: info.gid,
            user: info.user.clone(),
            private: Private { values, logins: private.logins.clone() },
            extra: BTreeMap::from([(IMAGES.to_owned(), images)]),
        }
    }
}

/// A proxy that is to start.
pub(super) struct Start<'a> {
    launcher: &'a Launcher,
    /// What it is told; it holds secrets.
    pub(super) bundle: Vec<u8>,
}

impl Start<'_> {
    /// For a container of its own.
    pub(super) fn launch(&self) -> Launch {
        let secrets = BTreeMap::from([(GRANT_BUNDLE_ALIAS.to_owned(), self.bundle.clone())]);
        let credentials = Credentials { secrets, ..self.launcher.credentials.clone() };
        Launch { credentials, env: self.launcher.bundle.env(), ..Launch::default() }
            .starting(program(&self.launcher.bundle.binary), "proxy")
    }
}

/// The program, as a launch context names it.
pub(crate) fn program(binary: &Binary) -> LocalResource {
    LocalResource::kept(binary.url.clone(), binary.len, binary.mtime_ms, binary.public)
}
