//! Many sets of parameters for one statement: it is executed for each, in order, as one.
//!
//! One audit record, one plan of names, versions and policies, and for a change one commit or none. Invariant: what is
//! done equals what as many executions one after the other would do, or the statement is refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, col};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use datafusion::sql::sqlparser::ast;
use futures::{StreamExt, TryStreamExt};
use lakeward_base::SqlState;
use lakeward_govern::SystemTable;

use crate::error::Error;
use crate::publish;
use crate::query::QueryPlan;
use crate::request::{Request, Source};
use crate::statement::{Kind, Statement};
use crate::vantage::Vantage;
use crate::version;

/// Sets that a statement is planned anew for.
const MAX_PLANNED: usize = 1000;

/// The values that one statement is executed with.
pub(crate) struct Sets {
    /// The first set: the only one where [`batches`](Self::batches) has no other row.
    pub(crate) first: Vec<ScalarValue>,
    /// All sets, one a row, column n for `$n + 1`; empty where the first was given by itself.
    batches: Vec<RecordBatch>,
    /// There is none: the statement is planned with NULLs, and not executed.
    pub(crate) none: bool,
}

impl Sets {
    /// One set.
    pub(crate) fn one(parameters: Vec<ScalarValue>) -> Self {
        Self { first: parameters, batches: Vec::new(), none: false }
    }

    fn none(types: &[DataType]) -> Result<Self, Error> {
        let nulls = types.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>, _>>();
        let first = nulls.map_err(|error| publish::planning(&error, None))?;
        Ok(Self { none: true, ..Self::one(first) })
    }

    /// The values of a request, in the types that its statement takes.
    ///
    /// # Errors
    /// 08P01 unless every parameter has a value; 22P02, 22003 and 42804 where one is no value of its type.
    pub(crate) fn of(request: &Request) -> Result<Self, Error> {
        let Source::Prepared(prepared) = &request.source else { return Ok(Self::one(request.parameters.clone())) };
        let types = &prepared.parameter_types;
        if request.none {
            return Self::none(types);
        }
        let is_empty = |batch: &RecordBatch| batch.num_rows() == 0 || batch.num_columns() == 0;
        if request.sets.iter().all(is_empty) {
            check_count(request.parameters.len(), types.len())?;
            return Ok(Self::one(request.parameters.clone()));
        }
        let filled = request.sets.iter().filter(|batch| !is_empty(batch));
        let batches = filled.map(|batch| fitted(batch, types)).collect::<Result<Vec<_>, _>>()?;
        let first = batches.first().map(|batch| values(batch, 0)).transpose()?.unwrap_or_default();
        Ok(Self { first, batches, none: false })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum::<usize>().max(1)
    }

    /// Every set, for a statement that is planned for each.
    ///
    /// # Errors
    /// 54000 where there are too many.
    pub(crate) fn all(&self) -> Result<Vec<Vec<ScalarValue>>, Error> {
        if self.count() == 1 {
            return Ok(vec![self.first.clone()]);
        }
        if self.count() > MAX_PLANNED {
            let message = format!("this statement takes at most {MAX_PLANNED} rows of parameters at once");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Send fewer rows at a time."));
        }
        let rows = self.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| values(batch, row)));
        rows.collect()
    }

    /// Refuses many sets for a statement of which one execution after the other cannot be done as one.
    ///
    /// # Errors
    /// 0A000.
    pub(crate) fn admit(&self, statement: &Statement) -> Result<(), Error> {
        if self.count() == 1 {
            return Ok(());
        }
        let refused = |what: &str| {
            Err(Error::unsupported(format!("{what} with more than one row of parameters"))
                .with_hint("Execute it once for each row."))
        };
        if statement.query().is_some_and(|query| !version::parameter_types(query).is_empty()) {
            return refused("time travel by a parameter");
        }
        match &statement.kind {
            Kind::Insert(insert) if insert.overwrite => refused(statement.class),
            Kind::Change(change) if change.command == crate::statement::ChangeCommand::Merge => refused("MERGE"),
            Kind::Explain { .. } | Kind::CreateTableAs(_) => refused(statement.class),
            _ => Ok(()),
        }
    }

    /// The source of an INSERT of VALUES with the sets as a table in their place, so that it is planned once; `None`
    /// where there is one set, or the source is something else.
    ///
    /// # Errors
    /// What the planner says.
    pub(crate) fn as_table(
        &self,
        vantage: &Vantage,
        query: &ast::Query,
        source: &LogicalPlan,
    ) -> Result<Option<LogicalPlan>, DataFusionError> {
        let plain = query.with.is_none()
            && query.order_by.is_none()
            && query.limit_clause.is_none()
            && query.fetch.is_none()
            && matches!(query.body.as_ref(), ast::SetExpr::Values(_));
        let Some(first) = self.batches.first().filter(|_| plain && self.count() > 1) else { return Ok(None) };
        let rows = MemTable::try_new(first.schema(), vec![self.batches.clone()])?;
        let table = SystemTable::new("parameters", Arc::new(rows), *vantage.stamp, Arc::clone(&vantage.privileged));
        let scan = LogicalPlanBuilder::scan("\u{1}parameters", provider_as_source(Arc::new(table)), None)?.build()?;
        let mut replaced = 0;
        let plan = source.clone().transform_up(|node| match node {
            LogicalPlan::Values(values) => {
                replaced += 1;
                let schema = Arc::clone(&values.schema);
                let rows = values.values.into_iter().map(|row| projected(&scan, row, schema.as_arrow()));
                let mut rows = rows.collect::<Result<Vec<_>, _>>()?.into_iter();
                let Some(first) = rows.next() else { return datafusion::common::internal_err!("VALUES without rows") };
                let union = |all: LogicalPlan, next| LogicalPlanBuilder::from(all).union(next)?.build();
                Ok(Transformed::yes(rows.try_fold(first, union)?))
            }
            node => Ok(Transformed::no(node)),
        })?;
        Ok((replaced == 1 && !has_subquery(source)?).then_some(plan.data))
    }
}

