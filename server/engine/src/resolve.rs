//! Stage 3: names to tables, each pinned at one version, and views to their definitions.
//!
//! A name in FROM becomes a [`Target`]. Views are scopes of their own: the names in a view are checked with its owner's
//! privileges, while policies apply as the caller. Invariant: whatever is planned later was opened here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast;
use futures::FutureExt;
use futures::future::BoxFuture;
use lakeward_audit::ObjectFacts;
use lakeward_base::{Coded, ColumnId, SqlState};
use lakeward_catalog::{
    ChangeBase, Column, FILE_COLUMN, Grant, Grantee, Numbered, Privilege, ROW_COLUMN, RawTable, Relation, Snapshot,
    StoreError, Table, VersionSelector, View,
};
use lakeward_govern::{ResolvedTable, RoleSet, Route};

use crate::error::Error;
use crate::mentioned::{names_in, view_query};
use crate::names::TABLE_FUNCTIONS;
use crate::policy::{self, Mappings};
use crate::statement::{Change, ChangeAction, ChangeCommand, CursorStatement, Kind, Name, Statement};
use crate::vantage::Vantage;
use crate::version::{Mark, Moment};
use crate::{position, publish, system, trace, version};

/// Views may stand on views, but not without end.
const MAX_VIEW_DEPTH: usize = 32;

/// Everything that a statement names.
#[derive(Default)]
pub(crate) struct Resolved {
    /// The statement's query, with versions folded into names.
    pub(crate) query: Option<ast::Query>,
    /// The same before it was rewritten for the planner, where it was: it names the result's columns.
    pub(crate) written: Option<ast::Query>,
    /// Every table that is read, once per version and reader.
    pub(crate) tables: Vec<ResolvedTable>,
    /// The outermost names of the query.
    pub(crate) scope: Scope,
    /// The table that is written.
    pub(crate) target: Option<ResolvedTable>,
    /// What the numbers of the target's rows count in, where they are changed.
    pub(crate) base: Option<ChangeBase>,
    /// What policies of the tables read.
    pub(crate) mappings: Mappings,
    /// Tables of which something else than rows is read, for the audit.
    pub(crate) described: Vec<ObjectFacts>,
    /// Whether rows of the lake or of the audit can be read or written: then the audit record is waited for.
    pub(crate) touches_data: bool,
    /// For EXPLAIN (POLICIES): through what the tables are read, by their place in `tables`.
    pub(crate) reached: Vec<(usize, Route)>,
    /// For EXPLAIN (POLICIES): what the principal may not use, by name, and why.
    pub(crate) refused: Vec<(String, String)>,
}

impl Resolved {
    /// The query that names the columns of what `planned` gives.
    pub(crate) fn naming<'a>(&'a self, planned: &'a ast::Query) -> &'a ast::Query {
        self.written.as_ref().unwrap_or(planned)
    }
}

impl Resolved {
    /// What COPY is told by name must be a table, and have these columns.
    fn check_copied(&self, name: &Name, columns: &[String]) -> Result<(), Error> {
        if let Some(Target::View { .. }) = self.scope.targets.values().next() {
            let message = format!("cannot copy from view \"{}\"", name.name);
            return Err(
                Error::new(SqlState::WRONG_OBJECT_TYPE, message).with_hint("Try the COPY (SELECT ...) TO variant.")
            );
        }
        let schema = self.only_table().ok_or_else(|| crate::publish::incident("resolving", "copy"))?;
        crate::write::places(&schema, columns, &name.name).map(drop)
    }

    /// The columns of the one table that a query reads; `None` where it is a view, or nothing.
    pub(crate) fn only_table(&self) -> Option<SchemaRef> {
        match self.scope.targets.values().next()? {
            Target::Table(index) => self.tables.get(*index).map(|table| table.raw.schema()),
            Target::System(provider) => Some(provider.schema()),
            Target::View { .. } => None,
        }
    }
}

/// The names of one query or one view.
#[derive(Default)]
pub(crate) struct Scope {
    pub(crate) targets: HashMap<TableReference, Target>,
}

impl Scope {
    /// The queries of the views that are read, and of those that they read.
    pub(crate) fn views(&self) -> Vec<&ast::Query> {
        let mut found = Vec::new();
        for target in self.targets.values() {
            if let Target::View { query, scope, .. } = target {
                found.push(query.as_ref());
                found.extend(scope.views());
            }
        }
        found
    }
}

