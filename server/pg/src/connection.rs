//! The message loop of one logged-in client.
//!
//! Invariant: every error goes to the client once and marks an open transaction block as failed; after an error in
//! the extended protocol, nothing is done until Sync.

use std::collections::HashMap;
use std::sync::Arc;

use lakeward_base::{Coded, SqlState};
use lakeward_engine::{Error, Session, TransactionStatus};
use tokio_util::sync::CancellationToken;

use crate::error::PgError;
use crate::frame::Frame;
use crate::message::Frontend;
use crate::portal::{Portal, Statement};
use crate::reply::{self, Severity};
use crate::rows::Zone;
use crate::wire::{Fault, Wire};

/// A logged-in client.
pub(crate) struct Connection {
    pub(crate) wire: Wire,
    pub(crate) session: Arc<Session>,
    pub(crate) statements: HashMap<String, Arc<Statement>>,
    pub(crate) portals: HashMap<String, Portal>,
    /// Messages are ignored until Sync.
    skipping: bool,
    /// The client has been told that it may go on, and has said nothing since.
    idle: bool,
    shutdown: CancellationToken,
}

/// What follows a message.
enum Next {
    /// The next message.
    Continue,
    /// A query cycle is over: ReadyForQuery.
    Ready,
    /// The client said goodbye.
    End,
}

impl Connection {
    pub(crate) fn new(wire: Wire, session: Arc<Session>, shutdown: CancellationToken) -> Self {
        Self {
            wire,
            session,
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            idle: false,
            shutdown,
        }
    }

    /// Serves the client until it goes, or the server stops.
    pub(crate) async fn serve(mut self) {
        let ended = self.converse().await;
        // Statements still open end before the farewell, which may take a while.
        self.portals.clear();
        self.statements.clear();
        let Self { wire, session, .. } = self;
        session.abandon();
        drop(session);
        match ended {
            Err(Fault::Fatal(error) | Fault::Failed(error)) => wire.close(Some(&error)).await,
            Ok(()) => wire.close(None).await,
            Err(Fault::Gone) => {}
        }
    }

    async fn converse(&mut self) -> Result<(), Fault> {
        self.ready().await?;
        while let Some(frame) = self.receive().await? {
            if self.skipping && !matches!(frame.tag, b'S' | b'X') {
                continue;
            }
            self.idle = false;
            let is_query = matches!(frame.tag, b'Q' | b'F');
            match Box::pin(self.handle(frame)).await {
                Ok(Next::Continue) => {}
                Ok(Next::Ready) => self.ready().await?,
                Ok(Next::End) => return Ok(()),
                Err(Fault::Failed(error)) if error.sqlstate() == SqlState::TRANSACTION_TIMEOUT => {
                    return Err(Fault::Fatal(error));
                }
                Err(Fault::Failed(error)) => self.fail(&error, is_query).await?,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Waits for a message, for the server's end, or until the client has been silent for too long.
    pub(crate) async fn receive(&mut self) -> Result<Option<Frame>, Fault> {
        let limit = if self.idle { self.session.idle_limit() } else { None };
        let silent = async {
            match limit {
                Some((limit, error)) => {
                    tokio::time::sleep(limit).await;
                    error
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            frame = self.wire.receive() => Ok(frame?),
            () = self.shutdown.cancelled() => Err(PgError::Shutdown.into()),
            () = self.session.terminated() => Err(Fault::Fatal(Session::termination())),
            error = silent => Err(Fault::Fatal(error)),
        }
    }

    async fn handle(&mut self, frame: Frame) -> Result<Next, Fault> {
        match Frontend::decode(frame.tag, frame.body).map_err(within_frame)? {
            Frontend::Query(sql) => {
                self.simple_query(&sql).await?;
                return Ok(Next::Ready);
            }
            Frontend::Parse { name, sql, types } => self.parse(name, &sql, &types).await?,
            Frontend::Bind(bind) => self.bind(&bind)?,
            Frontend::Describe(target) => self.describe(&target)?,
            Frontend::Execute { portal, max_rows } => self.execute(portal, max_rows).await?,
            Frontend::Close(target) => self.close(&target)?,
            Frontend::Flush => self.wire.flush().await?,
            Frontend::Sync => {
                self.skipping = false;
                return Ok(Next::Ready);
            }
            Frontend::Terminate => return Ok(Next::End),
            Frontend::Copy => {}
            Frontend::FunctionCall => return Err(PgError::Unsupported("the function call protocol").into()),
        }
        Ok(Next::Continue)
    }

    /// Tells the client that it may go on, unless the server is stopping.
    async fn ready(&mut self) -> Result<(), Fault> {
        let status = self.session.transaction_status();
        if status != TransactionStatus::InBlock {
            self.portals.clear();
        }
        for (name, value) in self.session.take_reports() {
            reply::parameter_status(&mut self.wire.out, &name, &value)?;
        }
        reply::ready(&mut self.wire.out, status)?;
        self.wire.flush().await?;
        self.idle = true;
        if self.shutdown.is_cancelled() { Err(PgError::Shutdown.into()) } else { Ok(()) }
    }

    async fn fail(&mut self, error: &Error, is_query: bool) -> Result<(), Fault> {
        self.session.fail_transaction();
        self.portals.clear();
        reply::error(&mut self.wire.out, Severity::Error, error);
        if is_query {
            return self.ready().await;
        }
        self.skipping = true;
        self.wire.flush().await
    }

    /// The session's time zone at this moment.
    pub(crate) fn zone(&self) -> Zone {
        self.session.setting("timezone").map_or(Zone::UTC, |name| Zone::named(&name))
    }

    /// A simple query takes the place of the unnamed statement and portal.
    pub(crate) fn forget_unnamed(&mut self) {
        self.statements.remove("");
        self.portals.remove("");
    }

    /// `DISCARD ALL`.
    pub(crate) fn forget_all(&mut self) {
        self.statements.clear();
        self.portals.clear();
    }
}

/// A frame that was taken whole leaves the next one where it should be: what is wrong inside it fails the message, and
/// the connection goes on, as PostgreSQL's does.
fn within_frame(error: PgError) -> Fault {
    match error {
        PgError::Protocol(_) => Fault::Failed(Error::from_coded(&error)),
        other => other.into(),
    }
}
