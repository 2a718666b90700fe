//! The functions that ask about the session, replaced by literals before planning.
//!
//! Replacing them once per statement makes a decision pure, lets the simplifier fold a policy down to what it means
//! for one principal, and keeps roles and attributes out of execution.
//!
//! Invariant: after [`substitute_session_functions`] no session function is left in the expression.

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::expr::{Case, InList, ScalarFunction};
use datafusion_expr::{Expr, lit};

use crate::principal::Principal;

/// The names of the session functions.
pub const SESSION_FUNCTIONS: &[&str] =
    &["current_user", "session_user", "current_role", "is_role_in_session", "principal_attribute", "current_purpose"];

/// Replaces every session function in `expr` by what it answers to `principal`.
///
/// `is_role_in_session` sees inherited roles too; `principal_attribute` is NULL for an attribute that is not set. Both
/// also take a column: then they become a comparison with the principal's own roles or attributes. Subqueries' plans
/// are not entered; the caller walks those.
///
/// # Errors
/// A session function with the wrong number of arguments.
pub fn substitute_session_functions(expr: Expr, principal: &Principal) -> Result<Expr> {
    expr.transform_up(|node| match node {
        Expr::ScalarFunction(function) if SESSION_FUNCTIONS.contains(&function.name()) => {
            Ok(Transformed::yes(answer(function, principal)?))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

fn answer(function: ScalarFunction, principal: &Principal) -> Result<Expr> {
    let name = function.name().to_owned();
    let mut arguments = function.args.into_iter();
    let answer = match name.as_str() {
        "current_user" | "current_role" => lit(principal.current_user.as_str()),
        "session_user" => lit(principal.session_user.as_str()),
        "current_purpose" => text(principal.purpose.as_deref()),
        "is_role_in_session" => is_role(argument(&name, &mut arguments)?, principal),
        _ => attribute(argument(&name, &mut arguments)?, principal),
    };
    match arguments.next() {
        Some(_) => plan_err!("{name} has too many arguments"),
        None => Ok(answer),
    }
}

fn argument(name: &str, arguments: &mut impl Iterator<Item = Expr>) -> Result<Expr> {
    match arguments.next() {
        Some(argument) => Ok(argument),
        None => plan_err!("{name} needs an argument"),
    }
}

fn is_role(role: Expr, principal: &Principal) -> Expr {
    match literal_text(&role) {
        Some(Some(name)) => lit(principal.role_names.contains(&name)),
        Some(None) => Expr::Literal(ScalarValue::Boolean(None), None),
        None => {
            let names = principal.role_names.iter().map(|name| lit(name.as_str())).collect();
            Expr::InList(InList::new(Box::new(role), names, false))
        }
    }
}

fn attribute(name: Expr, principal: &Principal) -> Expr {
    match literal_text(&name) {
        Some(Some(name)) => text(principal.attributes.get(&name).map(String::as_str)),
        Some(None) => text(None),
        None if principal.attributes.is_empty() => text(None),
        None => {
            let branches =
                principal.attributes.iter().map(|(key, value)| (lit(key.as_str()).into(), text(Some(value)).into()));
            Expr::Case(Case::new(Some(Box::new(name)), branches.collect(), Some(Box::new(text(None)))))
        }
    }
}

fn text(value: Option<&str>) -> Expr {
    Expr::Literal(ScalarValue::Utf8(value.map(str::to_owned)), None)
}

/// `Some(None)` for a NULL literal, `None` for anything that is not a literal.
fn literal_text(expr: &Expr) -> Option<Option<String>> {
    match expr {
        Expr::Literal(value, _) if value.is_null() => Some(None),
        Expr::Literal(value, _) => value.try_as_str().map(|text| text.map(str::to_owned)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion_expr::{Expr, col, lit};

    use super::{SESSION_FUNCTIONS, substitute_session_functions};
    use crate::testing::{principal, session_function};

    fn substituted(name: &str, arguments: Vec<Expr>) -> Expr {
        let mut alice = principal("alice");
        alice.current_user = "analyst".into();
        alice.role_names = ["analyst".into(), "staff".into()].into();
        alice.attributes.insert("hospital_id".into(), "3".into());
        substitute_session_functions(session_function(name, arguments), &alice).unwrap()
    }

    #[test]
    fn answers_are_literals() {
        assert_eq!(substituted("current_user", vec![]), lit("analyst"));
        assert_eq!(substituted("current_role", vec![]), lit("analyst"));
        assert_eq!(substituted("session_user", vec![]), lit("alice"));
        assert_eq!(substituted("is_role_in_session", vec![lit("staff")]), lit(true));
        assert_eq!(substituted("is_role_in_session", vec![lit("privacy")]), lit(false));
        assert_eq!(substituted("principal_attribute", vec![lit("hospital_id")]), lit("3"));
        assert_eq!(substituted("principal_attribute", vec![lit("absent")]), super::text(None));
        assert_eq!(substituted("current_purpose", vec![]), super::text(None));
    }

    #[test]
    fn nested_calls_and_columns_are_replaced_too() {
        let nested = substituted("principal_attribute", vec![session_function("current_user", vec![])]);
        assert_eq!(nested, super::text(None));
        assert_eq!(
            substituted("is_role_in_session", vec![col("role")]),
            col("role").in_list(vec![lit("analyst"), lit("staff")], false)
        );
        let by_column = substituted("principal_attribute", vec![col("key")]);
        assert!(SESSION_FUNCTIONS.iter().all(|name| !by_column.to_string().contains(name)), "{by_column}");
    }

    #[test]
    fn a_wrong_number_of_arguments_is_an_error() {
        let alice = principal("alice");
        assert!(substitute_session_functions(session_function("is_role_in_session", vec![]), &alice).is_err());
        assert!(substitute_session_functions(session_function("current_user", vec![lit(1)]), &alice).is_err());
    }
}
