//! What can be told of a parameter's type from where it stands, before anything is known of its value.
//!
//! Invariant: what the client said of a parameter is never overruled.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::sql::sqlparser::ast::{self, Visit, Visitor};

use crate::ddl;
use crate::postgres::EQUALS_ANY;

/// Functions whose arguments have one type.
const ALIKE: &[&str] = &["coalesce", "nullif", "greatest", "least", "nvl", "ifnull"];

/// What the client said of each parameter, else the type that the statement casts it to (`$1::date`), else what a
/// clause takes: LIMIT and OFFSET numbers, CASE WHEN conditions.
pub(crate) fn hints(query: &ast::Query, types: &[Option<DataType>], count: usize) -> Vec<Option<FieldRef>> {
    let field = |data_type: DataType| -> FieldRef { Arc::new(Field::new("", data_type, true)) };
    let said = (0..count).map(|index| types.get(index).cloned().flatten().map(field)).collect();
    let mut clauses = Clauses { hints: said };
    let _: ControlFlow<()> = query.visit(&mut clauses);
    clauses.hints
}

struct Clauses {
    hints: Vec<Option<FieldRef>>,
}

impl Clauses {
    fn hint(&mut self, expr: &ast::Expr, data_type: DataType) {
        if let Some(index) = parameter(expr)
            && let Some(hint @ None) = self.hints.get_mut(index)
        {
            *hint = Some(Arc::new(Field::new("", data_type, true)));
        }
    }
}

impl Clauses {
    /// PostgreSQL's array types are the same for any number of dimensions, the planner's are not: what the client said is
    /// an array gets the dimensions that it is cast to.
    fn deepen(&mut self, expr: &ast::Expr, cast_to: &DataType) {
        let said = parameter(expr).and_then(|index| self.hints.get_mut(index)).and_then(Option::as_mut);
        if let Some(said) = said
            && let (DataType::List(element), DataType::List(_)) = (said.data_type(), cast_to)
            && !matches!(element.data_type(), DataType::List(_))
        {
            *said = Arc::new(Field::new("", shaped(element.data_type(), cast_to), true));
        }
    }
}

/// `element` in as many lists as `like` has.
fn shaped(element: &DataType, like: &DataType) -> DataType {
    match like {
        DataType::List(item) => DataType::List(Arc::new(Field::new("item", shaped(element, item.data_type()), true))),
        _ => element.clone(),
    }
}

/// The type of a cast; `int unsigned` is what OIDs have become.
fn cast_type(data_type: &ast::DataType) -> Option<DataType> {
    match data_type {
        ast::DataType::IntUnsigned(None) => Some(DataType::UInt32),
        ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => {
            Some(DataType::List(Arc::new(Field::new("item", cast_type(element)?, true))))
        }
        other => ddl::types::from_written(other).ok().map(|(_, arrow_type)| arrow_type),
    }
}

impl Visitor for Clauses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        match &query.limit_clause {
            Some(ast::LimitClause::LimitOffset { limit, offset, .. }) => {
                let offset = offset.as_ref().map(|offset| &offset.value);
                limit.iter().chain(offset).for_each(|number| self.hint(number, DataType::Int64));
            }
            Some(ast::LimitClause::OffsetCommaLimit { offset, limit }) => {
                [offset, limit].into_iter().for_each(|number| self.hint(number, DataType::Int64));
            }
            None => {}
        }
        if let Some(number) = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()) {
            self.hint(number, DataType::Int64);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Cast { expr, data_type, .. } => {
                if let Some(cast_to) = cast_type(data_type) {
                    self.deepen(expr, &cast_to);
                    self.hint(expr, cast_to);
                }
            }
            ast::Expr::Case { operand: None, conditions, .. } => {
                conditions.iter().for_each(|when| self.hint(&when.condition, DataType::Boolean));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The index from 0 of a parameter that stands alone.
fn parameter(expr: &ast::Expr) -> Option<usize> {
    let ast::Expr::Value(value) = expr else { return None };
    let ast::Value::Placeholder(name) = &value.value else { return None };
    let number: usize = name.trim_start_matches('$').parse().ok()?;
    number.checked_sub(1)
}

/// Types of parameters that the planner does not tell, by name: those of what stands beside them in `coalesce`, IN and
/// CASE.
pub(crate) fn beside(plan: &LogicalPlan) -> Result<HashMap<String, DataType>> {
    let mut found = HashMap::new();
    plan.apply_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        node.inputs().iter().for_each(|input| schema.merge(input.schema()));
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                note(&alike(part), &schema, &mut found);
                note_array(part, &schema, &mut found);
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// `x = ANY ($1)`: an array of what `x` is.
fn note_array(expr: &Expr, schema: &DFSchema, found: &mut HashMap<String, DataType>) {
    if let Expr::ScalarFunction(call) = expr
        && call.name() == EQUALS_ANY
        && let [value, Expr::Placeholder(array)] = call.args.as_slice()
        && array.field.is_none()
        && let Ok(element) = value.get_type(schema)
        && element != DataType::Null
    {
        let element = if element == DataType::Utf8View { DataType::Utf8 } else { element };
        let list = DataType::List(Arc::new(Field::new("item", element, true)));
        found.entry(array.id.clone()).or_insert(list);
    }
}

/// The operands that an expression brings to one type.
fn alike(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::ScalarFunction(function) if ALIKE.contains(&function.name()) => function.args.iter().collect(),
        Expr::InList(list) => std::iter::once(list.expr.as_ref()).chain(&list.list).collect(),
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            results.chain(case.else_expr.as_deref()).collect()
        }
        _ => Vec::new(),
    }
}

fn note(operands: &[&Expr], schema: &DFSchema, found: &mut HashMap<String, DataType>) {
    let untyped = |operand: &&&Expr| matches!(operand, Expr::Placeholder(placeholder) if placeholder.field.is_none());
    let known = || {
        let others = operands.iter().filter(|operand| !untyped(operand));
        others.filter_map(|operand| operand.get_type(schema).ok()).find(|data_type| *data_type != DataType::Null)
    };
    for operand in operands.iter().filter(untyped) {
        if let Expr::Placeholder(placeholder) = operand
            && let Some(data_type) = known()
        {
            found.entry(placeholder.id.clone()).or_insert(data_type);
        }
    }
}
