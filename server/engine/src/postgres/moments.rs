//! Fields and truncation of whole columns of timestamps: what dashboards group by.
//!
//! The functions of [`super::datetime`] go row by row, which takes twenty times as long. Invariant: a column is computed by
//! the same functions as a row, and left to the rows wherever one of its values has no answer.

use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDateTime, TimeZone};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

use super::call::Call;
use super::datetime::{EXTRACT, cut, of_moment};
use super::input::to_utc;
use super::value::text;

/// The result of a call over a column; `None`: row by row.
pub(super) fn column(name: &str, arguments: &[ColumnarValue], call: &Call<'_>) -> Result<Option<ArrayRef>> {
    let [ColumnarValue::Scalar(unit), ColumnarValue::Array(values)] = arguments else { return Ok(None) };
    let DataType::Timestamp(TimeUnit::Microsecond, zone) = values.data_type() else { return Ok(None) };
    let Some(unit) = unit_of(unit) else { return Ok(None) };
    let values = values.as_primitive::<TimestampMicrosecondType>();
    let zone = zone.is_some().then_some(call.zone);
    match name {
        "date_trunc" => Ok(truncated(values, &unit, zone)),
        EXTRACT => extracted(values, &unit, zone, call.returns),
        "date_part" => {
            #[expect(clippy::cast_precision_loss, reason = "date_part is double precision")]
            let parts = fields(values, &unit, zone).map(|parts| {
                parts.into_iter().map(|part| part.map(|micros| micros as f64 / 1e6)).collect::<Float64Array>()
            });
            Ok(parts.map(|parts| Arc::new(parts) as ArrayRef))
        }
        _ => Ok(None),
    }
}

fn unit_of(unit: &ScalarValue) -> Option<String> {
    text(unit).map(str::to_ascii_lowercase)
}

fn moment(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

/// Units that divide a day, in microseconds.
fn fixed(unit: &str) -> Option<i64> {
    Some(match unit {
        "day" => 86_400_000_000,
        "hour" => 3_600_000_000,
        "minute" => 60_000_000,
        "second" => 1_000_000,
        "millisecond" | "milliseconds" => 1_000,
        "microsecond" | "microseconds" => 1,
        _ => return None,
    })
}

fn truncated(values: &TimestampMicrosecondArray, unit: &str, zone: Option<Tz>) -> Option<ArrayRef> {
    let one = |micros: i64| -> Option<i64> {
        if zone.is_none()
            && let Some(unit) = fixed(unit)
        {
            return micros.checked_sub(micros.rem_euclid(unit));
        }
        let utc = moment(micros)?;
        let at = match zone {
            Some(zone) => to_utc(cut(unit, zone.from_utc_datetime(&utc).naive_local())?, zone)?,
            None => cut(unit, utc)?,
        };
        Some(at.and_utc().timestamp_micros())
    };
    let results = values.iter().map(|value| value.map(one)).map(|result| match result {
        Some(None) => Err(()),
        Some(Some(micros)) => Ok(Some(micros)),
        None => Ok(None),
    });
    let results: TimestampMicrosecondArray = results.collect::<std::result::Result<_, ()>>().ok()?;
    Some(Arc::new(results.with_timezone_opt(zone.map(|_| "UTC"))))
}

/// A field of each value in microseconds of its unit; `None` where one has no such field.
fn fields(values: &TimestampMicrosecondArray, unit: &str, zone: Option<Tz>) -> Option<Vec<Option<i128>>> {
    let one = |micros: i64| of_moment(unit, moment(micros)?, zone);
    values.iter().map(|value| value.map_or(Some(None), |micros| one(micros).map(Some))).collect()
}

fn extracted(
    values: &TimestampMicrosecondArray,
    unit: &str,
    zone: Option<Tz>,
    returns: &DataType,
) -> Result<Option<ArrayRef>> {
    let DataType::Decimal128(precision, scale) = returns else { return Ok(None) };
    let Some(parts) = fields(values, unit, zone) else { return Ok(None) };
    let divisor = 10_i128.pow(6 - u32::from(scale.unsigned_abs()).min(6));
    let parts = parts.into_iter().map(|part| part.map(|micros| micros / divisor));
    let parts = parts.collect::<Decimal128Array>().with_precision_and_scale(*precision, *scale)?;
    Ok(Some(Arc::new(parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every unit over moments before and after 1970, around the change of clocks, in zones and without.
    #[test]
    fn a_column_is_what_its_rows_are() {
        let returns = [DataType::Timestamp(TimeUnit::Microsecond, None), super::super::value::timestamptz()];
        let micros = [
            0,
            -1,
            1,
            -86_400_000_001,
            1_711_846_800_000_000,
            1_711_850_399_999_999,
            1_729_990_800_000_000,
            -62_135_596_800_000_000,
            253_402_300_799_999_999,
            1_700_000_000_123_456,
        ];
        let units = [
            "microsecond",
            "millisecond",
            "second",
            "minute",
            "hour",
            "day",
            "week",
            "month",
            "quarter",
            "year",
            "decade",
            "century",
            "millennium",
        ];
        let zone: Tz = "Europe/Vienna".parse().unwrap();
        for unit in units {
            for returns in &returns {
                let is_zoned = *returns == super::super::value::timestamptz();
                let values = TimestampMicrosecondArray::from(micros.to_vec());
                let values = values.with_timezone_opt(is_zoned.then_some("UTC"));
                let call = Call::new(returns, zone);
                let unit = ScalarValue::from(unit);
                let arguments =
                    [ColumnarValue::Scalar(unit.clone()), ColumnarValue::Array(Arc::new(values.clone()) as ArrayRef)];
                let column = column("date_trunc", &arguments, &call).unwrap().unwrap();
                for row in 0..values.len() {
                    let value = ScalarValue::try_from_array(&values, row).unwrap();
                    let row_result = super::super::datetime::trunc(&[unit.clone(), value], &call);
                    let row_result = row_result.unwrap_or_else(|_| panic!("{unit} of row {row}"));
                    assert_eq!(ScalarValue::try_from_array(&column, row).unwrap(), row_result, "{unit} of row {row}");
                }
            }
        }
    }

    #[test]
    fn what_has_no_such_field_is_left_to_the_rows() {
        let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None]));
        let returns = DataType::Decimal128(38, 0);
        let call = Call::new(&returns, "UTC".parse().unwrap());
        let ask = |unit: &str| {
            let unit = ColumnarValue::Scalar(ScalarValue::from(unit));
            column(EXTRACT, &[unit, ColumnarValue::Array(Arc::clone(&values))], &call).unwrap()
        };
        let year = ask("YEAR").unwrap();
        assert_eq!(
            year.as_primitive::<arrow::datatypes::Decimal128Type>().iter().collect::<Vec<_>>(),
            [Some(1970), None]
        );
        assert!(ask("fortnight").is_none());
    }
}
