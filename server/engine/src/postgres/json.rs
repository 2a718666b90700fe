//! JSON: read, written, taken apart.
//!
//! A JSON value travels as text whose column is marked. Invariant: `jsonb` is in PostgreSQL's normal form (keys by
//! length, then bytes; the last of equal keys), so that equal documents are equal texts; `json` stays as written.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::timezone::Tz;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::RawBinaryExpr;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use lakeward_base::SqlState;

use super::call::{Call, Fault, Function};
use super::document::{Json, quote};
use super::input::list_of;
use super::output::text_of;
use super::value::{elements, text, utf8, whole};

/// The mark of a column that holds JSON: `json` or `jsonb`.
pub(crate) const MARK: &str = "lakeward.json";

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "lakeward_json_get", typing: two, body: |a, c| path_of(a, c, true, false), strict: true },
    Function { name: "lakeward_json_get_text", typing: two, body: |a, c| path_of(a, c, true, true), strict: true },
    Function { name: "lakeward_json_path", typing: two, body: |a, c| path_of(a, c, false, false), strict: true },
    Function { name: "lakeward_json_path_text", typing: two, body: |a, c| path_of(a, c, false, true), strict: true },
    Function { name: "lakeward_json_has", typing: flag, body: has, strict: true },
    Function { name: "lakeward_json_has_any", typing: flag, body: |a, c| has_of(a, c, false), strict: true },
    Function { name: "lakeward_json_has_all", typing: flag, body: |a, c| has_of(a, c, true), strict: true },
    Function { name: "lakeward_json_contains", typing: flag, body: contains, strict: true },
    Function { name: "lakeward_json_concat", typing: two, body: concat, strict: true },
    Function { name: "lakeward_json_without", typing: two, body: without, strict: true },
    Function { name: "json_build_object", typing: any, body: |a, c| build_object(a, c, false), strict: false },
    Function { name: "jsonb_build_object", typing: any, body: |a, c| build_object(a, c, true), strict: false },
    Function { name: "json_build_array", typing: any, body: |a, c| build_array(a, c, false), strict: false },
    Function { name: "jsonb_build_array", typing: any, body: |a, c| build_array(a, c, true), strict: false },
    Function { name: "to_json", typing: one, body: |a, c| first(a, c).map(|json| utf8(json.to_json())), strict: true },
    Function {
        name: "to_jsonb",
        typing: one,
        body: |a, c| first(a, c).map(|json| utf8(json.to_jsonb())),
        strict: true,
    },
    Function { name: "json_typeof", typing: one, body: type_of, strict: true },
    Function { name: "jsonb_typeof", typing: one, body: type_of, strict: true },
    Function {
        name: "json_array_length",
        typing: |t, _| (t.len() == 1).then_some(DataType::Int32),
        body: length,
        strict: true,
    },
    Function {
        name: "jsonb_array_length",
        typing: |t, _| (t.len() == 1).then_some(DataType::Int32),
        body: length,
        strict: true,
    },
    Function { name: "json_extract_path", typing: any, body: |a, c| extract(a, c, false), strict: true },
    Function { name: "jsonb_extract_path", typing: any, body: |a, c| extract(a, c, false), strict: true },
    Function { name: "json_extract_path_text", typing: any, body: |a, c| extract(a, c, true), strict: true },
    Function { name: "jsonb_extract_path_text", typing: any, body: |a, c| extract(a, c, true), strict: true },
    Function {
        name: "jsonb_strip_nulls",
        typing: one,
        body: |a, c| document(a, c).map(|json| utf8(strip(json).to_jsonb())),
        strict: true,
    },
    Function {
        name: "jsonb_pretty",
        typing: one,
        body: |a, c| document(a, c).map(|json| utf8(pretty(&json, 0))),
        strict: true,
    },
    Function { name: "lakeward_json_elements", typing: list, body: |a, c| each(a, c, false), strict: true },
    Function { name: "lakeward_json_elements_text", typing: list, body: |a, c| each(a, c, true), strict: true },
    Function { name: "lakeward_json_keys", typing: list, body: keys, strict: true },
];

fn one(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 1).then_some(DataType::Utf8)
}

fn two(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 2).then_some(DataType::Utf8)
}

fn any(_: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    Some(DataType::Utf8)
}

fn flag(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 2).then_some(DataType::Boolean)
}

