//! SHOW GRANTS, SHOW POLICIES: short for queries of the system views. SHOW EFFECTIVE POLICIES: the same for one table
//! and role. RUN POLICY TESTS.
//!
//! Invariant: what is shown is what the view shows the same principal.

use super::cursor::Cursor;
use super::{Kind, front};
use crate::error::Error;

/// Parses one, if it is one.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Option<front::Parsed>, Error> {
    if cursor.accept(&["show", "effective", "policies"]) {
        cursor.expect(&["on"])?;
        let table = cursor.name()?;
        let role = if cursor.accept(&["for"]) { named_role(cursor)? } else { None };
        return Ok(Some((Kind::EffectivePolicies { table, role }, "SHOW")));
    }
    if cursor.accept(&["run", "policy", "tests"]) {
        return Ok(Some((Kind::RunPolicyTests, "RUN POLICY TESTS")));
    }
    if cursor.accept(&["show", "policies"]) {
        return query("SELECT * FROM system.policies").map(Some);
    }
    if !cursor.accept(&["show", "grants"]) {
        return Ok(None);
    }
    if !cursor.accept(&["for"]) {
        return query("SELECT * FROM system.grants").map(Some);
    }
    let role = if cursor.accept_one(&["current_role", "current_user"]).is_some() {
        "current_user".to_owned()
    } else if cursor.accept(&["session_user"]) {
        "session_user".to_owned()
    } else if cursor.accept(&["public"]) {
        "'PUBLIC'".to_owned()
    } else {
        let name = cursor.identifier()?;
        // A role that is not there is an error, as in GRANT.
        let role = format!("'{}'", name.replace('\'', "''"));
        let sql = format!("SELECT * FROM system.grants WHERE grantee = {role} AND CAST({role} AS regrole) IS NOT NULL");
        return query(&sql).map(Some);
    };
    query(&format!("SELECT * FROM system.grants WHERE grantee = {role}")).map(Some)
}

/// `ROLE name`; `None` is the current one.
fn named_role(cursor: &mut Cursor<'_>) -> Result<Option<String>, Error> {
    cursor.expect(&["role"])?;
    if cursor.accept_one(&["current_role", "current_user"]).is_some() {
        return Ok(None);
    }
    cursor.identifier().map(Some)
}

fn query(sql: &str) -> Result<front::Parsed, Error> {
    match super::parse(sql)?.kind {
        kind @ Kind::Query(_) => Ok((kind, "SHOW")),
        _ => Err(Error::unsupported("SHOW of this")),
    }
}
