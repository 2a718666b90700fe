//! Regular expressions as PostgreSQL writes them.
//!
//! Invariant: what the engine cannot match as PostgreSQL does (back references, look-around) is `0A000`.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, lit};
use lakeward_base::SqlState;
use regex::{Regex, RegexBuilder};

use super::call::{Call, Fault, Function};
use super::input::list_of;
use super::room::Room;
use super::value::{text, utf8, whole};

/// `~` in the syntax tree.
pub(super) const MATCHES: &str = "lakeward_regex_matches";

const SUBSTRING: &str = "substring";

/// See the module.
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: MATCHES,
        typing: |types, _| texts(types, 2..=3).then_some(DataType::Boolean),
        body: matches,
        strict: true,
    },
    Function {
        name: "regexp_like",
        typing: |types, _| texts(types, 2..=3).then_some(DataType::Boolean),
        body: matches,
        strict: true,
    },
    Function {
        name: "regexp_replace",
        typing: |types, _| texts(types, 3..=4).then_some(DataType::Utf8),
        body: replace,
        strict: true,
    },
    Function { name: "regexp_match", typing: |types, _| texts(types, 2..=3).then(list), body: first, strict: true },
    Function {
        name: "regexp_split_to_array",
        typing: |types, _| texts(types, 2..=3).then(list),
        body: split,
        strict: true,
    },
    Function {
        name: "regexp_count",
        typing: |types, _| texts(types, 2..=2).then_some(DataType::Int32),
        body: count,
        strict: true,
    },
    Function {
        name: "regexp_substr",
        typing: |types, _| texts(types, 2..=2).then_some(DataType::Utf8),
        body: substring,
        strict: true,
    },
    Function {
        name: "regexp_instr",
        typing: |types, _| texts(types, 2..=2).then_some(DataType::Int32),
        body: place,
        strict: true,
    },
    Function { name: SUBSTRING, typing: substring_type, body: substring_of, strict: true },
];

fn list() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn texts(types: &[DataType], count: std::ops::RangeInclusive<usize>) -> bool {
    count.contains(&types.len()) && types.iter().all(super::cast::is_texty)
}

fn argument(arguments: &[ScalarValue], index: usize) -> &str {
    arguments.get(index).and_then(text).unwrap_or_default()
}

thread_local! {
    /// The last expression of this thread: most calls use one for all rows.
    static LAST: RefCell<Option<(String, String, Regex)>> = const { RefCell::new(None) };
}

fn compiled(pattern: &str, flags: &str) -> Result<Regex, Fault> {
    let known = LAST.with_borrow(|last| match last {
        Some((known, with, regex)) if known == pattern && with == flags => Some(regex.clone()),
        _ => None,
    });
    if let Some(regex) = known {
        return Ok(regex);
    }
    let regex = compile(pattern, flags)?;
    LAST.set(Some((pattern.to_owned(), flags.to_owned(), regex.clone())));
    Ok(regex)
}

fn compile(pattern: &str, flags: &str) -> Result<Regex, Fault> {
    let unknown = flags.chars().find(|flag| !"gicsnmxpwq".contains(*flag));
    if unknown.is_some() {
        return Err(Fault::new(SqlState::INVALID_PARAMETER_VALUE, "invalid regular expression option"));
    }
    let lines = flags.contains(['n', 'm']);
    let source = if flags.contains('q') { regex::escape(pattern) } else { translated(pattern)? };
    RegexBuilder::new(&source)
        .case_insensitive(flags.contains('i') && !flags.contains('c'))
        .dot_matches_new_line(!lines)
        .multi_line(lines)
        .ignore_whitespace(flags.contains('x'))
        .size_limit(1 << 22)
        .build()
        .map_err(|_| Fault::new(SqlState::INVALID_REGULAR_EXPRESSION, "invalid regular expression"))
}

/// PostgreSQL's escapes in the words of the engine.
fn translated(pattern: &str) -> Result<String, Fault> {
    for looks in ["(?=", "(?!", "(?<=", "(?<!"] {
        if pattern.contains(looks) {
            return Err(Fault::unsupported("look-around in a regular expression"));
        }
    }
    let mut out = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('m') => out.push_str(r"\b{start}"),
            Some('M') => out.push_str(r"\b{end}"),
            Some('y') => out.push_str(r"\b"),
            Some('Y') => out.push_str(r"\B"),
            Some('Z') => out.push_str(r"\z"),
            Some('1'..='9') => return Err(Fault::unsupported("a back reference in a regular expression")),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Ok(out)
}

fn matches(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let regex = compiled(argument(arguments, 1), argument(arguments, 2))?;
    Ok(ScalarValue::Boolean(Some(regex.is_match(argument(arguments, 0)))))
}

/// `\1` and `\&` in the replacement.
fn replace(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let (given, flags) = (argument(arguments, 0), argument(arguments, 3));
    let regex = compiled(argument(arguments, 1), flags)?;
    let with = argument(arguments, 2);
    let mut out = String::new();
    let mut start = 0;
    for found in regex.captures_iter(given) {
        let Some(whole) = found.get(0) else { break };
        call.room.lasts()?;
        out.push_str(given.get(start..whole.start()).unwrap_or_default());
        expand(&mut out, with, &found, &call.room)?;
        start = whole.end();
        if !flags.contains('g') {
            break;
        }
    }
    out.push_str(given.get(start..).unwrap_or_default());
    Ok(utf8(out))
}

