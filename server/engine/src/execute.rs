//! Stage 7: starting what was planned. Takes the audit token of a begun statement by value.
//!
//! Invariant: no row is handed out and no change is made before the BEGIN record is durable.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use lakeward_audit::{Audit, BeginFacts};
use lakeward_base::{Coded, SqlState};
use lakeward_catalog::CommitNote;

use crate::ddl::Ddl;
use crate::error::Error;
use crate::explain;
use crate::limits::ResultLimit;
use crate::pending::{Concluded, Write, WriteRules, Writing};
use crate::plan::{Declared, Planned, Work};
use crate::portal::{self, OpenCursor};
use crate::query::QueryPlan;
use crate::response::{Command, Forgotten, Notice, Response, RowStream, RowTag};
use crate::session::Session;
use crate::statement::{CursorStatement, Kind, Setting, Statement, Transaction};
use crate::stream::{self, Deadline, Ending, Started};
use crate::tally::Counted;
use crate::transaction::{Ended, TransactionStatus};
use crate::vantage::Vantage;
use crate::watch::Watch;
use crate::{copy, create, ddl, glass, maintain, pending, policy_tests, publish, sets};

/// Starts a statement.
pub(crate) async fn start(
    planned: Planned,
    audit: Audit<lakeward_audit::Begun>,
    deadline: Deadline,
) -> Result<Response, Error> {
    let Planned { waited, work, mut vantage, class, watch, facts, none } = planned;
    let mut ending = Ending::new(
        audit,
        Counted { engine: vantage.session.engine().clone(), class, running: Some(Arc::clone(&vantage.running)) },
    );
    ending.holds(vantage.slot.take());
    ending.tells(Arc::clone(&vantage.subjects));
    if none {
        let command = Command { tag: format!("{class} 0"), ..Command::default() };
        return finish(ending, waited, async { Ok(Done::only(command)) }).await;
    }
    match work {
        Work::Rows(plan, further) => {
            start_rows((*plan, further), RowTag::Select, &vantage, ending, waited, deadline, watch).map(Response::Rows)
        }
        Work::CopyOut(plan, options) => {
            let plans = (*plan, Vec::new());
            let rows = start_rows(plans, RowTag::Copy, &vantage, ending, waited, deadline, watch)?;
            Ok(Response::CopyOut(rows, options))
        }
        work @ Work::CopyIn(_) => {
            let (Some(rules), Some(watch)) = (WriteRules::of(&work), watch) else {
                return Err(refuse(ending, publish::incident("execution", "copy")));
            };
            let Work::CopyIn(plan) = work else { return Err(refuse(ending, publish::incident("execution", "copy"))) };
            copy::start(vantage, *plan, (watch, rules), ending, deadline).await
        }
        Work::Declare(plan, declared) => {
            let begun = Begun { ending, facts, waited, watch };
            declare(*plan, declared, &vantage, begun, &deadline).map(Response::Command)
        }
        Work::Answer(batch, tag) => made(Ok(batch), tag, ending, waited, deadline, &vantage),
        Work::Explain(plan, form) => {
            let rows = explain::rows(plan.physical, plan.task, form);
            Ok(hand_out(rows, explain::schema(), RowTag::Explain, ending, waited, deadline, &vantage))
        }
        work @ (Work::Insert(_) | Work::Change(_)) => {
            let (Some(rules), Some(watch)) = (WriteRules::of(&work), watch) else {
                return Err(refuse(ending, publish::incident("execution", "write")));
            };
            let write = match work {
                Work::Insert(plan) => Write::Insert(plan),
                Work::Change(plan) => Write::Change(plan),
                _ => return Err(refuse(ending, publish::incident("execution", "write"))),
            };
            let writing = Writing { vantage: &vantage, deadline: &deadline, ending, watch, rules };
            Box::pin(pending::write(writing, write)).await
        }
        work @ (Work::Maintain(_) | Work::CreateTable(_)) => whole(vantage, work, ending, &deadline, watch).await,
        Work::Command(statement) if changes_columns(&statement) => {
            whole(vantage, Work::Command(statement), ending, &deadline, watch).await
        }
        Work::Command(statement) => start_command(&vantage, &statement, ending, waited, deadline).await,
    }
}

