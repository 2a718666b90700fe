//! The allow-list, form by form.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::{Cast, Expr, col, lit};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Column, DynamicFilterPhysicalExpr, cast, lit as physical_lit};
use lakeward_base::{Epoch, TableId};

use super::{Columns, is_forwardable, is_leakproof, takes_predicates, widens};
use crate::access::{Access, TableDecision};
use crate::compile::{PolicyCompiler, coerced, simplified};
use crate::testing::Compiler;

fn decision() -> TableDecision {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = [
        ("id", DataType::Int64),
        ("age", DataType::Int32),
        ("weight", DataType::Float64),
        ("active", DataType::Boolean),
        ("born", DataType::Date32),
        ("seen", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ("cost", DataType::Decimal128(10, 2)),
        ("mrn", DataType::Utf8),
        ("note", DataType::Utf8View),
        ("site", dictionary),
        ("photo", DataType::Binary),
        ("ssn", DataType::Utf8),
    ];
    let schema = Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
    let masks =
        schema.fields().iter().map(|field| (field.name() == "ssn").then(|| lit(ScalarValue::Utf8(None)))).collect();
    TableDecision {
        table: TableId(7),
        name: "patients".into(),
        qualified_name: "public.patients".into(),
        version: 1,
        epoch: Epoch(17),
        access: Access::Governed { row_filter: None, masks },
        schema: Arc::new(schema),
        withheld: std::collections::BTreeSet::new(),
        policies: vec![],
        subject: None,
        masked: vec!["ssn".into()],
        bypass: false,
        shadows: Vec::new(),
    }
}

/// As the planner hands a predicate to the table: coerced and simplified.
fn planned(sql: &str) -> Expr {
    let schema = Arc::new(DFSchema::try_from_qualified_schema("patients", &decision().schema).unwrap());
    simplified(coerced(Compiler::new().compile(sql, &schema, Vec::new()).unwrap(), &schema).unwrap(), &schema).unwrap()
}

fn leakproof(expr: &Expr) -> bool {
    is_leakproof(expr, &Columns::shown(&decision()))
}

#[test]
fn pass_through_columns_against_literals_are_leakproof() {
    for sql in [
        "id = 17",
        "17 <> id",
        "age > 5",
        "age > 3000000000",
        "age < 2.5",
        "weight <= 80",
        "active",
        "NOT active",
        "active IS TRUE",
        "active IS NOT FALSE",
        "born >= DATE '1970-01-01'",
        "seen BETWEEN TIMESTAMP '2026-01-01' AND TIMESTAMP '2026-02-01'",
        "cost > 12.50",
        "mrn = '17'",
        "mrn LIKE '17'",
        "note IN ('a', 'b', 'c', 'd', 'e')",
        "mrn NOT IN ('a', 'b')",
        "mrn IS NULL",
        "(age > 5) IS NOT NULL",
        "id IS DISTINCT FROM 3",
        "id = 1 OR (age = 2 AND NOT mrn = 'x')",
    ] {
        assert!(leakproof(&planned(sql)), "{sql} became {}", planned(sql));
    }
}

#[test]
fn everything_else_stays_above() {
    for sql in [
        "ssn = '412-68-1073'",
        "ssn IS NULL",
        "id = 17 AND ssn = 'x'",
        "CAST(mrn AS INT) > 0",
        "TRY_CAST(mrn AS INT) > 0",
        "CAST(weight AS INT) > 0",
        "CAST(seen AS DATE) > DATE '2026-01-01'",
        "1 / (age - 97) < 0",
        "age + 1 > 5",
        "-age > 5",
        "mrn LIKE 'HID%'",
        "mrn ILIKE 'x'",
        "mrn ~ 'x'",
        "upper(mrn) = 'X'",
        "mrn || 'x' = 'yx'",
        "CASE WHEN age > 5 THEN 1 / age ELSE 0 END = 1",
        "CASE WHEN age > 5 THEN mrn ELSE note END = 'x'",
        "mrn = note",
        "id IN (age, 3, 4, 5)",
        "site = 'ward 3'",
        "photo = X'00'",
        "random() < 0.5",
        "abs(age) = 3",
        "mrn = current_user",
    ] {
        assert!(!leakproof(&planned(sql)), "{sql} became {}", planned(sql));
    }
}

#[test]
fn a_literal_of_another_type_stays_above() {
    assert!(leakproof(&col("age").eq(lit(5i32))));
    assert!(!leakproof(&col("age").eq(lit(5i64))), "coercion below the barrier would put a cast on the column");
    assert!(!leakproof(&col("age").eq(lit("5"))));
    assert!(!leakproof(&col("absent").eq(lit("5"))));
    let wide = Expr::Cast(Cast::new(Box::new(col("age")), DataType::Int64));
    assert!(leakproof(&wide.eq(lit(5i64))));
    let narrow = Expr::Cast(Cast::new(Box::new(col("id")), DataType::Int32));
    assert!(!leakproof(&narrow.eq(lit(5i32))));
}

#[test]
fn only_infallible_casts_widen() {
    use DataType::{
        Date32, Decimal128, Float32, Float64, Int8, Int32, Int64, LargeUtf8, Timestamp, UInt32, UInt64, Utf8, Utf8View,
    };
    let wide = [
        (Int8, Int64),
        (UInt32, Int64),
        (Float32, Float64),
        (Int32, Float64),
        (Decimal128(10, 2), Decimal128(12, 2)),
        (Utf8, Utf8),
        (Utf8View, Utf8),
        (Utf8, Utf8View),
    ];
    for (from, to) in wide {
        assert!(widens(&from, &to), "{from} to {to}");
    }
    let micro = Timestamp(TimeUnit::Microsecond, None);
    let narrow = [
        (Int64, Int32),
        (Int32, UInt32),
        (UInt64, Int64),
        (Int64, Float64),
        (Float64, Float32),
        (Decimal128(10, 2), Decimal128(10, 4)),
        (Decimal128(10, 2), Decimal128(12, 1)),
        (Date32, micro.clone()),
        (micro, Timestamp(TimeUnit::Nanosecond, None)),
        (Utf8, Int64),
        (LargeUtf8, Utf8),
    ];
    for (from, to) in narrow {
        assert!(!widens(&from, &to), "{from} to {to}");
    }
}

#[test]
fn a_long_chain_is_walked_without_recursion() {
    let chain = (0..100_000).fold(lit(true), |chain, _| Expr::Not(Box::new(chain)));
    assert!(leakproof(&chain));
    std::mem::forget(chain); // dropping it recurses
}

#[test]
fn dynamic_filters_go_inside_over_plain_columns_only() {
    let decision = decision();
    let schema = &decision.schema;
    let column = |name: &str| Arc::new(Column::new(name, schema.index_of(name).unwrap())) as Arc<dyn PhysicalExpr>;
    let dynamic = |child: Arc<dyn PhysicalExpr>| {
        Arc::new(DynamicFilterPhysicalExpr::new(vec![child], physical_lit(true))) as Arc<dyn PhysicalExpr>
    };
    let allowed =
        |filter: &Arc<dyn PhysicalExpr>| is_forwardable(filter, schema, |index| decision.passes_through(index));
    assert!(allowed(&dynamic(column("id"))));
    assert!(allowed(&dynamic(column("note"))));
    assert!(!allowed(&dynamic(column("ssn"))), "masked");
    assert!(!allowed(&dynamic(column("site"))), "dictionary");
    assert!(!allowed(&dynamic(column("photo"))), "binary");
    assert!(!allowed(&dynamic(cast(column("mrn"), schema, DataType::Int64).unwrap())), "an expression");
    let fixed = Arc::new(BinaryExpr::new(column("id"), datafusion_expr::Operator::Gt, physical_lit(1i64)))
        as Arc<dyn PhysicalExpr>;
    assert!(!allowed(&fixed), "not a dynamic filter");
    let hidden = Arc::new(BinaryExpr::new(column("ssn"), datafusion_expr::Operator::Gt, physical_lit("1")))
        as Arc<dyn PhysicalExpr>;
    let disguised = Arc::new(DynamicFilterPhysicalExpr::new(vec![column("id")], hidden)) as Arc<dyn PhysicalExpr>;
    assert!(!allowed(&disguised), "its expression reads another column than it says");
}

#[test]
fn only_policies_that_cannot_fail_let_predicates_below_them() {
    let takes = |policy: &str| {
        let mut decision = decision();
        decision.access = Access::Governed { row_filter: Some(planned(policy)), masks: vec![None; 12] };
        takes_predicates(&decision)
    };
    for policy in
        ["age = 3", "ssn = 'x' OR id IN (1, 2)", "weight IS NULL OR NOT active", "true", "false", "age = 1 + 2"]
    {
        assert!(takes(policy), "{policy}");
    }
    for policy in ["CAST(mrn AS INT) = 3", "10 / (age - 97) > 0", "age = 3 AND CAST(ssn AS BIGINT) > 1"] {
        assert!(!takes(policy), "{policy}");
    }
}
