//! Time travel: folded into the table's name before planning, because DataFusion's planner drops it in silence.
//!
//! `t VERSION AS OF 3` becomes a name that no user can type (`t`, U+0001, `3`), under the alias `t` where none was
//! written; so do `t TIMESTAMP AS OF …`, `table_changes('t', 3, 5)`, and the tables of DESCRIBE HISTORY, UPDATE, DELETE
//! and MERGE. Invariant: after [`mark`] no table factor carries a version, so none can be dropped.

use std::ops::ControlFlow;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::common::ScalarValue;
use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, TableAlias, TableFactor,
    TableVersion, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use lakeward_base::SqlState;
use lakeward_catalog::VersionSelector;

use crate::error::Error;

/// No identifier can hold it: the front parser refuses control characters.
const SEPARATOR: char = '\u{1}';

/// Ends the name of the table that an UPDATE, DELETE or MERGE changes.
pub(crate) const TARGET_MARK: &str = "\u{1}#";

/// Ends the name of a table whose history is described.
pub(crate) const HISTORY_MARK: &str = "\u{1}?";

/// Ends the name of the rows that a client sends along.
pub(crate) const CLIENT_MARK: &str = "\u{1}<";

/// The function over a table's change feed.
pub(crate) const CHANGES_FUNCTION: &str = "table_changes";

/// What a marked name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Rows of a version.
    At(VersionSelector),
    /// Rows of the newest version, numbered.
    Target,
    /// The commits.
    History,
    /// The rows that the client sends along.
    Client,
    /// What changed from a version to another, both included; `None` is the newest.
    Changes(Option<u64>, Option<u64>),
}

/// Where the times and parameters of a statement get their meaning.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    /// Values of `$1`, …; fewer than there are while a statement is being prepared.
    pub(crate) parameters: &'a [ScalarValue],
    /// The time zone of times that have none of their own.
    pub(crate) time_zone: &'a str,
}

impl Moment<'_> {
    /// A statement without parameters, in UTC: a view's.
    pub(crate) const UTC: Moment<'static> = Moment { parameters: &[], time_zone: "UTC" };
}

/// Folds every version of `query` into its table's name. A version given by a parameter without a value yet (while a
/// statement is being prepared) stands for the newest.
pub(crate) fn mark(query: &mut Query, moment: Moment<'_>) -> Result<(), Error> {
    match query.visit(&mut Marker { moment }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Marker<'a> {
    moment: Moment<'a>,
}

impl VisitorMut for Marker<'_> {
    type Break = Box<Error>;

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Self::Break> {
        let TableFactor::Table { name, alias, version, args, .. } = factor else { return ControlFlow::Continue(()) };
        if let Some(arguments) = args
            && is_changes(name)
        {
            return match self.changes(&arguments.args) {
                Ok(marked) => {
                    *args = None;
                    alias.get_or_insert_with(|| alias_of(Ident::new(CHANGES_FUNCTION)));
                    *name = marked;
                    ControlFlow::Continue(())
                }
                Err(error) => ControlFlow::Break(Box::new(error)),
            };
        }
        let Some(version) = version.take() else { return refuse_forged(name) };
        match selector(&version, self.moment) {
            Ok(selector) => fold(name, alias, selector),
            Err(error) => return ControlFlow::Break(Box::new(error)),
        }
        ControlFlow::Continue(())
    }
}

impl Marker<'_> {
    /// `table_changes('t', from [, to])` as a name.
    fn changes(&self, arguments: &[FunctionArg]) -> Result<ObjectName, Error> {
        let wrong = || {
            Error::new(SqlState::UNDEFINED_FUNCTION, "function table_changes does not exist with these arguments")
                .with_hint("Write table_changes('table', from [, to]), with constants or parameters.")
        };
        let value = |argument: &FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) => Ok(value.value.clone()),
            _ => Err(wrong()),
        };
        let (table, from, to) = match arguments {
            [table, from] => (value(table)?, value(from)?, None),
            [table, from, to] => (value(table)?, value(from)?, Some(value(to)?)),
            _ => return Err(wrong()),
        };
        let Value::SingleQuotedString(table) = table else { return Err(wrong()) };
        let table = crate::statement::parse_name(&table)?;
        let version = |value: &Value| match version_number(value, self.moment.parameters)? {
            VersionSelector::Exact(version) => Ok(version.to_string()),
            _ => Ok(String::new()),
        };
        let (from, to) = (version(&from)?, to.as_ref().map(version).transpose()?.unwrap_or_default());
        let marked = format!("{}{SEPARATOR}+{from}:{to}", table.name);
        let parts = table.schema.iter().map(String::as_str).chain([marked.as_str()]);
        Ok(ObjectName(parts.map(|part| ObjectNamePart::Identifier(Ident::with_quote('"', part))).collect()))
    }
}

