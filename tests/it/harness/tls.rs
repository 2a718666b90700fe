//! rustls for tokio-postgres: the few lines that the two need between them.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};

/// Trusts one authority.
#[derive(Clone)]
pub struct Connector(Arc<rustls::ClientConfig>, Binding);

/// What a client says that its TLS channel is.
#[derive(Clone)]
pub enum Binding {
    /// Nothing.
    None,
    /// The hash of the certificate that it saw.
    Seen,
    /// Another.
    Other,
}

/// A connector that verifies the server against `ca`.
pub fn connector(ca: &Path) -> Connector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Connector(Arc::new(config.with_root_certificates(roots).with_no_client_auth()), Binding::None)
}

impl Connector {
    /// The same for a client that binds its login to the channel.
    pub fn bound(self, binding: Binding) -> Self {
        Self(self.0, binding)
    }
}

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Stream;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Handshake> {
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        Ok(Handshake(Arc::clone(&self.0), name, self.1.clone()))
    }
}

/// One handshake.
pub struct Handshake(Arc<rustls::ClientConfig>, ServerName<'static>, Binding);

impl TlsConnect<Socket> for Handshake {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let connector = tokio_rustls::TlsConnector::from(self.0);
            connector.connect(self.1, stream).await.map(|stream| Stream(Box::new(stream), self.2))
        })
    }
}

/// A verified connection.
pub struct Stream(Box<tokio_rustls::client::TlsStream<Socket>>, Binding);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first).expect("a certificate");
        // The demo's and `init`'s are signed with SHA-256.
        let rustls::SupportedCipherSuite::Tls13(suite) = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        else {
            unreachable!("a suite of TLS 1.3")
        };
        let hash = suite.common.hash_provider.hash(certificate).as_ref().to_vec();
        match self.1 {
            Binding::None => ChannelBinding::none(),
            Binding::Seen => ChannelBinding::tls_server_end_point(hash),
            Binding::Other => ChannelBinding::tls_server_end_point(hash.iter().map(|byte| !byte).collect()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}
