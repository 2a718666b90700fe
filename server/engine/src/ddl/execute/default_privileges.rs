//! ALTER DEFAULT PRIVILEGES: for oneself, and for roles that one is a member of.
//!
//! Invariant: nobody says what another role's tables will show.

use lakeward_base::{SchemaId, TableId};
use lakeward_catalog::{CatalogError, DefaultGrant, Draft, Securable};

use super::actor::{self, Actor};
use super::{DdlContext, Edited};
use crate::ddl::{DefaultPrivileges, RoleName};
use crate::error::Error;
use crate::response::Command;

pub(super) async fn alter(context: &DdlContext<'_>, change: &DefaultPrivileges) -> Result<Command, Error> {
    context.command("ALTER DEFAULT PRIVILEGES", |draft, acting| alter_in(draft, acting, change)).await
}

fn alter_in(draft: &mut Draft, acting: &Actor, change: &DefaultPrivileges) -> Edited {
    let own = [RoleName::Current];
    let makers = if change.makers.is_empty() { &own[..] } else { &change.makers };
    let schemas = schemas(draft, &change.schemas)?;
    let grantees = change.grantees.iter().map(|name| acting.grantee(draft, name)).collect::<Result<Vec<_>, _>>()?;
    let all = Securable::Relation(TableId(0)).privileges();
    let privileges = if change.privileges.is_empty() { all } else { &change.privileges };
    for maker in makers {
        let maker = acting.role(draft, maker)?;
        acting.must_be_member_of(&maker)?;
        for schema in &schemas {
            for (privilege, grantee) in privileges.iter().flat_map(|one| grantees.iter().map(move |to| (*one, *to))) {
                let grantable = change.grant && change.grant_option;
                let one = DefaultGrant { schema: *schema, privilege, grantee, grantable };
                if change.grant {
                    draft.give_default(maker.id, one)?;
                } else {
                    draft.take_default(maker.id, &one, change.grant_option)?;
                }
            }
        }
    }
    Ok(Vec::new())
}

/// Those that are named; `None` is all of them, today's and tomorrow's.
fn schemas(draft: &Draft, names: &[String]) -> Result<Vec<Option<SchemaId>>, CatalogError> {
    if names.is_empty() {
        return Ok(vec![None]);
    }
    names.iter().map(|name| actor::schema(draft, name).map(|schema| Some(schema.id))).collect()
}
