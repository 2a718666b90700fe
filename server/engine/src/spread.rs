//! Where the values of an INSERT from its own table come from.
//!
//! Until lineage carries masks over, what a masked column holds goes into no column with another mask or none: its other
//! readers might be shown what this one is. Invariant: a value whose way through the plan is not understood counts as one
//! of every masked column that the plan reads.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, TableScan};
use lakeward_base::{SqlState, TableId};
use lakeward_catalog::{Snapshot, Table};
use lakeward_govern::GovernedTable;

use crate::error::Error;

/// Checks a plan whose columns are those of `target`, in order.
///
/// # Errors
/// 42501 where a masked column would be written to one that is masked otherwise.
pub(crate) fn check(snapshot: &Snapshot, plan: &LogicalPlan, target: &Table, columns: &[String]) -> Result<(), Error> {
    let policy_of = |name: &str| {
        let column = target.columns.iter().find(|column| column.name == name);
        column.and_then(|column| snapshot.mask_of(column)).map(|mask| mask.binding.policy)
    };
    let read: BTreeSet<String> =
        columns_read(plan, target.id).into_iter().filter(|name| policy_of(name).is_some()).collect();
    if read.is_empty() {
        return Ok(());
    }
    for (index, to) in columns.iter().enumerate() {
        let from = origins(plan, index, target.id).unwrap_or_else(|| read.clone());
        let other = from.iter().find(|from| policy_of(from).is_some() && policy_of(from) != policy_of(to));
        if let Some(column) = other {
            let message = format!("values of masked column {column} of table {} may not be written to it", target.name);
            return Err(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message));
        }
    }
    Ok(())
}

fn scans(scan: &TableScan, table: TableId) -> bool {
    source_as_provider(&scan.source).is_ok_and(|provider| {
        provider.downcast_ref::<GovernedTable>().is_some_and(|governed| governed.table() == table)
    })
}

/// The columns of the table that any part of a plan reads.
pub(crate) fn columns_read(plan: &LogicalPlan, table: TableId) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // The closure never fails, so neither does the walk.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scans(scan, table)
        {
            found.extend(scan.projected_schema.fields().iter().map(|field| field.name().clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The columns of the table that make up a column of a plan; `None`: that is not understood.
pub(crate) fn origins(plan: &LogicalPlan, index: usize, table: TableId) -> Option<BTreeSet<String>> {
    match plan {
        LogicalPlan::Projection(projection) => of_expression(projection.expr.get(index)?, &projection.input, table),
        LogicalPlan::Filter(filter) => origins(&filter.input, index, table),
        LogicalPlan::Sort(sort) => origins(&sort.input, index, table),
        LogicalPlan::Limit(limit) => origins(&limit.input, index, table),
        LogicalPlan::Distinct(Distinct::All(input)) => origins(input, index, table),
        LogicalPlan::SubqueryAlias(alias) => origins(&alias.input, index, table),
        LogicalPlan::Union(union) => {
            let parts = union.inputs.iter().map(|input| origins(input, index, table));
            parts.collect::<Option<Vec<_>>>().map(|parts| parts.into_iter().flatten().collect())
        }
        LogicalPlan::Join(join)
            if matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) =>
        {
            let width = join.left.schema().fields().len();
            match index.checked_sub(width) {
                Some(index) => origins(&join.right, index, table),
                None => origins(&join.left, index, table),
            }
        }
        LogicalPlan::TableScan(scan) if scans(scan, table) => {
            scan.projected_schema.fields().get(index).map(|field| BTreeSet::from([field.name().clone()]))
        }
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Some(BTreeSet::new()),
        _ => None,
    }
}

fn of_expression(expr: &Expr, input: &LogicalPlan, table: TableId) -> Option<BTreeSet<String>> {
    let is_subquery = |part: &Expr| {
        Ok(matches!(
            part,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    };
    if expr.exists(is_subquery).unwrap_or(true) {
        return None;
    }
    let parts = expr.column_refs().into_iter().map(|column| {
        let index = input.schema().index_of_column(column).ok()?;
        origins(input, index, table)
    });
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.into_iter().flatten().collect())
}
