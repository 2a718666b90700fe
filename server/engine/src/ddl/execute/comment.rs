//! COMMENT ON: by the owner of what it is about.
//!
//! Invariant: see [`super`].

use lakeward_base::{Redacted, SqlState};
use lakeward_catalog::{CatalogError, Described, Draft, Relation};

use super::actor::{self, Actor};
use super::{DdlContext, Edited, role};
use crate::ddl::CommentTarget;
use crate::error::Error;
use crate::response::Command;

/// The longest comment, in bytes: every node keeps all of them.
const COMMENT_BYTES: usize = 16_384;

pub(super) async fn set(
    context: &DdlContext<'_>,
    on: &CommentTarget,
    text: Option<&Redacted<String>>,
) -> Result<Command, Error> {
    // As in PostgreSQL, an empty comment is none.
    let text = text.map(|text| text.expose().clone()).filter(|text| !text.is_empty());
    if text.as_ref().is_some_and(|text| text.len() > COMMENT_BYTES) {
        return Err(Error::new(
            SqlState::PROGRAM_LIMIT_EXCEEDED,
            format!("a comment has at most {COMMENT_BYTES} bytes"),
        ));
    }
    context.command("COMMENT", |draft, actor| set_in(context, draft, actor, on, text.clone())).await
}

fn set_in(
    context: &DdlContext<'_>,
    draft: &mut Draft,
    actor: &Actor,
    on: &CommentTarget,
    text: Option<String>,
) -> Edited {
    let described = match on {
        CommentTarget::Role(name) => return role::comment(draft, actor, name, text),
        CommentTarget::Schema(name) => {
            let schema = actor::schema(draft, name)?;
            actor.must_own(schema.owner, "schema", &schema.name)?;
            Described::Schema(schema.id)
        }
        CommentTarget::Relation(name, true) => {
            let view = actor::view(draft, context.search_path, name)?;
            actor.must_own(view.owner, "view", &view.name)?;
            Described::Relation(view.id)
        }
        CommentTarget::Relation(name, false) => {
            let table = actor::table(draft, context.search_path, name)?;
            actor.must_own(table.owner, "table", &table.name)?;
            Described::Relation(table.id)
        }
        CommentTarget::Column(name, column) => {
            let relation = actor::relation(draft, context.search_path, name)?;
            must_own(actor, &relation)?;
            let columns = match &relation {
                Relation::Table(table) => &table.columns,
                Relation::View(view) => &view.columns,
            };
            let missing = || CatalogError::ColumnNotFound { column: column.clone(), relation: name.name.clone() };
            let found = columns.iter().find(|candidate| candidate.name == *column).ok_or_else(missing)?;
            Described::Column(relation.id(), found.id)
        }
    };
    draft.comment(described, text)?;
    Ok(Vec::new())
}

fn must_own(actor: &Actor, relation: &Relation) -> Result<(), CatalogError> {
    let kind = match relation {
        Relation::Table(_) => "table",
        Relation::View(_) => "view",
    };
    actor.must_own(relation.owner(), kind, relation.name())
}