/// One row of VALUES over the table of parameters.
fn projected(scan: &LogicalPlan, row: Vec<Expr>, schema: &Schema) -> Result<LogicalPlan, DataFusionError> {
    let expr = |(value, field): (Expr, &Arc<Field>)| {
        let value = value.transform(|expr| match expr {
            Expr::Placeholder(placeholder) => Ok(Transformed::yes(col(placeholder.id))),
            other => Ok(Transformed::no(other)),
        })?;
        Ok(value.data.cast_to(field.data_type(), scan.schema())?.alias(field.name()))
    };
    let exprs = row.into_iter().zip(schema.fields()).map(expr).collect::<Result<Vec<_>, DataFusionError>>()?;
    LogicalPlanBuilder::from(scan.clone()).project(exprs)?.build()
}

fn has_subquery(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    plan.exists(|node| {
        Ok(node.expressions().iter().any(|expr| {
            let is_subquery = |expr: &Expr| {
                Ok(matches!(
                    expr,
                    Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
                ))
            };
            expr.exists(is_subquery).unwrap_or(true)
        }))
    })
}

/// The rows of plans that run one after the other.
///
/// # Errors
/// What the first says.
pub(crate) fn chained(first: &QueryPlan, further: &[QueryPlan]) -> Result<SendableRecordBatchStream, DataFusionError> {
    let parts = |plan: &QueryPlan| (Arc::clone(&plan.physical), Arc::clone(&plan.task));
    if further.is_empty() {
        let (physical, task) = parts(first);
        return execute_stream(physical, task);
    }
    let schema = first.physical.schema();
    let plans: Vec<_> = std::iter::once(first).chain(further).map(parts).collect();
    let rows = futures::stream::iter(plans).map(|(physical, task)| execute_stream(physical, task)).try_flatten();
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

fn check_count(bound: usize, wanted: usize) -> Result<(), Error> {
    if bound == wanted {
        return Ok(());
    }
    let message = format!("{bound} parameters are bound, but the statement takes {wanted}");
    Err(Error::new(SqlState::PROTOCOL_VIOLATION, message))
}

/// The columns `$1`, `$2`, … in the types that the statement takes. The cast's own error text would hold a value.
fn fitted(batch: &RecordBatch, types: &[DataType]) -> Result<RecordBatch, Error> {
    check_count(batch.num_columns(), types.len())?;
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch.columns().iter().zip(types).enumerate().map(|(index, (column, data_type))| {
        if column.data_type() == data_type {
            return Ok(Arc::clone(column));
        }
        cast_with_options(column, data_type, &strict).map_err(|_| misfit(index, column.data_type(), data_type))
    });
    let name = |(index, data_type): (usize, &DataType)| Field::new(format!("${}", index + 1), data_type.clone(), true);
    let schema = Schema::new(types.iter().enumerate().map(name).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), columns.collect::<Result<Vec<_>, Error>>()?)
        .map_err(|_| publish::incident("planning", "parameters"))
}

fn misfit(index: usize, sent: &DataType, wanted: &DataType) -> Error {
    let is_text = matches!(sent, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let sqlstate = if is_text {
        SqlState::INVALID_TEXT_REPRESENTATION
    } else if sent.is_numeric() && wanted.is_numeric() {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else {
        SqlState::DATATYPE_MISMATCH
    };
    Error::new(sqlstate, format!("parameter ${} is no value of the type that the statement takes", index + 1))
}

fn values(batch: &RecordBatch, row: usize) -> Result<Vec<ScalarValue>, Error> {
    let value =
        |column: &ArrayRef| ScalarValue::try_from_array(column, row).map_err(|error| publish::execution(&error));
    batch.columns().iter().map(value).collect()
}
