//! `truncate_to_year(d)`: 1 January of a date's year, or its first instant for a timestamp, counted in UTC.
//!
//! Integer arithmetic on the proleptic Gregorian calendar, without a call for each value. Invariants: the type is kept,
//! time zone and unit too; a year whose beginning the type cannot hold (nanoseconds before 1678) gives NULL, never the
//! value itself.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use datafusion_common::{Result, internal_err, plan_err};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::argument::evaluate;
use crate::function::{check_arity, first_type};

const NAME: &str = "truncate_to_year";
const DAY_SECONDS: i64 = 86_400;

/// `truncate_to_year(d)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TruncateToYear {
    signature: Signature,
}

impl TruncateToYear {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TruncateToYear {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(NAME, given, 1)?;
        given.iter().map(date_argument).collect()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(NAME, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&arguments, truncate)
    }
}

fn date_argument(given: &DataType) -> Result<DataType> {
    match given {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Ok(given.clone()),
        DataType::Null => Ok(DataType::Date32),
        _ => plan_err!("function {NAME} takes a date or a timestamp, not {given}"),
    }
}

fn truncate(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Date32 => Ok(truncate_column::<Date32Type>(column, 1)),
        DataType::Date64 => Ok(truncate_column::<Date64Type>(column, DAY_SECONDS * 1_000)),
        DataType::Timestamp(TimeUnit::Second, _) => Ok(truncate_column::<TimestampSecondType>(column, DAY_SECONDS)),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Ok(truncate_column::<TimestampMillisecondType>(column, DAY_SECONDS * 1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(truncate_column::<TimestampMicrosecondType>(column, DAY_SECONDS * 1_000_000))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(truncate_column::<TimestampNanosecondType>(column, DAY_SECONDS * 1_000_000_000))
        }
        other => internal_err!("{NAME} was given the type {other}"),
    }
}

/// `day_units` is how many of the type's units make a day.
fn truncate_column<T>(column: &ArrayRef, day_units: i64) -> ArrayRef
where
    T: ArrowPrimitiveType<Native: Into<i64> + TryFrom<i64>>,
{
    let column: &PrimitiveArray<T> = column.as_primitive();
    let truncated: PrimitiveArray<T> = column.unary_opt(|value| {
        let first = first_day_of_year(value.into().div_euclid(day_units));
        first.checked_mul(day_units).and_then(|units| units.try_into().ok())
    });
    Arc::new(truncated.with_data_type(column.data_type().clone()))
}

/// 1 January of the year that `day` is in; both in days since 1970-01-01.
///
/// Years are counted in eras of 400 years that begin on 1 March, after which every leap day is at the end of a year
/// (the usual days-from-civil arithmetic).
pub(crate) fn first_day_of_year(day: i64) -> i64 {
    const ERA_DAYS: i64 = 146_097;
    /// From 0000-03-01 to 1970-01-01.
    const EPOCH_DAYS: i64 = 719_468;
    /// From 1 March to 1 January.
    const MARCH_TO_JANUARY_DAYS: i64 = 306;
    let shifted = day.saturating_add(EPOCH_DAYS);
    let era = shifted.div_euclid(ERA_DAYS);
    let day_of_era = shifted.rem_euclid(ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / (ERA_DAYS - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // January and February belong to the March-based year that began the year before.
    let years = if day_of_year >= MARCH_TO_JANUARY_DAYS { year_of_era } else { year_of_era - 1 };
    let before = 365 * years + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400);
    era * ERA_DAYS + before + MARCH_TO_JANUARY_DAYS - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use arrow::array::TimestampMicrosecondArray;
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn agrees_with_chrono_on_every_day_of_a_thousand_years() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).expect("date");
        for day in -200_000..200_000 {
            let date = epoch + chrono::Duration::days(day);
            let first = NaiveDate::from_ymd_opt(date.year(), 1, 1).expect("date");
            assert_eq!(first_day_of_year(day), (first - epoch).num_days(), "{date}");
        }
    }

    #[test]
    fn keeps_unit_and_time_zone_and_hides_what_does_not_fit() {
        let zoned: ArrayRef = Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1_583_020_799_999_999), Some(-1), None]).with_timezone("UTC"),
        );
        let truncated = truncate(&zoned).expect("truncates");
        assert_eq!(truncated.data_type(), zoned.data_type());
        let values: Vec<_> = truncated.as_primitive::<TimestampMicrosecondType>().iter().collect();
        assert_eq!(values, [Some(1_577_836_800_000_000), Some(-31_536_000_000_000), None]);

        let ancient: ArrayRef = Arc::new(PrimitiveArray::<TimestampNanosecondType>::from(vec![i64::MIN + 1, i64::MAX]));
        let truncated = truncate(&ancient).expect("truncates");
        assert!(truncated.is_null(0), "the year 1677 begins before the first nanosecond");
        assert!(truncated.is_valid(1));

        let extreme: ArrayRef = Arc::new(PrimitiveArray::<Date32Type>::from(vec![i32::MIN, i32::MAX]));
        let truncated = truncate(&extreme).expect("truncates");
        assert!(truncated.is_null(0) && truncated.is_valid(1));
    }
}