/// Starts what is no plan: most are done at once, some answer rows.
async fn start_command(
    vantage: &Vantage,
    statement: &Arc<Statement>,
    ending: Ending,
    waited: bool,
    deadline: Deadline,
) -> Result<Response, Error> {
    match &statement.kind {
        Kind::Setting(setting @ (Setting::Show(_) | Setting::ShowAll)) => {
            let shown = shown(&vantage.session, setting).map(|(_, batch)| batch);
            made(shown, RowTag::Show, ending, waited, deadline, vantage)
        }
        Kind::RunPolicyTests => {
            let tested = Box::pin(tested(vantage, ending.durable())).await;
            made(tested, RowTag::Select, ending, waited, deadline, vantage)
        }
        Kind::Cursor(CursorStatement::Fetch { name, direction, moves: false }) => {
            let cursor = vantage.session.transaction().cursor(name);
            match cursor {
                Ok(cursor) => portal::fetch(&cursor, *direction, ending, deadline).map(Response::Rows),
                Err(error) => Err(refuse(ending, error)),
            }
        }
        Kind::Transaction(Transaction::Commit) => commit(vantage, ending, waited, &deadline).await,
        _ => finish(ending, waited, command(vantage, statement)).await,
    }
}

/// Hands out rows that are made already, where they are.
fn made(
    batch: Result<RecordBatch, Error>,
    tag: RowTag,
    ending: Ending,
    waited: bool,
    deadline: Deadline,
    vantage: &Vantage,
) -> Result<Response, Error> {
    let batch = match batch {
        Ok(batch) => batch,
        Err(error) => return Err(refuse(ending, error)),
    };
    let schema = batch.schema();
    let rows = RecordBatchStreamAdapter::new(Arc::clone(&schema), futures::stream::iter([Ok(batch)]));
    Ok(hand_out(Box::pin(rows), schema, tag, ending, waited, deadline, vantage))
}

fn start_rows(
    (plan, further): (QueryPlan, Vec<QueryPlan>),
    tag: RowTag,
    vantage: &Vantage,
    ending: Ending,
    waited: bool,
    deadline: Deadline,
    watch: Option<Watch>,
) -> Result<RowStream, Error> {
    let schema = Arc::clone(&plan.schema);
    match sets::chained(&plan, &further) {
        Ok(rows) => {
            let limit = vantage.result_limit();
            let started = Started { rows, schema, tag, waited, watch, limit };
            Ok(stream::start(started, ending, deadline, vantage.session.engine()))
        }
        Err(error) => Err(refuse(ending, publish::execution(&error))),
    }
}

/// A statement that has begun.
struct Begun {
    ending: Ending,
    facts: BeginFacts,
    waited: bool,
    watch: Option<Watch>,
}

/// Opens a cursor: its query runs while it is fetched from, so that the time-out and the cancel of a FETCH bound it.
fn declare(
    plan: QueryPlan,
    declared: Declared,
    vantage: &Vantage,
    begun: Begun,
    deadline: &Deadline,
) -> Result<Command, Error> {
    let Begun { mut ending, facts, waited, watch } = begun;
    let session = &vantage.session;
    let withheld = Arc::new(AtomicU64::new(0));
    ending.lasts(Arc::clone(&withheld));
    let rows = match sets::chained(&plan, &[]) {
        Ok(rows) => rows,
        Err(error) => return Err(refuse(ending, publish::execution(&error))),
    };
    let parts = &session.engine().shared.parts;
    let limit = vantage.result_limit();
    let started = Started { rows, schema: plan.schema, tag: RowTag::Fetch, waited, watch, limit };
    let unbound = Deadline::new(None, deadline.cancelled.clone());
    let stream = stream::start(started, ending, unbound, session.engine());
    let Declared { name, binary, text } = declared;
    let cursor = OpenCursor::new((name, binary), stream, withheld, (facts, waited), (text, parts.clock.now()));
    session.transaction().open_cursor(cursor)?;
    session.start_statement();
    Ok(Command { tag: "DECLARE CURSOR".to_owned(), ..Command::default() })
}

