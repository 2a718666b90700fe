//! Arrays: `ARRAY(SELECT …)`, literals such as `'{0}'`, names of roles.
//!
//! Invariant: `ARRAY(SELECT …)` is an empty array where the query has no rows, never NULL.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, Function, FunctionArguments, GroupByExpr, Ident, Query, Select,
    SelectFlavor, SelectItem, SetExpr, TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins,
};

use super::super::functions::ARRAY_OR_EMPTY;
use super::{definition_of, tree};

/// `ARRAY(SELECT x …)` is the aggregate of x.
pub(super) fn replace_constructor(expression: &mut Expr) {
    let Expr::Function(Function { args: FunctionArguments::Subquery(query), .. }) = expression else { return };
    let aggregated = aggregated(query.as_ref().clone());
    *expression = tree::call(ARRAY_OR_EMPTY, vec![Expr::Subquery(Box::new(aggregated))]);
}

fn aggregated(mut query: Query) -> Query {
    if is_plain(&query) {
        let SetExpr::Select(select) = query.body.as_mut() else { return query };
        let Some(item) = only_item(select).cloned() else { return query };
        let mut outer = query;
        let order = tree::take_order(&mut outer, &item);
        set_item(&mut outer, tree::call_ordered("array_agg", vec![item], order));
        return outer;
    }
    over(query)
}

/// A query with one select item and nothing that an aggregate in its place would change the meaning of.
fn is_plain(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    query.with.is_none()
        && query.limit_clause.is_none()
        && select.distinct.is_none()
        && !grouped
        && select.having.is_none()
        && only_item(select).is_some()
        && !tree::aggregates(select, |_| true)
}

fn only_item(select: &Select) -> Option<&Expr> {
    match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] => Some(item),
        _ => None,
    }
}

fn set_item(query: &mut Query, item: Expr) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.projection = vec![SelectItem::UnnamedExpr(item)];
    }
}

/// `SELECT array_agg(q.c) FROM (query) AS q(c)`.
fn over(query: Query) -> Query {
    let (table, column) = (Ident::new("lakeward_array"), Ident::new("element"));
    let mut outer = query.clone();
    let alias = TableAlias {
        explicit: true,
        name: table,
        columns: vec![TableAliasColumnDef { name: column.clone(), data_type: None }],
        at: None,
    };
    let factor = TableFactor::Derived { lateral: false, subquery: Box::new(query), alias: Some(alias), sample: None };
    let mut select = empty_select();
    select.from = vec![TableWithJoins { relation: factor, joins: Vec::new() }];
    select.projection = vec![SelectItem::UnnamedExpr(tree::call("array_agg", vec![Expr::Identifier(column)]))];
    outer.body = Box::new(SetExpr::Select(Box::new(select)));
    outer.with = None;
    outer.order_by = None;
    outer.limit_clause = None;
    outer
}

/// A SELECT without clauses.
fn empty_select() -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: Vec::new(),
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// `ARRAY(SELECT rolname FROM pg_roles WHERE oid = ANY (roles))`, as psql asks for a policy's roles.
pub(super) fn replace_role_names(expression: &mut Expr) {
    let Expr::Function(Function { args: FunctionArguments::Subquery(query), .. }) = expression else { return };
    if let Some(roles) = roles_asked_for(query).cloned() {
        *expression = tree::call("lakeward_role_names", vec![roles]);
    }
}

fn roles_asked_for(query: &Query) -> Option<&Expr> {
    let select = tree::select_of(query)?;
    let [TableWithJoins { relation: TableFactor::Table { name, args: None, .. }, joins }] = select.from.as_slice()
    else {
        return None;
    };
    let of_roles = joins.is_empty() && definition_of(name).is_some_and(|found| found.name == "pg_roles");
    let item = only_item(select).and_then(last_name);
    let Some(Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. }) = &select.selection else { return None };
    let by_oid = last_name(left).is_some_and(|name| name.eq_ignore_ascii_case("oid"));
    let fits = of_roles && by_oid && item.is_some_and(|name| name.eq_ignore_ascii_case("rolname"));
    let roles = if let Expr::Nested(inner) = right.as_ref() { inner } else { right };
    (fits && last_name(roles).is_some()).then_some(roles)
}

fn last_name(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Identifier(name) => Some(&name.value),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.as_str()),
        _ => None,
    }
}

/// `oids = '{0}'`: the literal is an array of OIDs.
pub(super) fn read_literal(expression: &mut Expr) {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::NotEq, right } = expression else { return };
    if last_name(left).is_none() {
        return;
    }
    let Some(numbers) = tree::literal(right).and_then(elements) else { return };
    if numbers.is_empty() || !numbers.iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        return;
    }
    let list = tree::list(numbers.iter().map(|number| tree::number(number)).collect());
    let oids = ArrayElemTypeDef::SquareBracket(Box::new(DataType::IntUnsigned(None)), None);
    **right = tree::cast(list, DataType::Array(oids));
}

/// `x = ANY ('{a,b}')`.
pub(super) fn read_any(expression: &mut Expr) {
    let Expr::AnyOp { right, .. } = expression else { return };
    let Some(texts) = tree::literal(right).and_then(elements) else { return };
    if !texts.is_empty() {
        **right = tree::list(texts.iter().map(|text| tree::text(text)).collect());
    }
}

/// The elements of an array literal of one dimension.
fn elements(literal: &str) -> Option<Vec<String>> {
    let inner = literal.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let simple = |part: &str| {
        let part = part.trim().trim_matches('"');
        (!part.is_empty() && !part.contains(['{', '}', '"', '\\'])).then(|| part.to_owned())
    };
    inner.split(',').map(simple).collect()
}

#[cfg(test)]
mod tests {
    use super::elements;

    #[test]
    fn array_literals_are_read() {
        assert_eq!(elements("{0}"), Some(vec!["0".to_owned()]));
        assert_eq!(elements("{r, \"v\"}"), Some(vec!["r".to_owned(), "v".to_owned()]));
        assert_eq!(elements("{}"), Some(Vec::new()));
        assert_eq!(elements("{{1}}"), None);
        assert_eq!(elements("plain"), None);
    }
}
