//! Tables: the Delta log first, then the catalog's entry; and back in the other order.
//!
//! Invariant: an entry never names files that are not there; files that no entry names were made by a statement that
//! failed, and it removed them, or said that it could not.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema as ArrowSchema, SchemaRef};
use lakeward_base::{Coded, SqlState, TableId};
use lakeward_catalog::{
    CatalogError, CommitNote, Draft, Inherited, NewColumn, NewTable, ObjectKind, Relation, Snapshot, StoreError, Table,
    canonical_location, overlaps,
};
use lakeward_govern::ResolvedTable;
use uuid::Uuid;

use super::actor::{self, Actor};
use super::{DdlContext, coded, command, missed_as, notice, refused, skip_missing, view};
use crate::ddl::{CreateTable, Drop, RegisterTable, types};
use crate::error::Error;
use crate::modifier::marked;
use crate::response::{Command, Notice};
use crate::statement::Name;

const TAG: &str = "CREATE TABLE";

/// A table to be made.
pub(crate) struct Creation<'a> {
    /// Its name.
    pub(crate) name: &'a Name,
    /// No error where it exists.
    pub(crate) if_not_exists: bool,
    /// Its columns, as Arrow has them.
    pub(crate) schema: SchemaRef,
    /// Partition columns.
    pub(crate) partition_by: &'a [String],
    /// Where, if not below the data directory.
    pub(crate) location: Option<&'a str>,
    /// False for tables made from others that are not as protected as those.
    pub(crate) grantable: bool,
    /// What it is made from, where it is.
    pub(crate) from: Option<Derivation<'a>>,
    /// Properties of the Delta table.
    pub(crate) properties: &'a BTreeMap<String, String>,
}

/// What a table is made from.
#[derive(Clone, Copy)]
pub(crate) struct Derivation<'a> {
    /// What its columns inherit.
    pub(crate) columns: &'a [Inherited],
    /// The tables, as they were decided about.
    pub(crate) tables: &'a [ResolvedTable],
}

impl Derivation<'_> {
    /// What a source is protected by must be what was inherited.
    fn must_stand(&self, draft: &Draft) -> Result<(), CatalogError> {
        let stands = |read: &ResolvedTable| {
            draft.table(read.table.id).is_some_and(|now| {
                // A statement may read its tables with further columns of the server's own.
                let then = read.table.columns.get(..now.columns.len());
                then == Some(now.columns.as_slice()) && now.row_security == read.table.row_security
            })
        };
        if self.tables.iter().all(stands) {
            return Ok(());
        }
        let message = "the policies of the tables that it is made from were changed concurrently";
        Err(refused(Error::new(SqlState::SERIALIZATION_FAILURE, message)))
    }
}

/// The table of that name, for replacing it.
///
/// # Errors
/// 42809 where it is a view.
pub(crate) fn existing_table(
    snapshot: &Snapshot,
    search_path: &[String],
    name: &Name,
) -> Result<Option<Arc<Table>>, Error> {
    let schema = actor::schema_for(snapshot, search_path, name).map_err(|error| coded(&error))?;
    if snapshot.relation(&schema.name, &name.name).is_none() {
        return Ok(None);
    }
    let qualified = Name { schema: Some(schema.name.clone()), ..name.clone() };
    actor::table(snapshot, search_path, &qualified).map(Some).map_err(|error| coded(&error))
}

/// What became of it.
pub(crate) enum Created {
    /// It was made.
    Table(Arc<Table>),
    /// It was there: the notice.
    Existed(Notice),
}

pub(super) async fn create(context: &DdlContext<'_>, create: &CreateTable) -> Result<Command, Error> {
    let fields: Vec<Field> = create
        .columns
        .iter()
        .map(|column| {
            let field = Field::new(&column.name, column.arrow_type.clone(), !column.not_null);
            marked(field, &column.sql_type)
        })
        .collect();
    let creation = Creation {
        name: &create.table,
        if_not_exists: create.if_not_exists,
        schema: Arc::new(ArrowSchema::new(fields)),
        partition_by: &create.partition_by,
        location: create.location.as_deref(),
        grantable: true,
        from: None,
        properties: &create.properties,
    };
    match create_table(context, &creation).await? {
        Created::Table(_) => Ok(command(TAG, Vec::new())),
        Created::Existed(notice) => Ok(command(TAG, vec![notice])),
    }
}

