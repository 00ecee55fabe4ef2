//! The certificates of a run: one authority, made by the client that submits, and one leaf for each role.
//!
//! A run's authority signs nothing after it was made: its key is forgotten at once.

use std::fmt;
use std::sync::Arc;

use dybox_model::RunId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};

use crate::error::WireError;

/// What the holder of a leaf may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Serves.
    Master,
    /// Links and answers.
    Proxy,
    /// Watches, stops, asks.
    Client,
}

impl Role {
    /// The name in its leaf.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "dybox-master",
            Self::Proxy => "dybox-proxy",
            Self::Client => "dybox-client",
        }
    }
}

/// What is spoken over a connection; the handshake says it by name (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// gRPC. Who names nothing speaks it, too.
    Grpc,
    /// What agents say to state servers, and what they hear.
    Line,
}

impl Speech {
    /// Its name in the handshake.
    pub(crate) const fn name(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            Self::Line => b"dybox-line/2",
        }
    }
}

/// What one end shows, and whom it trusts. All are PEM texts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsIdentity {
    /// Certificate of the run's authority.
    pub ca: String,
    /// This end's certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// The identities of a run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunTls {
    /// Of its masters.
    pub master: TlsIdentity,
    /// Of its proxies.
    pub proxy: TlsIdentity,
    /// Of its clients.
    pub client: TlsIdentity,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TlsIdentity(..)")
    }
}

impl fmt::Debug for RunTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("RunTls(..)")
    }
}

impl RunTls {
    /// Makes an authority for `run` and its leaves. They have no end of life that a clock could get wrong.
    ///
    /// # Errors
    /// [`WireError::Credentials`] where the system gives no randomness.
    pub fn make(run: &RunId) -> Result<Self, WireError> {
        Self::signed(run).map_err(credentials)
    }

    fn signed(run: &RunId) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("dybox run {run}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        let ca = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let leaf = |role: Role, usage| {
            let mut params = CertificateParams::new([role.name().to_owned()])?;
            params.distinguished_name.push(DnType::CommonName, role.name());
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            let cert = params.signed_by(&key, &issuer)?.pem();
            Ok::<_, rcgen::Error>(TlsIdentity { ca: ca.clone(), cert, key: key.serialize_pem() })
        };
        Ok(Self {
            master: leaf(Role::Master, ExtendedKeyUsagePurpose::ServerAuth)?,
            proxy: leaf(Role::Proxy, ExtendedKeyUsagePurpose::ClientAuth)?,
            client: leaf(Role::Client, ExtendedKeyUsagePurpose::ClientAuth)?,
        })
    }
}

pub(crate) fn credentials(why: impl fmt::Display) -> WireError {
    WireError::Credentials { why: why.to_string() }
}

struct Parts {
    roots: RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    /// None where the end shows no certificate.
    key: Option<PrivateKeyDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Parts {
    fn of(identity: &TlsIdentity) -> Result<Self, WireError> {
        let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes()).collect::<Result<_, _>>();
        let ca = CertificateDer::from_pem_slice(identity.ca.as_bytes()).map_err(credentials)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(credentials)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
        Ok(Self {
            roots,
            chain: chain.map_err(credentials)?,
            key: if identity.key.is_empty() { None } else { Some(key.map_err(credentials)?) },
            provider: Arc::new(ring::default_provider()),
        })
    }
}

/// How a client or a proxy talks to masters of its run. Nothing is resumed: a line lives as long as its process.
pub(crate) fn client_config(identity: &TlsIdentity, speech: Speech) -> Result<Arc<ClientConfig>, WireError> {
    let Parts { roots, chain, key, provider } = Parts::of(identity)?;
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(credentials)?.with_root_certificates(roots);
    let mut config = match key {
        Some(key) => builder.with_client_auth_cert(chain, key).map_err(credentials)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![speech.name().to_vec()];
    Ok(Arc::new(config))
}

/// How a server talks to those who show a certificate of its authority; where it is `open`, to those who show none, too.
pub(crate) fn server_config(
    identity: &TlsIdentity,
    open: bool,
    speeches: &[Speech],
) -> Result<Arc<ServerConfig>, WireError> {
    let Parts { roots, chain, key, provider } = Parts::of(identity)?;
    let key = key.ok_or_else(|| credentials("the server's key is missing"))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = if open { verifier.allow_unauthenticated() } else { verifier };
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(credentials)?.with_client_cert_verifier(verifier.build().map_err(credentials)?);
    let mut config = builder.with_single_cert(chain, key).map_err(credentials)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = speeches.iter().map(|speech| speech.name().to_vec()).collect();
    Ok(Arc::new(config))
}

/// The name that every master's leaf has, whatever its machine is called.
pub(crate) fn master_name() -> ServerName<'static> {
    ServerName::try_from(Role::Master.name()).expect("a role's name is a DNS name")
}

/// What a peer's leaf, which was verified already, says about it.
pub(crate) fn role_of(chain: Option<&[CertificateDer<'_>]>) -> Option<Role> {
    let leaf = chain?.first()?;
    [Role::Proxy, Role::Client].into_iter().find(|role| is_named(leaf, role.name()))
}

/// Whether a leaf has this name.
pub(crate) fn is_named(leaf: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
}

/// What a failed handshake means to people.
pub(crate) fn explain(error: &std::io::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Cert, Error};
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it closed the connection during the handshake".to_owned(),
            _ => error.to_string(),
        };
    };
    match tls {
        Error::InvalidMessage(_) => "it speaks something else than TLS".to_owned(),
        Error::InvalidCertificate(Cert::UnknownIssuer | Cert::BadSignature) => {
            "its certificate is of another run".to_owned()
        }
        Error::InvalidCertificate(Cert::NotValidForName | Cert::NotValidForNameContext { .. }) => {
            "its certificate is not a master's".to_owned()
        }
        Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError | Alert::BadCertificate) => {
            "it takes our certificate for one of another run".to_owned()
        }
        Error::AlertReceived(Alert::NoApplicationProtocol) => "it is of another version of dybox".to_owned(),
        Error::AlertReceived(Alert::CertificateRequired) => "it wants a certificate".to_owned(),
        other => other.to_string(),
    }
}
