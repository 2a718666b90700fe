//! Values in text, in the forms that PostgreSQL's input functions take: the engine's own are asked.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use lakeward_engine::{Error, read_text};
use postgres_types::{Kind, Type};

use super::{Wanted, array, natural, number};

/// Reads a value in the text form of its wire type.
pub(super) fn read(wanted: &Wanted<'_>, text: &str) -> Result<ScalarValue, Error> {
    if text.contains('\0') {
        return Err(wanted.invalid_utf8());
    }
    match *wanted.kind {
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON | Type::JSONB => {
            Ok(ScalarValue::Utf8(Some(text.to_owned())))
        }
        Type::UUID => uuid(text).map(|uuid| ScalarValue::Utf8(Some(uuid))).ok_or_else(|| wanted.invalid_text()),
        Type::NUMERIC => number::read(wanted, text),
        Type::OID => oid(wanted, text),
        _ => match (wanted.kind.kind(), natural(wanted.kind)) {
            (Kind::Array(element), _) => array::read_text(wanted, element, text),
            (_, Some(data_type)) => read_text(text, &data_type, wanted.zone.tz()),
            (_, None) => Err(wanted.unsupported()),
        },
    }
}

fn oid(wanted: &Wanted<'_>, text: &str) -> Result<ScalarValue, Error> {
    match read_text(text, &DataType::Int64, wanted.zone.tz())? {
        ScalarValue::Int64(Some(number)) if u32::try_from(number).is_ok() => Ok(ScalarValue::Int64(Some(number))),
        _ => Err(wanted.out_of_range()),
    }
}

/// A UUID in the form that PostgreSQL prints: 32 digits, in braces or not, with or without hyphens after every fourth.
fn uuid(text: &str) -> Option<String> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut canonical = String::with_capacity(36);
    let mut digits = 0;
    for character in inner.chars() {
        if character == '-' {
            if digits % 4 != 0 || digits == 0 || digits == 32 {
                return None;
            }
            continue;
        }
        character.is_ascii_hexdigit().then_some(())?;
        if matches!(digits, 8 | 12 | 16 | 20) {
            canonical.push('-');
        }
        canonical.push(character.to_ascii_lowercase());
        digits += 1;
    }
    (digits == 32 && !inner.contains("--")).then_some(canonical)
}
