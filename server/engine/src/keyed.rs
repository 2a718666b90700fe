//! Keyed functions: who may call them.
//!
//! Who can call one can undo a mask made with it, by hashing guesses: it needs EXECUTE. Invariant: a statement that calls
//! one is planned only for those who hold it; in a policy its owner must hold it, which `govern` checks at each use.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{self, Visit, visit_expressions};
use lakeward_catalog::Snapshot;
use lakeward_govern::Principal;
use lakeward_udfs::KEYED_FUNCTIONS;

use crate::error::Error;

/// The keyed functions that a syntax tree calls, each once.
pub(crate) fn calls(node: &impl Visit) -> Vec<&'static str> {
    let mut found = Vec::new();
    let _: ControlFlow<()> = visit_expressions(node, |expr| {
        let ast::Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let name = function.name.0.last().and_then(ast::ObjectNamePart::as_ident).map(|name| name.value.to_lowercase());
        let keyed = KEYED_FUNCTIONS.iter().find(|keyed| Some(**keyed) == name.as_deref());
        if let Some(keyed) = keyed.filter(|keyed| !found.contains(*keyed)) {
            found.push(*keyed);
        }
        ControlFlow::Continue(())
    });
    found
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
