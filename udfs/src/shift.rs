//! `date_shift(d, subject)`: all dates of a subject moved by the same number of days, from 1 to 365, either way.
//!
//! Intervals between one subject's dates stay as they are. Invariants: the type is kept, time of day and zone too; a
//! date that its type cannot hold any more is NULL, never the date itself; without the key the days cannot be told.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, PrimitiveBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion_common::{DataFusionError, Result, internal_datafusion_err, internal_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::argument::{Text, evaluate};
use crate::function::{check_arity, first_type, text_argument};
use crate::keys::{KeyPurpose, KeyRing};

/// The function's name.
pub(crate) const NAME: &str = "date_shift";
const DAY_SECONDS: i64 = 86_400;
/// Days either way.
const MOST_DAYS: u64 = 365;

/// `date_shift(d, subject)`.
pub(crate) struct DateShift {
    signature: Signature,
    keys: Arc<dyn KeyRing>,
}

impl DateShift {
    pub(crate) fn new(keys: Arc<dyn KeyRing>) -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), keys }
    }
}

impl ScalarUDFImpl for DateShift {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(NAME, given, 2)?;
        match given {
            [date, subject] => Ok(vec![date_argument(date)?, subject_argument(subject)?]),
            _ => Ok(Vec::new()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(NAME, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let subjects = Text::read(&arguments, 1)?;
        let key = self.keys.key(KeyPurpose::DateShift, "").map_err(|e| DataFusionError::External(Box::new(e)))?;
        let state = Hmac::<Sha256>::new_from_slice(key.as_slice())
            .map_err(|_| internal_datafusion_err!("HMAC takes keys of any length"))?;
        let days = |row: usize| subjects.at(row).map(|subject| days(&state, subject));
        evaluate(&arguments, |column| match column.data_type() {
            DataType::Date32 => Ok(shift::<Date32Type>(column, 1, days)),
            DataType::Date64 => Ok(shift::<Date64Type>(column, DAY_SECONDS * 1_000, days)),
            DataType::Timestamp(TimeUnit::Second, _) => Ok(shift::<TimestampSecondType>(column, DAY_SECONDS, days)),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Ok(shift::<TimestampMillisecondType>(column, DAY_SECONDS * 1_000, days))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Ok(shift::<TimestampMicrosecondType>(column, DAY_SECONDS * 1_000_000, days))
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Ok(shift::<TimestampNanosecondType>(column, DAY_SECONDS * 1_000_000_000, days))
            }
            other => internal_err!("{NAME} was given the type {other}"),
        })
    }
}

fn date_argument(given: &DataType) -> Result<DataType> {
    match given {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Ok(given.clone()),
        DataType::Null => Ok(DataType::Date32),
        _ => plan_err!("function {NAME} takes a date or a timestamp, not {given}"),
    }
}

/// A subject is text or a number, which is taken as its text.
fn subject_argument(given: &DataType) -> Result<DataType> {
    if given.is_integer() { Ok(DataType::Utf8) } else { text_argument(NAME, given) }
}

/// From -365 to 365, never 0.
fn days(state: &Hmac<Sha256>, subject: &str) -> i64 {
    let mut state = state.clone();
    state.update(subject.as_bytes());
    let hash = state.finalize().into_bytes();
    let number = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // 2^64 is not a multiple of 730: the difference between two outcomes is one in 10^16.
    let step = (number % (2 * MOST_DAYS)) as i64 - MOST_DAYS as i64;
    if step >= 0 { step + 1 } else { step }
}

/// `day_units` is how many of the type's units make a day.
fn shift<T>(column: &ArrayRef, day_units: i64, days: impl Fn(usize) -> Option<i64>) -> ArrayRef
where
    T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>,
{
    let dates: &PrimitiveArray<T> = column.as_primitive();
    let mut output = PrimitiveBuilder::<T>::with_capacity(dates.len()).with_data_type(column.data_type().clone());
    for (row, date) in dates.iter().enumerate() {
        let moved = date.zip(days(row)).and_then(|(date, days)| date.into().checked_add(days.checked_mul(day_units)?));
        output.append_option(moved.and_then(|moved| moved.try_into().ok()));
    }
    Arc::new(output.finish())
}

impl fmt::Debug for DateShift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DateShift").finish_non_exhaustive()
    }
}

impl PartialEq for DateShift {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keys, &other.keys)
    }
}

impl Eq for DateShift {}

impl Hash for DateShift {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_from_one_to_365_either_way_and_differ_between_subjects() {
        let state = Hmac::<Sha256>::new_from_slice(&[7; 32]).unwrap();
        let all: Vec<i64> = (0..20_000).map(|subject| days(&state, &subject.to_string())).collect();
        assert!(all.iter().all(|days| *days != 0 && days.abs() <= 365));
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 730);
        assert_eq!(days(&state, "17"), days(&state, "17"));
    }
}