fn list(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    (types.len() == 1).then(|| DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))))
}

/// Marks the results of functions that make JSON.
pub(super) fn marked(name: &str, constants: &[Option<&ScalarValue>], field: Field) -> Field {
    let spec = constants.get(1).copied().flatten().and_then(text).unwrap_or_default();
    let kind = match name {
        super::cast::CAST if spec == "json" || spec == "jsonb" => spec,
        "json_build_object" | "json_build_array" | "to_json" => "json",
        "lakeward_json_get"
        | "lakeward_json_path"
        | "lakeward_json_concat"
        | "lakeward_json_without"
        | "jsonb_build_object"
        | "jsonb_build_array"
        | "to_jsonb"
        | "jsonb_extract_path"
        | "jsonb_strip_nulls" => "jsonb",
        _ => return field,
    };
    field.with_metadata(HashMap::from([(MARK.to_owned(), kind.to_owned())]))
}

/// The operators over JSON; `None`: no such.
pub(super) fn operator(expr: &RawBinaryExpr, schema: &DFSchema) -> Result<Option<Expr>> {
    let is_json = |side: &Expr| {
        super::arithmetic::known_type(side).is_none()
            && side.to_field(schema).is_ok_and(|(_, field)| {
                field.metadata().contains_key(MARK)
                    || matches!(field.data_type(), DataType::Struct(_) | DataType::Map(..))
            })
    };
    let name = match &expr.op {
        BinaryOperator::Arrow => "lakeward_json_get",
        BinaryOperator::LongArrow => "lakeward_json_get_text",
        BinaryOperator::HashArrow => "lakeward_json_path",
        BinaryOperator::HashLongArrow => "lakeward_json_path_text",
        BinaryOperator::Question => "lakeward_json_has",
        BinaryOperator::QuestionPipe => "lakeward_json_has_any",
        BinaryOperator::QuestionAnd => "lakeward_json_has_all",
        BinaryOperator::AtArrow | BinaryOperator::ArrowAt if is_json(&expr.left) || is_json(&expr.right) => {
            "lakeward_json_contains"
        }
        BinaryOperator::StringConcat if is_json(&expr.left) && is_json(&expr.right) => "lakeward_json_concat",
        BinaryOperator::Minus if is_json(&expr.left) => "lakeward_json_without",
        _ => return Ok(None),
    };
    let Some(function) = FUNCTIONS.iter().find(|function| function.name == name) else { return Ok(None) };
    let (left, right) = (expr.left.clone(), expr.right.clone());
    let arguments = if expr.op == BinaryOperator::ArrowAt { vec![right, left] } else { vec![left, right] };
    Ok(Some(Expr::ScalarFunction(ScalarFunction::new_udf(function.udf(), arguments))))
}

/// A cast to `json` or `jsonb`.
pub(super) fn checked(value: &ScalarValue, zone: Tz, normal: bool) -> Result<ScalarValue, Fault> {
    let json = match text(value) {
        Some(text) if normal => Json::parse(text)?,
        Some(text) => Json::read(text)?,
        None => Json::of(value, zone).ok_or_else(|| Fault::unsupported("a cast of this type to json"))?,
    };
    match text(value) {
        Some(text) if !normal => Ok(utf8(text)),
        _ => Ok(utf8(if normal { json.to_jsonb() } else { json.to_json() })),
    }
}

fn document(arguments: &[ScalarValue], call: &Call<'_>) -> Result<Json, Fault> {
    let value = arguments.first().ok_or_else(|| Fault::unsupported("this call"))?;
    match text(value) {
        Some(text) => Json::parse(text),
        None => Json::of(value, call.zone).ok_or_else(|| Fault::unsupported("this value as json")),
    }
}

fn first(arguments: &[ScalarValue], call: &Call<'_>) -> Result<Json, Fault> {
    arguments
        .first()
        .and_then(|value| Json::of(value, call.zone))
        .ok_or_else(|| Fault::unsupported("this value as json"))
}

fn answer(found: Option<Json>, as_text: bool) -> ScalarValue {
    match found {
        None => ScalarValue::Utf8(None),
        Some(json) if as_text => ScalarValue::Utf8(json.shown()),
        Some(json) => utf8(json.to_jsonb()),
    }
}