/// Makes an empty Delta table and its entry. Also the first half of CREATE TABLE AS.
///
/// # Errors
/// 42501, 42P07 and what the store says; nothing is left behind.
pub(crate) async fn create_table(context: &DdlContext<'_>, creation: &Creation<'_>) -> Result<Created, Error> {
    let snapshot = context.catalog.snapshot();
    let actor = context.actor(&snapshot)?;
    if let Some(existed) = check_new(context, &snapshot, &actor, creation).map_err(|error| coded(&error))? {
        return Ok(Created::Existed(existed));
    }
    let location = match creation.location {
        Some(location) => canonical_location(location),
        // A name of its own, not the table's: that one may change hands.
        None => canonical_location(&format!("{}/{}/", context.managed_root_url.trim_end_matches('/'), Uuid::now_v7())),
    };
    let place = Place { location: location.map_err(|error| coded(&error))?, managed: creation.location.is_none() };
    let columns = columns_of(&creation.schema);
    // Tried before a file is written: a Delta log within another table's directory would do harm there.
    put(context, creation, &place, &columns, &mut Draft::new(&snapshot), &actor).map_err(|error| coded(&error))?;
    let (schema, partition_by) = (Arc::clone(&creation.schema), creation.partition_by);
    let (properties, note) =
        (creation.properties, CommitNote { catalog_epoch: snapshot.epoch(), ..context.note.clone() });
    let made = context.store.create_with_properties(&place.location, schema, partition_by, properties, &note).await;
    made.map_err(|error| coded(&error))?;
    match enter(context, creation, &place, &columns).await {
        Ok(table) => Ok(Created::Table(table)),
        Err(error) => {
            remove_files(context, &place).await;
            Err(error)
        }
    }
}

/// Where a table lies.
struct Place {
    location: String,
    managed: bool,
}

fn columns_of(schema: &SchemaRef) -> Vec<(String, String)> {
    schema.fields().iter().map(|field| (field.name().clone(), types::of_field(field))).collect()
}

/// Removes what was made, if it is ours alone: below a LOCATION there may be others' files.
async fn remove_files(context: &DdlContext<'_>, place: &Place) {
    if !place.managed {
        tracing::warn!("a table that was not created leaves an empty Delta log at its LOCATION");
        return;
    }
    if let Err(failure) = context.store.remove(&place.location).await {
        tracing::warn!(sqlstate = %failure.sqlstate(), "the files of a table that was not created could not be removed");
    }
}

/// What can be refused before a file is written. A notice where the table exists and may.
fn check_new(
    context: &DdlContext<'_>,
    snapshot: &Snapshot,
    actor: &Actor,
    creation: &Creation<'_>,
) -> Result<Option<Notice>, CatalogError> {
    let schema = actor::schema_for(snapshot, context.search_path, creation.name)?;
    actor.must_create_in(snapshot, &schema)?;
    if let Some(location) = creation.location {
        let location = canonical_location(location)?;
        actor.must_use_storage(snapshot, &location)?;
        must_be_free(context, &location)?;
    }
    match snapshot.relation(&schema.name, &creation.name.name) {
        None => Ok(None),
        Some(_) if creation.if_not_exists => {
            Ok(Some(notice(format!("relation \"{}\" already exists, skipping", creation.name.name))))
        }
        Some(_) => Err(CatalogError::AlreadyExists { kind: ObjectKind::Relation, name: creation.name.name.clone() }),
    }
}

/// A table over the server's own files would lay them open, and VACUUM would delete them.
fn must_be_free(context: &DdlContext<'_>, location: &str) -> Result<(), CatalogError> {
    let reserved = context.reserved_urls.iter().any(|reserved| overlaps(reserved, location));
    if reserved || context.managed_root_url.starts_with(location) {
        return Err(CatalogError::LocationReserved);
    }
    Ok(())
}

async fn enter(
    context: &DdlContext<'_>,
    creation: &Creation<'_>,
    place: &Place,
    columns: &[(String, String)],
) -> Result<Arc<Table>, Error> {
    let (id, snapshot) = context.change(|draft, actor| put(context, creation, place, columns, draft, actor)).await?;
    let gone = || Error::new(SqlState::UNDEFINED_TABLE, "the new table was dropped meanwhile");
    snapshot.table(id).cloned().ok_or_else(gone)
}