/// What a name stands for.
pub(crate) enum Target {
    /// `Resolved::tables[n]`.
    Table(usize),
    /// A view, with the scope of its own names.
    View { query: Box<ast::Query>, scope: Box<Scope>, columns: Vec<String> },
    /// A system table, made for this principal.
    System(Arc<dyn TableProvider>),
}

impl Statement {
    /// The query that the statement runs, if it runs one.
    pub(crate) fn query(&self) -> Option<&ast::Query> {
        match &self.kind {
            Kind::Query(query) => Some(query),
            Kind::Insert(insert) => Some(&insert.source),
            Kind::CreateTableAs(create) => Some(&create.source),
            Kind::Change(change) => Some(&change.source),
            Kind::CopyOut(copy) => Some(&copy.source),
            Kind::Explain { statement, .. } | Kind::ExplainPolicies { statement, .. } => statement.query(),
            Kind::Cursor(CursorStatement::Declare { query, .. }) => Some(query),
            Kind::CopyIn(_)
            | Kind::Maintain(_)
            | Kind::Empty
            | Kind::EffectivePolicies { .. }
            | Kind::RunPolicyTests
            | Kind::Ddl(_)
            | Kind::Setting(_)
            | Kind::Transaction(_)
            | Kind::Cursor(_) => None,
        }
    }
}

/// Stage 3 for one statement with these parameters.
pub(crate) async fn tables(
    vantage: &Vantage,
    statement: &Statement,
    parameters: &[ScalarValue],
) -> Result<Resolved, Error> {
    let (statement, tracing) = match &statement.kind {
        Kind::ExplainPolicies { statement, .. } => (statement.as_ref(), true),
        _ => (statement, false),
    };
    let mut resolver = Resolver { vantage, statement: Some(statement), tracing, resolved: Resolved::default() };
    resolver.target_of(statement).await?;
    if let Some(query) = statement.query() {
        let mut query = query.clone();
        version::mark(&mut query, Moment { parameters, time_zone: &vantage.time_zone })?;
        resolver.read(query).await?;
    }
    if let Kind::CopyOut(copy) = &statement.kind
        && let Some(name) = &copy.table
    {
        resolver.resolved.check_copied(name, &copy.columns)?;
    }
    resolver.finish().await
}

/// Resolves a query that stands within a statement, such as a view's; its versions are folded already.
pub(crate) async fn query(vantage: &Vantage, query: ast::Query) -> Result<Resolved, Error> {
    let mut resolver = Resolver { vantage, statement: None, tracing: false, resolved: Resolved::default() };
    resolver.read(query).await?;
    resolver.finish().await
}

/// What a name in a statement stands for.
///
/// # Errors
/// 42P01, and 42501 for a schema.
pub(crate) fn named(vantage: &Vantage, name: &TableReference) -> Result<Relation, Error> {
    let resolver = Resolver { vantage, statement: None, tracing: false, resolved: Resolved::default() };
    let (reader, path) = (vantage.principal.role_set(), vantage.search_path.clone());
    let found = resolver.relation(name, Lookup { reader: &reader, path: &path, depth: 0, view: None })?;
    found.ok_or_else(|| resolver.unknown(name, 0))
}

/// Where names are looked up: with whose privileges, in which schemas, how many views deep.
#[derive(Clone, Copy)]
struct Lookup<'b> {
    reader: &'b RoleSet,
    path: &'b [String],
    depth: usize,
    /// The view that the names stand in.
    view: Option<&'b View>,
}

struct Resolver<'a> {
    vantage: &'a Vantage,
    /// For positions of errors.
    statement: Option<&'a Statement>,
    /// What is refused is told rather than an error.
    tracing: bool,
    resolved: Resolved,
}

