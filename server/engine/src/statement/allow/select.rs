//! SELECT and its clauses.
//!
//! Invariant: see [`super`].

use datafusion::sql::sqlparser::ast::{
    Distinct, GroupByExpr, Join, JoinConstraint, JoinOperator, NamedWindowDefinition, NamedWindowExpr, Select,
    SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, TableWithJoins, WildcardAdditionalOptions,
};
use lakeward_base::SqlState;

use super::query::refuse_named_windows;
use super::{Checker, call, refuse_if, refused};
use crate::error::Error;

/// Entries of a target list, as PostgreSQL's: planning one takes time with the square of its length.
const TARGETS: usize = 1664;

fn check_length(projection: &[SelectItem]) -> Result<(), Error> {
    if projection.len() <= TARGETS {
        return Ok(());
    }
    let message = format!("target lists can have at most {TARGETS} entries");
    Err(Error::new(SqlState::TOO_MANY_COLUMNS, message))
}

pub(super) fn check(checker: &Checker<'_>, select: &Select) -> Result<(), Error> {
    let Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor,
    } = select;
    refuse_if(!optimizer_hints.is_empty(), "an optimizer hint", "Leave it out.")?;
    refuse_if(select_modifiers.is_some(), "a MySQL modifier of SELECT", "Leave it out.")?;
    refuse_if(top.is_some(), "TOP", "Use LIMIT.")?;
    refuse_if(exclude.is_some(), "EXCLUDE", "Name the columns.")?;
    refuse_if(into.is_some(), "SELECT INTO", "Use CREATE TABLE AS.")?;
    refuse_if(!lateral_views.is_empty(), "LATERAL VIEW", "Use CROSS JOIN LATERAL or unnest().")?;
    refuse_if(prewhere.is_some(), "PREWHERE", "Use WHERE.")?;
    refuse_if(!connect_by.is_empty(), "CONNECT BY", "Use WITH RECURSIVE.")?;
    refuse_if(!cluster_by.is_empty(), "CLUSTER BY", "Leave it out.")?;
    refuse_if(!distribute_by.is_empty(), "DISTRIBUTE BY", "Leave it out.")?;
    refuse_if(!sort_by.is_empty(), "SORT BY", "Use ORDER BY.")?;
    refuse_if(qualify.is_some(), "QUALIFY", "Use a subquery and WHERE.")?;
    refuse_if(value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE", "Leave it out.")?;
    refuse_if(!matches!(flavor, SelectFlavor::Standard), "FROM before SELECT", "Write SELECT first.")?;
    check_length(projection)?;
    check_distinct(distinct.as_ref())?;
    check_group_by(group_by)?;
    refuse_named_windows(selection)?;
    refuse_named_windows(having)?;
    named_window.iter().try_for_each(check_window)?;
    projection.iter().try_for_each(|item| check_item(checker, item))?;
    from.iter().try_for_each(|TableWithJoins { relation: _, joins }| check_joins(joins))
}

pub(super) fn check_joins(joins: &[Join]) -> Result<(), Error> {
    joins.iter().try_for_each(check_join)
}

fn check_distinct(distinct: Option<&Distinct>) -> Result<(), Error> {
    match distinct {
        None | Some(Distinct::All | Distinct::Distinct) => Ok(()),
        Some(Distinct::On(expressions)) => refuse_named_windows(expressions),
    }
}

fn check_group_by(group_by: &GroupByExpr) -> Result<(), Error> {
    match group_by {
        GroupByExpr::All(_) => Err(refused("GROUP BY ALL", "Name the columns.")),
        GroupByExpr::Expressions(expressions, modifiers) => {
            refuse_if(!modifiers.is_empty(), "GROUP BY … WITH", "Use ROLLUP, CUBE or GROUPING SETS (…).")?;
            refuse_named_windows(expressions)
        }
    }
}

fn check_window(definition: &NamedWindowDefinition) -> Result<(), Error> {
    let NamedWindowDefinition(_, window) = definition;
    match window {
        NamedWindowExpr::NamedWindow(_) => Err(refused("a window named after another", "Write the window out.")),
        NamedWindowExpr::WindowSpec(spec) => call::check_window(spec),
    }
}

fn check_item(checker: &Checker<'_>, item: &SelectItem) -> Result<(), Error> {
    match item {
        SelectItem::UnnamedExpr(_) => Ok(()),
        SelectItem::ExprWithAlias { expr: _, alias } => checker.check_alias(alias),
        SelectItem::ExprWithAliases { expr: _, aliases: _ } => {
            Err(refused("several aliases for one expression", "Give one alias."))
        }
        SelectItem::QualifiedWildcard(kind, options) => {
            check_wildcard(options)?;
            match kind {
                SelectItemQualifiedWildcardKind::ObjectName(name) => checker.check_name(name),
                SelectItemQualifiedWildcardKind::Expr(_) => Err(refused("(expression).*", "Name the fields.")),
            }
        }
        SelectItem::Wildcard(options) => check_wildcard(options),
    }
}

pub(super) fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<(), Error> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let any = opt_ilike.is_some()
        || opt_exclude.is_some()
        || opt_except.is_some()
        || opt_replace.is_some()
        || opt_rename.is_some()
        || opt_alias.is_some();
    refuse_if(any, "an option of *", "Name the columns.")
}

fn check_join(join: &Join) -> Result<(), Error> {
    let Join { relation: _, global, join_operator } = join;
    refuse_if(*global, "GLOBAL JOIN", "Leave GLOBAL out.")?;
    match join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => match constraint {
            JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural => Ok(()),
            JoinConstraint::None => {
                Err(Error::new(SqlState::SYNTAX_ERROR, "JOIN without ON or USING").with_hint("Use CROSS JOIN."))
            }
        },
        JoinOperator::CrossJoin(JoinConstraint::None) => Ok(()),
        JoinOperator::CrossJoin(JoinConstraint::On(_) | JoinConstraint::Using(_) | JoinConstraint::Natural) => {
            Err(Error::new(SqlState::SYNTAX_ERROR, "CROSS JOIN with a condition").with_hint("Use JOIN … ON."))
        }
        JoinOperator::Semi(_) | JoinOperator::LeftSemi(_) | JoinOperator::RightSemi(_) => {
            Err(refused("SEMI JOIN", "Use EXISTS (…)."))
        }
        JoinOperator::Anti(_) | JoinOperator::LeftAnti(_) | JoinOperator::RightAnti(_) => {
            Err(refused("ANTI JOIN", "Use NOT EXISTS (…)."))
        }
        JoinOperator::CrossApply | JoinOperator::OuterApply => Err(refused("APPLY", "Use JOIN LATERAL.")),
        JoinOperator::AsOf { match_condition: _, constraint: _ } => {
            Err(refused("ASOF JOIN", "Use LATERAL with ORDER BY and LIMIT 1."))
        }
        JoinOperator::StraightJoin(_) => Err(refused("STRAIGHT_JOIN", "Use JOIN.")),
        JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin => {
            Err(refused("ARRAY JOIN", "Use CROSS JOIN unnest(…)."))
        }
    }
}
