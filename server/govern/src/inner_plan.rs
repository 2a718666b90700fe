//! The plan inside a governed scan: `Projection(masks) ← Filter(policy AND leakproof predicates) ← raw scan`.
//!
//! It is planned by a privileged session's whole optimizer, so that the policy's predicates and the user's leakproof
//! ones reach the raw scan and prune files and row groups.
//!
//! Invariant: the only predicates of the user's in it are leakproof ones.

use std::sync::Arc;

use datafusion_catalog::default_table_source::provider_as_source;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{Column, Result, internal_err};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use lakeward_catalog::RawTable;

use crate::access::{Access, TableDecision};

/// Builds the plan that yields the columns at `projection` (indexes into the decision's schema; all where `None`).
///
/// After those come `extras`, which do not leave: what counts, and whose the row is. Where no column is asked for, the plan yields one constant column instead: its rows are what counts.
pub(crate) fn build(
    raw: &RawTable,
    decision: &TableDecision,
    projection: Option<&[usize]>,
    filters: &[Expr],
    extras: Vec<Expr>,
) -> Result<LogicalPlan> {
    let mut plan = LogicalPlanBuilder::scan(decision.qualifier(), provider_as_source(raw.privileged_provider()), None)?;
    let policy = match &decision.access {
        Access::Governed { row_filter, .. } => row_filter.clone(),
        Access::Open => None,
    };
    let user = filters.iter().cloned().map(|filter| qualified(filter, decision)).collect::<Result<Vec<_>>>()?;
    if let Some(predicate) = policy.into_iter().chain(user).reduce(Expr::and) {
        plan = plan.filter(predicate)?;
    }
    let all: Vec<usize>;
    let projection = match projection {
        Some(projection) => projection,
        None => {
            all = (0..decision.schema.fields().len()).collect();
            &all
        }
    };
    let mut columns = projection.iter().map(|&index| shown(index, decision)).collect::<Result<Vec<_>>>()?;
    if columns.is_empty() {
        columns.push(lit(true).alias("row"));
    }
    columns.extend(extras);
    plan.project(columns)?.build()
}

/// How many columns the plan has before its extras.
pub(crate) fn width(decision: &TableDecision, projection: Option<&[usize]>) -> usize {
    projection.map_or(decision.schema.fields().len(), <[usize]>::len).max(1)
}

/// Where the raw subject column stands among those at `projection`.
pub(crate) fn subject_place(decision: &TableDecision, projection: Option<&[usize]>) -> Option<usize> {
    let index = decision.schema.index_of(decision.subject.as_ref()?).ok()?;
    let place = match projection {
        Some(projection) => projection.iter().position(|projected| *projected == index),
        None => Some(index),
    };
    place.filter(|_| decision.passes_through(index))
}

/// The raw subject column, under a name that no column has.
pub(crate) fn subject_column(raw: &RawTable, decision: &TableDecision) -> Option<Expr> {
    let name = decision.subject.as_ref()?;
    raw.schema().index_of(name).ok()?;
    Some(Expr::Column(Column::new(Some(decision.qualifier()), name)).alias("\u{1}subject"))
}

/// What stands in the place of a column: itself, or its mask under its name.
fn shown(index: usize, decision: &TableDecision) -> Result<Expr> {
    let Some(field) = decision.schema.fields().get(index) else { return internal_err!("projection out of range") };
    let mask = match &decision.access {
        Access::Governed { masks, .. } => masks.get(index).and_then(Option::as_ref),
        Access::Open => None,
    };
    let qualifier = Some(decision.qualifier());
    Ok(match mask {
        Some(mask) => mask.clone().alias_qualified(qualifier, field.name()),
        None => Expr::Column(Column::new(qualifier, field.name())),
    })
}

/// Replaces the names under which the user's plan knows the table by its own.
fn qualified(filter: Expr, decision: &TableDecision) -> Result<Expr> {
    filter
        .transform(|node| match node {
            Expr::Column(column) => {
                Ok(Transformed::yes(Expr::Column(Column::new(Some(decision.qualifier()), column.name))))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()
}

/// The raw provider's indexes of the columns at `projection` in the decision's schema.
pub(crate) fn raw_projection(
    raw: &RawTable,
    decision: &TableDecision,
    projection: Option<&[usize]>,
) -> Result<Vec<usize>> {
    let schema = raw.schema();
    let index_of = |name: &str| -> Result<usize> { Ok(schema.index_of(name)?) };
    match projection {
        None => decision.schema.fields().iter().map(|field| index_of(field.name())).collect(),
        Some(projection) => projection
            .iter()
            .map(|&index| match decision.schema.fields().get(index) {
                Some(field) => index_of(field.name()),
                None => internal_err!("projection out of range"),
            })
            .collect(),
    }
}

/// The schema of the columns at `projection`.
pub(crate) fn projected_schema(
    decision: &TableDecision,
    projection: Option<&[usize]>,
) -> Result<arrow::datatypes::SchemaRef> {
    Ok(match projection {
        None => Arc::clone(&decision.schema),
        Some(projection) => Arc::new(decision.schema.project(projection)?),
    })
}
