//! Row policies in shadow: not enforced, but counted, per role, by how many rows they would hide.
//!
//! A column that nobody asks for is added to the plan inside the barrier, above the policies that are in force; computing
//! it counts. Invariants: a policy in shadow changes no row, no value and no error of any statement, a failure of its own
//! least of all; what is counted is told to those alone who may read the policy.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::{Column, DFSchema, Result, ScalarValue};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_session::Session;
use lakeward_base::{PolicyId, RoleId};
use parking_lot::Mutex;

use crate::access::TableDecision;

/// A policy in shadow, for one principal.
#[derive(Clone)]
pub struct ShadowCheck {
    /// The policy.
    pub policy: PolicyId,
    /// Tells its text from those that it had before.
    pub text: u64,
    /// The role that reads.
    pub role: RoleId,
    /// Which rows it would leave; coerced and simplified, columns carry the table's name.
    pub condition: Expr,
}

/// Tells one text of a policy from another.
#[must_use]
pub fn text_mark(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What a policy in shadow would have hidden from a role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WouldHide {
    /// Rows.
    pub rows: u64,
    /// Batches of rows on which it failed: each would have failed its statement.
    pub failures: u64,
}

/// The counts of one server since its start.
#[derive(Default)]
pub struct ShadowCounts(Mutex<BTreeMap<(PolicyId, u64, RoleId), WouldHide>>);

impl ShadowCounts {
    fn add(&self, key: (PolicyId, u64, RoleId), counted: WouldHide) {
        if counted == WouldHide::default() {
            return;
        }
        let mut counts = self.0.lock();
        let known = counts.entry(key).or_default();
        known.rows = known.rows.saturating_add(counted.rows);
        known.failures = known.failures.saturating_add(counted.failures);
    }

    /// What a policy of that text would have hidden, by role.
    #[must_use]
    pub fn of(&self, policy: PolicyId, text: u64) -> Vec<(RoleId, WouldHide)> {
        let counts = self.0.lock();
        let own = counts.range((policy, text, RoleId(0))..=(policy, text, RoleId(u64::MAX)));
        own.map(|((_, _, role), counted)| (*role, *counted)).collect()
    }
}

impl fmt::Debug for ShadowCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ShadowCounts")
    }
}

/// The columns that count, one for each policy in shadow. One that cannot be planned is not counted.
pub(crate) fn counting(decision: &TableDecision, counts: &Arc<ShadowCounts>, session: &dyn Session) -> Vec<Expr> {
    let planned = decision.shadows.iter().enumerate().filter_map(|(index, check)| {
        let counter = counter(decision, check, counts, session);
        if counter.is_err() {
            tracing::warn!(table = %decision.table, policy = %check.policy, "a policy in shadow cannot be counted");
        }
        Some(counter.ok()?.alias(format!("\u{1}shadow{index}")))
    });
    planned.collect()
}

fn counter(
    decision: &TableDecision,
    check: &ShadowCheck,
    counts: &Arc<ShadowCounts>,
    session: &dyn Session,
) -> Result<Expr> {
    let columns: Vec<String> = {
        let named: std::collections::BTreeSet<String> =
            check.condition.column_refs().into_iter().map(|column| column.name.clone()).collect();
        named.into_iter().collect()
    };
    let fields = columns.iter().map(|name| Ok(decision.schema.field_with_name(name)?.clone()));
    let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<Field>>>()?));
    let qualified = Arc::new(DFSchema::try_from_qualified_schema(decision.qualifier(), &schema)?);
    let started = session.execution_props().query_execution_start_time;
    let context =
        SimplifyContext::builder().with_schema(Arc::clone(&qualified)).with_query_execution_start_time(started).build();
    let condition = ExprSimplifier::new(context).simplify(check.condition.clone())?;
    let condition = session.create_physical_expr(condition, &qualified)?;
    let signature = if columns.is_empty() {
        Signature::nullary(Volatility::Volatile)
    } else {
        Signature::any(columns.len(), Volatility::Volatile)
    };
    let key = (check.policy, check.text, check.role);
    let function = Counter { condition, schema, key, counts: Arc::clone(counts), signature };
    let arguments = columns.iter().map(|name| Expr::Column(Column::new(Some(decision.qualifier()), name)));
    Ok(ScalarUDF::from(function).call(arguments.collect()))
}

/// Counts the rows for which a condition is not true, whatever it is asked for.
struct Counter {
    condition: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    key: (PolicyId, u64, RoleId),
    counts: Arc<ShadowCounts>,
    signature: Signature,
}

impl Counter {
    fn hidden(&self, arguments: &[ColumnarValue], rows: usize) -> Result<usize> {
        let columns = arguments.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        let shown = self.condition.evaluate(&batch)?.into_array(rows)?;
        // The NULL type is NULL for every row.
        let kept = shown.as_boolean_opt().map_or(0, |shown| {
            let truths = shown.true_count();
            truths.min(rows)
        });
        Ok(rows - kept)
    }
}

impl ScalarUDFImpl for Counter {
    fn name(&self) -> &'static str {
        "lakeward_shadow"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let counted = match self.hidden(&arguments.args, arguments.number_rows) {
            Ok(hidden) => WouldHide { rows: hidden as u64, failures: 0 },
            Err(_) => WouldHide { rows: 0, failures: 1 },
        };
        self.counts.add(self.key, counted);
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}

impl PartialEq for Counter {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && Arc::ptr_eq(&self.counts, &other.counts)
    }
}

impl Eq for Counter {}

impl Hash for Counter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Policy expressions do not print.
impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").field("policy", &self.key.0).finish_non_exhaustive()
    }
}