/// One step or a path.
fn path_of(arguments: &[ScalarValue], call: &Call<'_>, single: bool, as_text: bool) -> Result<ScalarValue, Fault> {
    let json = document(arguments, call)?;
    let key = arguments.get(1).ok_or_else(|| Fault::unsupported("this call"))?;
    if single {
        let found = match (whole(key), text(key)) {
            (Some(place), _) => json.nth(place),
            (None, Some(key)) => json.member(key),
            _ => None,
        };
        return Ok(answer(found, as_text));
    }
    Ok(answer(walk(json, &steps(key, call)?), as_text))
}

fn steps(key: &ScalarValue, call: &Call<'_>) -> Result<Vec<String>, Fault> {
    let parsed = match text(key) {
        Some(text) => {
            super::input::parse(text, &DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), call.zone)?
        }
        None => key.clone(),
    };
    let steps = elements(&parsed).ok_or_else(|| Fault::unsupported("this path"))?;
    Ok(steps.iter().filter_map(|step| text(step).map(str::to_owned)).collect())
}

fn walk(json: Json, steps: &[String]) -> Option<Json> {
    steps.iter().try_fold(json, |json, step| match &json {
        Json::Array(_) => json.nth(step.parse().ok()?),
        _ => json.member(step),
    })
}

fn extract(arguments: &[ScalarValue], call: &Call<'_>, as_text: bool) -> Result<ScalarValue, Fault> {
    let steps: Vec<_> = arguments.iter().skip(1).filter_map(|step| text(step).map(str::to_owned)).collect();
    Ok(answer(walk(document(arguments, call)?, &steps), as_text))
}

fn has_key(json: &Json, key: &str) -> bool {
    match json {
        Json::Object(members) => members.iter().any(|(name, _)| name == key),
        Json::Array(items) => items.iter().any(|item| *item == Json::Text(key.to_owned())),
        Json::Text(text) => text == key,
        _ => false,
    }
}

fn has(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let json = document(arguments, call)?;
    let key = arguments.get(1).and_then(text).ok_or_else(|| Fault::unsupported("this key"))?;
    Ok(ScalarValue::Boolean(Some(has_key(&json, key))))
}

fn has_of(arguments: &[ScalarValue], call: &Call<'_>, all: bool) -> Result<ScalarValue, Fault> {
    let json = document(arguments, call)?;
    let keys = steps(arguments.get(1).ok_or_else(|| Fault::unsupported("this call"))?, call)?;
    let found =
        if all { keys.iter().all(|key| has_key(&json, key)) } else { keys.iter().any(|key| has_key(&json, key)) };
    Ok(ScalarValue::Boolean(Some(found)))
}

fn contains(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let (outer, inner) = (document(arguments, call)?, document(arguments.get(1..).unwrap_or_default(), call)?);
    let top = matches!((&outer, &inner), (Json::Array(items), scalar) if !matches!(scalar, Json::Array(_) | Json::Object(_)) && items.contains(scalar));
    Ok(ScalarValue::Boolean(Some(top || holds(&outer, &inner))))
}

fn holds(outer: &Json, inner: &Json) -> bool {
    match (outer, inner) {
        (Json::Object(outer), Json::Object(inner)) => {
            inner.iter().all(|(key, wanted)| outer.iter().any(|(name, value)| name == key && holds(value, wanted)))
        }
        (Json::Array(outer), Json::Array(inner)) => {
            inner.iter().all(|wanted| outer.iter().any(|item| holds(item, wanted)))
        }
        _ => outer == inner,
    }
}

fn concat(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let (left, right) = (document(arguments, call)?, document(arguments.get(1..).unwrap_or_default(), call)?);
    let items = |json: Json| match json {
        Json::Array(items) => items,
        other => vec![other],
    };
    let joined = match (left, right) {
        (Json::Object(mut left), Json::Object(right)) => {
            left.extend(right);
            Json::Object(left)
        }
        (left, right) => {
            let mut all = items(left);
            all.extend(items(right));
            Json::Array(all)
        }
    };
    Ok(utf8(joined.to_jsonb()))
}