async fn cursor_command(session: &Session, statement: &CursorStatement) -> Result<Command, Error> {
    let tag = match statement {
        CursorStatement::Fetch { name, direction, .. } => {
            let cursor = session.transaction().cursor(name)?;
            let mut reader = cursor.reader()?;
            let stretch = reader.stretch(*direction)?;
            format!("MOVE {}", reader.pass(stretch).await?)
        }
        CursorStatement::Close(name) => {
            session.transaction().close_cursor(name.as_deref())?;
            if name.is_some() { "CLOSE CURSOR".to_owned() } else { "CLOSE CURSOR ALL".to_owned() }
        }
        CursorStatement::Declare { .. } => String::new(),
    };
    Ok(Command { tag, ..Command::default() })
}

/// Runs the policy tests, once it is on record that somebody asked.
async fn tested(vantage: &Vantage, durable: Option<lakeward_audit::Durable>) -> Result<RecordBatch, Error> {
    if let Some(durable) = durable {
        durable.await.map_err(|error| Error::from_coded(&error))?;
    }
    policy_tests::run_all(vantage).await
}

/// Ends a begun statement with an error.
fn refuse(mut ending: Ending, error: Error) -> Error {
    ending.finish(error.sqlstate());
    error
}

fn hand_out(
    rows: datafusion::physical_plan::SendableRecordBatchStream,
    schema: SchemaRef,
    tag: RowTag,
    ending: Ending,
    waited: bool,
    deadline: Deadline,
    vantage: &Vantage,
) -> Response {
    let started = Started { rows, schema, tag, waited, watch: None, limit: ResultLimit::default() };
    Response::Rows(stream::start(started, ending, deadline, vantage.session.engine()))
}

/// What a command did: its answer, and the rows it wrote.
pub(crate) struct Done {
    pub(crate) command: Command,
    pub(crate) rows: u64,
    /// The table that it has committed to, and the version that it became.
    pub(crate) committed: Option<(String, u64)>,
}

impl Done {
    /// A command that wrote no rows.
    pub(crate) fn only(command: Command) -> Self {
        Self { command, rows: 0, committed: None }
    }
}

/// Waits until the record is durable; ends it where it cannot be.
async fn begun(mut ending: Ending, waited: bool) -> Result<Ending, Error> {
    if waited
        && let Some(durable) = ending.durable()
        && let Err(error) = durable.await
    {
        ending.finish(error.sqlstate());
        return Err(Error::from_coded(&error));
    }
    Ok(ending)
}

/// Does `work` once the record is durable, and ends the record either way.
async fn finish(
    ending: Ending,
    waited: bool,
    work: impl Future<Output = Result<Done, Error>>,
) -> Result<Response, Error> {
    let mut ending = begun(ending, waited).await?;
    match work.await {
        Ok(done) => {
            if let Some((object, version)) = done.committed {
                ending.committed(&object, version);
            }
            ending.wrote(done.rows);
            Ok(if done.command.tag.is_empty() { Response::Empty } else { Response::Command(done.command) })
        }
        Err(error) => Err(refuse(ending, error)),
    }
}

fn changes_columns(statement: &Statement) -> bool {
    matches!(&statement.kind, Kind::Ddl(change) if matches!(**change, Ddl::AddColumn(_) | Ddl::ChangeColumn(_)))
}

/// Does work that is more than one step, in a task of its own: a time-out, a cancel and the client's going away reach it
/// where it asks for them and can be undone, and nowhere else. The client hears how it ended.
async fn whole(
    vantage: Vantage,
    work: Work,
    ending: Ending,
    deadline: &Deadline,
    watch: Option<Watch>,
) -> Result<Response, Error> {
    let ending = begun(ending, true).await?;
    if let Err(error) = deadline.hold() {
        return Err(refuse(ending, error));
    }
    let within = deadline.of_parts();
    let _gone = deadline.cancelled.clone().drop_guard();
    let runtime = vantage.session.engine().shared.parts.query_runtime.clone();
    let done = async move {
        match work {
            Work::Maintain(plan) => finish(ending, false, maintain::run(&vantage, *plan, &within)).await,
            Work::CreateTable(plan) => {
                Box::pin(finish(ending, false, create::table_as(&vantage, *plan, &within, watch))).await
            }
            // Files and catalog change together: there is no way back once it has begun.
            Work::Command(statement) => Box::pin(finish(ending, false, command(&vantage, &statement))).await,
            _ => Err(refuse(ending, publish::incident("execution", "work"))),
        }
    };
    runtime.spawn(Box::pin(done)).await.unwrap_or_else(|_| Err(publish::incident("execution", "panic")))
}

