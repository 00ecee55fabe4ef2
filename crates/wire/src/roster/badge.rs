//! The authority of a roster, and what its certificates say.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::WireError;
use crate::tls::{TlsIdentity, credentials, is_named};

/// What a node's name is put below in a certificate, so that no node can be called like a role.
const NODES: &str = "dybox-node";
/// The authority's own name. Two authorities differ by their keys.
const NAME: &str = "dybox roster";

/// What the holder of a certificate may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Badge {
    /// Serves.
    Server,
    /// Reports, of this node alone.
    Agent(String),
    /// Asks.
    Reader,
    /// Asks, and has agents bring images: of the masters of who holds it.
    Master,
    /// Asks, and drains.
    Operator,
}

impl Badge {
    /// The name in the certificate.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Server => "dybox-state-server".to_owned(),
            Self::Agent(host) => format!("{host}.{NODES}"),
            Self::Reader => "dybox-reader".to_owned(),
            Self::Master => "dybox-master".to_owned(),
            Self::Operator => "dybox-operator".to_owned(),
        }
    }
}

/// Signs the certificates of a roster.
pub struct Authority {
    cert: String,
    key: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority(..)")
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// [`WireError::Credentials`] where the system gives no randomness.
    pub fn make() -> Result<Self, WireError> {
        let key = KeyPair::generate().map_err(credentials)?;
        let cert = params().self_signed(&key).map_err(credentials)?.pem();
        Ok(Self { cert, key: key.serialize_pem() })
    }

    /// The one that made this certificate and key.
    #[must_use]
    pub const fn of(cert: String, key: String) -> Self {
        Self { cert, key }
    }

    /// Its certificate: who has it knows the servers.
    #[must_use]
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// Its key: who has it can be anybody.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Signs a certificate.
    ///
    /// # Errors
    /// [`WireError::Credentials`] where its key is damaged, or a node's name can't be in a certificate.
    pub fn issue(&self, badge: &Badge) -> Result<TlsIdentity, WireError> {
        let name = badge.name();
        if rustls::pki_types::DnsName::try_from(name.as_str()).is_err() {
            return Err(credentials(format!("{name:?} is no host name")));
        }
        let signed = || {
            let issuer = Issuer::new(params(), KeyPair::from_pem(&self.key)?);
            let mut leaf = CertificateParams::new([name.clone()])?;
            leaf.distinguished_name.push(DnType::CommonName, name.as_str());
            leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            leaf.extended_key_usages = vec![match badge {
                Badge::Server => ExtendedKeyUsagePurpose::ServerAuth,
                _ => ExtendedKeyUsagePurpose::ClientAuth,
            }];
            let key = KeyPair::generate()?;
            let cert = leaf.signed_by(&key, &issuer)?.pem();
            Ok::<_, rcgen::Error>(TlsIdentity { ca: self.cert.clone(), cert, key: key.serialize_pem() })
        };
        signed().map_err(credentials)
    }
}

/// One text with all three: the certificate, its key, the authority's certificate.
#[must_use]
pub fn identity_text(identity: &TlsIdentity) -> String {
    format!("{}{}{}", identity.cert, identity.key, identity.ca)
}

/// What [`identity_text`] made. The authority's certificate alone is an identity too: of who shows none.
///
/// # Errors
/// [`WireError::Credentials`] where the text is none of both.
pub fn read_identity(text: &str) -> Result<TlsIdentity, WireError> {
    let begin = "-----BEGIN ";
    let blocks: Vec<_> = text.match_indices(begin).map(|(at, _)| at).chain([text.len()]).collect();
    let blocks: Vec<_> = blocks.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
    let of = |word: &str| {
        let label = format!("{word}-----");
        let fit = blocks.iter().filter(|block| block[begin.len()..].starts_with(&label));
        fit.map(|block| (*block).to_owned()).collect::<Vec<_>>()
    };
    let certs = of("CERTIFICATE");
    let keys = of("PRIVATE KEY");
    for cert in &certs {
        CertificateDer::from_pem_slice(cert.as_bytes()).map_err(credentials)?;
    }
    match (certs.as_slice(), keys.as_slice()) {
        ([ca], []) => Ok(TlsIdentity { ca: ca.clone(), cert: String::new(), key: String::new() }),
        ([cert, ca], [key]) => Ok(TlsIdentity { ca: ca.clone(), cert: cert.clone(), key: key.clone() }),
        _ => Err(credentials("it holds neither certificate, key and authority, nor the authority alone")),
    }
}

/// What a peer showed.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    /// None where it showed no certificate. The layers between the handshake and a call have a copy each.
    leaf: Option<Arc<CertificateDer<'static>>>,
}

impl Holder {
    /// Who may stay: all whose certificate the authority signed; whether one without any may, the handshake has settled.
    pub(crate) fn know(chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        Some(Self { leaf: chain.and_then(<[_]>::first).map(|leaf| Arc::new(leaf.clone().into_owned())) })
    }

    pub(crate) fn has(&self, badge: &Badge) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| is_named(leaf, &badge.name()))
    }

    pub(crate) const fn is_nobody(&self) -> bool {
        self.leaf.is_none()
    }
}
