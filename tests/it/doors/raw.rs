//! A PostgreSQL client that sends whatever bytes a test wants, over TLS and after a proper login.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_rustls::client::TlsStream;

/// How long an answer may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// SSLRequest.
pub const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A connection.
pub struct Raw {
    stream: TlsStream<TcpStream>,
    /// What the server sent with its cancel key: process number and secret.
    pub key: Vec<u8>,
}

/// A TLS client that trusts one authority.
pub fn tls_connector(ca: &Path) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// A connection that has asked for encryption, before its TLS handshake.
pub async fn asked(port: u16, with: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(&[&SSL_REQUEST, with].concat()).await.unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"S");
    stream
}

/// One message: type, length, body.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

/// A Parse message without parameter types.
pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{sql}\0\0\0").as_bytes())
}

/// A Bind message of the unnamed portal with what follows the names given byte by byte.
pub fn bind(statement: &str, rest: &[u8]) -> Vec<u8> {
    message(b'B', &[b"\0", statement.as_bytes(), b"\0", rest].concat())
}

/// Bind without parameters, Execute without a limit.
pub fn bind_and_execute(statement: &str) -> Vec<u8> {
    [bind(statement, &[0; 6]), message(b'E', &[0; 5])].concat()
}

/// Sync.
pub fn sync() -> Vec<u8> {
    message(b'S', b"")
}

impl Raw {
    /// Logs in with tokio-postgres, which sees a pipe, and takes the connection over from it.
    pub async fn login(port: u16, ca: &Path, user: &str, password: &str) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = tls_connector(ca).connect(name, asked(port, b"").await).await.unwrap();
        let (theirs, mut ours) = tokio::io::duplex(1 << 16);
        let mut config = tokio_postgres::Config::new();
        config.user(user).password(password).dbname("lakeward");
        let driver = tokio::spawn(async move { config.connect_raw(theirs, NoTls).await.map(|_| ()) });
        let key = tokio::time::timeout(PATIENCE, relay(&mut stream, &mut ours)).await.unwrap();
        driver.await.unwrap().unwrap();
        Self { stream, key }
    }

    /// Sends bytes.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next message; `None` when the server closed the connection.
    pub async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        tokio::time::timeout(PATIENCE, next(&mut self.stream)).await.expect("an answer in time")
    }

    /// Message types until ReadyForQuery or the end; an error or a notice with its SQLSTATE, the end as `.`.
    pub async fn answers(&mut self) -> String {
        let mut told = Vec::new();
        while let Some((tag, body)) = self.next().await {
            told.push(match tag {
                b'E' | b'N' => format!("{}{}:{}", char::from(tag), field(&body, b'V'), field(&body, b'C')),
                tag => char::from(tag).to_string(),
            });
            if tag == b'Z' {
                return told.join(" ");
            }
        }
        told.push(".".to_owned());
        told.join(" ")
    }

    /// Sends messages and answers what comes of them.
    pub async fn script(&mut self, messages: &[Vec<u8>]) -> String {
        self.send(&messages.concat()).await;
        self.answers().await
    }
}

/// A field of an error.
pub fn field(body: &[u8], code: u8) -> String {
    let fields = body.split(|byte| *byte == 0);
    let found = fields.filter(|field| field.first() == Some(&code)).map(|field| &field[1..]).next();
    String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
}

async fn next<R: AsyncReadExt + Unpin>(stream: &mut R) -> Option<(u8, Vec<u8>)> {
    let tag = stream.read_u8().await.ok()?;
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut body).await.ok()?;
    Some((tag, body))
}

/// Passes messages to and fro until the server is ready; answers its cancel key.
async fn relay(server: &mut TlsStream<TcpStream>, client: &mut DuplexStream) -> Vec<u8> {
    let mut key = Vec::new();
    let mut sent = vec![0; 4096];
    loop {
        let told = tokio::select! {
            read = client.read(&mut sent) => {
                server.write_all(&sent[..read.unwrap()]).await.unwrap();
                server.flush().await.unwrap();
                continue;
            }
            // Not cut off in the middle: the first byte is there at once, and the rest is waited for below.
            tag = server.read_u8() => tag.unwrap(),
        };
        let length = server.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        server.read_exact(&mut body).await.unwrap();
        client.write_all(&message(told, &body)).await.unwrap();
        match told {
            b'K' => key = body,
            b'Z' => return key,
            _ => {}
        }
    }
}
