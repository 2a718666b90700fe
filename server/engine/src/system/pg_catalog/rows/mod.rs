//! Which relations have rows, and who makes them.
//!
//! Invariant: a relation that is not listed here is empty for everybody, and [`super::rewrite`] relies on that.

mod access;
mod activity;
mod comment;
mod keyword;
mod kinds;
mod own;
mod privileges;
mod relation;
mod role;
mod server;
mod standard;
mod tag;

use super::cell::Rows;
use super::definition::{Definition, INFORMATION_SCHEMA, PG_CATALOG, SYSTEM};
use super::viewer::Viewer;

pub(super) use self::comment::{AUTHID, CLASS, NAMESPACE, on_schema};
pub(super) use self::kinds::{OwnFunction, own_functions};
pub(super) use self::own::{effective_policies, is_lake, lake};
pub(super) use self::relation::definition as view_definition;
pub(super) use self::server::UTF8;

/// Makes a relation's rows.
pub(super) type Filler = fn(&Viewer) -> Rows;

/// Whether a relation is empty for everybody.
pub(super) fn is_always_empty(definition: &Definition) -> bool {
    filler(definition.schema, definition.name).is_none() && !is_lake(definition)
}

/// Who makes the rows of a relation from the catalog alone.
pub(super) fn filler(schema: &str, name: &str) -> Option<Filler> {
    match schema {
        PG_CATALOG => pg_catalog(name),
        INFORMATION_SCHEMA => information_schema(name),
        SYSTEM => system(name),
        _ => None,
    }
}

fn pg_catalog(name: &str) -> Option<Filler> {
    Some(match name {
        "pg_am" => server::pg_am,
        "pg_attribute" => relation::pg_attribute,
        "pg_auth_members" => role::pg_auth_members,
        "pg_authid" => role::pg_authid,
        "pg_class" => relation::pg_class,
        "pg_collation" => kinds::pg_collation,
        "pg_cursors" => activity::pg_cursors,
        "pg_database" => server::pg_database,
        "pg_db_role_setting" => role::pg_db_role_setting,
        "pg_default_acl" => access::pg_default_acl,
        "pg_description" => comment::pg_description,
        "pg_get_keywords" => keyword::pg_get_keywords,
        "pg_namespace" => relation::pg_namespace,
        "pg_policies" => access::pg_policies,
        "pg_policy" => access::pg_policy,
        "pg_proc" => kinds::pg_proc,
        "pg_range" => kinds::pg_range,
        "pg_roles" => role::pg_roles,
        "pg_settings" => server::pg_settings,
        "pg_shadow" | "pg_user" => role::pg_user,
        "pg_shdescription" => comment::pg_shdescription,
        "pg_stat_activity" => activity::pg_stat_activity,
        "pg_stat_all_tables" | "pg_stat_user_tables" => relation::pg_stat_tables,
        "pg_tables" => relation::pg_tables,
        "pg_tablespace" => server::pg_tablespace,
        "pg_type" => kinds::pg_type,
        "pg_views" => relation::pg_views,
        _ => return None,
    })
}

fn information_schema(name: &str) -> Option<Filler> {
    Some(match name {
        "administrable_role_authorizations" => standard::administrable_roles,
        "applicable_roles" => standard::applicable_roles,
        "character_sets" => standard::character_sets,
        "column_privileges" => privileges::column_privileges,
        "columns" => standard::columns,
        "enabled_roles" => standard::enabled_roles,
        "information_schema_catalog_name" => standard::catalog_name,
        "role_column_grants" => privileges::role_column_grants,
        "role_table_grants" => privileges::role_table_grants,
        "table_privileges" => privileges::table_privileges,
        "schemata" => standard::schemata,
        "tables" => standard::tables,
        "views" => standard::views,
        _ => return None,
    })
}

fn system(name: &str) -> Option<Filler> {
    Some(match name {
        "break_glass" => own::break_glass,
        "grants" => privileges::grants,
        "policies" => own::policies,
        "queries" => activity::queries,
        "roles" => own::roles,
        "sessions" => activity::sessions,
        "tags" => tag::tags,
        _ => return None,
    })
}
