//! A stream of vitals and views over it, planned by hand.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{AggregateUDF, Expr as Logical};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{cast, col, lit};

use crate::definition::{
    AggregateDefinition, Aggregation, Expr, Finish, LatestDefinition, Shape, ViewDefinition, Window,
};
use crate::row_id::ViewVersion;

pub(super) const SECOND_US: i64 = 1_000_000;
pub(super) const DAY_US: i64 = 86_400 * SECOND_US;

pub(super) const ALERTS: u64 = 1;
pub(super) const TUMBLE: u64 = 2;
pub(super) const HOP: u64 = 3;
pub(super) const LATEST: u64 = 4;
pub(super) const KEYED: u64 = 5;

/// The stream's columns.
pub(super) fn vitals() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("patient_id", DataType::Int64, true),
        Field::new("heart_rate", DataType::Int32, true),
        Field::new("oxygen", DataType::Int32, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("seq", DataType::Int64, true),
    ]))
}

fn physical(expr: &Logical, schema: &SchemaRef) -> Expr {
    let columns = DFSchema::try_from(Arc::clone(schema)).expect("a schema");
    create_physical_expr(expr, &columns, &ExecutionProps::new(), &PhysicalPlanningContext::default()).expect("plans")
}

/// A filter and a select list over `input`.
pub(super) fn finish(input: &SchemaRef, filter: Option<Logical>, columns: &[(&str, Logical)]) -> Finish {
    let planned: Vec<(&str, Expr)> = columns.iter().map(|(name, expr)| (*name, physical(expr, input))).collect();
    let fields = planned.iter().map(|(name, expr)| Field::new(*name, expr.data_type(input).expect("typed"), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let filter = filter.map(|filter| physical(&filter, input));
    Finish { filter, columns: planned.into_iter().map(|(_, expr)| expr).collect(), schema }
}

fn whole(input: &SchemaRef) -> Finish {
    let columns: Vec<_> = input.fields().iter().map(|field| (field.name().as_str(), col(field.name()))).collect();
    finish(input, None, &columns)
}

pub(super) fn view(view: u64, branches: Vec<Finish>, shape: Shape) -> ViewDefinition {
    ViewDefinition { view: ViewVersion { view, version: 1 }, branches, shape, retention_us: DAY_US }
}

fn aggregation(udaf: Arc<AggregateUDF>, name: &str, argument: &Logical, input: &SchemaRef) -> Aggregation {
    let builder = AggregateExprBuilder::new(udaf, vec![physical(argument, input)]);
    let function = builder.schema(Arc::clone(input)).alias(name).build().expect("plans");
    Aggregation { function: Arc::new(function), filter: None }
}

/// `SELECT patient_id, 'HEART_RATE', heart_rate, 100 / (oxygen - 91) WHERE heart_rate > 120 UNION ALL … oxygen < 90`: the
/// first fails for an oxygen of 91.
pub(super) fn alerts() -> ViewDefinition {
    let input = vitals();
    let divided = lit(100_i32) / (col("oxygen") - lit(91_i32));
    let columns = |kind: &str, value: &str, last: Logical| {
        [
            ("patient_id", col("patient_id")),
            ("kind", lit(kind)),
            ("value", col(value)),
            ("ratio", last),
            ("seq", col("seq")),
        ]
    };
    let fast = finish(&input, Some(col("heart_rate").gt(lit(120))), &columns("HEART_RATE", "heart_rate", divided));
    let low =
        finish(&input, Some(col("oxygen").lt(lit(90))), &columns("OXYGEN", "oxygen", cast(lit(0), DataType::Int32)));
    view(ALERTS, vec![fast, low], Shape::Rows)
}

fn aggregate(number: u64, window: Option<(i64, i64, i64)>, having: Option<Logical>) -> ViewDefinition {
    let input = vitals();
    let aggregations = vec![
        aggregation(count_udaf(), "n", &lit(1), &input),
        aggregation(sum_udaf(), "total", &cast(col("heart_rate"), DataType::Int64), &input),
        aggregation(avg_udaf(), "mean", &cast(col("heart_rate"), DataType::Float64), &input),
        aggregation(min_udaf(), "least", &col("oxygen"), &input),
        aggregation(max_udaf(), "most", &col("heart_rate"), &input),
    ];
    let mut fields = vec![input.field(0).clone()];
    if window.is_some() {
        let time = input.field(3).data_type();
        fields.push(Field::new("window_start", time.clone(), true));
        fields.push(Field::new("window_end", time.clone(), true));
    }
    fields.extend(aggregations.iter().map(|aggregation| aggregation.function.field().as_ref().clone()));
    let grouped: SchemaRef = Arc::new(Schema::new(fields));
    let names: Vec<_> = grouped.fields().iter().map(|field| (field.name().as_str(), col(field.name()))).collect();
    let shape = Shape::Aggregate(AggregateDefinition {
        keys: vec![0],
        window: window.map(|(size_us, slide_us, lateness_us)| Window {
            time_column: 3,
            size_us,
            slide_us,
            lateness_us,
        }),
        aggregations,
        finish: finish(&grouped, having, &names),
    });
    view(number, vec![whole(&input)], shape)
}

/// Ten seconds, and rows up to four seconds too late.
pub(super) fn tumble() -> ViewDefinition {
    aggregate(TUMBLE, Some((10 * SECOND_US, 10 * SECOND_US, 4 * SECOND_US)), None)
}

/// Ten seconds every four, of which those with more than one row are shown.
pub(super) fn hop() -> ViewDefinition {
    aggregate(HOP, Some((10 * SECOND_US, 4 * SECOND_US, 0)), Some(col("n").gt(lit(1_i64))))
}

/// Of each patient, but for those whose highest heart rate is 130: a row that is shown may be hidden later, and come back.
pub(super) fn keyed() -> ViewDefinition {
    aggregate(KEYED, None, Some(col("most").is_null().or(col("most").not_eq(lit(130)))))
}

/// `DISTINCT ON (patient_id) … ORDER BY ts DESC NULLS LAST, seq DESC`, of events with a heart rate.
pub(super) fn latest() -> ViewDefinition {
    let input = vitals();
    let options = SortOptions { descending: true, nulls_first: false };
    let branch = Finish { filter: Some(physical(&col("heart_rate").is_not_null(), &input)), ..whole(&input) };
    let shape = Shape::Latest(LatestDefinition {
        keys: vec![0],
        order: vec![(3, options), (4, options)],
        finish: finish(&input, None, &[("patient_id", col("patient_id")), ("ts", col("ts")), ("seq", col("seq"))]),
    });
    view(LATEST, vec![branch], shape)
}

pub(super) fn all() -> Vec<ViewDefinition> {
    vec![alerts(), tumble(), hop(), latest(), keyed()]
}
