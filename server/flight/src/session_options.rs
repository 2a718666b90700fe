//! Session options: SetSessionOptions and GetSessionOptions, whose messages (`Flight.proto`) arrow-flight does not have.
//!
//! An option is a setting of the session, set as `SET` sets it: the same names, the same checks, the same records. Two
//! have names of their own: `catalog`, which is the one database, and `schema`, the first of the search path.

use std::collections::HashMap;
use std::sync::Arc;

use lakeward_base::{Coded, NAME_BYTES, SqlState};
use lakeward_engine::{Error, Request, run};

use crate::client::Client;
use crate::metadata::CATALOG;

/// `SetSessionOptionsRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SetRequest {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

/// `SessionOptionValue`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OptionValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
    value: Option<Value>,
}

/// Its kinds; none is to unset the option.
#[derive(Clone, PartialEq, prost::Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    Texts(Texts),
}

/// `StringListValue`.
#[derive(Clone, PartialEq, prost::Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

/// `SetSessionOptionsResult`: what went wrong, by option.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SetResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

/// `SetSessionOptionsResult.Error`.
#[derive(Clone, PartialEq, prost::Message)]
struct OptionError {
    #[prost(int32, tag = "1")]
    value: i32,
}

const INVALID_NAME: i32 = 1;
const INVALID_VALUE: i32 = 2;
const FAILED: i32 = 3;

/// `GetSessionOptionsResult`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetResult {
    #[prost(map = "string, message", tag = "1")]
    options: HashMap<String, OptionValue>,
}

/// The settings that GetSessionOptions tells, by the names that SHOW knows.
const TOLD: [&str; 5] = ["application_name", "purpose_of_use", "search_path", "statement_timeout", "timezone"];

/// Sets each option; what is wrong with one does not keep the others from being set.
pub(crate) async fn set(client: &Arc<Client>, request: SetRequest) -> SetResult {
    let mut errors = HashMap::new();
    for (name, value) in request.options {
        let outcome = match statement(&name, value.value) {
            Ok(Some(sql)) => run(&client.session, Request::text(sql)).await.map(drop).map_err(|error| kind(&error)),
            Ok(None) => Ok(()),
            Err(kind) => Err(kind),
        };
        if let Err(value) = outcome {
            errors.insert(name, OptionError { value });
        }
    }
    SetResult { errors }
}

/// What the session's options are.
pub(crate) fn get(client: &Arc<Client>) -> GetResult {
    let text = |value: String| OptionValue { value: Some(Value::Text(value)) };
    let told = TOLD.iter().filter_map(|name| Some(((*name).to_owned(), text(client.session.setting(name)?))));
    let mut options: HashMap<String, OptionValue> = told.collect();
    options.insert("catalog".to_owned(), text(CATALOG.to_owned()));
    let path = client.session.setting("search_path").unwrap_or_default();
    let first = path.split(',').map(|schema| schema.trim().trim_matches('"')).find(|schema| *schema != "$user");
    options.insert("schema".to_owned(), text(first.unwrap_or_default().to_owned()));
    GetResult { options }
}

/// The statement that sets an option; `None` where it is so already.
fn statement(name: &str, value: Option<Value>) -> Result<Option<String>, i32> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let plain = plain && !name.is_empty() && name.len() <= NAME_BYTES;
    if !plain {
        return Err(INVALID_NAME);
    }
    let Some(value) = value else {
        return if name == "catalog" { Ok(None) } else { Ok(Some(format!("RESET {}", setting(name)))) };
    };
    let text = match value {
        Value::Text(text) => text,
        Value::Bool(on) => if on { "on" } else { "off" }.to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) if number.is_finite() => number.to_string(),
        Value::Number(_) | Value::Texts(_) => return Err(INVALID_VALUE),
    };
    match name {
        "catalog" if text == CATALOG => Ok(None),
        "catalog" => Err(INVALID_VALUE),
        "schema" => Ok(Some(format!("SET search_path = \"{}\"", text.replace('"', "\"\"")))),
        _ => Ok(Some(format!("SET {} = '{}'", setting(name), text.replace('\'', "''")))),
    }
}

fn setting(option: &str) -> &str {
    if option == "schema" { "search_path" } else { option }
}

fn kind(error: &Error) -> i32 {
    match error.sqlstate() {
        SqlState::UNDEFINED_OBJECT | SqlState::FEATURE_NOT_SUPPORTED | SqlState::SYNTAX_ERROR => INVALID_NAME,
        SqlState::INVALID_PARAMETER_VALUE => INVALID_VALUE,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<Value> {
        Some(Value::Text(value.to_owned()))
    }

    #[test]
    fn an_option_becomes_a_statement_that_its_value_cannot_leave() {
        let sql = |name, value| statement(name, value).unwrap().unwrap();
        assert_eq!(sql("timezone", text("a'; DROP TABLE t; --")), "SET timezone = 'a''; DROP TABLE t; --'");
        assert_eq!(sql("schema", text("a\"b")), "SET search_path = \"a\"\"b\"");
        assert_eq!(sql("statement_timeout", Some(Value::Integer(7))), "SET statement_timeout = '7'");
        assert_eq!(sql("schema", None), "RESET search_path");
        assert_eq!(statement("catalog", text("lakeward")), Ok(None));
        assert_eq!(statement("catalog", text("other")), Err(INVALID_VALUE));
        for name in ["", "a b", "role; --", "é", &"x".repeat(64)] {
            assert_eq!(statement(name, text("x")), Err(INVALID_NAME), "{name}");
        }
    }
}
