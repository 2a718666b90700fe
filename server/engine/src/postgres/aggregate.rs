//! `sum`, `avg` and their like with PostgreSQL's types: a sum of `bigint` cannot overflow, an average is exact.
//!
//! Invariant: a `bigint` is widened to `numeric` before it is added up, an `integer` to `bigint`.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::call::no_function;

/// The digits after the point of an average, less the four that the planner adds.
const AVERAGE_SCALE: i8 = 12;

/// All of them.
pub(super) fn functions() -> Vec<Arc<AggregateUDF>> {
    let make = |name, inner: Arc<dyn AggregateUDFImpl>, widen| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(AggregateUDF::from(Widened { name, inner, widen, signature }))
    };
    vec![make("sum", Arc::new(Sum::new()), sum_input), make("avg", Arc::new(Avg::new()), average_input)]
}

fn sum_input(given: &DataType) -> Option<DataType> {
    Some(match given {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Null => DataType::Int32,
        DataType::Float16 => DataType::Float32,
        DataType::Float32 | DataType::Float64 | DataType::Interval(_) | DataType::Duration(_) => given.clone(),
        other if other.is_decimal() => other.clone(),
        _ => return None,
    })
}

fn average_input(given: &DataType) -> Option<DataType> {
    let (whole, scale) = match given {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => (10, 0),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => (20, 0),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i16::from(*precision) - i16::from(*scale), *scale)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Null => return Some(DataType::Float64),
        _ => return None,
    };
    let scale = scale.max(AVERAGE_SCALE);
    let precision = u8::try_from(whole + i16::from(scale)).unwrap_or(72).min(72);
    Some(if precision <= 38 { DataType::Decimal128(precision, scale) } else { DataType::Decimal256(precision, scale) })
}

struct Widened {
    name: &'static str,
    inner: Arc<dyn AggregateUDFImpl>,
    widen: fn(&DataType) -> Option<DataType>,
    signature: Signature,
}

impl AggregateUDFImpl for Widened {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let missing = || no_function(self.name, arguments);
        match arguments {
            [one] => Ok(vec![(self.widen)(one).ok_or_else(missing)?]),
            _ => Err(missing()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match self.coerce_types(arguments)?.as_slice() {
            // A sum of `integer` is `bigint`: the planner would add up what it was coerced to.
            [DataType::Int32] => Ok(DataType::Int64),
            coerced => self.inner.return_type(coerced),
        }
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(arguments).map(wide)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let inner = self.inner.create_groups_accumulator(arguments)?;
        Ok(Box::new(Wide(inner)))
    }

    fn create_sliding_accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(arguments).map(wide)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// An accumulator of `bigint` that is given `integer`.
#[derive(Debug)]
struct Wide<T: ?Sized>(Box<T>);

fn wide(inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
    Box::new(Wide(inner))
}

fn widened(values: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let widen = |values: &ArrayRef| match values.data_type() {
        DataType::Int32 => Ok(cast(values, &DataType::Int64)?),
        _ => Ok(Arc::clone(values)),
    };
    values.iter().map(widen).collect()
}

impl Accumulator for Wide<dyn Accumulator> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(&widened(values)?)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.evaluate()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.0.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.retract_batch(&widened(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.0.supports_retract_batch()
    }
}

impl GroupsAccumulator for Wide<dyn GroupsAccumulator> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.0.update_batch(&widened(values)?, groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        self.0.evaluate(emit)
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        self.0.state(emit)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.0.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.0.convert_to_state(&widened(values)?, filter)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

impl PartialEq for Widened {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Widened {}

impl std::hash::Hash for Widened {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl std::fmt::Debug for Widened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Widened").field("name", &self.name).finish_non_exhaustive()
    }
}