impl Resolver<'_> {
    /// Opens what the policies of the tables read, too.
    async fn finish(self) -> Result<Resolved, Error> {
        let Self { vantage, mut resolved, .. } = self;
        let governed = resolved.tables.iter().chain(&resolved.target);
        let read = governed.flat_map(|governed| policy::needed(vantage, &governed.table)).collect();
        resolved.mappings = Mappings::open(vantage, read).await?;
        Ok(resolved)
    }

    /// The table that a statement writes to.
    async fn target_of(&mut self, statement: &Statement) -> Result<(), Error> {
        let opened = match &statement.kind {
            Kind::Insert(insert) if insert.overwrite => {
                self.write_target(&insert.table, &[Privilege::Insert, Privilege::Delete], "insert into").await
            }
            Kind::Insert(insert) => self.write_target(&insert.table, &[Privilege::Insert], "insert into").await,
            Kind::Change(change) => self.change_target(change).await,
            Kind::CopyIn(copy) => self.write_target(&copy.table, &[Privilege::Insert], "copy to").await,
            Kind::Maintain(work) => self.write_target(&work.table, &[], "work on").await,
            _ => Ok(()),
        };
        match (opened, &statement.kind) {
            (Err(error), Kind::Insert(_) | Kind::Change(_))
                if self.tracing && error.sqlstate() == SqlState::INSUFFICIENT_PRIVILEGE =>
            {
                self.resolved.refused.push(trace::refused_target(self.vantage, statement, &error));
                Ok(())
            }
            (opened, _) => opened,
        }
    }

    async fn read(&mut self, mut query: ast::Query) -> Result<(), Error> {
        self.resolved.written = system::rewrite(&mut query);
        let (reader, path) = (self.vantage.principal.role_set(), self.vantage.search_path.clone());
        let lookup = Lookup { reader: &reader, path: &path, depth: 0, view: None };
        self.resolved.scope = self.scope(&query, lookup).await?;
        self.resolved.query = Some(query);
        Ok(())
    }

    fn scope<'b>(&'b mut self, query: &'b ast::Query, lookup: Lookup<'b>) -> BoxFuture<'b, Result<Scope, Error>> {
        async move {
            let mut scope = Scope::default();
            for name in names_in(query)? {
                // The planner asks for these by another way, and only where they have arguments.
                if name.schema().is_none() && TABLE_FUNCTIONS.contains(&name.table()) {
                    continue;
                }
                let target = match self.target(&name, lookup).await {
                    Ok(target) => target,
                    Err(error) if self.tracing && error.sqlstate() == SqlState::INSUFFICIENT_PRIVILEGE => {
                        let untold = self.resolved.target.is_some() || version::unmark(&name)?.1 != Mark::Target;
                        if untold {
                            let who = (lookup.reader, lookup.path, lookup.view);
                            self.resolved.refused.push(trace::refusal(self.vantage, &name, who, &error)?);
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                if let (true, Target::Table(index)) = (self.tracing, &target) {
                    self.resolved.reached.push((*index, trace::route(self.vantage, lookup.view)));
                }
                scope.targets.insert(name, target);
            }
            Ok(scope)
        }
        .boxed()
    }

    async fn target(&mut self, marked: &TableReference, lookup: Lookup<'_>) -> Result<Target, Error> {
        let (name, mark) = version::unmark(marked)?;
        if mark == Mark::Client {
            return match &self.vantage.client {
                Some(rows) => Ok(Target::System(rows.table(self.vantage))),
                None => Err(self.unknown(&name, lookup.depth)),
            };
        }
        let newest = mark == Mark::At(VersionSelector::Latest);
        if let Some(provider) = self.system_table(&name)? {
            return if newest { Ok(Target::System(provider)) } else { Err(no_versions(name.table())) };
        }
        match self.relation(&name, lookup)? {
            Some(Relation::Table(table)) => match mark {
                Mark::At(at) => self.table(table, at, lookup.reader).await,
                Mark::Target | Mark::Client => self.numbered(&table, lookup.reader),
                Mark::History => self.history(&table, lookup.reader).await,
                Mark::Changes(from, to) => self.changes(&table, (from, to), lookup.reader).await,
            },
            Some(Relation::View(view)) if newest => self.view(&view, lookup).await,
            Some(Relation::View(view)) => Err(no_versions(&view.name)),
            None => Err(self.unknown(&name, lookup.depth)),
        }
    }

    fn system_table(&mut self, name: &TableReference) -> Result<Option<Arc<dyn TableProvider>>, Error> {
        let Some(found) = system::table(self.vantage, name)? else { return Ok(None) };
        self.resolved.touches_data |= found.holds_data;
        Ok(Some(found.provider))
    }

    /// The relation of that name, in a schema that the reader may use.
    fn relation(&self, name: &TableReference, lookup: Lookup<'_>) -> Result<Option<Relation>, Error> {
        let snapshot = &self.vantage.snapshot;
        match name.schema() {
            Some(schema) => {
                let found = snapshot.relation(schema, name.table());
                if found.is_some() && !may_use(snapshot, lookup.reader, schema) {
                    return Err(Error::denied("schema", schema));
                }
                Ok(found)
            }
            None => {
                let usable = lookup.path.iter().filter(|schema| may_use(snapshot, lookup.reader, schema));
                Ok(usable.into_iter().find_map(|schema| snapshot.relation(schema, name.table())))
            }
        }
    }

    async fn table(&mut self, table: Arc<Table>, at: VersionSelector, reader: &RoleSet) -> Result<Target, Error> {
        // Refused before the table is opened: a stranger does not learn whether its storage is well.
        if !may_read(&self.vantage.snapshot, reader, &table) {
            return Err(Error::denied("table", &table.name));
        }
        let raw = open(self.vantage, &table, at).await?;
        self.resolved.touches_data = true;
        let version = raw.version();
        let same = |known: &ResolvedTable| {
            Arc::ptr_eq(&known.table, &table)
                && known.raw.version() == version
                && known.raw.is_uncommitted() == raw.is_uncommitted()
                && known.reader == *reader
        };
        if let Some(index) = self.resolved.tables.iter().position(same) {
            return Ok(Target::Table(index));
        }
        self.resolved.tables.push(ResolvedTable { table, raw, reader: reader.clone() });
        Ok(Target::Table(self.resolved.tables.len() - 1))
    }

    async fn write_target(&mut self, name: &Name, privileges: &[Privilege], verb: &str) -> Result<(), Error> {
        let (table, reader) = self.named_table(name, privileges, verb)?;
        let raw = open(self.vantage, &table, VersionSelector::Latest).await?;
        self.resolved.touches_data = true;
        self.resolved.target = Some(ResolvedTable { table, raw, reader });
        Ok(())
    }

    /// The table of a name that a statement writes to.
    fn named_table(&self, name: &Name, privileges: &[Privilege], verb: &str) -> Result<(Arc<Table>, RoleSet), Error> {
        let reference = match &name.schema {
            Some(schema) => TableReference::partial(schema.as_str(), name.name.as_str()),
            None => TableReference::bare(name.name.as_str()),
        };
        let (reader, path) = (self.vantage.principal.role_set(), self.vantage.search_path.clone());
        let table = match self.relation(&reference, Lookup { reader: &reader, path: &path, depth: 0, view: None })? {
            Some(Relation::Table(table)) => table,
            Some(Relation::View(view)) => {
                let message = format!("cannot {verb} view \"{}\"", view.name);
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
            }
            None => return Err(self.unknown(&reference, 0).at(name.position)),
        };
        if !privileges.iter().all(|privilege| may(&self.vantage.snapshot, &reader, &table, *privilege)) {
            return Err(Error::denied("table", &table.name));
        }
        Ok((table, reader))
    }

    /// The table whose rows change, with its rows numbered.
    async fn change_target(&mut self, change: &Change) -> Result<(), Error> {
        let privileges: Vec<Privilege> = change.actions.iter().map(privilege_for).collect();
        let verb = match change.command {
            ChangeCommand::Update => "update",
            ChangeCommand::Delete => "delete from",
            ChangeCommand::Merge => "merge into",
        };
        let (table, reader) = self.named_table(&change.table, &privileges, verb)?;
        let store = &self.vantage.session.engine().shared.parts.store;
        let pinned = self.vantage.session.transaction().pinned(table.id);
        let at = pinned.map_or(VersionSelector::Latest, VersionSelector::Exact);
        let numbered = store.open_numbered(&table, at).await;
        let Numbered { raw, base } = numbered.map_err(|error| crate::publish::store(&error, &table.name))?;
        self.vantage.must_know(&raw, &table.name).await?;
        self.vantage.session.transaction().pin(table.id, raw.version());
        self.resolved.touches_data = true;
        self.resolved.base = Some(base);
        self.resolved.target = Some(ResolvedTable { table, raw, reader });
        Ok(())
    }

    /// The target of the statement as its query reads it: the numbers are columns that nothing governs.
    fn numbered(&mut self, table: &Arc<Table>, reader: &RoleSet) -> Result<Target, Error> {
        let target = self.resolved.target.as_ref().filter(|target| target.table.id == table.id);
        let Some(target) = target else {
            let told = self.tracing && self.resolved.target.is_none();
            return Err(if told {
                Error::denied("table", &table.name)
            } else {
                publish::incident("resolving", "target")
            });
        };
        if !may_read(&self.vantage.snapshot, reader, table) {
            return Err(Error::denied("table", &table.name));
        }
        let table = extended(table, &[FILE_COLUMN, ROW_COLUMN]);
        self.resolved.tables.push(ResolvedTable { table, raw: target.raw.clone(), reader: reader.clone() });
        Ok(Target::Table(self.resolved.tables.len() - 1))
    }

    /// The rows that came and went: governed as the table's own.
    async fn changes(
        &mut self,
        table: &Arc<Table>,
        (from, to): (Option<u64>, Option<u64>),
        reader: &RoleSet,
    ) -> Result<Target, Error> {
        if !may_read(&self.vantage.snapshot, reader, table) {
            return Err(Error::denied("table", &table.name));
        }
        let from = match from {
            Some(from) => from,
            None => open(self.vantage, table, VersionSelector::Latest).await?.version(),
        };
        let store = &self.vantage.session.engine().shared.parts.store;
        let raw = store.open_changes(table, from, to).await;
        let raw = raw.map_err(|error| crate::publish::store(&error, &table.name))?;
        self.vantage.must_know(&raw, &table.name).await?;
        self.resolved.touches_data = true;
        let table = extended(table, &["_change_type", "_commit_version", "_commit_timestamp"]);
        self.resolved.tables.push(ResolvedTable { table, raw, reader: reader.clone() });
        Ok(Target::Table(self.resolved.tables.len() - 1))
    }

    async fn history(&mut self, table: &Arc<Table>, reader: &RoleSet) -> Result<Target, Error> {
        let (vantage, principal) = (self.vantage, &self.vantage.principal);
        let maker = table.grantable || principal.superuser || principal.session_role == table.owner;
        if !maker || !may(&vantage.snapshot, reader, table, Privilege::Select) {
            return Err(Error::denied("table", &table.name));
        }
        let store = &vantage.session.engine().shared.parts.store;
        let commits = store.history(table).await.map_err(|error| crate::publish::store(&error, &table.name))?;
        self.resolved.touches_data = true;
        self.resolved.described.push(ObjectFacts {
            name: vantage.snapshot.qualified_name(table.id),
            version: commits.first().and_then(|commit| i64::try_from(commit.version).ok()),
            ..ObjectFacts::default()
        });
        let hidden = lakeward_govern::hides_rows(principal, table);
        Ok(Target::System(system::history::table(vantage, &commits, hidden)?))
    }

    async fn view(&mut self, view: &Arc<View>, lookup: Lookup<'_>) -> Result<Target, Error> {
        let Lookup { reader, depth, .. } = lookup;
        if depth >= MAX_VIEW_DEPTH {
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "views are nested too deeply"));
        }
        let may =
            reader.superuser || self.vantage.snapshot.holds(&reader.roles, view.owner, &view.grants, Privilege::Select);
        if !may {
            return Err(Error::denied("view", &view.name));
        }
        let mut query = view_query(view)?;
        version::mark(&mut query, Moment::UTC)?;
        system::rewrite(&mut query);
        let owner = RoleSet::of(&self.vantage.snapshot, view.owner);
        // The view's own path: with the reader's, a name could be made to mean another of its owner's tables.
        let inside = Lookup { reader: &owner, path: &view.search_path, depth: depth + 1, view: Some(view) };
        let scope = self.scope(&query, inside).await?;
        let columns = view.columns.iter().map(|column| column.name.clone()).collect();
        Ok(Target::View { query: Box::new(query), scope: Box::new(scope), columns })
    }

    fn unknown(&self, name: &TableReference, depth: usize) -> Error {
        let shown =
            name.schema().map_or_else(|| name.table().to_owned(), |schema| format!("{schema}.{}", name.table()));
        let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"));
        // Within a view the position would point into somebody else's text.
        let statement = self.statement.filter(|_| depth == 0);
        let place = statement.and_then(|statement| position::of_relation(statement, name));
        match place {
            Some(place) => error.with_position(place),
            None => error,
        }
    }
}

