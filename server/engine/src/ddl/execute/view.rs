//! Views, and who owns a relation.
//!
//! Invariant: see [`super`].

use std::sync::Arc;

use lakeward_base::{SchemaId, SqlState, TableId};
use lakeward_catalog::{CatalogError, Draft, NewColumn, NewView, ObjectKind, Relation, Snapshot, View};

use super::actor::{self, Actor};
use super::{DdlContext, coded, missed_as, refused, skip_missing};
use crate::ddl::{CreateView, Drop, NewPlace, RoleName};
use crate::error::Error;
use crate::response::Command;
use crate::statement::Name;

pub(super) async fn create(context: &DdlContext<'_>, create: &CreateView) -> Result<Command, Error> {
    // Before the planner is asked, so that a missing permission is not answered with what the tables look like.
    let snapshot = context.catalog.snapshot();
    let acting = context.actor(&snapshot)?;
    let target = actor::schema_for(&snapshot, context.search_path, &create.view).map_err(|error| coded(&error))?;
    acting.must_create_in(&snapshot, &target).map_err(|error| coded(&error))?;
    let columns = name_columns(context.validator.view_columns(&create.query).await?, &create.columns)?;
    context
        .command("CREATE VIEW", |draft, acting| {
            let schema = actor::schema_for(draft, context.search_path, &create.view)?;
            acting.must_create_in(draft, &schema)?;
            let columns = columns.clone();
            match draft.relation(&schema.name, &create.view.name) {
                Some(Relation::View(view)) if create.or_replace => {
                    acting.must_own(view.owner, "view", &view.name)?;
                    draft.replace_view(view.id, create.definition.clone(), context.search_path.to_vec(), columns)?;
                }
                Some(Relation::Table(table)) if create.or_replace => {
                    let message = format!("\"{}\" is not a view", table.name);
                    return Err(refused(Error::new(SqlState::WRONG_OBJECT_TYPE, message)));
                }
                Some(_) | None => {
                    let (name, definition) = (create.view.name.clone(), create.definition.clone());
                    let search_path = context.search_path.to_vec();
                    let made = draft.create_view(NewView {
                        schema: schema.id,
                        name,
                        owner: acting.role,
                        definition,
                        search_path,
                        columns,
                    })?;
                    draft.grant_defaults(made)?;
                }
            }
            Ok(Vec::new())
        })
        .await
}

/// The query's names, as far as the statement gives no others.
fn name_columns(columns: Vec<(String, String)>, names: &[String]) -> Result<Vec<NewColumn>, Error> {
    if names.len() > columns.len() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "CREATE VIEW specifies more column names than columns"));
    }
    let mut named: Vec<NewColumn> = columns.into_iter().map(|(name, sql_type)| NewColumn { name, sql_type }).collect();
    for (column, name) in named.iter_mut().zip(names) {
        column.name.clone_from(name);
    }
    Ok(named)
}

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<Name>) -> Result<Command, Error> {
    context
        .command("DROP VIEW", |draft, acting| {
            let mut notices = Vec::new();
            let named = drop.names.iter().filter_map(|name| actor::view(draft, context.search_path, name).ok());
            let together: Vec<TableId> = named.map(|view| view.id).collect();
            for name in &drop.names {
                let found = missed_as(actor::view(draft, context.search_path, name), ObjectKind::View, name);
                let Some(view) = skip_missing(found, drop.if_exists, &mut notices)? else { continue };
                acting.must_own(view.owner, "view", &view.name)?;
                must_not_be_read(draft, &Relation::View(Arc::clone(&view)), "drop", &together)?;
                draft.drop_view(view.id)?;
            }
            Ok(notices)
        })
        .await
}

/// `OWNER TO`: by the owner, to a role that it is a member of and that may create in the schema; or by a superuser.
pub(super) async fn change_owner(
    context: &DdlContext<'_>,
    name: &Name,
    if_exists: bool,
    is_view: bool,
    to: &RoleName,
) -> Result<Command, Error> {
    let tag = if is_view { "ALTER VIEW" } else { "ALTER TABLE" };
    context
        .command(tag, |draft, acting| {
            let mut notices = Vec::new();
            let found = actor::relation(draft, context.search_path, name);
            let Some(relation) = skip_missing(found, if_exists, &mut notices)? else { return Ok(notices) };
            let to = acting.role(draft, to)?;
            let (kind, owner, schema) = match &relation {
                Relation::Table(table) => ("table", table.owner, table.schema),
                Relation::View(view) => ("view", view.owner, view.schema),
            };
            acting.must_own(owner, kind, &name.name)?;
            acting.must_be_member_of(&to)?;
            if !acting.superuser {
                must_create_as(draft, &to, schema)?;
            }
            match relation {
                Relation::Table(_) if is_view => {
                    return Err(refused(Error::new(
                        SqlState::WRONG_OBJECT_TYPE,
                        format!("\"{}\" is not a view", name.name),
                    )));
                }
                Relation::Table(table) if !table.grantable && table.owner != to.id => {
                    let error = Error::unsupported(format!(
                        "OWNER TO for \"{}\", which was made from other tables,",
                        table.name
                    ));
                    return Err(refused(error.with_hint("Let the new owner make it.")));
                }
                Relation::Table(table) => draft.alter_table(table.id, |table| table.owner = to.id)?,
                Relation::View(view) => draft.alter_view(view.id, |view| view.owner = to.id)?,
            }
            Ok(notices)
        })
        .await
}

