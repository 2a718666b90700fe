//! Names of result columns, as PostgreSQL gives them (`FigureColname` in its parser).

use datafusion::sql::sqlparser::ast::{Expr, Function, Ident, ObjectNamePart, Query, SelectItem, SetExpr};

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

fn expr_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::Function(function) => function_name(function),
        Expr::Cast { expr, data_type, .. } => expr_name(expr).or_else(|| Some(type_name(&data_type.to_string()))),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type.to_string())),
        Expr::Nested(inner) => expr_name(inner),
        Expr::Collate { expr, .. } => expr_name(expr),
        Expr::CompoundFieldAccess { root, .. } => expr_name(root),
        Expr::Case { else_result, .. } => {
            let from_else = else_result.as_ref().and_then(|expr| expr_name(expr));
            Some(from_else.unwrap_or_else(|| "case".to_owned()))
        }
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Overlay { .. } => Some("overlay".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::Tuple(_) => Some("row".to_owned()),
        Expr::Subquery(query) => {
            let items = items_of(&query.body)?;
            items.first().and_then(item_name)
        }
        _ => None,
    }
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
    let base = lower.split('(').next().unwrap_or(&lower).trim();
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
    use super::column_names;
    use crate::statement::{Kind, parse};

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
    }

    #[test]
    fn wildcards_keep_the_tables_names() {
        assert_eq!(texts(&names("SELECT p.*, count(*) OVER () FROM p", 4)), ["-", "-", "-", "count"]);
        assert_eq!(texts(&names("SELECT a.*, b.* FROM a, b", 4)), ["-", "-", "-", "-"]);
    }
}
