//! The functions over notes: their named arguments, and what they find, in FROM.
//!
//! Invariant: the planner sees every argument in its place; one that is not named is NULL, which is the default.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Query, SelectItem, SetExpr,
    TableFactor, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use lakeward_base::SqlState;

use super::from::name_table;
use super::node::{call, function_name, string};
use crate::error::Error;
use crate::publish;

/// The function that finds.
pub(super) const DETECT: &str = "phi_detect";

/// The functions and the names of their arguments.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("de_identify", &lakeward_udfs::DE_IDENTIFY_ARGUMENTS),
    (DETECT, &["text", "entities", "threshold"]),
    ("phi_contains", &["text", "entities"]),
];

/// `de_identify(note, mode => 'strict')`: named arguments go to their places.
pub(super) fn place_arguments(function: &mut Function) -> Result<(), Error> {
    let Some(name) = function_name(function) else { return Ok(()) };
    let Some((_, known)) = ARGUMENTS.iter().find(|(function, _)| *function == name) else { return Ok(()) };
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    let mut places: Vec<Option<Expr>> = vec![None; known.len()];
    let mut named = false;
    for (place, argument) in list.args.iter().enumerate() {
        let (place, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) if named => {
                return Err(Error::new(SqlState::SYNTAX_ERROR, "positional argument cannot follow named argument"));
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (Some(place), value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                named = true;
                (known.iter().position(|known| name.value.eq_ignore_ascii_case(known)), value)
            }
            _ => return Ok(()),
        };
        let Some(slot) = place.and_then(|place| places.get_mut(place)) else { return Err(unknown(&name, known)) };
        if slot.replace(value.clone()).is_some() {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "an argument is given twice"));
        }
    }
    if name == lakeward_udfs::OPERATOR_ARGUMENT.0
        && let Some(operator @ None) = places.get_mut(lakeward_udfs::OPERATOR_ARGUMENT.2)
    {
        *operator = Some(string(lakeward_udfs::DEFAULT_OPERATOR));
    }
    let given = places.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let value = |place: Option<Expr>| place.unwrap_or_else(|| Expr::value(Value::Null));
    let placed = |place| FunctionArg::Unnamed(FunctionArgExpr::Expr(value(place)));
    list.args = places.into_iter().take(given).map(placed).collect();
    Ok(())
}

fn unknown(name: &str, known: &[&str]) -> Error {
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} has no such argument"))
        .with_hint(format!("Its arguments are {}.", known.join(", ")))
}

/// The arguments of a call that finds.
pub(super) fn detected(function: &Function) -> Option<Vec<FunctionArg>> {
    match &function.args {
        FunctionArguments::List(list) if function_name(function).as_deref() == Some(DETECT) => Some(list.args.clone()),
        _ => None,
    }
}

/// One row for each find.
const FINDS: &str = "SELECT (finds.find).entity AS entity, (finds.find).start AS start, (finds.find).\"end\" AS \"end\", \
                     (finds.find).score AS score, (finds.find).recognizer AS recognizer FROM (SELECT NULL AS find) AS finds";

/// Puts a query over the finds in the place of the function.
pub(super) fn in_from(factor: &mut TableFactor, arguments: Vec<FunctionArg>) -> Result<(), Error> {
    let alias = match factor {
        TableFactor::Table { alias, .. } | TableFactor::UNNEST { alias, .. } => alias.take(),
        _ => None,
    };
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(FINDS).and_then(|mut parser| parser.parse_query());
    let mut query = parsed.map_err(|_| publish::incident("planning", "finds"))?;
    let mut detect = call(DETECT, Vec::new());
    if let Expr::Function(function) = &mut detect {
        let list = FunctionArgumentList { duplicate_treatment: None, args: arguments, clauses: Vec::new() };
        function.args = FunctionArguments::List(list);
    }
    let Some(find) = inner(&mut query) else { return Err(publish::incident("planning", "finds")) };
    *find = call("unnest", vec![detect]);
    let alias = Some(name_table(alias, DETECT));
    *factor = TableFactor::Derived { lateral: false, subquery: query, alias, sample: None };
    Ok(())
}

/// The one expression of the query that the finds are read from.
fn inner(query: &mut Query) -> Option<&mut Expr> {
    let SetExpr::Select(outer) = query.body.as_mut() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut outer.from.first_mut()?.relation else { return None };
    let SetExpr::Select(inner) = subquery.body.as_mut() else { return None };
    match inner.projection.first_mut()? {
        SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}
