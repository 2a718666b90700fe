//! What leaves the engine: names of result columns, as PostgreSQL gives them (`FigureColname` in its parser), and
//! timestamps in microseconds, which is what a timestamp is in Lakeward whichever function made it.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimeUnit};
use datafusion::sql::sqlparser::ast::{Expr, Function, Ident, ObjectNamePart, Query, SelectItem, SetExpr};

/// `schema` as a result has it: under these names (`None` keeps a name), with types as [`settled`].
pub(crate) fn result_schema(schema: &Schema, names: &[Option<String>]) -> Schema {
    let leave = |(index, field): (usize, &FieldRef)| -> Field {
        let field = field.as_ref().clone();
        let data_type = settled(field.data_type());
        let field = field.with_data_type(data_type);
        match names.get(index).and_then(Option::as_ref) {
            Some(name) => field.with_name(name),
            None => field,
        }
    };
    Schema::new(schema.fields().iter().enumerate().map(leave).collect::<Vec<_>>())
}

/// The type as which values of `data_type` leave.
fn settled(data_type: &DataType) -> DataType {
    let inside = |item: &FieldRef| {
        let data_type = settled(item.data_type());
        std::sync::Arc::new(item.as_ref().clone().with_data_type(data_type))
    };
    match data_type {
        DataType::Timestamp(_, zone) => {
            // The planner's clock says `+00:00`.
            let zone = zone.as_ref().map(|zone| if zone.as_ref() == "+00:00" { "UTC".into() } else { zone.clone() });
            DataType::Timestamp(TimeUnit::Microsecond, zone)
        }
        DataType::List(item) => DataType::List(inside(item)),
        DataType::LargeList(item) => DataType::LargeList(inside(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inside(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inside).collect()),
        other => other.clone(),
    }
}

/// Names for `width` result columns of `query`; `None` keeps what the planner called a column.
pub(crate) fn column_names(query: &Query, width: usize) -> Vec<Option<String>> {
    let Some(items) = items_of(&query.body) else {
        return values_names(&query.body, width);
    };
    let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    let wildcards = items.iter().filter(|item| is_wildcard(item)).count();
    let named = items.len() - wildcards;
    // With two wildcards nobody can tell from the syntax how many columns each stands for.
    if wildcards > 1 || named > width || (wildcards == 0 && named != width) {
        return vec![None; width];
    }
    let mut names = Vec::with_capacity(width);
    for item in items {
        if is_wildcard(item) {
            names.extend(std::iter::repeat_n(None, width - named));
        } else {
            names.push(item_name(item));
        }
    }
    names
}

fn items_of(body: &SetExpr) -> Option<&[SelectItem]> {
    match body {
        SetExpr::Select(select) => Some(&select.projection),
        SetExpr::Query(query) => items_of(&query.body),
        SetExpr::SetOperation { left, .. } => items_of(left),
        _ => None,
    }
}

/// `VALUES` names its columns `column1`, `column2`, …: the planner does so too.
fn values_names(_body: &SetExpr, width: usize) -> Vec<Option<String>> {
    vec![None; width]
}

fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(expr_name(expr).unwrap_or_else(|| "?column?".to_owned())),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// The name of a column that is this expression; `None`: `?column?`.
pub(crate) fn name_of(expr: &Expr) -> Option<String> {
    expr_name(expr)
}

fn expr_name(expr: &Expr) -> Option<String> {
    named(expr).map(|(name, _)| name)
}

/// A name, and whether it wins over that of a cast around the expression. Each part is asked once: a chain of casts that
/// were asked twice would take twice as long with each.
/// Source: `FigureColnameInternal` in PostgreSQL's parse_target.c.
fn named(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: String| Some((name, true));
    let inner_or = |inner: Option<(String, bool)>, own: String| match inner {
        Some((name, true)) => Some((name, true)),
        _ => Some((own, false)),
    };
    match expr {
        Expr::Identifier(ident) => strong(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).and_then(strong),
        Expr::Function(function) => function_name(function).and_then(strong),
        Expr::Cast { expr, data_type, .. } => inner_or(named(expr), type_name(&data_type.to_string())),
        Expr::TypedString(typed) => Some((type_name(&typed.data_type.to_string()), false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Nested(inner) => named(inner),
        Expr::Collate { expr, .. } => named(expr),
        Expr::CompoundFieldAccess { root, .. } => named(root),
        Expr::Case { else_result, .. } => {
            inner_or(else_result.as_ref().and_then(|expr| named(expr)), "case".to_owned())
        }
        Expr::Subquery(query) => {
            let items = items_of(&query.body)?;
            items.first().and_then(item_name).and_then(strong)
        }
        other => syntax_name(other).map(str::to_owned).and_then(strong),
    }
}

/// The name of an expression with a syntax of its own.
fn syntax_name(expr: &Expr) -> Option<&'static str> {
    Some(match expr {
        Expr::Exists { .. } => "exists",
        Expr::Array(_) => "array",
        Expr::Extract { .. } => "extract",
        Expr::Position { .. } => "position",
        Expr::Substring { shorthand: true, .. } => "substr",
        Expr::Substring { .. } => "substring",
        Expr::Trim { .. } => "btrim",
        Expr::Overlay { .. } => "overlay",
        Expr::Ceil { .. } => "ceil",
        Expr::Floor { .. } => "floor",
        Expr::AtTimeZone { .. } => "timezone",
        Expr::Tuple(_) => "row",
        _ => return None,
    })
}

fn function_name(function: &Function) -> Option<String> {
    function.name.0.last().and_then(ObjectNamePart::as_ident).map(folded)
}

fn folded(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// PostgreSQL's internal name of a type, which names a column that is nothing but a cast.
fn type_name(written: &str) -> String {
    let lower = written.to_lowercase();
    let base = lower.split(['(', '[']).next().unwrap_or(&lower).trim();
    match base {
        "int" | "integer" => "int4",
        "bigint" => "int8",
        "smallint" => "int2",
        "real" => "float4",
        "double" | "double precision" | "float" => "float8",
        "boolean" => "bool",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "timestamp with time zone" => "timestamptz",
        "timestamp without time zone" => "timestamp",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::{column_names, result_schema};
    use crate::statement::{Kind, parse};

    #[test]
    fn timestamps_leave_in_microseconds() {
        let instant = |unit, zone: Option<&str>| DataType::Timestamp(unit, zone.map(Into::into));
        let list = |item| DataType::List(std::sync::Arc::new(Field::new("item", item, true)));
        let cases = [
            (instant(TimeUnit::Nanosecond, Some("+00:00")), instant(TimeUnit::Microsecond, Some("UTC"))),
            (instant(TimeUnit::Second, None), instant(TimeUnit::Microsecond, None)),
            (list(instant(TimeUnit::Nanosecond, None)), list(instant(TimeUnit::Microsecond, None))),
            (DataType::Date32, DataType::Date32),
        ];
        for (made, left) in cases {
            let schema = Schema::new(vec![Field::new("a", made, true)]);
            let result = result_schema(&schema, &[Some("b".to_owned())]);
            assert_eq!((result.field(0).name().as_str(), result.field(0).data_type()), ("b", &left));
        }
    }

    fn names(sql: &str, width: usize) -> Vec<Option<String>> {
        match parse(sql).unwrap().kind {
            Kind::Query(query) => column_names(&query, width),
            _ => unreachable!(),
        }
    }

    fn texts(names: &[Option<String>]) -> Vec<&str> {
        names.iter().map(|name| name.as_deref().unwrap_or("-")).collect()
    }

    #[test]
    fn expressions_are_named_as_postgresql_names_them() {
        let sql = "SELECT count(*), avg(p.age), Age, 1 + 1, age::bigint, 5::int, CASE WHEN true THEN 1 END, x AS \"Y\" FROM p";
        assert_eq!(texts(&names(sql, 8)), ["count", "avg", "age", "?column?", "age", "int4", "case", "Y"]);
        let sql = "SELECT 5::int::text, age::int::text, CASE WHEN true THEN 1 ELSE age END, (CASE WHEN true THEN 1 END)::text, \
                   DATE '2024-01-01'::text FROM p";
        assert_eq!(texts(&names(sql, 5)), ["text", "age", "age", "text", "text"]);
    }

    #[test]
    fn a_chain_of_casts_is_named_at_once() {
        let sql = format!("SELECT age{} FROM p", "::int".repeat(90));
        assert_eq!(texts(&names(&sql, 1)), ["age"]);
    }

    #[test]
    fn wildcards_keep_the_tables_names() {
        assert_eq!(texts(&names("SELECT p.*, count(*) OVER () FROM p", 4)), ["-", "-", "-", "count"]);
        assert_eq!(texts(&names("SELECT a.*, b.* FROM a, b", 4)), ["-", "-", "-", "-"]);
    }
}
