//! Schemas.
//!
//! Invariant: see [`super`].

use lakeward_catalog::CatalogError;

use super::actor::{self, Actor};
use super::{DdlContext, notice, refused, skip_missing};
use crate::ddl::{Drop, RoleName};
use crate::error::Error;
use crate::response::Command;

pub(super) async fn create(
    context: &DdlContext<'_>,
    name: Option<&str>,
    if_not_exists: bool,
    owner: Option<&RoleName>,
) -> Result<Command, Error> {
    context
        .command("CREATE SCHEMA", |draft, actor| {
            must_create_schemas(actor)?;
            let owner = actor.role(draft, owner.unwrap_or(&RoleName::Current))?;
            actor.must_be_member_of(&owner)?;
            let name = name.unwrap_or(&owner.name);
            if if_not_exists && draft.schema_by_name(name).is_some() {
                return Ok(vec![notice(format!("schema \"{name}\" already exists, skipping"))]);
            }
            draft.create_schema(name, owner.id)?;
            Ok(Vec::new())
        })
        .await
}

/// `OWNER TO`: by the owner, to a role that it is a member of; it needs the right to make schemas, as in PostgreSQL.
pub(super) async fn change_owner(context: &DdlContext<'_>, name: &str, to: &RoleName) -> Result<Command, Error> {
    context
        .command("ALTER SCHEMA", |draft, actor| {
            let schema = actor::schema(draft, name)?;
            let to = actor.role(draft, to)?;
            actor.must_own(schema.owner, "schema", &schema.name)?;
            actor.must_be_member_of(&to)?;
            must_create_schemas(actor)?;
            draft.give_schema(schema.id, to.id)?;
            Ok(Vec::new())
        })
        .await
}

/// PostgreSQL asks for CREATE on the database, which here nobody is granted.
fn must_create_schemas(actor: &Actor) -> Result<(), CatalogError> {
    if actor.superuser { Ok(()) } else { Err(refused(Error::denied("database", "lakeward"))) }
}

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<String>) -> Result<Command, Error> {
    context
        .command("DROP SCHEMA", |draft, actor| {
            let mut notices = Vec::new();
            for name in &drop.names {
                let Some(schema) = skip_missing(actor::schema(draft, name), drop.if_exists, &mut notices)? else {
                    continue;
                };
                actor.must_own(schema.owner, "schema", &schema.name)?;
                draft.drop_schema(schema.id)?;
            }
            Ok(notices)
        })
        .await
}