fn expand(out: &mut String, with: &str, found: &regex::Captures<'_>, room: &Room) -> Result<(), Fault> {
    room.holds(out.len().saturating_add(with.len()))?;
    let mut characters = with.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        let group = |index: usize| found.get(index).map_or("", |group| group.as_str());
        let put_in = match characters.next() {
            Some('&') => group(0),
            Some(digit) if digit.is_ascii_digit() => group(digit.to_digit(10).unwrap_or(0) as usize),
            Some('\\') | None => "\\",
            Some(other) => {
                out.extend(['\\', other]);
                continue;
            }
        };
        room.holds(out.len().saturating_add(put_in.len()))?;
        out.push_str(put_in);
    }
    Ok(())
}

fn first(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let regex = compiled(argument(arguments, 1), argument(arguments, 2))?;
    let Some(found) = regex.captures(argument(arguments, 0)) else { return super::call::null(call.returns) };
    let skip = usize::from(found.len() > 1);
    let groups = found.iter().skip(skip).map(|group| ScalarValue::Utf8(group.map(|group| group.as_str().to_owned())));
    Ok(list_of(groups.collect(), &DataType::Utf8))
}

fn split(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let regex = compiled(argument(arguments, 1), argument(arguments, 2))?;
    let given = argument(arguments, 0);
    let mut parts = Vec::new();
    let mut start = 0;
    // PostgreSQL ignores empty matches at the ends and right after another match.
    for found in
        regex.find_iter(given).filter(|found| !(found.is_empty() && (found.start() == 0 || found.end() == given.len())))
    {
        parts.push(utf8(given.get(start..found.start()).unwrap_or_default()));
        call.room.holds(parts.len().saturating_mul(PART_BYTES))?;
        call.room.lasts()?;
        start = found.end();
    }
    parts.push(utf8(given.get(start..).unwrap_or_default()));
    Ok(list_of(parts, &DataType::Utf8))
}

/// What a part takes besides its text.
const PART_BYTES: usize = 96;

fn count(arguments: &[ScalarValue], call: &Call<'_>) -> Result<ScalarValue, Fault> {
    let regex = compiled(argument(arguments, 1), "")?;
    let mut count = 0;
    for _ in regex.find_iter(argument(arguments, 0)) {
        call.room.lasts()?;
        count += 1;
    }
    Ok(ScalarValue::Int32(Some(count)))
}

fn substring(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let regex = compiled(argument(arguments, 1), "")?;
    Ok(ScalarValue::Utf8(regex.find(argument(arguments, 0)).map(|found| found.as_str().to_owned())))
}

fn place(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let regex = compiled(argument(arguments, 1), "")?;
    let given = argument(arguments, 0);
    let at =
        regex.find(given).and_then(|found| given.get(..found.start())).map_or(0, |before| before.chars().count() + 1);
    Ok(ScalarValue::Int32(i32::try_from(at).ok()))
}

fn substring_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Option<DataType> {
    let counts = |types: &[DataType]| types.iter().all(|given| given.is_integer() || *given == DataType::Null);
    match types {
        [value, rest @ ..] if super::cast::is_texty(value) && (1..=2).contains(&rest.len()) && counts(rest) => {
            Some(DataType::Utf8)
        }
        [_, _] if texts(types, 2..=2) => Some(DataType::Utf8),
        _ => None,
    }
}

/// By positions, or by a regular expression (its first group, where it has one).
/// The planner's own `substr`, a column at a time, where it does the same: of a column of text, from a place in it on,
/// for a length that is not negative.
pub(super) fn native(
    name: &str,
    arguments: &[Expr],
    context: &SimplifyContext,
) -> Result<Option<Expr>, DataFusionError> {
    let (SUBSTRING, [operand, places @ ..]) = (name, arguments) else { return Ok(None) };
    let place = |least: i64, place: &Expr| match place {
        Expr::Literal(value, _) => whole(value).filter(|place| *place >= least),
        _ => None,
    };
    let places = match places {
        [from] => place(1, from).map(|from| vec![from]),
        [from, length] => place(1, from).zip(place(0, length)).map(|(from, length)| vec![from, length]),
        _ => None,
    };
    let Some(places) = places else { return Ok(None) };
    if matches!(operand, Expr::Literal(..)) || context.get_data_type(operand)? != DataType::Utf8 {
        return Ok(None);
    }
    let arguments = std::iter::once(operand.clone()).chain(places.into_iter().map(lit)).collect();
    Ok(Some(datafusion::functions::unicode::substr().call(arguments)))
}

fn substring_of(arguments: &[ScalarValue], _: &Call<'_>) -> Result<ScalarValue, Fault> {
    let given = argument(arguments, 0);
    if let Some(pattern) = arguments.get(1).and_then(text) {
        let regex = compiled(pattern, "")?;
        let found = regex.captures(given).and_then(|found| if found.len() > 1 { found.get(1) } else { found.get(0) });
        return Ok(ScalarValue::Utf8(found.map(|found| found.as_str().to_owned())));
    }
    let from = arguments.get(1).and_then(whole).unwrap_or(1);
    let end = match arguments.get(2).and_then(whole) {
        Some(length) if length < 0 => {
            return Err(Fault::new(SqlState::SUBSTRING_ERROR, "negative substring length not allowed"));
        }
        Some(length) => from.saturating_add(length),
        None => i64::MAX,
    };
    let skip = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
    let take = usize::try_from(end.saturating_sub(from.max(1))).unwrap_or(0);
    Ok(utf8(given.chars().skip(skip).take(take).collect::<String>()))
}
