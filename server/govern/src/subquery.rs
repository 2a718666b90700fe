//! From a subquery in a policy's text to the probe of a [`Mapping`].
//!
//! `EXISTS (SELECT … WHERE inner = outer AND own)` becomes a query of its own, `SELECT inner … WHERE own`, and a probe of
//! what that yields with `outer`. Invariants: only equalities tie a subquery to the governed table; the policy's owner may
//! read every mapping table, and nothing of it is hidden from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_catalog::default_table_source::provider_as_source;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, TableReference};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::{Distinct, FetchType, SkipType};
use datafusion_expr::type_coercion::binary::comparison_coercion;
use datafusion_expr::utils::split_conjunction_owned;
use datafusion_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, lit};
use lakeward_catalog::{PolicyRead, Privilege};

use crate::compile::{CompileError, NamedSource, OwnersRights};
use crate::decide::{ResolvedTable, Subject, require_maker, require_privilege};
use crate::mapping::{MappedTable, Mapping};
use crate::principal::Principal;
use crate::session_functions::substitute_session_functions;
use crate::write_check::hides_rows;

impl OwnersRights<'_> {
    /// The tables that a policy's text may name.
    pub(crate) fn sources(&self, reads: &[PolicyRead]) -> Result<Vec<NamedSource>, CompileError> {
        let source = |read: &PolicyRead| {
            let raw = self.compiler.mapping(read.table).ok_or_else(|| CompileError::Mapping(read.name.clone()))?;
            Ok((reference(read), provider_as_source(raw.privileged_provider())))
        };
        reads.iter().map(source).collect()
    }

    /// The reads of a new policy with the columns that its subqueries name.
    pub(crate) fn with_columns(&self, reads: &[PolicyRead], expr: &Expr) -> Result<Vec<PolicyRead>, CompileError> {
        let mut names = BTreeSet::new();
        expr.apply(|node| {
            if let Expr::Exists(datafusion_expr::expr::Exists { subquery, .. })
            | Expr::InSubquery(datafusion_expr::expr::InSubquery { subquery, .. }) = node
            {
                subquery.subquery.apply_with_subqueries(|plan| {
                    plan.apply_expressions(|expr| {
                        names.extend(expr.column_refs().into_iter().map(|column| column.name.clone()));
                        Ok(TreeNodeRecursion::Continue)
                    })
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let complete = |read: &PolicyRead| {
            let unknown = || CompileError::Mapping(read.name.clone());
            let table = self.snapshot.table(read.table).ok_or_else(unknown)?;
            let raw = self.compiler.mapping(read.table).ok_or_else(unknown)?.schema();
            let known = |name: &str| table.columns.iter().find(|column| column.name == name);
            // The log may have columns that the catalog does not know yet: nobody was granted those.
            if let Some(name) = names.iter().find(|name| raw.index_of(name).is_ok() && known(name).is_none()) {
                return Err(CompileError::UnknownColumn(name.clone()));
            }
            let columns = names.iter().filter_map(|name| Some(known(name)?.id)).collect();
            Ok(PolicyRead { columns, ..read.clone() })
        };
        reads.iter().map(complete).collect()
    }

    /// Refuses an expression that has come to read other columns than when it was made: a column that was added later
    /// could stand for one of the governed table.
    pub(crate) fn check_bound(&self, reads: &[PolicyRead], expr: &Expr) -> Result<(), CompileError> {
        for (made, now) in reads.iter().zip(self.with_columns(reads, expr)?) {
            if !now.columns.is_subset(&made.columns) {
                return Err(CompileError::Mapping(made.name.clone()));
            }
        }
        Ok(())
    }

    /// Refuses a mapping table that the owner may not read, or of which anything is hidden from them.
    fn check_mapping(&self, read: &PolicyRead) -> Result<(), CompileError> {
        let denied = || CompileError::Mapping(read.name.clone());
        let table = self.snapshot.table(read.table).ok_or_else(denied)?;
        let owner = Principal::of_role(self.snapshot, self.owner).ok_or_else(denied)?;
        if owner.superuser {
            return Ok(());
        }
        let whole = require_privilege(self.snapshot, table, &owner.role_set(), Privilege::Select).is_ok();
        let columns = self.snapshot.columns_held(&owner.effective_roles, &table.grants, Privilege::Select);
        let by_column = table.grantable && !read.columns.is_empty() && read.columns.is_subset(&columns);
        if !(whole || by_column) || require_maker(&owner, table).is_err() || hides_rows(&owner, table) {
            return Err(denied());
        }
        let raw = self.compiler.mapping(read.table).ok_or_else(denied)?;
        let resolved = ResolvedTable { table: Arc::clone(table), raw, reader: owner.role_set() };
        let subject = Subject::new(self.snapshot, &resolved, self.compiler).map_err(|_| denied())?;
        let masks = subject.masks(&owner).map_err(|_| denied())?;
        if masks.iter().all(Option::is_none) { Ok(()) } else { Err(denied()) }
    }
}

fn reference(read: &PolicyRead) -> TableReference {
    match &read.schema {
        Some(schema) => TableReference::partial(schema.as_str(), read.name.as_str()),
        None => TableReference::bare(read.name.as_str()),
    }
}

/// Puts probes in the place of the subqueries of `expr`, an expression over `schema`.
pub(crate) fn with_probes(
    expr: Expr,
    schema: &DFSchema,
    reads: &[PolicyRead],
    principal: &Principal,
    rights: &OwnersRights<'_>,
) -> Result<Expr, CompileError> {
    if reads.is_empty() {
        return Ok(expr);
    }
    reads.iter().try_for_each(|read| rights.check_mapping(read))?;
    let translator = Translator { schema, reads, principal, rights };
    let mut failed = None;
    let expr = expr
        .transform_up(|node| {
            if failed.is_some() {
                return Ok(Transformed::no(node));
            }
            Ok(match translator.translate(&node) {
                Ok(Some(probe)) => Transformed::yes(probe),
                Ok(None) => Transformed::no(node),
                Err(error) => {
                    failed = Some(error);
                    Transformed::no(node)
                }
            })
        })
        .data()?;
    failed.map_or(Ok(expr), Err)
}

struct Translator<'a> {
    /// Of the governed table.
    schema: &'a DFSchema,
    reads: &'a [PolicyRead],
    principal: &'a Principal,
    rights: &'a OwnersRights<'a>,
}

/// What ties a subquery to the governed table: what is looked up, among what.
#[derive(Default)]
struct Keys {
    outer: Vec<Expr>,
    inner: Vec<Expr>,
    types: Vec<DataType>,
}

impl Translator<'_> {
    fn translate(&self, node: &Expr) -> Result<Option<Expr>, CompileError> {
        let (probe, negated) = match node {
            Expr::Exists(exists) => (self.probe(&exists.subquery.subquery, None)?, exists.negated),
            Expr::InSubquery(is_in) => {
                (self.probe(&is_in.subquery.subquery, Some(is_in.expr.as_ref().clone()))?, is_in.negated)
            }
            _ => return Ok(None),
        };
        Ok(Some(if negated { Expr::Not(Box::new(probe)) } else { probe }))
    }

    fn probe(&self, plan: &LogicalPlan, value: Option<Expr>) -> Result<Expr, CompileError> {
        self.refuse_foreign(plan)?;
        let plan = self.substituted(plan.clone())?;
        let is_in = value.is_some();
        let (input, found) = if is_in { of_in(&plan)? } else { (of_exists(&plan), None) };
        let (input, predicate) = match input {
            LogicalPlan::Filter(filter) if filter.predicate.contains_outer() => {
                (filter.input.as_ref(), Some(filter.predicate.clone()))
            }
            input => (input, None),
        };
        if !input.all_out_ref_exprs().is_empty() || found.as_ref().is_some_and(Expr::contains_outer) {
            return Err(CompileError::Subquery("a reference to the governed table but in a subquery's own WHERE"));
        }
        let (mut keys, mut own) = (Keys::default(), Vec::new());
        for part in predicate.map(split_conjunction_owned).unwrap_or_default() {
            if part.contains_outer() {
                let (outer, inner) = equality(part)?;
                keys.push((outer, self.schema), (inner, input.schema()))?;
            } else {
                own.push(part);
            }
        }
        if let (Some(value), Some(found)) = (value, found) {
            keys.push((value, self.schema), (found, input.schema()))?;
        }
        let plan = key_plan(input, own, &keys)?;
        let mapping = Mapping::new(plan, keys.types, is_in, self.tables(input)?);
        Ok(self.rights.compiler.shared(Arc::new(mapping)).probe(keys.outer))
    }

    /// Refuses what a subquery may not hold, keyed functions that the owner may not call among it.
    fn refuse_foreign(&self, plan: &LogicalPlan) -> Result<(), CompileError> {
        let mut refused = None;
        plan.apply(|node| {
            if matches!(node, LogicalPlan::RecursiveQuery(_)) {
                refused = Some(CompileError::Subquery("a recursive query"));
            }
            node.apply_expressions(|expr| {
                refused = refused.take().or_else(|| foreign(expr)).or_else(|| self.rights.check(expr).err());
                Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })?;
            Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        refused.map_or(Ok(()), Err)
    }

    fn substituted(&self, plan: LogicalPlan) -> Result<LogicalPlan, CompileError> {
        let replaced = plan.transform_up(|node| {
            let preserver = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = preserver.save(&expr);
                Ok(Transformed::yes(name.restore(substitute_session_functions(expr, self.principal)?)))
            })
        })?;
        Ok(replaced.data)
    }

    /// The tables that a subquery reads.
    fn tables(&self, plan: &LogicalPlan) -> Result<Vec<MappedTable>, CompileError> {
        let mut names = Vec::new();
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                names.push(scan.table_name.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut tables: Vec<MappedTable> = Vec::new();
        for name in names {
            let same = |read: &&PolicyRead| read.schema.as_deref() == name.schema() && read.name == name.table();
            let read = self.reads.iter().find(same).ok_or(CompileError::Unsupported)?;
            let missing = || CompileError::Mapping(read.name.clone());
            let raw = self.rights.compiler.mapping(read.table).ok_or_else(missing)?;
            let table = self.rights.snapshot.table(read.table).ok_or_else(missing)?;
            let columns = table.columns.iter().filter(|column| read.columns.contains(&column.id));
            let columns = columns.map(|column| column.name.clone()).collect();
            if !tables.iter().any(|known| known.table == read.table) {
                let (version, reading, uncommitted) = (raw.version(), raw.reading(), raw.is_uncommitted());
                tables.push(MappedTable { table: read.table, version, reading, uncommitted, columns });
            }
        }
        Ok(tables)
    }
}

impl Keys {
    /// Adds a pair that is compared, in the type that both can be compared in.
    fn push(
        &mut self,
        (outer, outer_schema): (Expr, &DFSchema),
        (inner, inner_schema): (Expr, &DFSchema),
    ) -> Result<(), CompileError> {
        let (left, right) = (outer.get_type(outer_schema)?, inner.get_type(inner_schema)?);
        let common = common_type(&left, &right)?;
        let in_common = |expr: Expr, actual: &DataType| {
            if *actual == common { expr } else { Expr::Cast(Cast::new(Box::new(expr), common.clone())) }
        };
        self.outer.push(in_common(outer, &left));
        self.inner.push(in_common(inner, &right));
        self.types.push(common);
        Ok(())
    }
}

fn foreign(expr: &Expr) -> Option<CompileError> {
    let mut refused = None;
    // The closure never fails, so neither does the walk.
    let _ = expr.apply(|node| {
        refused = match node {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                Some(CompileError::Subquery("a subquery within a subquery"))
            }
            Expr::Placeholder(_) => Some(CompileError::Parameter),
            Expr::ScalarVariable(..) | Expr::HigherOrderFunction(_) | Expr::Lambda(_) | Expr::LambdaVariable(_) => {
                Some(CompileError::Unsupported)
            }
            _ => None,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    refused
}

/// What EXISTS is about: what is above makes no row more or less, of one at least.
fn of_exists(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Projection(projection) => of_exists(&projection.input),
        LogicalPlan::Distinct(Distinct::All(input)) => of_exists(input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => of_exists(&sort.input),
        LogicalPlan::Limit(limit)
            if matches!(limit.get_skip_type(), Ok(SkipType::Literal(0)))
                && matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(1..)))) =>
        {
            of_exists(&limit.input)
        }
        plan => plan,
    }
}

/// What IN is about, and the value that it compares with.
fn of_in(plan: &LogicalPlan) -> Result<(&LogicalPlan, Option<Expr>), CompileError> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) => of_in(input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => of_in(&sort.input),
        LogicalPlan::Projection(projection) => {
            let [value] = projection.expr.as_slice() else { return Err(CompileError::Unsupported) };
            Ok((&projection.input, Some(value.clone().unalias())))
        }
        plan => {
            let mut columns = plan.schema().columns();
            let value = columns.pop().filter(|_| columns.is_empty()).ok_or(CompileError::Unsupported)?;
            Ok((plan, Some(Expr::Column(value))))
        }
    }
}

