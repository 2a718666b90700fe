//! The extended query protocol: Parse, Bind, Describe, Execute, Close.
//!
//! Invariant: rows are sent under the shape that was described, or not at all.

use std::sync::Arc;

use lakeward_engine::{Request, Response, RowStream, prepare, run};

use crate::connection::Connection;
use crate::error::PgError;
use crate::message::{Bind, Target};
use crate::portal::{Encoder, Portal, Rows, State, Statement, tag_text};
use crate::rows::RowEncoder;
use crate::types::{Formats, describe, same_shape};
use crate::wire::Fault;
use crate::{parameter, reply};

/// Prepared statements that one session may hold.
const MAX_STATEMENTS: usize = 10_000;
/// Portals that one session may hold.
const MAX_PORTALS: usize = 1_000;

impl Connection {
    /// Prepares a statement.
    pub(crate) async fn parse(&mut self, name: String, sql: &str, types: &[u32]) -> Result<(), Fault> {
        if name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains_key(&name) {
            return Err(PgError::DuplicateStatement(name).into());
        }
        if self.statements.len() >= MAX_STATEMENTS {
            return Err(PgError::TooManyNamed("prepared statements").into());
        }
        let hints: Vec<_> = types.iter().map(|oid| parameter::hint(*oid)).collect();
        let preparing = Box::pin(prepare(&self.session, sql, &hints));
        let prepared = self.wire.watch(preparing).await??;
        let oids = parameter::oids(types, &prepared.parameter_types);
        self.statements.insert(name, Arc::new(Statement { prepared, oids }));
        Ok(reply::parse_complete(&mut self.wire.out)?)
    }

    /// Binds parameters to a statement.
    pub(crate) fn bind(&mut self, bind: &Bind) -> Result<(), Fault> {
        let statement = Arc::clone(self.statement(&bind.statement)?);
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&bind.portal) {
            return Err(PgError::DuplicatePortal(bind.portal.clone()).into());
        }
        if self.portals.len() >= MAX_PORTALS {
            return Err(PgError::TooManyNamed("portals").into());
        }
        let prepared = &statement.prepared;
        let parameters = parameter::decode(bind, &statement.oids, &prepared.parameter_types, self.zone())?;
        let columns = prepared.columns.as_ref().map_or(0, |schema| schema.fields().len());
        let formats = Formats::new(&bind.result_formats, columns, "result")?;
        let portal = Portal { statement, formats, state: State::Bound(parameters) };
        self.portals.insert(bind.portal.clone(), portal);
        Ok(reply::bind_complete(&mut self.wire.out)?)
    }

    /// Describes a statement's parameters and columns, or a portal's columns.
    pub(crate) fn describe(&mut self, target: &Target) -> Result<(), Fault> {
        let (columns, formats) = match target {
            Target::Statement(name) => {
                let statement = Arc::clone(self.statement(name)?);
                reply::parameter_description(&mut self.wire.out, statement.oids.clone())?;
                (statement.prepared.columns.clone(), Formats::default())
            }
            Target::Portal(name) => match (self.portals.get(name), self.session.cursor_columns(name)) {
                (Some(portal), _) => (portal.statement.prepared.columns.clone(), portal.formats.clone()),
                (None, Some(columns)) => (Some(columns), Formats::default()),
                (None, None) => return Err(PgError::UnknownPortal(name.clone()).into()),
            },
        };
        match columns {
            Some(schema) => reply::row_description(&mut self.wire.out, describe(&schema, &formats)?)?,
            None => reply::no_data(&mut self.wire.out)?,
        }
        Ok(())
    }

    /// Forgets a statement or portal; one that does not exist is no error.
    pub(crate) fn close(&mut self, target: &Target) -> Result<(), Fault> {
        match target {
            Target::Statement(name) => drop(self.statements.remove(name)),
            Target::Portal(name) => match self.portals.remove(name) {
                Some(portal) => drop(portal),
                None => self.session.close_cursor(name),
            },
        }
        Ok(reply::close_complete(&mut self.wire.out)?)
    }

    /// Runs a portal, or goes on with one that is suspended.
    pub(crate) async fn execute(&mut self, name: String, max_rows: usize) -> Result<(), Fault> {
        let portal = self.portals.get_mut(&name).ok_or_else(|| PgError::UnknownPortal(name.clone()))?;
        // Until it has succeeded, the portal counts as failed.
        match std::mem::replace(&mut portal.state, State::Done) {
            State::Bound(parameters) => {
                let request = Request::prepared(Arc::clone(&portal.statement.prepared), parameters);
                let running = Box::pin(run(&self.session, request));
                match self.wire.watch(running).await?? {
                    Response::Rows(stream) => self.begin_rows(name, stream, max_rows).await,
                    // A limit on rows is not for COPY.
                    Response::CopyOut(stream, options) => self.copy_out(stream, &options, false).await,
                    Response::CopyIn(writer) => self.copy_in(*writer, false).await,
                    Response::Command(command) => self.report(&command),
                    Response::Empty => Ok(reply::empty_query(&mut self.wire.out)?),
                }
            }
            State::Suspended(rows) => self.send_some(name, rows, max_rows).await,
            State::RowsDone(tag) => {
                portal.state = State::RowsDone(tag);
                Ok(reply::command_complete(&mut self.wire.out, &tag_text(tag, 0))?)
            }
            State::Done => Err(PgError::PortalDone(name).into()),
        }
    }

    async fn begin_rows(&mut self, name: String, stream: RowStream, max_rows: usize) -> Result<(), Fault> {
        let zone = self.zone();
        let portal = self.portals.get(&name).ok_or_else(|| PgError::UnknownPortal(name.clone()))?;
        let described = portal.statement.prepared.columns.as_ref();
        let described = described.filter(|described| same_shape(described, stream.schema()));
        let described = described.ok_or(PgError::ResultTypeChanged)?;
        let encoder = RowEncoder::new(portal.formats.clone(), zone).described(described);
        let rows = Box::new(Rows::new(stream, Encoder::Rows(encoder)));
        self.send_some(name, rows, max_rows).await
    }

    async fn send_some(&mut self, name: String, mut rows: Box<Rows>, max_rows: usize) -> Result<(), Fault> {
        let sent = rows.send(&mut self.wire, max_rows).await?;
        let tag = rows.tag();
        let state = if sent.finished { State::RowsDone(tag) } else { State::Suspended(rows) };
        if let Some(portal) = self.portals.get_mut(&name) {
            portal.state = state;
        }
        if sent.finished {
            reply::command_complete(&mut self.wire.out, &tag_text(tag, sent.rows))?;
        } else {
            reply::portal_suspended(&mut self.wire.out)?;
        }
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<&Arc<Statement>, PgError> {
        self.statements.get(name).ok_or_else(|| PgError::UnknownStatement(name.to_owned()))
    }
}
