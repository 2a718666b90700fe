//! The decision about adding rows: the INSERT privilege, masked columns, and WITH CHECK.
//!
//! Invariant: a principal cannot write a value that it could not have read unmasked, nor a row that its policies refuse.

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, Result as DataFusionResult};
use datafusion_expr::Expr;
use lakeward_catalog::{Privilege, Snapshot};

use crate::compile::PolicyCompiler;
use crate::decide::{ResolvedTable, Subject, require_privilege};
use crate::error::DecideError;
use crate::principal::Principal;
use crate::row_policy::Use;

/// What holds for the rows of an INSERT.
#[derive(Clone)]
pub struct WriteDecision {
    /// Each row must make this true, else 42501; `None` accepts every row. Columns are unqualified, types those of the
    /// table.
    pub check: Option<Expr>,
    /// The row policies that apply, by name.
    pub policies: Vec<String>,
    /// The principal is exempt.
    pub bypass: bool,
}

/// Decides whether `principal` may insert values for `columns` into a table, and under which condition.
///
/// # Errors
/// [`DecideError`]: no INSERT privilege, a masked column among `columns`, or a policy that cannot be applied.
pub fn decide_check(
    principal: &Principal,
    snapshot: &Snapshot,
    target: &ResolvedTable,
    columns: &[String],
    compiler: &dyn PolicyCompiler,
) -> Result<WriteDecision, DecideError> {
    let table = &target.table;
    require_privilege(snapshot, table, &target.reader, Privilege::Insert)?;
    if principal.superuser {
        return Ok(WriteDecision { check: None, policies: Vec::new(), bypass: true });
    }
    let subject = Subject::new(snapshot, target, compiler)?;
    if let Some(mask) = subject.masks(principal)?.into_iter().flatten().find(|mask| columns.contains(&mask.column)) {
        return Err(DecideError::MaskedWrite { table: table.name.clone(), column: mask.column });
    }
    if !table.row_security || principal.bypass_row_security {
        return Ok(WriteDecision { check: None, policies: Vec::new(), bypass: table.row_security });
    }
    let rows = subject.rows(principal, Use::Insert)?;
    let policies = rows.policies.iter().map(|policy| format!("{policy} on {}", subject.qualified_name)).collect();
    let check =
        rows.filter.map(unqualified).transpose().map_err(|_| DecideError::Privilege { table: table.name.clone() })?;
    Ok(WriteDecision { check, policies, bypass: false })
}

fn unqualified(expr: Expr) -> DataFusionResult<Expr> {
    expr.transform(|node| match node {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
        other => Ok(Transformed::no(other)),
    })
    .data()
}