/// The outer and the inner side of `outer = inner`, over their own tables' columns.
fn equality(part: Expr) -> Result<(Expr, Expr), CompileError> {
    let other = || CompileError::Subquery("any but an equality with the governed table in a subquery");
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = part else { return Err(other()) };
    let is_outer = |side: &Expr| side.contains_outer() && side.column_refs().is_empty();
    let (outer, inner) = if is_outer(&left) { (*left, *right) } else { (*right, *left) };
    if !is_outer(&outer) || inner.contains_outer() {
        return Err(other());
    }
    let own = outer.transform(|node| {
        Ok(match node {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            node => Transformed::no(node),
        })
    });
    Ok((own.data()?, inner))
}

/// The query that yields the keys.
fn key_plan(input: &LogicalPlan, own: Vec<Expr>, keys: &Keys) -> Result<LogicalPlan, CompileError> {
    let mut builder = LogicalPlanBuilder::from(input.clone());
    if let Some(own) = own.into_iter().reduce(Expr::and) {
        builder = builder.filter(own)?;
    }
    let keys: Vec<Expr> =
        keys.inner.iter().enumerate().map(|(index, key)| key.clone().alias(format!("key{index}"))).collect();
    Ok(if keys.is_empty() {
        builder.project([lit(true).alias("row")])?.limit(0, Some(1))?.build()?
    } else {
        builder.project(keys)?.build()?
    })
}

/// The type in which two columns are compared, as PostgreSQL would: text with text alone.
fn common_type(left: &DataType, right: &DataType) -> Result<DataType, CompileError> {
    let none = || CompileError::Comparison(sql_name(left), sql_name(right));
    if *left != DataType::Null && *right != DataType::Null && left.is_string() != right.is_string() {
        return Err(none());
    }
    let common = match comparison_coercion(left, right).ok_or_else(none)? {
        DataType::Dictionary(_, values) => *values,
        DataType::Utf8View => DataType::Utf8,
        other => other,
    };
    let is_key = common.is_primitive() || common.is_string() || common.is_binary() || common == DataType::Boolean;
    if is_key { Ok(common) } else { Err(CompileError::Subquery("a key of this type")) }
}

fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "integer".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal128(..) => "numeric".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
