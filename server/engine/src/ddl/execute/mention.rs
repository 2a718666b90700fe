//! Policies that name a role in their text: `is_role_in_session('privacy')`.
//!
//! Invariant: such a role is neither renamed nor dropped: whoever was given its name next would see what it saw.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, visit_expressions};
use lakeward_base::Redacted;
use lakeward_catalog::{CatalogError, Role, Snapshot};

/// 2BP01 where a policy's text names the role.
pub(super) fn must_not_be_mentioned(snapshot: &Snapshot, role: &Role, done: &str) -> Result<(), CatalogError> {
    let names = |text: &Redacted<String>| mentions(text.expose(), &role.name);
    let masks = snapshot.masking_policies().filter(|policy| names(&policy.body));
    let mut users: Vec<String> = masks.map(|policy| format!("masking policy {} names it", policy.name)).collect();
    for table in snapshot.tables() {
        let table_name = snapshot.qualified_name(table.id);
        let texts = |policy: &&lakeward_catalog::RowPolicy| policy.using.iter().chain(&policy.with_check).any(names);
        let named = table.policies.iter().filter(texts);
        users.extend(named.map(|policy| format!("policy {} on {table_name} names it", policy.name)));
    }
    if users.is_empty() {
        return Ok(());
    }
    let message = format!("role \"{}\" cannot be {done} because some objects depend on it", role.name);
    Err(CatalogError::InUse { message, detail: users.join("\n"), hint: Some("Alter the policies first.") })
}

/// Whether a policy's text asks for the role of that name.
fn mentions(text: &str, role: &str) -> bool {
    let Ok(expression) = crate::statement::parse_expression(text) else { return false };
    let found = visit_expressions(&expression, |node| match node {
        ast::Expr::Function(function) if asks_for(function, role) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn asks_for(function: &ast::Function, role: &str) -> bool {
    let name = function.name.0.last().and_then(ast::ObjectNamePart::as_ident);
    let ast::FunctionArguments::List(list) = &function.args else { return false };
    let is_role = |argument: &ast::FunctionArg| match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) => {
            matches!(&value.value, ast::Value::SingleQuotedString(text) if text == role)
        }
        _ => false,
    };
    name.is_some_and(|name| name.value.eq_ignore_ascii_case("is_role_in_session")) && list.args.iter().any(is_role)
}
