//! Keyed functions: who may call them.
//!
//! Who can call one can undo a mask made with it, by hashing guesses: it needs EXECUTE. Invariant: a statement that calls
//! one is planned only for those who hold it; in a policy its owner must hold it, which `govern` checks at each use.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, visit_expressions};
use lakeward_catalog::Snapshot;
use lakeward_govern::Principal;
use lakeward_udfs::{KEYED_FUNCTIONS, OPERATOR_ARGUMENT, needs_execute};

use crate::error::Error;

/// The keyed functions that a syntax tree calls, each once.
pub(crate) fn calls(node: &impl Visit) -> Vec<&'static str> {
    let mut found = Vec::new();
    let _: ControlFlow<()> = visit_expressions(node, |expr| {
        let ast::Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.0.last().and_then(ast::ObjectNamePart::as_ident).map(|name| name.value.to_lowercase());
        let keyed = KEYED_FUNCTIONS.iter().find(|keyed| Some(**keyed) == name.as_deref());
        let keyed = keyed.filter(|keyed| needs_execute(keyed, operator(function).as_deref()));
        if let Some(keyed) = keyed.filter(|keyed| !found.contains(*keyed)) {
            found.push(*keyed);
        }
        ControlFlow::Continue(())
    });
    found
}

/// The operator of a call where it is a constant: the default where there is none, `None` where it is to be computed.
fn operator(function: &ast::Function) -> Option<String> {
    let ast::FunctionArguments::List(list) = &function.args else { return None };
    let (_, name, place) = OPERATOR_ARGUMENT;
    let named = list.args.iter().find_map(|argument| match argument {
        ast::FunctionArg::Named { name: own, arg, .. } if own.value.eq_ignore_ascii_case(name) => Some(arg),
        _ => None,
    });
    let placed = list.args.get(place).and_then(|argument| match argument {
        ast::FunctionArg::Unnamed(arg) => Some(arg),
        _ => None,
    });
    match named.or(placed) {
        None => Some(lakeward_udfs::DEFAULT_OPERATOR.to_owned()),
        Some(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) => match &value.value {
            ast::Value::SingleQuotedString(operator) => Some(operator.clone()),
            _ => None,
        },
        Some(_) => None,
    }
}

/// `42501` where a syntax tree calls a keyed function that the principal may not call.
pub(crate) fn check(principal: &Principal, snapshot: &Snapshot, node: &impl Visit) -> Result<(), Error> {
    if principal.superuser {
        return Ok(());
    }
    let denied = |function: &&str| !snapshot.may_execute(&principal.effective_roles, function);
    match calls(node).into_iter().find(denied) {
        Some(function) => Err(Error::denied("function", function)),
        None => Ok(()),
    }
}
