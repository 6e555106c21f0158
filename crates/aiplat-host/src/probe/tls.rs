//! TLS for probes.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use aiplat_core::spec::Trust;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Cause, plain};

/// More than every certificate authority that a machine trusts.
const MAX_AUTHORITIES: u64 = 4 << 20;

/// A TLS session over `stream`. What is asked for, and checked where certificates are, is `name`, or else the address.
pub(super) async fn wrap(
    stream: TcpStream,
    trust: &Trust,
    name: Option<&str>,
    address: IpAddr,
) -> Result<TlsStream<TcpStream>, Cause> {
    let name = match name {
        None => ServerName::from(address),
        Some(name) => ServerName::try_from(name.to_owned())
            .map_err(|_| Cause::Other(format!("`{name}` cannot be the name of a server")))?,
    };
    let config = match trust {
        Trust::Anyone => trusting(),
        Trust::Authority(file) => trusting_authority(file).await?,
    };
    let session = TlsConnector::from(config).connect(name, stream).await;
    session.map_err(|error| {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Cause::other("it closed the connection in the middle of the TLS handshake")
        } else {
            Cause::Other(format!("no TLS session: {}", plain(&error)))
        }
    })
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(provider());
    builder.with_safe_default_protocol_versions().expect("ring has the cipher suites of TLS 1.2 and 1.3")
}

fn trusting() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = || {
        let verifier = Arc::new(Anyone(provider()));
        Arc::new(builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
    };
    Arc::clone(CONFIG.get_or_init(config))
}

/// Read for every probe: the file may be renewed under us.
async fn trusting_authority(file: &str) -> Result<Arc<ClientConfig>, Cause> {
    let unreadable = |why: String| Cause::Other(format!("`tls.ca`: {file}: {why}"));
    let size = tokio::fs::metadata(file).await.map_err(|error| unreadable(plain(&error)))?.len();
    if size > MAX_AUTHORITIES {
        return Err(unreadable(format!("it is larger than {} MiB", MAX_AUTHORITIES >> 20)));
    }
    let text = tokio::fs::read(file).await.map_err(|error| unreadable(plain(&error)))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        // One of many that cannot be used (an old algorithm) must not spoil the others.
        let _unusable = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(unreadable("no certificate of an authority is in it".to_owned()));
    }
    Ok(Arc::new(builder().with_root_certificates(roots).with_no_client_auth()))
}

/// Takes anybody's certificate, and still checks that they have its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