/// Does `work` until it is done, or the client fails to send the rows that it promised.
pub(crate) async fn with_client<T>(
    vantage: &Vantage,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match &vantage.client {
        Some(rows) => rows.watched(work).await,
        None => work.await,
    }
}

/// What a commit made by this statement says of itself.
pub(crate) fn commit_note(vantage: &Vantage) -> CommitNote {
    CommitNote {
        user_name: vantage.principal.session_user.clone(),
        statement_id: vantage.stamp.statement.to_string(),
        catalog_epoch: vantage.snapshot.epoch(),
    }
}

/// COMMIT. It is not stopped half-way, and leaves no block behind.
async fn commit(vantage: &Vantage, ending: Ending, waited: bool, deadline: &Deadline) -> Result<Response, Error> {
    if let Err(error) = deadline.hold() {
        return Err(refuse(ending, error));
    }
    let ending = begun(ending, waited).await?;
    let Concluded { tag, warning, reported } = pending::commit(&vantage.session, Some(ending)).await?;
    Ok(Response::Command(told(tag, warning, reported)))
}

async fn command(vantage: &Vantage, statement: &Arc<Statement>) -> Result<Done, Error> {
    let command = match &statement.kind {
        Kind::Ddl(change) => ddl_command(vantage, change).await?,
        Kind::Setting(setting) => set(&vantage.session, setting)?,
        Kind::Transaction(transaction) => end_or_begin(&vantage.session, transaction)?,
        Kind::Cursor(statement) => cursor_command(&vantage.session, statement).await?,
        // An empty statement has no tag.
        Kind::Empty
        | Kind::Query(_)
        | Kind::Explain { .. }
        | Kind::ExplainPolicies { .. }
        | Kind::EffectivePolicies { .. }
        | Kind::RunPolicyTests
        | Kind::Insert(_)
        | Kind::CopyOut(_)
        | Kind::CopyIn(_)
        | Kind::CreateTableAs(_)
        | Kind::Change(_)
        | Kind::Maintain(_) => Command::default(),
    };
    Ok(Done::only(command))
}

fn end_or_begin(session: &Session, transaction: &Transaction) -> Result<Command, Error> {
    let now = session.saved();
    let Ended { tag, warning, undo } = session.transaction().execute(transaction, now)?;
    Ok(told(tag, warning, session.apply(undo)?))
}

/// What the client is told of a block's beginning or end.
fn told(tag: &str, warning: Option<(SqlState, &str)>, reported: Vec<(String, String)>) -> Command {
    let notices = warning.map(|(sqlstate, message)| warn(sqlstate, message)).into_iter().collect();
    Command { tag: tag.to_owned(), notices, reported, ..Command::default() }
}

fn warn(sqlstate: SqlState, message: &str) -> Notice {
    Notice { severity: "WARNING", sqlstate, message: message.to_owned() }
}

fn no_block(what: &str) -> Notice {
    warn(SqlState::NO_ACTIVE_SQL_TRANSACTION, &format!("{what} can only be used in transaction blocks"))
}

async fn ddl_command(vantage: &Vantage, change: &ddl::Ddl) -> Result<Command, Error> {
    match change {
        ddl::Ddl::BreakGlass(opening) => return glass::open(vantage, opening).await,
        ddl::Ddl::EndBreakGlass => return glass::end(vantage).await,
        ddl::Ddl::ReviewBreakGlass { id, note } => return glass::review(vantage, id, note).await,
        _ => {}
    }
    let validator = create::Validator { vantage };
    let search_path = vantage.search_path.clone();
    let context = create::ddl_context(vantage, &search_path, &validator);
    ddl::execute(&context, change).await
}