fn without(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let key = arguments.get(1).ok_or_else(|| Fault::unsupported("this call"))?;
    let left = match (document(arguments, call)?, text(key), whole(key)) {
        (Json::Object(members), Some(key), _) => {
            Json::Object(members.into_iter().filter(|(name, _)| name != key).collect())
        }
        (Json::Array(items), Some(key), _) => {
            Json::Array(items.into_iter().filter(|item| *item != Json::Text(key.to_owned())).collect())
        }
        (Json::Array(mut items), None, Some(place)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let place = if place < 0 { place + length } else { place };
            if let Some(place) = usize::try_from(place).ok().filter(|place| *place < items.len()) {
                items.remove(place);
            }
            Json::Array(items)
        }
        _ => return Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, "cannot delete from scalar")),
    };
    Ok(utf8(left.to_jsonb()))
}

fn build_object(arguments: &[ScalarValue], call: &Call<'_>, normal: bool) -> Result<ScalarValue, Fault> {
    let wrong = |message: &str| Fault::new(SqlState::INVALID_PARAMETER_VALUE, message);
    if !arguments.len().is_multiple_of(2) {
        return Err(wrong("argument list must have even number of elements"));
    }
    let member = |pair: &[ScalarValue]| match pair {
        [key, value] => {
            let key = text_of(key, call.zone).ok_or_else(|| wrong("argument of a key must not be null"))?;
            Ok((key, Json::of(value, call.zone).ok_or_else(|| Fault::unsupported("this value as json"))?))
        }
        _ => Err(wrong("argument list must have even number of elements")),
    };
    let json = Json::Object(arguments.chunks(2).map(member).collect::<Result<_, _>>()?);
    Ok(utf8(if normal { json.to_jsonb() } else { json.to_built() }))
}

fn build_array(arguments: &[ScalarValue], call: &Call<'_>, normal: bool) -> Result<ScalarValue, Fault> {
    let items = arguments.iter().map(|value| Json::of(value, call.zone)).collect::<Option<Vec<_>>>();
    let json = Json::Array(items.ok_or_else(|| Fault::unsupported("this value as json"))?);
    Ok(utf8(if normal { json.to_jsonb() } else { json.to_built() }))
}

fn type_of(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    Ok(utf8(match document(arguments, call)? {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(_) => "number",
        Json::Text(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }))
}

fn length(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let wrong = |message: &str| Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, message));
    match document(arguments, call)? {
        Json::Array(items) => Ok(ScalarValue::Int32(i32::try_from(items.len()).ok())),
        Json::Object(_) => wrong("cannot get array length of a non-array"),
        _ => wrong("cannot get array length of a scalar"),
    }
}

fn each(arguments: &[ScalarValue], call: &Call<'_>, as_text: bool) -> Result<ScalarValue, Fault> {
    match document(arguments, call)? {
        Json::Array(items) => {
            Ok(list_of(items.into_iter().map(|item| answer(Some(item), as_text)).collect(), &DataType::Utf8))
        }
        Json::Object(_) => Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, "cannot extract elements from an object")),
        _ => Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, "cannot extract elements from a scalar")),
    }
}

fn keys(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    match document(arguments, call)?.normal() {
        Json::Object(members) => Ok(list_of(members.into_iter().map(|(key, _)| utf8(key)).collect(), &DataType::Utf8)),
        Json::Array(_) => {
            Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, "cannot call jsonb_object_keys on an array"))
        }
        _ => Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, "cannot call jsonb_object_keys on a scalar")),
    }
}

fn strip(json: Json) -> Json {
    match json {
        Json::Object(members) => {
            let kept = members.into_iter().filter(|(_, value)| *value != Json::Null);
            Json::Object(kept.map(|(key, value)| (key, strip(value))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(strip).collect()),
        other => other,
    }
}

fn pretty(json: &Json, depth: usize) -> String {
    let pad = " ".repeat(4 * (depth + 1));
    let end = " ".repeat(4 * depth);
    match json.clone().normal() {
        Json::Array(items) if !items.is_empty() => {
            let items: Vec<_> = items.iter().map(|item| format!("{pad}{}", pretty(item, depth + 1))).collect();
            format!("[\n{}\n{end}]", items.join(",\n"))
        }
        Json::Object(members) if !members.is_empty() => {
            let member = |(key, value): &(String, Json)| format!("{pad}{}: {}", quote(key), pretty(value, depth + 1));
            format!("{{\n{}\n{end}}}", members.iter().map(member).collect::<Vec<_>>().join(",\n"))
        }
        other => other.to_jsonb(),
    }
}
