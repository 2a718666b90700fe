//! A client that throws rows away as they come: it reads the length of each message and no more.
//!
//! A client library takes longer for a row than either server, and would be what is measured. This one logs in by such a
//! library, over verified TLS, and then goes on by itself.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_rustls::client::TlsStream;

/// A stream that the library and this client hand to each other.
#[derive(Clone)]
struct Shared(Arc<Mutex<TlsStream<TcpStream>>>);

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_read(context, into)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.lock().unwrap()).poll_shutdown(context)
    }
}

/// See the module.
pub struct Discard {
    stream: Shared,
    buffer: Vec<u8>,
}

impl Discard {
    /// Logs in.
    pub async fn connect(port: u16, ca: &Path, login: &tokio_postgres::Config) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let mut plain = TcpStream::connect(("localhost", port)).await.unwrap();
        plain.set_nodelay(true).unwrap();
        // SSLRequest.
        plain.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.unwrap();
        assert_eq!(plain.read_u8().await.unwrap(), b'S');
        let name = ServerName::try_from("localhost").unwrap();
        let encrypted = tokio_rustls::TlsConnector::from(config).connect(name, plain).await.unwrap();
        let stream = Shared(Arc::new(Mutex::new(encrypted)));
        // The connection is dropped without being run: nothing more of the library's is sent.
        let _library = login.connect_raw(stream.clone(), NoTls).await.unwrap();
        Self { stream, buffer: vec![0; 1 << 20] }
    }

    /// How many rows a simple query answers.
    pub async fn text(&mut self, sql: &str) -> u64 {
        self.rows(&message(b'Q', &[sql.as_bytes(), b"\0"])).await
    }

    /// How many rows the extended protocol answers, in binary.
    pub async fn binary(&mut self, sql: &str) -> u64 {
        let parse = message(b'P', &[b"\0", sql.as_bytes(), b"\0", &[0, 0]]);
        // No parameters; one format for all columns, binary.
        let bind = message(b'B', &[b"\0\0", &[0, 0], &[0, 0], &[0, 1], &[0, 1]]);
        let (execute, sync) = (message(b'E', &[b"\0", &[0; 4]]), message(b'S', &[]));
        self.rows(&[parse, bind, execute, sync].concat()).await
    }

    async fn rows(&mut self, request: &[u8]) -> u64 {
        self.stream.write_all(request).await.unwrap();
        self.stream.flush().await.unwrap();
        let (mut rows, mut held) = (0, 0);
        loop {
            let read = self.stream.read(&mut self.buffer[held..]).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            held += read;
            let mut at = 0;
            while let Some(&[tag, a, b, c, d]) = self.buffer[at..held].first_chunk::<5>() {
                let end = at + 1 + u32::from_be_bytes([a, b, c, d]) as usize;
                if end > held {
                    break;
                }
                match tag {
                    b'D' => rows += 1,
                    b'E' => panic!("refused: {}", String::from_utf8_lossy(&self.buffer[at..end])),
                    b'Z' => return rows,
                    _ => {}
                }
                at = end;
            }
            self.buffer.copy_within(at..held, 0);
            held -= at;
        }
    }
}

fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], &body].concat()
}