/// `set_config(…)`: SET as a function. What changes who one is, or what a client has been told, is for SET alone.
pub(crate) fn configure(session: &Session, name: &str, value: Option<&str>, local: bool) -> Result<String, Error> {
    if crate::settings::is_for_set_alone(name) {
        return Err(Error::unsupported("set_config of this setting").with_hint("Use SET."));
    }
    let value = value.map(str::to_owned);
    set(session, &Setting::Set { name: name.to_owned(), value, local })?;
    session.show(name)
}

fn set(session: &Session, setting: &Setting) -> Result<Command, Error> {
    let mut command = Command { tag: "SET".to_owned(), ..Command::default() };
    if let Setting::Set { name, value: Some(value), .. } = setting {
        session.admit_purpose(name, value)?;
    }
    match setting {
        Setting::Set { name, value, local: true } => {
            let mut changed = session.settings().clone();
            let before = changed.show(name)?;
            let reported = changed.set(name, value.as_deref())?;
            if session.transaction().cover(name, before) {
                *session.settings() = changed;
                command.reported.extend(reported);
            } else {
                command.notices.push(no_block("SET LOCAL"));
            }
        }
        Setting::Set { name, value, local: false } => {
            command.reported.extend(session.settings().set(name, value.as_deref())?);
            session.transaction().uncover(Some(name));
        }
        Setting::Reset(Some(name)) => {
            command.tag = "RESET".to_owned();
            command.reported.extend(session.settings().set(name, None)?);
            session.transaction().uncover(Some(name));
        }
        Setting::Reset(None) => {
            command.tag = "RESET".to_owned();
            command.reported.extend(session.settings().reset_all());
            session.transaction().uncover(None);
        }
        Setting::Role { name, local: false } => {
            command.reported.extend(session.set_role(name.as_deref())?);
            session.transaction().uncover_role();
        }
        Setting::Role { name, local: true } => {
            let before = session.saved().role;
            if session.transaction().status() == TransactionStatus::Idle {
                command.notices.push(no_block("SET LOCAL"));
            } else {
                command.reported.extend(session.set_role(name.as_deref())?);
                session.transaction().cover_role(before);
            }
        }
        Setting::Characteristics(modes) => {
            let level = modes.isolation.map(|level| ("default_transaction_isolation", level.name()));
            let read_only = modes.read_only.map(|on| ("default_transaction_read_only", if on { "on" } else { "off" }));
            for (name, value) in level.into_iter().chain(read_only) {
                command.reported.extend(session.settings().set(name, Some(value))?);
            }
        }
        Setting::Discard => {
            command.tag = "DISCARD ALL".to_owned();
            command.forgotten = Forgotten::All;
            command.reported.extend(session.settings().reset_all());
            command.reported.extend(session.set_role(None)?);
        }
        Setting::Deallocate(Some(name)) => {
            command.tag = "DEALLOCATE".to_owned();
            command.forgotten = Forgotten::Named(name.clone());
        }
        Setting::Deallocate(None) => {
            command.tag = "DEALLOCATE ALL".to_owned();
            command.forgotten = Forgotten::All;
        }
        Setting::Unlisten => "UNLISTEN".clone_into(&mut command.tag),
        Setting::Show(_) | Setting::ShowAll => {}
    }
    Ok(command)
}

/// The columns of SHOW.
pub(crate) fn show_schema(setting: &Setting) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    match setting {
        Setting::Show(name) => Arc::new(Schema::new(vec![text(name)])),
        _ => Arc::new(Schema::new(vec![text("name"), text("setting")])),
    }
}

fn shown(session: &Session, setting: &Setting) -> Result<(SchemaRef, RecordBatch), Error> {
    let schema = show_schema(setting);
    let columns: Vec<Arc<dyn arrow::array::Array>> = match setting {
        Setting::Show(name) => vec![Arc::new(StringArray::from(vec![session.show(name)?]))],
        _ => {
            let (names, values): (Vec<_>, Vec<_>) = session.shown().into_iter().unzip();
            vec![Arc::new(StringArray::from(names)), Arc::new(StringArray::from(values))]
        }
    };
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| publish::execution(&error.into()))?;
    Ok((schema, batch))
}