fn put(
    context: &DdlContext<'_>,
    creation: &Creation<'_>,
    place: &Place,
    columns: &[(String, String)],
    draft: &mut Draft,
    actor: &Actor,
) -> Result<TableId, CatalogError> {
    let schema = actor::schema_for(draft, context.search_path, creation.name)?;
    actor.must_create_in(draft, &schema)?;
    if !place.managed {
        actor.must_use_storage(draft, &place.location)?;
    }
    let id = draft.create_table(NewTable {
        schema: schema.id,
        name: creation.name.name.clone(),
        // A derived table holds what the login's own attributes showed: it is not the role's of SET ROLE.
        owner: if creation.from.is_none() { actor.role } else { context.principal.session_role },
        location: place.location.clone(),
        managed: place.managed,
        columns: columns
            .iter()
            .map(|(name, sql_type)| NewColumn { name: name.clone(), sql_type: sql_type.clone() })
            .collect(),
        grantable: creation.grantable,
    })?;
    if let Some(from) = &creation.from {
        from.must_stand(draft)?;
        draft.inherit(id, from.columns)?;
    }
    // What is its maker's alone is granted by name, or not at all.
    if creation.grantable {
        draft.grant_defaults(id)?;
    }
    Ok(id)
}

pub(super) async fn register(context: &DdlContext<'_>, register: &RegisterTable) -> Result<Command, Error> {
    let snapshot = context.catalog.snapshot();
    let actor = context.actor(&snapshot)?;
    let mut creation = Creation {
        name: &register.table,
        if_not_exists: register.if_not_exists,
        schema: Arc::new(ArrowSchema::empty()),
        partition_by: &[],
        location: Some(&register.location),
        grantable: true,
        from: None,
        properties: &BTreeMap::new(),
    };
    if let Some(existed) = check_new(context, &snapshot, &actor, &creation).map_err(|error| coded(&error))? {
        return Ok(command(TAG, vec![existed]));
    }
    let location = canonical_location(&register.location).map_err(|error| coded(&error))?;
    creation.schema = match context.store.describe(&location).await {
        Ok(description) => description.schema,
        Err(StoreError::NotFound) => {
            let error = Error::new(SqlState::UNDEFINED_TABLE, "there is no Delta table at this location");
            return Err(error.with_hint("CREATE TABLE … LOCATION makes one."));
        }
        Err(error) => return Err(coded(&error)),
    };
    let columns = columns_of(&creation.schema);
    enter(context, &creation, &Place { location, managed: false }, &columns).await?;
    Ok(command(TAG, Vec::new()))
}

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<Name>) -> Result<Command, Error> {
    let ((mut notices, dropped), _) = context
        .change(|draft, actor| {
            let (mut notices, mut dropped) = (Vec::new(), Vec::new());
            for name in &drop.names {
                let found = missed_as(actor::table(draft, context.search_path, name), ObjectKind::Table, name);
                let Some(table) = skip_missing(found, drop.if_exists, &mut notices)? else { continue };
                actor.must_own(table.owner, "table", &table.name)?;
                view::must_not_be_read(draft, &Relation::Table(Arc::clone(&table)), "drop", &[])?;
                draft.drop_table(table.id)?;
                dropped.push(table);
            }
            Ok((notices, dropped))
        })
        .await?;
    for table in dropped.iter().filter(|table| table.managed) {
        if let Err(error) = context.store.remove(&table.location).await {
            tracing::warn!(table = %table.id, sqlstate = %error.sqlstate(), "the files of a dropped table could not be removed");
            notices.push(super::warning(format!("the files of table \"{}\" could not be removed", table.name)));
        }
    }
    Ok(command("DROP TABLE", notices))
}

/// Takes back a table whose rows could not be written (CREATE TABLE AS): its entry, then its files, if they are ours.
///
/// # Errors
/// The catalog's and the store's; the table is then still there, empty.
pub(crate) async fn undo_create(context: &DdlContext<'_>, table: &Table) -> Result<(), Error> {
    let edit = |draft: &mut Draft, actor: &Actor| match draft.table(table.id).cloned() {
        Some(entry) if actor.owns(entry.owner) => draft.drop_table(entry.id),
        Some(entry) => Err(refused(Error::denied("table", &entry.name))),
        None => Ok(()),
    };
    context.change(edit).await?;
    if !table.managed {
        return Ok(());
    }
    context.store.remove(&table.location).await.map_err(|error| coded(&error))
}
