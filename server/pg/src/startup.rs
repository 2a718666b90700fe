//! From a new connection to a session: encryption, protocol version, authentication.
//!
//! Packets before the encryption are read to the byte, so that nothing sent in plaintext can slip into the encrypted
//! conversation. Invariant: where TLS is configured, no plaintext connection gets further than its startup packet.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use lakeward_base::{Coded, SqlState};
use lakeward_engine::{Login, Protocol, Session, Verifier};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::binding::{Shown, noted};
use crate::error::PgError;
use crate::message::Reader;
use crate::packet::{Hello, Packet, parse};
use crate::scram::{self, Channel, Exchange};
use crate::serve::Context;
use crate::wire::{Duplex, Fault, Wire};
use crate::{packet, reply};

/// The only database.
const DATABASE: &str = "lakeward";
/// The protocol name that a client gives when it starts with TLS at once.
pub(crate) const ALPN: &[u8] = b"postgresql";
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client that said what it wants.
pub(crate) struct Greeted {
    pub(crate) wire: Wire,
    pub(crate) hello: Hello,
    /// What binds a login to the TLS channel.
    binding: Option<Vec<u8>>,
}

/// How a connection stands after its first packets.
struct Opening {
    stream: Box<dyn Duplex>,
    encrypted: bool,
    asked_tls: bool,
    asked_gss: bool,
    shown: Shown,
}

/// Reads a connection's first packets; `None` where nothing more is to be done with it.
pub(crate) async fn greet(stream: TcpStream, context: &Context) -> Result<Option<Greeted>, PgError> {
    let mut first = [0];
    let direct = stream.peek(&mut first).await? == 1 && first == [TLS_HANDSHAKE];
    let (stream, shown): (Box<dyn Duplex>, Option<Shown>) = match (&context.tls, direct) {
        (Some(tls), true) => accept_direct(stream, tls).await.map(|(stream, shown)| (stream, Some(shown)))?,
        _ => (Box::new(stream), None),
    };
    let encrypted = shown.is_some();
    let shown = shown.unwrap_or_default();
    let mut opening = Opening { stream, encrypted, asked_tls: encrypted, asked_gss: encrypted, shown };
    loop {
        let packet = match read_packet(&mut opening.stream, context.limits.startup_message_bytes).await {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(None),
            Err(error) => return refuse(opening, &error).await,
        };
        match packet {
            Packet::Tls if !opening.asked_tls => opening = encrypt(opening, context).await?,
            Packet::Gss if !opening.asked_gss => {
                opening.asked_gss = true;
                opening.stream.write_all(b"N").await?;
            }
            Packet::Tls | Packet::Gss => {
                return refuse(opening, &PgError::Protocol("unexpected encryption request")).await;
            }
            Packet::Cancel { process_id, secret } => {
                let _ = context.engine.cancel(process_id, secret);
                // Over TLS a client takes an end without a farewell for an attack, and its cancellation for refused.
                let _ = opening.stream.shutdown().await;
                return Ok(None);
            }
            Packet::Hello(hello) if hello.major != 3 => {
                let error = PgError::UnsupportedProtocol { major: hello.major, minor: hello.minor };
                return refuse(opening, &error).await;
            }
            Packet::Hello(_) if context.tls.is_some() && !opening.encrypted => {
                return refuse(opening, &PgError::TlsRequired).await;
            }
            Packet::Hello(hello) => {
                let wire = Wire::new(opening.stream, context.limits.startup_message_bytes);
                return Ok(Some(Greeted { wire, hello, binding: opening.shown.binding() }));
            }
        }
    }
}

async fn refuse(opening: Opening, error: &PgError) -> Result<Option<Greeted>, PgError> {
    if !matches!(error, PgError::Io(_)) {
        Wire::new(opening.stream, 0).close(Some(error)).await;
    }
    Ok(None)
}

async fn encrypt(mut opening: Opening, context: &Context) -> Result<Opening, PgError> {
    let mut answer = Vec::new();
    reply::encryption(&mut answer, context.tls.is_some());
    opening.stream.write_all(&answer).await?;
    opening.asked_tls = true;
    if let Some(tls) = &context.tls {
        let (tls, shown) = noted(tls);
        let stream = TlsAcceptor::from(tls).accept(opening.stream).await?;
        return Ok(Opening { stream: Box::new(stream), encrypted: true, asked_tls: true, asked_gss: true, shown });
    }
    Ok(opening)
}

/// TLS without a request first: the client must name the protocol, or a confused web client would be let in.
async fn accept_direct(
    stream: TcpStream,
    tls: &Arc<rustls::ServerConfig>,
) -> Result<(Box<dyn Duplex>, Shown), PgError> {
    let (tls, shown) = noted(tls);
    let stream = TlsAcceptor::from(tls).accept(stream).await?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(PgError::Protocol("direct TLS connection without the protocol name \"postgresql\""));
    }
    Ok((Box::new(stream), shown))
}

