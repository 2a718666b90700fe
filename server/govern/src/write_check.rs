//! The decision about adding and changing rows: privileges, masked columns, USING and WITH CHECK.
//!
//! Invariant: a principal cannot write a value that it could not have read unmasked, nor a row that its policies refuse.

use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, Result as DataFusionResult};
use datafusion_expr::Expr;
use lakeward_catalog::{Privilege, RowUse, Snapshot, Table};

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

/// What a statement does to the rows of a table.
#[derive(Debug, Clone, Default)]
pub struct ChangeRequest {
    /// Some get new values.
    pub updates: bool,
    /// Some go.
    pub deletes: bool,
    /// Some come.
    pub inserts: bool,
    /// The columns that get values.
    pub columns: Vec<String>,
}

/// What holds for the rows of an UPDATE, DELETE or MERGE. `None` accepts every row; columns are unqualified.
#[derive(Clone, Default)]
pub struct ChangeDecision {
    /// Which rows may be updated, as they were.
    pub update: Option<Expr>,
    /// What they must be afterwards.
    pub updated: Option<Expr>,
    /// Which rows may be deleted.
    pub delete: Option<Expr>,
    /// What new rows must be.
    pub insert: Option<Expr>,
    /// The row policies that apply, by name.
    pub policies: Vec<String>,
    /// The principal is exempt.
    pub bypass: bool,
}

impl ChangeDecision {
    /// Which old rows may be changed so.
    #[must_use]
    pub fn old(&self, row_use: RowUse) -> Option<&Expr> {
        match row_use {
            RowUse::Update => self.update.as_ref(),
            RowUse::Delete => self.delete.as_ref(),
            RowUse::Insert => None,
        }
    }

    /// What new rows must be.
    #[must_use]
    pub fn new_rows(&self, row_use: RowUse) -> Option<&Expr> {
        match row_use {
            RowUse::Update => self.updated.as_ref(),
            RowUse::Insert => self.insert.as_ref(),
            RowUse::Delete => None,
        }
    }
}

/// Decides whether `principal` may change rows of a table so, and under which conditions. Reading the rows is decided as
/// for a query; a row that it may read and not change is the statement's to pass over, or to fail for.
///
/// # Errors
/// [`DecideError`]: a privilege is missing, a masked column is written, or a policy cannot be applied.
pub fn decide_change(
    principal: &Principal,
    snapshot: &Snapshot,
    target: &ResolvedTable,
    request: &ChangeRequest,
    compiler: &dyn PolicyCompiler,
) -> Result<ChangeDecision, DecideError> {
    let table = &target.table;
    let uses = [
        (request.updates, Privilege::Update),
        (request.deletes, Privilege::Delete),
        (request.inserts, Privilege::Insert),
    ];
    for (_, privilege) in uses.into_iter().filter(|(used, _)| *used) {
        require_privilege(snapshot, table, &target.reader, privilege)?;
    }
    if principal.superuser {
        return Ok(ChangeDecision { bypass: true, ..ChangeDecision::default() });
    }
    let subject = Subject::new(snapshot, target, compiler)?;
    let written = |column: &String| request.columns.contains(column);
    if let Some(mask) = subject.masks(principal)?.into_iter().flatten().find(|mask| written(&mask.column)) {
        return Err(DecideError::MaskedWrite { table: table.name.clone(), column: mask.column });
    }
    if !table.row_security || principal.bypass_row_security {
        return Ok(ChangeDecision { bypass: table.row_security, ..ChangeDecision::default() });
    }
    let mut decision = ChangeDecision::default();
    let mut policies = std::collections::BTreeSet::new();
    let mut condition = |applies_to: Use| -> Result<Option<Expr>, DecideError> {
        let rows = subject.rows(principal, applies_to)?;
        policies.extend(rows.policies.iter().map(|policy| format!("{policy} on {}", subject.qualified_name)));
        let unqualified = rows.filter.map(unqualified).transpose();
        unqualified.map_err(|_| DecideError::Privilege { table: table.name.clone() })
    };
    if request.updates {
        decision.update = condition(Use::Update)?;
        // A row must not leave one's own sight either, as in PostgreSQL.
        decision.updated = [condition(Use::Updated)?, condition(Use::Read)?].into_iter().flatten().reduce(Expr::and);
    }
    if request.deletes {
        decision.delete = condition(Use::Delete)?;
    }
    if request.inserts {
        decision.insert = condition(Use::Insert)?;
    }
    decision.policies = policies.into_iter().collect();
    Ok(decision)
}

/// Whether rows of a table are hidden from `principal`, so that it must not learn how many there are, nor replace all.
#[must_use]
pub fn hides_rows(principal: &Principal, table: &Table) -> bool {
    table.row_security && !principal.superuser && !principal.bypass_row_security
}

fn unqualified(expr: Expr) -> DataFusionResult<Expr> {
    expr.transform(|node| match node {
        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))),
        other => Ok(Transformed::no(other)),
    })
    .data()
}
