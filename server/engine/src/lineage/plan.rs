//! The columns of each node of a plan, from those of its inputs.
//!
//! Invariant: each node is taken once, so that the work grows with the plan and not with the ways through it; what
//! chooses rows (WHERE, ON, ORDER BY, LIMIT) makes no value of them.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, Join, JoinType, LogicalPlan, TableScan, Values, Window};
use lakeward_govern::{GovernedTable, SystemTable};

use super::{Origin, Source, Walk};
use crate::names::TABLE_FUNCTIONS;

impl Walk {
    /// One source for each column of the plan.
    pub(super) fn plan(&mut self, plan: &LogicalPlan) -> Vec<Source> {
        let width = plan.schema().fields().len();
        let found = match plan {
            LogicalPlan::Projection(projection) => self.over(&projection.input, &projection.expr),
            LogicalPlan::Filter(filter) => {
                let columns = self.plan(&filter.input);
                self.choose(&filter.predicate, &[(filter.input.schema(), &columns)]);
                columns
            }
            LogicalPlan::Sort(sort) => self.plan(&sort.input),
            LogicalPlan::Limit(limit) => self.plan(&limit.input),
            LogicalPlan::Repartition(repartition) => self.plan(&repartition.input),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Subquery(subquery) => self.plan(&subquery.subquery),
            LogicalPlan::Distinct(Distinct::All(input)) => self.plan(input),
            LogicalPlan::Distinct(Distinct::On(on)) => self.over(&on.input, &on.select_expr),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => {
                let inputs: Vec<_> = union.inputs.iter().map(|input| self.plan(input)).collect();
                (0..width)
                    .map(|index| Source::merged(inputs.iter().filter_map(|one| one.get(index).cloned())))
                    .collect()
            }
            LogicalPlan::Values(values) => self.values(values, width),
            LogicalPlan::EmptyRelation(_) => vec![Source::default(); width],
            LogicalPlan::Unnest(unnest) => {
                let input = self.plan(&unnest.input);
                let of = |index: &usize| input.get(*index).cloned().unwrap_or_default().elsewhere();
                unnest.dependency_indices.iter().map(of).collect()
            }
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::RecursiveQuery(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::Extension(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::DescribeTable(_) => Vec::new(),
        };
        if found.len() == width { found } else { vec![self.everything(plan); width] }
    }

    /// Expressions over an input.
    fn over(&mut self, input: &LogicalPlan, expressions: &[Expr]) -> Vec<Source> {
        let columns = self.plan(input);
        expressions.iter().map(|expr| self.expression(expr, input.schema(), &columns)).collect()
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Vec<Source> {
        let input = self.plan(&aggregate.input);
        let schema = aggregate.input.schema();
        let Ok(keys) = grouping_set_to_exprlist(&aggregate.group_expr) else { return Vec::new() };
        let sets = matches!(aggregate.group_expr.first(), Some(Expr::GroupingSet(_)));
        let mut found: Vec<_> = keys.into_iter().map(|key| self.expression(key, schema, &input)).collect();
        if sets {
            // In some of the sets a key is NULL while another stays, and there is their number.
            found = found.into_iter().map(Source::elsewhere).collect();
            found.push(Source::default());
        }
        found.extend(aggregate.aggr_expr.iter().map(|expr| self.expression(expr, schema, &input)));
        found
    }

    fn window(&mut self, window: &Window) -> Vec<Source> {
        let input = self.plan(&window.input);
        let of = |expr: &Expr| self.expression(expr, window.input.schema(), &input);
        let found: Vec<_> = window.window_expr.iter().map(of).collect();
        input.into_iter().chain(found).collect()
    }

    fn join(&mut self, join: &Join) -> Vec<Source> {
        let left = self.plan(&join.left);
        // What is on the right of LATERAL may refer to it.
        self.outer.push((Arc::clone(join.left.schema()), left.clone()));
        let right = self.plan(&join.right);
        self.outer.pop();
        let (left_side, right_side) = ((join.left.schema(), left.as_slice()), (join.right.schema(), right.as_slice()));
        for condition in join.on.iter().flat_map(|(left, right)| [left, right]).chain(&join.filter) {
            self.choose(condition, &[left_side, right_side]);
        }
        match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                left.into_iter().chain(right).collect()
            }
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            JoinType::RightSemi | JoinType::RightAnti => right,
            JoinType::LeftMark => {
                let mark = Source::merged(left.iter().chain(&right).cloned());
                left.into_iter().chain([mark]).collect()
            }
            JoinType::RightMark => {
                let mark = Source::merged(left.iter().chain(&right).cloned());
                right.into_iter().chain([mark]).collect()
            }
        }
    }

    fn values(&mut self, values: &Values, width: usize) -> Vec<Source> {
        let (schema, none): (DFSchemaRef, &[Source]) = (Arc::new(DFSchema::empty()), &[]);
        let mut column = |index: usize| {
            let cells = values.values.iter().filter_map(|row| row.get(index));
            Source::merged(cells.map(|cell| self.expression(cell, &schema, none)).collect::<Vec<_>>())
        };
        (0..width).map(&mut column).collect()
    }

    fn scan(&mut self, scan: &TableScan) -> Vec<Source> {
        if let Some(inlined) = scan.source.get_logical_plan() {
            let columns = self.plan(&inlined);
            let Some(projection) = &scan.projection else { return columns };
            return projection.iter().filter_map(|index| columns.get(*index).cloned()).collect();
        }
        let width = scan.projected_schema.fields().len();
        let Some(decision) = self.read(scan) else { return vec![Source::default(); width] };
        self.scans += 1;
        if self.whole {
            let origin = |column: &datafusion::common::Column| Origin {
                table: decision.table,
                version: decision.version,
                column: column.name.clone(),
            };
            self.chosen.extend(scan.filters.iter().flat_map(Expr::column_refs).map(origin));
        }
        let number = self.scans;
        let column = |name: &String| {
            let origin = Origin { table: decision.table, version: decision.version, column: name.clone() };
            Source { origins: [origin].into(), scan: Some(number), exact: true }
        };
        scan.projected_schema.fields().iter().map(|field| column(field.name())).collect()
    }

    /// The decision about a scanned table; `None` where it is none.
    fn read(&mut self, scan: &TableScan) -> Option<Arc<lakeward_govern::TableDecision>> {
        let provider = source_as_provider(&scan.source).ok()?;
        if let Some(table) = provider.downcast_ref::<GovernedTable>() {
            let decision = Arc::clone(table.decision());
            self.decisions.push(Arc::clone(&decision));
            return Some(decision);
        }
        let counts = |table: &SystemTable| TABLE_FUNCTIONS.contains(&table.name());
        self.foreign |= !provider.downcast_ref::<SystemTable>().is_some_and(counts);
        None
    }

    /// Values of all that a plan reads, and of all that it may refer to.
    pub(super) fn everything(&mut self, plan: &LogicalPlan) -> Source {
        let mut found = Source::merged(self.outer.iter().flat_map(|(_, columns)| columns.iter().cloned()));
        // The closure never fails, so neither does the walk.
        let _ = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let columns = if scan_of_working_table(scan) { Vec::new() } else { self.scan(scan) };
                found.origins.extend(columns.into_iter().flat_map(|column| column.origins));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        found
    }
}

/// What a recursive query has found so far: nothing that its terms do not read.
fn scan_of_working_table(scan: &TableScan) -> bool {
    source_as_provider(&scan.source)
        .is_ok_and(|provider| provider.downcast_ref::<datafusion::catalog::cte_worktable::CteWorkTable>().is_some())
}