/// `RENAME TO` and `SET SCHEMA`. Views find their tables by name, so what a view reads stays where it is.
pub(super) async fn move_to(
    context: &DdlContext<'_>,
    name: &Name,
    if_exists: bool,
    is_view: bool,
    to: &NewPlace,
) -> Result<Command, Error> {
    let tag = if is_view { "ALTER VIEW" } else { "ALTER TABLE" };
    context
        .command(tag, |draft, acting| {
            let mut notices = Vec::new();
            let found = actor::relation(draft, context.search_path, name);
            let Some(relation) = skip_missing(found, if_exists, &mut notices)? else { return Ok(notices) };
            let (schema, new_name) = new_place(draft, acting, &relation, to)?;
            must_not_be_read(draft, &relation, "move", &[])?;
            match relation {
                Relation::Table(table) if is_view => {
                    let message = format!("\"{}\" is not a view", table.name);
                    return Err(refused(Error::new(SqlState::WRONG_OBJECT_TYPE, message)));
                }
                Relation::Table(table) => {
                    if table.name != new_name {
                        super::dependent::must_not_name_itself(&table)?;
                    }
                    draft.alter_table(table.id, |table| {
                        table.schema = schema;
                        table.name = new_name;
                    })?;
                }
                Relation::View(view) => draft.alter_view(view.id, |view| {
                    view.schema = schema;
                    view.name = new_name;
                })?,
            }
            Ok(notices)
        })
        .await
}

/// The schema and the name that it will have: its owner's to say, as far as they may create there.
fn new_place(
    draft: &Draft,
    acting: &Actor,
    relation: &Relation,
    to: &NewPlace,
) -> Result<(SchemaId, String), CatalogError> {
    let kind = if matches!(relation, Relation::Table(_)) { "table" } else { "view" };
    acting.must_own(relation.owner(), kind, relation.name())?;
    let (schema, name) = match to {
        NewPlace::Name(new) => (draft.schema(relation.schema()).cloned(), new.clone()),
        NewPlace::Schema(schema) => (Some(actor::schema(draft, schema)?), relation.name().to_owned()),
    };
    let gone = || CatalogError::not_found(ObjectKind::Schema, "?");
    let schema = schema.ok_or_else(gone)?;
    acting.must_create_in(draft, &schema)?;
    Ok((schema.id, name))
}

/// The views that read a relation.
pub(super) fn readers<'a>(snapshot: &'a Snapshot, relation: &'a Relation) -> impl Iterator<Item = &'a Arc<View>> {
    snapshot.views().filter(|view| {
        let names = crate::mentioned::names_of_view(view).unwrap_or_default();
        names.into_iter().any(|(schema, name)| {
            let path = schema.map_or_else(|| view.search_path.clone(), |schema| vec![schema]);
            let found = path.iter().find_map(|schema| snapshot.relation(schema, &name));
            found.is_some_and(|found| found.id() == relation.id())
        })
    })
}

/// A view is bound by names: what it reads neither moves nor goes (`verb`), but together with it.
pub(super) fn must_not_be_read(
    draft: &Draft,
    relation: &Relation,
    verb: &str,
    together_with: &[TableId],
) -> Result<(), CatalogError> {
    let readers: Vec<_> = readers(draft, relation)
        .filter(|view| !together_with.contains(&view.id))
        .map(|view| format!("view {}", draft.qualified_name(view.id)))
        .collect();
    if readers.is_empty() {
        return Ok(());
    }
    let message = format!("cannot {verb} \"{}\" because other objects depend on it", relation.name());
    let detail = readers.iter().map(|reader| format!("{reader} depends on it")).collect::<Vec<_>>().join("\n");
    Err(CatalogError::InUse { message, detail, hint: Some("Drop the views first.") })
}

fn must_create_as(
    draft: &lakeward_catalog::Draft,
    role: &lakeward_catalog::Role,
    schema: lakeward_base::SchemaId,
) -> Result<(), CatalogError> {
    let Some(schema) = draft.schema(schema) else { return Ok(()) };
    let roles = draft.effective_roles(role.id);
    if role.superuser || draft.holds(&roles, schema.owner, &schema.grants, lakeward_catalog::Privilege::Create) {
        return Ok(());
    }
    Err(refused(Error::denied("schema", &schema.name)))
}
