//! Authentication: a password once, then a token.
//!
//! Invariant: names that exist and names that do not are answered alike, in wording and in time; every failure is
//! recorded in the audit; a token is good only as long as its role could log in again with the same password.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use lakeward_base::{Coded, Redacted, SqlState};
use lakeward_engine::{Credential, Engine, Error, Login, Protocol};
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;

use crate::authorization::Authorization;
use crate::client::{BasicKey, Client, Clients};
use crate::status::internal;

/// Passwords checked at the same time: the work is slow on purpose, and must not take every processor.
const MAX_CHECKS: usize = 4;
/// Longest name that a client gives itself.
const MAX_APPLICATION_NAME: usize = 64;

/// Lets clients in.
pub(crate) struct Gate {
    engine: Engine,
    clients: Clients,
    checks: Arc<Semaphore>,
}

/// Who makes a call.
pub(crate) struct Admitted {
    /// The client.
    pub(crate) client: Arc<Client>,
    /// A token that the client does not have yet.
    pub(crate) token: Option<Redacted<String>>,
}

impl Gate {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, clients: Clients::default(), checks: Arc::new(Semaphore::new(MAX_CHECKS)) }
    }

    /// The clients that are in.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Who makes a call, by token, or by name and password.
    ///
    /// # Errors
    /// 28000 without either, or with a token that is not good; 28P01 for a wrong password; 53300.
    pub(crate) async fn admit(&self, metadata: &MetadataMap, peer: Option<SocketAddr>) -> Result<Admitted, Error> {
        match Authorization::read(metadata)? {
            Authorization::Bearer(token) => {
                let client = self.clients.find(&token, Instant::now()).ok_or_else(|| {
                    let message = "the token is unknown or has expired";
                    Error::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message).with_hint("Log in again.")
                })?;
                self.still_good(&client, metadata, peer)?;
                Ok(Admitted { client, token: None })
            }
            Authorization::Basic { user, password } => {
                let login = describe(user, metadata, peer);
                let credential = self.check(&login, password).await?;
                let key = (login.user.clone(), login.client_addr.clone());
                match self.clients.find_basic(&key, Instant::now()) {
                    Some(client) if client.is_current() => Ok(Admitted { client, token: None }),
                    Some(outdated) => {
                        self.clients.remove(&outdated);
                        self.open(login, credential, Some(key))
                    }
                    None => self.open(login, credential, Some(key)),
                }
            }
            Authorization::Missing => Err(missing()),
        }
    }

    /// The handshake: always a new session.
    ///
    /// # Errors
    /// 28000 without name and password; 28P01 for a wrong password; 53300.
    pub(crate) async fn shake_hands(
        &self,
        metadata: &MetadataMap,
        peer: Option<SocketAddr>,
    ) -> Result<Redacted<String>, Error> {
        let Authorization::Basic { user, password } = Authorization::read(metadata)? else { return Err(missing()) };
        let login = describe(user, metadata, peer);
        let credential = self.check(&login, password).await?;
        self.open(login, credential, None)?.token.ok_or_else(internal)
    }

    /// Refuses a token whose role has another password by now, or may no longer log in; it is forgotten.
    fn still_good(&self, client: &Arc<Client>, metadata: &MetadataMap, peer: Option<SocketAddr>) -> Result<(), Error> {
        if client.is_current() {
            return Ok(());
        }
        self.clients.remove(client);
        let login = describe(client.session.user().to_owned(), metadata, peer);
        self.engine.login_failed(&login, SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
        let message = "the token is no longer good: the role's password has changed, or it may no longer log in";
        Err(Error::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message).with_hint("Log in again."))
    }

    /// Answers what the client has proved itself with.
    async fn check(&self, login: &Login, password: Redacted<String>) -> Result<Credential, Error> {
        let permit = Arc::clone(&self.checks).acquire_owned().await.map_err(|_| internal())?;
        let verifier = self.engine.verifier(&login.user);
        let credential = verifier.credential();
        let fits = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            verifier.verify_password(password.expose())
        });
        if fits.await.map_err(|_| internal())? {
            return Ok(credential);
        }
        self.engine.login_failed(login, SqlState::INVALID_PASSWORD);
        let message = format!("password authentication failed for user \"{}\"", login.user);
        Err(Error::new(SqlState::INVALID_PASSWORD, message))
    }

    fn open(&self, login: Login, credential: Credential, basic: Option<BasicKey>) -> Result<Admitted, Error> {
        let session = match self.engine.login(login.clone()) {
            // Clients seldom say goodbye: one that has been idle makes room.
            Err(error)
                if error.sqlstate() == SqlState::TOO_MANY_CONNECTIONS && self.clients.evict_one(Instant::now()) =>
            {
                self.engine.login(login)?
            }
            outcome => outcome?,
        };
        let (client, token) = self.clients.add(session, credential, basic, Instant::now())?;
        Ok(Admitted { client, token: Some(token) })
    }
}

fn missing() -> Error {
    let message = "authentication is required";
    Error::new(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message)
        .with_hint("Send user name and password (Basic) with the handshake, then its token (Bearer).")
}

fn describe(user: String, metadata: &MetadataMap, peer: Option<SocketAddr>) -> Login {
    let agent = metadata.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    Login {
        user,
        auth_method: "password",
        client_addr: peer.map(|peer| peer.to_string()).unwrap_or_default(),
        application_name: agent.chars().take(MAX_APPLICATION_NAME).collect(),
        protocol: Protocol::Flight,
        settings: Vec::new(),
    }
}