/// Reads exactly one packet; `None` where the client closed the connection instead.
async fn read_packet(stream: &mut Box<dyn Duplex>, limit_bytes: usize) -> Result<Option<Packet>, PgError> {
    let mut length = [0; 4];
    if stream.read_exact(&mut length).await.is_err() {
        return Ok(None);
    }
    let length = packet::body_length(length, limit_bytes)?;
    let mut body = bytes::BytesMut::zeroed(length);
    stream.read_exact(&mut body).await?;
    parse(body.freeze()).map(Some)
}

/// Authenticates a client and opens its session.
pub(crate) async fn log_in(greeted: &mut Greeted, peer: SocketAddr, context: &Context) -> Result<Arc<Session>, Fault> {
    let Greeted { wire, hello, binding } = greeted;
    if let Some(version) = hello.negotiated() {
        reply::negotiate(&mut wire.out, version, hello.unknown_options())?;
    }
    let login = login_of(hello, peer)?;
    if hello.parameter("replication").is_some_and(|value| !["false", "off", "no", "0"].contains(&value)) {
        return Err(Fault::Fatal(lakeward_engine::Error::unsupported("replication")));
    }
    let verifier = context.engine.verifier(&login.user);
    let signature = prove(wire, &verifier, binding.as_deref()).await.inspect_err(|fault| {
        // Leaving without an answer is how clients ask whether a password is needed: no attempt.
        if let Fault::Failed(error) | Fault::Fatal(error) = fault {
            context.engine.login_failed(&login, error.sqlstate());
        }
    })?;
    let Some(signature) = signature else {
        context.engine.login_failed(&login, SqlState::INVALID_PASSWORD);
        tokio::time::sleep(context.limits.failure_delay()).await;
        return Err(PgError::PasswordFailed(login.user).into());
    };
    reply::sasl_final(&mut wire.out, scram::server_final(signature))?;
    reply::authenticated(&mut wire.out)?;
    check_database(hello, &login.user)?;
    let session = context.engine.login(login).map_err(Fault::Fatal)?;
    for (name, value) in session.parameter_status() {
        reply::parameter_status(&mut wire.out, &name, &value)?;
    }
    reply::key_data(&mut wire.out, session.cancel_key())?;
    wire.set_limit(context.limits.message_bytes);
    Ok(session)
}

fn login_of(hello: &Hello, peer: SocketAddr) -> Result<Login, PgError> {
    let user = hello.parameter("user").filter(|user| !user.is_empty()).ok_or(PgError::NoUser)?;
    Ok(Login {
        user: user.to_owned(),
        auth_method: "scram-sha-256",
        client_addr: peer.to_string(),
        application_name: hello.application_name(),
        protocol: Protocol::Pg,
        settings: hello.settings()?,
    })
}

/// The SCRAM exchange; `None` where the proof does not fit.
async fn prove(wire: &mut Wire, verifier: &Verifier, binding: Option<&[u8]>) -> Result<Option<[u8; 32]>, Fault> {
    let offered = binding.map(|_| scram::MECHANISM_PLUS).into_iter().chain([scram::MECHANISM]);
    reply::sasl(&mut wire.out, offered.map(str::to_owned).collect())?;
    wire.flush().await?;
    let mut initial = Reader(password_message(wire).await?);
    let bound = match initial.text()?.as_str() {
        scram::MECHANISM => false,
        scram::MECHANISM_PLUS if binding.is_some() => true,
        _ => return Err(PgError::Protocol("client selected an invalid SASL authentication mechanism").into()),
    };
    let client_first = initial.value()?.ok_or(PgError::Protocol("malformed SCRAM message"))?;
    initial.end()?;
    let (salt, iterations) = (verifier.scram.salt(), verifier.scram.iterations());
    let channel = Channel { binding, bound };
    let exchange = Exchange::begin(&client_first, &scram::nonce(), salt, iterations, channel)?;
    reply::sasl_continue(&mut wire.out, exchange.server_first().to_owned())?;
    wire.flush().await?;
    let last = exchange.finish(&password_message(wire).await?)?;
    Ok(verifier.verify_proof(&last.auth_message, &last.proof))
}

async fn password_message(wire: &mut Wire) -> Result<Bytes, Fault> {
    let frame = wire.receive().await?.ok_or(Fault::Gone)?;
    if frame.tag != b'p' {
        return Err(PgError::Protocol("expected a SASL response").into());
    }
    Ok(frame.body)
}

/// libpq asks for a database of the user's name where none is given.
fn check_database(hello: &Hello, user: &str) -> Result<(), PgError> {
    match hello.parameter("database") {
        Some(name) if !name.is_empty() && name != DATABASE && name != user => {
            Err(PgError::UnknownDatabase(name.to_owned()))
        }
        _ => Ok(()),
    }
}

/// An error for a client that is refused before anything is read.
pub(crate) fn refusal(error: &dyn Coded) -> Vec<u8> {
    let mut out = Vec::new();
    reply::error(&mut out, reply::Severity::Fatal, error);
    out
}