fn is_changes(name: &ObjectName) -> bool {
    let [ObjectNamePart::Identifier(name)] = name.0.as_slice() else { return false };
    match name.quote_style {
        None => name.value.eq_ignore_ascii_case(CHANGES_FUNCTION),
        Some(_) => name.value == CHANGES_FUNCTION,
    }
}

/// What a version or a time selects.
pub(crate) fn selector(version: &TableVersion, moment: Moment<'_>) -> Result<VersionSelector, Error> {
    match version {
        TableVersion::VersionAsOf(Expr::Value(value)) => version_number(&value.value, moment.parameters),
        TableVersion::TimestampAsOf(at) | TableVersion::ForSystemTimeAsOf(at) => time(at, moment),
        _ => Err(not_a_version()),
    }
}

/// The types of the parameters that select versions: index from 0.
pub(crate) fn parameter_types(query: &Query) -> Vec<(usize, DataType)> {
    let mut types = Types(Vec::new());
    let _: ControlFlow<()> = query.visit(&mut types);
    types.0
}

struct Types(Vec<(usize, DataType)>);

impl Types {
    fn add(&mut self, expr: &Expr, data_type: &DataType) {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Some(index) = name.trim_start_matches('$').parse::<usize>().ok().and_then(|n| n.checked_sub(1))
        {
            self.0.push((index, data_type.clone()));
        }
    }
}

impl Visitor for Types {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, version, args, .. } = factor else { return ControlFlow::Continue(()) };
        match version {
            Some(TableVersion::VersionAsOf(expr)) => self.add(expr, &DataType::Int64),
            Some(TableVersion::TimestampAsOf(expr) | TableVersion::ForSystemTimeAsOf(expr)) => {
                self.add(expr, &DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())));
            }
            _ => {}
        }
        for argument in args.iter().filter(|_| is_changes(name)).flat_map(|arguments| &arguments.args) {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
                self.add(expr, &DataType::Int64);
            }
        }
        ControlFlow::Continue(())
    }
}

fn version_number(value: &Value, parameters: &[ScalarValue]) -> Result<VersionSelector, Error> {
    match value {
        Value::Number(number, _) => number.parse().map(VersionSelector::Exact).map_err(|_| not_a_version()),
        Value::Placeholder(name) => {
            let Some(value) = parameter(name, parameters).ok_or_else(not_a_version)? else {
                return Ok(VersionSelector::Latest);
            };
            match value.cast_to(&DataType::UInt64).map_err(|_| not_a_version())? {
                ScalarValue::UInt64(Some(version)) => Ok(VersionSelector::Exact(version)),
                _ => Err(not_a_version()),
            }
        }
        _ => Err(not_a_version()),
    }
}

/// The value of a parameter: `None` where it is no parameter's name, `Some(None)` where it has no value yet.
fn parameter<'a>(name: &str, parameters: &'a [ScalarValue]) -> Option<Option<&'a ScalarValue>> {
    let number: usize = name.trim_start_matches('$').parse().ok()?;
    Some(parameters.get(number.checked_sub(1)?))
}

fn time(at: &Expr, moment: Moment<'_>) -> Result<VersionSelector, Error> {
    let value = match at {
        Expr::Value(value) => &value.value,
        Expr::TypedString(typed) => &typed.value.value,
        Expr::Cast { expr, .. } => return time(expr, moment),
        _ => return Err(not_a_time()),
    };
    match value {
        Value::SingleQuotedString(text) => read_time(text, moment.time_zone),
        Value::Placeholder(name) => match parameter(name, moment.parameters).ok_or_else(not_a_time)? {
            None => Ok(VersionSelector::Latest),
            Some(value) => parameter_time(value, moment.time_zone),
        },
        _ => Err(not_a_time()),
    }
}

fn parameter_time(value: &ScalarValue, time_zone: &str) -> Result<VersionSelector, Error> {
    if let Some(Some(text)) = value.try_as_str() {
        return read_time(text, time_zone);
    }
    let zoned = matches!(value.data_type(), DataType::Timestamp(_, Some(_)));
    let text = value.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, zoned.then(|| "UTC".into())));
    match text.map_err(|_| not_a_time())? {
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let at = DateTime::from_timestamp_micros(micros).ok_or_else(not_a_time)?;
            match zone {
                Some(_) => Ok(VersionSelector::AsOf(at)),
                None => read_time(&at.naive_utc().to_string(), time_zone),
            }
        }
        _ => Err(not_a_time()),
    }
}

