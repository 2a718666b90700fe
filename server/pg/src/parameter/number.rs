//! `numeric` parameters: decimal text, by way of which both forms go, to the type wanted.

use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{DataType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type};
use datafusion_common::ScalarValue;
use lakeward_engine::{Error, read_text};

use super::Wanted;

/// A number in decimal as the type wanted: exactly where that type can, else rounded to its scale.
pub(super) fn read(wanted: &Wanted<'_>, text: &str) -> Result<ScalarValue, Error> {
    let text = text.trim_matches(|character: char| character.is_ascii_whitespace());
    if !is_number(text) {
        let special = ["nan", "infinity", "-infinity", "inf", "-inf", "+infinity", "+inf"];
        let special = special.iter().any(|name| name.eq_ignore_ascii_case(text));
        return match wanted.target {
            DataType::Float32 | DataType::Float64 if special => float(wanted, text),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if special => Ok(special_text(text)),
            _ if special => Err(wanted.out_of_range()),
            _ => Err(wanted.invalid_text()),
        };
    }
    let out_of_range = |_| wanted.out_of_range();
    Ok(match *wanted.target {
        // Rounded as PostgreSQL rounds.
        DataType::Decimal128(_, scale) if scale >= 0 => read_text(text, wanted.target, wanted.zone.tz())?,
        DataType::Decimal32(precision, scale) => {
            let value = parse_decimal::<Decimal32Type>(text, precision, scale).map_err(out_of_range)?;
            ScalarValue::Decimal32(Some(value), precision, scale)
        }
        DataType::Decimal64(precision, scale) => {
            let value = parse_decimal::<Decimal64Type>(text, precision, scale).map_err(out_of_range)?;
            ScalarValue::Decimal64(Some(value), precision, scale)
        }
        DataType::Decimal128(precision, scale) => {
            let value = parse_decimal::<Decimal128Type>(text, precision, scale).map_err(out_of_range)?;
            ScalarValue::Decimal128(Some(value), precision, scale)
        }
        DataType::Decimal256(precision, scale) => {
            let value = parse_decimal::<Decimal256Type>(text, precision, scale).map_err(out_of_range)?;
            ScalarValue::Decimal256(Some(value), precision, scale)
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => float(wanted, text)?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ScalarValue::Utf8(Some(canonical(text))),
        // As PostgreSQL assigns a numeric to a whole number.
        ref whole if whole.is_integer() => read_text(text, &DataType::Decimal128(38, 0), wanted.zone.tz())?,
        _ => ScalarValue::Utf8(Some(text.to_owned())),
    })
}

fn float(wanted: &Wanted<'_>, text: &str) -> Result<ScalarValue, Error> {
    text.parse().map(|value| ScalarValue::Float64(Some(value))).map_err(|_| wanted.invalid_text())
}

/// `NaN`, `Infinity` and `-Infinity` as PostgreSQL writes them.
fn special_text(text: &str) -> ScalarValue {
    let infinite = |sign: &str| ScalarValue::Utf8(Some(format!("{sign}Infinity")));
    match text.as_bytes().first() {
        Some(b'n' | b'N') => ScalarValue::Utf8(Some("NaN".to_owned())),
        Some(b'-') => infinite("-"),
        _ => infinite(""),
    }
}

/// The number as PostgreSQL writes a `numeric`: all digits of its scale, no exponent, no needless sign or zeros.
fn canonical(text: &str) -> String {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // At most four digits: `is_number` has seen to that.
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let scale = i64::try_from(fraction.len()).unwrap_or(0) - exponent;
    let mut digits = format!("{whole}{fraction}");
    digits.extend(std::iter::repeat_n('0', usize::try_from(-scale).unwrap_or(0)));
    let scale = usize::try_from(scale).unwrap_or(0);
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at_checked(padded.len() - scale).unwrap_or((&padded, ""));
    let whole = whole.trim_start_matches('0');
    let minus = text.starts_with('-') && digits.bytes().any(|digit| digit != b'0');
    let mut number = if minus { "-".to_owned() } else { String::new() };
    number.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        number.push('.');
        number.push_str(fraction);
    }
    number
}

/// Sign, digits with at most one point, exponent.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // An exponent of more digits would be out of any type's range.
    let exponent_fits = exponent.is_none_or(|exponent| !exponent.is_empty() && exponent.len() <= 4 && digits(exponent));
    !(whole.is_empty() && fraction.is_empty()) && digits(whole) && digits(fraction) && exponent_fits
}

/// PostgreSQL's binary form as decimal text; whole digits may begin with zeros.
pub(super) fn text_of_binary(wanted: &Wanted<'_>, bytes: &[u8]) -> Result<String, Error> {
    let mut words = bytes.chunks_exact(2).map(|pair| pair.iter().fold(0u16, |sum, byte| sum << 8 | u16::from(*byte)));
    let mut word = || words.next().ok_or_else(|| wanted.invalid_binary());
    let (count, weight, sign, scale) = (word()?, word()?, word()?, word()?);
    let weight = i32::from(weight.cast_signed());
    if bytes.len() != 8 + 2 * usize::from(count) || scale > 0x3fff || words.clone().any(|group| group > 9_999) {
        return Err(wanted.invalid_binary());
    }
    let groups: Vec<u16> = words.collect();
    let mut text = match sign {
        0 => String::new(),
        0x4000 => "-".to_owned(),
        0xc000 => return Ok("NaN".to_owned()),
        0xd000 => return Ok("Infinity".to_owned()),
        0xf000 => return Ok("-Infinity".to_owned()),
        _ => return Err(wanted.invalid_binary()),
    };
    let group_at =
        |place: i32| usize::try_from(weight - place).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0);
    text.push('0');
    for place in (0..=weight).rev() {
        push_group(&mut text, group_at(place));
    }
    if scale > 0 {
        text.push('.');
        let wanted_length = text.len() + usize::from(scale);
        for place in 1..=i32::from(scale.div_ceil(4)) {
            push_group(&mut text, group_at(-place));
        }
        text.truncate(wanted_length);
    }
    Ok(text)
}

fn push_group(text: &mut String, group: u16) {
    for divisor in [1_000, 100, 10, 1] {
        text.push(char::from(b'0' + u8::try_from(group / divisor % 10).unwrap_or(0)));
    }
}
