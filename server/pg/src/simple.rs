//! The simple query protocol: statements in one text, run one after the other until one fails; together they are one
//! transaction.
//!
//! Invariant: a text of which some statement cannot be read does nothing.

use lakeward_base::Coded;
use lakeward_engine::{Command, Error, Forgotten, Request, Response, RowStream, first_refused, run, settle, split};

use crate::connection::Connection;
use crate::portal::{Encoder, Rows, tag_text};
use crate::reply;
use crate::rows::RowEncoder;
use crate::types::{Formats, describe};
use crate::wire::Fault;

impl Connection {
    /// Runs all statements of a Query message.
    pub(crate) async fn simple_query(&mut self, sql: &str) -> Result<(), Fault> {
        self.forget_unnamed();
        let Ok(statements) = split(sql) else {
            // What cannot even be taken apart fails the same way as one statement, and leaves its record there.
            return self.run_text(sql.to_owned(), false).await;
        };
        if statements.is_empty() {
            reply::empty_query(&mut self.wire.out)?;
        }
        // Nothing is done of a text that cannot be done to its end.
        let refused = if statements.len() > 1 { first_refused(&statements).cloned() } else { None };
        let statements = refused.map_or(statements, |refused| vec![refused]);
        let several = statements.len() > 1;
        let last = statements.len().saturating_sub(1);
        for (index, statement) in statements.into_iter().enumerate() {
            let before = statement.before;
            if several {
                self.session.enter_text();
            }
            let ends = several && index == last;
            self.run_text(statement.text, ends).await.map_err(|fault| shift(fault, before))?;
        }
        Ok(())
    }

    /// Runs one statement; where it `ends` a text, the text's transaction is committed before that is told.
    async fn run_text(&mut self, statement: String, ends: bool) -> Result<(), Fault> {
        let running = Box::pin(run(&self.session, Request::text(statement)));
        match self.wire.watch(running).await?? {
            Response::Rows(stream) => self.send_all(stream, ends).await,
            Response::CopyOut(stream, options) => self.copy_out(stream, &options, ends).await,
            Response::CopyIn(writer) => self.copy_in(*writer, ends).await,
            Response::Command(command) => {
                self.end_text(ends).await?;
                self.report(&command)
            }
            Response::Empty => Ok(reply::empty_query(&mut self.wire.out)?),
        }
    }

    /// Commits the transaction of a text that ends.
    pub(crate) async fn end_text(&mut self, ends: bool) -> Result<(), Fault> {
        if ends {
            self.wire.watch(settle(&self.session)).await??;
        }
        Ok(())
    }

    async fn send_all(&mut self, stream: RowStream, ends: bool) -> Result<(), Fault> {
        let codes: &[i16] = if stream.is_binary() { &[1] } else { &[] };
        let formats = Formats::new(codes, stream.schema().fields().len(), "result")?;
        reply::row_description(&mut self.wire.out, describe(stream.schema(), &formats)?)?;
        let encoder = RowEncoder::new(formats, self.zone()).described(stream.schema());
        let mut rows = Rows::new(stream, Encoder::Rows(encoder));
        let sent = rows.send(&mut self.wire, 0).await?;
        let tag = tag_text(rows.tag(), sent.rows);
        drop(rows);
        self.end_text(ends).await?;
        reply::command_complete(&mut self.wire.out, &tag)?;
        Ok(())
    }

    /// Tells what a statement without rows did.
    pub(crate) fn report(&mut self, command: &Command) -> Result<(), Fault> {
        for notice in &command.notices {
            reply::notice(&mut self.wire.out, notice)?;
        }
        for (name, value) in &command.reported {
            reply::parameter_status(&mut self.wire.out, name, value)?;
        }
        match &command.forgotten {
            Forgotten::Nothing => {}
            Forgotten::Named(name) => drop(self.statements.remove(name)),
            Forgotten::All => self.forget_all(),
        }
        Ok(reply::command_complete(&mut self.wire.out, &command.tag)?)
    }
}

/// Moves an error's position from its statement to the whole text.
fn shift(fault: Fault, before: usize) -> Fault {
    match fault {
        Fault::Failed(error) => Fault::Failed(shifted(error, before)),
        Fault::Fatal(error) => Fault::Fatal(error),
        Fault::Gone => Fault::Gone,
    }
}

fn shifted(error: Error, characters: usize) -> Error {
    match error.position() {
        Some(position) => error.with_position(position + characters),
        None => error,
    }
}