fn read_time(text: &str, time_zone: &str) -> Result<VersionSelector, Error> {
    let zone: Tz = time_zone.parse().map_err(|_| not_a_time())?;
    let at = string_to_datetime(&zone, &spelt_out(text.trim())).map_err(|_| {
        Error::new(SqlState::INVALID_DATETIME_FORMAT, "invalid input syntax for type timestamp with time zone")
    })?;
    Ok(VersionSelector::AsOf(at.with_timezone(&Utc)))
}

/// `2026-01-27 12:00+01` as `2026-01-27 12:00:00+01:00`: Arrow's parser wants seconds, and minutes of a zone.
fn spelt_out(text: &str) -> String {
    let Some((date, time)) = text.split_once([' ', 'T']) else { return text.to_owned() };
    let zone_at = time.find(['+', '-', 'Z', 'z', ' ']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let seconds = if clock.matches(':').count() == 1 { ":00" } else { "" };
    let is_hour = zone.len() == 3 && zone.starts_with(['+', '-']);
    format!("{date} {clock}{seconds}{zone}{}", if is_hour { ":00" } else { "" })
}

fn not_a_version() -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, "VERSION AS OF takes a whole number, as a constant or a parameter")
}

fn not_a_time() -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, "TIMESTAMP AS OF takes a time, as a constant or a parameter")
}

/// Only the parser makes marked names.
fn refuse_forged(name: &ObjectName) -> ControlFlow<Box<Error>> {
    let own = |value: &str| [TARGET_MARK, HISTORY_MARK, CLIENT_MARK].iter().any(|mark| value.ends_with(mark));
    let mut names = name.0.iter().filter_map(ObjectNamePart::as_ident);
    if names.any(|ident| ident.value.contains(SEPARATOR) && !own(&ident.value)) {
        let error = Error::new(SqlState::INVALID_NAME, "names cannot hold control characters");
        return ControlFlow::Break(Box::new(error));
    }
    ControlFlow::Continue(())
}

fn fold(name: &mut ObjectName, alias: &mut Option<TableAlias>, selector: VersionSelector) {
    let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() else { return };
    alias.get_or_insert_with(|| alias_of(last.clone()));
    let folded = if last.quote_style.is_some() { last.value.clone() } else { last.value.to_lowercase() };
    let value = match selector {
        VersionSelector::Latest => folded,
        VersionSelector::Exact(version) => format!("{folded}{SEPARATOR}{version}"),
        VersionSelector::AsOf(at) => format!("{folded}{SEPARATOR}@{}", at.timestamp_micros()),
    };
    *last = Ident { value, quote_style: Some('"'), span: last.span };
}

