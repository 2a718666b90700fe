//! `safe_harbor_age(int)` and `safe_harbor_year(date)`: ages over 89 and what tells of them: 45 CFR 164.514(b)(2)(i)(C).
//!
//! Invariants: an age over 89 is 90; a birth more than 89 years ago is 1 January of the year that was 90 years ago, any
//! other date 1 January of its own year; the type is kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use chrono::{Datelike, NaiveDate};
use datafusion_common::{Result, internal_err, plan_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::argument::evaluate;
use crate::function::{check_arity, first_type};
use crate::year::first_day_of_year;

const AGE: &str = "safe_harbor_age";
const YEAR: &str = "safe_harbor_year";
/// What every age over 89 is.
const OLDEST: u8 = 90;

/// `safe_harbor_age(int)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SafeHarborAge {
    signature: Signature,
}

impl SafeHarborAge {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SafeHarborAge {
    fn name(&self) -> &str {
        AGE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(AGE, given, 1)?;
        match given {
            [age] if age.is_integer() => Ok(vec![age.clone()]),
            [DataType::Null] => Ok(vec![DataType::Int32]),
            _ => plan_err!("function {AGE} takes an integer"),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(AGE, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&arguments, |column| match column.data_type() {
            DataType::Int8 => Ok(capped::<Int8Type>(column)),
            DataType::Int16 => Ok(capped::<Int16Type>(column)),
            DataType::Int32 => Ok(capped::<Int32Type>(column)),
            DataType::Int64 => Ok(capped::<Int64Type>(column)),
            DataType::UInt8 => Ok(capped::<UInt8Type>(column)),
            DataType::UInt16 => Ok(capped::<UInt16Type>(column)),
            DataType::UInt32 => Ok(capped::<UInt32Type>(column)),
            DataType::UInt64 => Ok(capped::<UInt64Type>(column)),
            other => internal_err!("{AGE} was given the type {other}"),
        })
    }
}

fn capped<T>(column: &ArrayRef) -> ArrayRef
where
    T: ArrowPrimitiveType<Native: TryFrom<u8> + PartialOrd>,
{
    let column: &PrimitiveArray<T> = column.as_primitive();
    // Every integer type holds 90; one that did not would hold no age over it.
    let Ok(oldest) = T::Native::try_from(OLDEST) else { return Arc::new(column.clone()) };
    Arc::new(column.unary::<_, T>(|age| if age > oldest { oldest } else { age }))
}

/// `safe_harbor_year(date)`, before the statement's day is known.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SafeHarborYear {
    signature: Signature,
}

impl SafeHarborYear {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Stable) }
    }
}

impl ScalarUDFImpl for SafeHarborYear {
    fn name(&self) -> &str {
        YEAR
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        check_arity(YEAR, given, 1)?;
        match given {
            [DataType::Date32 | DataType::Null] => Ok(vec![DataType::Date32]),
            [other] => plan_err!("function {YEAR} takes a date, not {other}"),
            _ => Ok(Vec::new()),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(YEAR, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{YEAR} was not given the day")
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let Some(started) = context.query_execution_start_time() else {
            return Ok(ExprSimplifyResult::Original(arguments));
        };
        let Some(limits) = Limits::on(started.date_naive()) else {
            return internal_err!("{YEAR} has no day 90 years ago");
        };
        let function = ScalarUDF::from(YearAsOf {
            limits,
            signature: Signature::exact(vec![DataType::Date32], Volatility::Immutable),
        });
        Ok(ExprSimplifyResult::Simplified(function.call(arguments)))
    }
}

/// What a day makes of births, in days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Limits {
    /// The last birthday of who is over 89.
    last: i32,
    /// What stands for it.
    floor: i32,
}

impl Limits {
    fn on(today: NaiveDate) -> Option<Self> {
        let year = today.year() - i32::from(OLDEST);
        // On 29 February those born on the 28th are a year older; those of 1 March are not.
        let last = today.with_year(year).or_else(|| NaiveDate::from_ymd_opt(year, 2, 28))?;
        let day = |date: NaiveDate| i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok();
        Some(Self { last: day(last)?, floor: day(NaiveDate::from_ymd_opt(year, 1, 1)?)? })
    }

    fn apply(self, birth: i32) -> Option<i32> {
        if birth <= self.last { Some(self.floor) } else { i32::try_from(first_day_of_year(i64::from(birth))).ok() }
    }
}

/// `safe_harbor_year(date)` on one day.
#[derive(Debug, PartialEq, Eq, Hash)]
struct YearAsOf {
    limits: Limits,
    signature: Signature,
}

impl ScalarUDFImpl for YearAsOf {
    fn name(&self) -> &str {
        YEAR
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        first_type(YEAR, arguments)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        evaluate(&arguments, |column| {
            let births = column.as_primitive::<Date32Type>();
            Ok(Arc::new(births.unary_opt::<_, Date32Type>(|birth| self.limits.apply(birth))))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year(birth: &str, today: &str) -> String {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let since = |date: NaiveDate| date.signed_duration_since(NaiveDate::default()).num_days() as i32;
        let made = Limits::on(day(today)).unwrap().apply(since(day(birth))).unwrap();
        (NaiveDate::default() + chrono::Duration::days(made.into())).to_string()
    }

    #[test]
    fn births_over_89_years_ago_share_a_year() {
        for (birth, today, expected) in [
            ("1980-07-09", "2026-03-01", "1980-01-01"),
            ("1936-03-01", "2026-03-01", "1936-01-01"),
            ("1920-05-05", "2026-03-01", "1936-01-01"),
            ("1936-03-02", "2026-03-01", "1936-01-01"),
            ("1937-01-01", "2026-03-01", "1937-01-01"),
            ("1934-02-28", "2024-02-29", "1934-01-01"),
            ("0001-01-01", "2024-02-29", "1934-01-01"),
            ("2025-12-31", "2026-03-01", "2025-01-01"),
        ] {
            assert_eq!(year(birth, today), expected, "{birth} on {today}");
        }
    }
}
