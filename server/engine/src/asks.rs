//! What a policy asks of the session: attributes, roles, the user, the purpose; and what the session answers.
//!
//! Invariant: the value of an attribute is not told, only whether there is one.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, visit_expressions};
use lakeward_govern::Principal;

/// In words, each once; nothing of a text that cannot be read.
pub(crate) fn of_policy(text: &str, principal: &Principal) -> Vec<String> {
    let Ok(parsed) = crate::statement::parse_expression(text) else { return Vec::new() };
    let mut told = BTreeSet::new();
    let _: ControlFlow<()> = visit_expressions(&parsed, |expr| {
        if let ast::Expr::Function(function) = expr {
            told.extend(answer(function, principal));
        }
        ControlFlow::Continue(())
    });
    told.into_iter().collect()
}

fn answer(function: &ast::Function, principal: &Principal) -> Option<String> {
    let name = function.name.0.last()?.as_ident()?.value.to_lowercase();
    let given = first_text(function);
    Some(match (name.as_str(), given) {
        ("principal_attribute", Some(attribute)) => {
            let is = if principal.attributes.contains_key(&attribute) { "is set" } else { "is not set" };
            format!("attribute {attribute} {is}")
        }
        ("is_role_in_session", Some(role)) => {
            let is = if principal.role_names.contains(&role) { "is" } else { "is not" };
            format!("role {role} {is} in the session")
        }
        ("principal_attribute", None) => "an attribute is asked for by a column".to_owned(),
        ("is_role_in_session", None) => "a role is asked for by a column".to_owned(),
        ("current_purpose", _) => match &principal.purpose {
            Some(purpose) => format!("the purpose is {purpose}"),
            None => "no purpose is stated".to_owned(),
        },
        ("current_user" | "current_role", _) => format!("{name} is {}", principal.current_user),
        ("session_user", _) => format!("session_user is {}", principal.session_user),
        _ => return None,
    })
}

fn first_text(function: &ast::Function) -> Option<String> {
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) = list.args.first()? else {
        return None;
    };
    match &value.value {
        ast::Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}