fn alias_of(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

/// Takes a marked name apart.
pub(crate) fn unmark(marked: &TableReference) -> Result<(TableReference, Mark), Error> {
    let Some((table, mark)) = marked.table().split_once(SEPARATOR) else {
        return Ok((marked.clone(), Mark::At(VersionSelector::Latest)));
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| not_a_version());
    let optional = |text: &str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
    let mark = match (mark.chars().next(), mark.get(1..).unwrap_or_default()) {
        (Some('#'), _) => Mark::Target,
        (Some('?'), _) => Mark::History,
        (Some('<'), _) => Mark::Client,
        (Some('@'), micros) => {
            let at = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or_else(not_a_time)?;
            Mark::At(VersionSelector::AsOf(at))
        }
        (Some('+'), range) => {
            let (from, to) = range.split_once(':').ok_or_else(not_a_version)?;
            Mark::Changes(optional(from)?, optional(to)?)
        }
        _ => Mark::At(VersionSelector::Exact(number(mark)?)),
    };
    let name = match (marked.catalog(), marked.schema()) {
        (Some(catalog), Some(schema)) => TableReference::full(catalog, schema, table),
        (None, Some(schema)) => TableReference::partial(schema, table),
        _ => TableReference::bare(table),
    };
    Ok((name, mark))
}

#[cfg(test)]
mod tests {
    use super::{Mark, Moment, VersionSelector, mark, unmark};
    use crate::statement::{Kind, parse};
    use datafusion::common::ScalarValue;
    use datafusion::common::TableReference;
    use datafusion::sql::sqlparser::ast::{self, Ident, ObjectName, ObjectNamePart, Query};
    use std::ops::ControlFlow;

    fn query(sql: &str) -> Query {
        match parse(sql).unwrap().kind {
            Kind::Query(query) => *query,
            _ => unreachable!(),
        }
    }

    fn with(parameters: &[ScalarValue]) -> Moment<'_> {
        Moment { parameters, time_zone: "Europe/Vienna" }
    }

    /// The mark of the first table, after folding.
    fn marked(sql: &str, parameters: &[ScalarValue]) -> Mark {
        let mut query = query(sql);
        mark(&mut query, with(parameters)).unwrap();
        let mut found = None;
        let _: ControlFlow<()> = ast::visit_relations(&query, |name| {
            let last = name.0.last().and_then(ObjectNamePart::as_ident).unwrap();
            found = Some(unmark(&TableReference::bare(last.value.clone())).unwrap());
            ControlFlow::Break(())
        });
        let (name, mark) = found.unwrap();
        assert_eq!(name.table(), "t");
        mark
    }

    #[test]
    fn times_are_read_in_the_sessions_zone() {
        let noon = Mark::At(VersionSelector::AsOf("2026-01-27T11:00:00Z".parse().unwrap()));
        for sql in [
            "SELECT * FROM t TIMESTAMP AS OF '2026-01-27 12:00:00'",
            "SELECT * FROM t FOR TIMESTAMP AS OF '2026-01-27 12:00:00+01' AS x",
            "SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-27 12:00:00' x",
            "SELECT * FROM t FOR SYSTEM_TIME AS OF '2026-01-27 12:00:00'::timestamptz x",
        ] {
            assert_eq!(marked(sql, &[]), noon, "{sql}");
        }
        let parameter = ScalarValue::from("2026-01-27 12:00");
        assert_eq!(marked("SELECT * FROM t TIMESTAMP AS OF $1 x", &[parameter]), noon);
        let micros = ScalarValue::TimestampMicrosecond(Some(1_769_511_600_000_000), Some("UTC".into()));
        assert_eq!(marked("SELECT * FROM t FOR SYSTEM_TIME AS OF $1 x", &[micros]), noon);
        assert_eq!(
            marked("SELECT * FROM t FOR VERSION AS OF $1 x", &[ScalarValue::from(3_i32)]),
            Mark::At(VersionSelector::Exact(3))
        );
        for sql in ["SELECT * FROM t TIMESTAMP AS OF now()", "SELECT * FROM t FOR SYSTEM_VERSION AS OF 3"] {
            assert!(parse(sql).is_err(), "{sql}");
        }
        assert!(mark(&mut query("SELECT * FROM t TIMESTAMP AS OF 'soon'"), Moment::UTC).is_err());
    }

    #[test]
    fn changes_become_a_name_too() {
        assert_eq!(marked("SELECT * FROM table_changes('t', 3)", &[]), Mark::Changes(Some(3), None));
        assert_eq!(marked("SELECT * FROM table_changes('T', 3, 5) c", &[]), Mark::Changes(Some(3), Some(5)));
        let one = ScalarValue::from(1_i64);
        assert_eq!(marked("SELECT * FROM table_changes('t', $1)", &[one]), Mark::Changes(Some(1), None));
        for sql in [
            "SELECT * FROM table_changes('t')",
            "SELECT * FROM table_changes(t, 1)",
            "SELECT * FROM table_changes('t;', 1)",
        ] {
            assert!(mark(&mut query(sql), Moment::UTC).is_err(), "{sql}");
        }
    }

    #[test]
    fn a_version_becomes_part_of_the_name_and_the_alias_stays() {
        let mut marked = query("SELECT Patients.age FROM Patients VERSION AS OF 3");
        mark(&mut marked, Moment::UTC).unwrap();
        assert_eq!(marked.to_string(), "SELECT Patients.age FROM \"patients\u{1}3\" AS Patients");
    }

    #[test]
    fn parameters_give_versions() {
        let mut marked = query("SELECT * FROM t VERSION AS OF $1 x");
        mark(&mut marked, with(&[ScalarValue::Int64(Some(7))])).unwrap();
        assert_eq!(marked.to_string(), "SELECT * FROM \"t\u{1}7\" x");
        let mut negative = query("SELECT * FROM t VERSION AS OF $1 x");
        assert!(mark(&mut negative, with(&[ScalarValue::Int64(Some(-1))])).is_err());
    }

    #[test]
    fn a_forged_name_is_refused() {
        assert!(parse("SELECT * FROM \"t\u{1}3\"").is_err(), "the lexer refuses control characters");
        let mut forged = query("SELECT * FROM t");
        rename_first_table(&mut forged, "t\u{1}3");
        assert!(mark(&mut forged, Moment::UTC).is_err());
    }

    fn rename_first_table(query: &mut Query, to: &str) {
        let _: ControlFlow<()> = ast::visit_relations_mut(query, |name| {
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', to))]);
            ControlFlow::Break(())
        });
    }

    #[test]
    fn unmark_is_the_inverse() {
        let (name, at) = unmark(&TableReference::partial("s", "t\u{1}12")).unwrap();
        assert_eq!((name, at), (TableReference::partial("s", "t"), Mark::At(VersionSelector::Exact(12))));
    }
}