pub(crate) fn privilege_for(action: &ChangeAction) -> Privilege {
    match action {
        ChangeAction::Update(_) => Privilege::Update,
        ChangeAction::Delete => Privilege::Delete,
        ChangeAction::Insert(..) => Privilege::Insert,
    }
}

/// A table with further columns, which no policy is about and which everybody may read who may read any of its own.
fn extended(table: &Table, columns: &[&str]) -> Arc<Table> {
    let mut table = table.clone();
    let last = |index: usize| ColumnId(u32::MAX - u32::try_from(index).unwrap_or_default());
    let column = |(index, name): (usize, &&str)| Column {
        id: last(index),
        name: (*name).to_owned(),
        sql_type: "bigint".to_owned(),
        mask: None,
        tags: BTreeMap::new(),
        comment: None,
        since: None,
        former: Vec::new(),
    };
    table.columns.extend(columns.iter().enumerate().map(column));
    let granted = |index: usize| Grant {
        privilege: Privilege::Select,
        grantee: Grantee::Public,
        grantor: table.owner,
        column: Some(last(index)),
        grantable: false,
    };
    let granted: Vec<_> = (0..columns.len()).map(granted).collect();
    table.grants.extend(granted);
    Arc::new(table)
}

/// Opens a table at the version asked for, or as the transaction block has pinned it and written to it.
pub(crate) async fn open(vantage: &Vantage, table: &Table, at: VersionSelector) -> Result<RawTable, Error> {
    let session = &vantage.session;
    let own = if at == VersionSelector::Latest { session.transaction().own(table.id) } else { None };
    if let Some(own) = own {
        let raw = own.open().await.map_err(|error| crate::publish::store(&error, &table.name))?;
        if table.columns.iter().any(|column| !column.is_in(raw.version())) {
            let message = format!("the columns of table \"{}\" were replaced concurrently", table.name);
            return Err(Error::new(SqlState::SERIALIZATION_FAILURE, message));
        }
        return Ok(raw);
    }
    let pinned = session.transaction().pinned(table.id);
    let wanted = match (at, pinned) {
        (VersionSelector::Latest, Some(version)) => VersionSelector::Exact(version),
        (asked, _) => asked,
    };
    let parts = &session.engine().shared.parts;
    if matches!(wanted, VersionSelector::AsOf(moment) if moment > parts.clock.now()) {
        return Err(crate::publish::store(&StoreError::TimeNotFound, &table.name));
    }
    let store = &parts.store;
    let raw = store.open(table, wanted).await.map_err(|error| crate::publish::store(&error, &table.name))?;
    vantage.must_know(&raw, &table.name).await?;
    if at == VersionSelector::Latest {
        session.transaction().pin(table.id, raw.version());
    }
    Ok(raw)
}

/// Whether `reader` holds a privilege on a table.
pub(crate) fn may(snapshot: &Snapshot, reader: &RoleSet, table: &Table, privilege: Privilege) -> bool {
    reader.superuser || snapshot.holds(&reader.roles, table.owner, &table.grants, privilege)
}

/// Whether `reader` may read some column of a table; which, is decided later.
fn may_read(snapshot: &Snapshot, reader: &RoleSet, table: &Table) -> bool {
    may(snapshot, reader, table, Privilege::Select)
        || !snapshot.columns_held(&reader.roles, &table.grants, Privilege::Select).is_empty()
}

/// Whether `reader` may name what is in a schema.
pub(crate) fn may_use(snapshot: &Snapshot, reader: &RoleSet, schema: &str) -> bool {
    let granted = |schema: &lakeward_catalog::Schema| {
        snapshot.holds(&reader.roles, schema.owner, &schema.grants, Privilege::Usage)
    };
    reader.superuser || snapshot.schema_by_name(schema).is_some_and(|schema| granted(schema))
}

fn no_versions(name: &str) -> Error {
    Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table and has no versions"))
}
