//! From a policy's SQL text to an expression over one table's raw columns.
//!
//! The same steps serve a decision and the check when a policy is made: compile, refuse what a policy may not hold,
//! replace session functions, bind columns, coerce, check the type, simplify.
//!
//! Invariant: a compiled expression holds no subquery but as a probe of a mapping, no aggregate, parameter or session
//! function, and each column of it is one of the table's.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, DataFusionError, TableReference};
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Expr, ExprSchemable, TableSource};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use lakeward_base::{Coded, RoleId, SqlState, TableId};
use lakeward_catalog::{PolicyRead, RawTable, Snapshot};
use thiserror::Error;

use crate::mapping::Mapping;
use crate::principal::{Principal, RoleSet};
use crate::session_functions::substitute_session_functions;
use crate::subquery::with_probes;

/// Turns SQL text into an expression. The engine implements it with its planner and all functions; session functions
/// appear as scalar functions of their names (see [`SESSION_FUNCTIONS`](crate::SESSION_FUNCTIONS)).
pub trait PolicyCompiler: Send + Sync {
    /// Plans `sql` as an expression over `schema`, without coercing or simplifying it. Its subqueries may read `tables`,
    /// and nothing else.
    ///
    /// # Errors
    /// What the planner refuses.
    fn compile(&self, sql: &str, schema: &DFSchema, tables: Vec<NamedSource>) -> datafusion_common::Result<Expr>;

    /// A mapping table at the version that the statement reads; `None`: it was not opened, which denies.
    fn mapping(&self, table: TableId) -> Option<RawTable>;

    /// The statement's own copy of a subquery, so that its keys are read once.
    fn shared(&self, mapping: Arc<Mapping>) -> Arc<Mapping>;

    /// Whether a call needs EXECUTE: of a policy's owner, where it stands in a policy.
    fn is_keyed(&self, call: &ScalarFunction) -> bool;
}

/// A table under the name that a policy's text has for it.
pub type NamedSource = (TableReference, Arc<dyn TableSource>);

/// What the owner of a policy may call in it, at each use.
pub(crate) struct OwnersRights<'a> {
    pub(crate) compiler: &'a dyn PolicyCompiler,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) owner: RoleId,
}

impl OwnersRights<'_> {
    /// Refuses a compiled expression that calls a keyed function which the owner may not call (any more).
    pub(crate) fn check(&self, expr: &Expr) -> Result<(), CompileError> {
        let mut refused = None;
        expr.apply(|node| {
            if let Expr::ScalarFunction(function) = node
                && self.compiler.is_keyed(function)
                && !self.may_execute(function.name())
            {
                refused = Some(CompileError::Execute(function.name().to_owned()));
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        refused.map_or(Ok(()), Err)
    }

    fn may_execute(&self, function: &str) -> bool {
        let owner = RoleSet::of(self.snapshot, self.owner);
        owner.superuser || self.snapshot.may_execute(&owner.roles, function)
    }
}

/// Why an expression cannot be a policy.
#[derive(Debug, Error)]
pub enum CompileError {
    /// It holds a subquery of a kind that a policy cannot use.
    #[error("{0} in a policy is not supported")]
    Subquery(&'static str),
    /// A subquery reads a table that the policy's owner may not read, or not see all of.
    #[error("permission denied for table {0}: the owner of a policy must be able to read all of it")]
    Mapping(String),
    /// Columns of a mapping table and of the governed one cannot be compared.
    #[error("operator does not exist: {0} = {1}")]
    Comparison(String, String),
    /// It holds an aggregate or window function.
    #[error("aggregate and window functions are not allowed in policy expressions")]
    Aggregate,
    /// It holds a parameter.
    #[error("parameters are not allowed in policy expressions")]
    Parameter,
    /// It holds something else that a policy cannot use.
    #[error("this expression is not supported in policies")]
    Unsupported,
    /// It names a column that the table, or the masking policy, does not have.
    #[error("column \"{0}\" does not exist")]
    UnknownColumn(String),
    /// Its type is wrong.
    #[error("{subject} must be of type {expected}, not {actual}")]
    Type {
        /// What has the type.
        subject: &'static str,
        /// The type it must have.
        expected: String,
        /// The type it has.
        actual: String,
    },
    /// A masking policy is bound to another number of columns than it has parameters.
    #[error("the masking policy takes {expected} arguments, not {actual}")]
    Arguments {
        /// Parameters of the policy.
        expected: usize,
        /// Columns bound.
        actual: usize,
    },
    /// Its owner may not call a keyed function in it.
    #[error("permission denied for function {0}")]
    Execute(String),
    /// The planner refused it.
    #[error("the policy expression could not be compiled")]
    Planner(#[from] DataFusionError),
}

impl Coded for CompileError {
    fn sqlstate(&self) -> SqlState {
        match self {
            Self::Subquery(_) | Self::Unsupported => SqlState::FEATURE_NOT_SUPPORTED,
            Self::Comparison(..) => SqlState::UNDEFINED_FUNCTION,
            Self::Aggregate => SqlState::GROUPING_ERROR,
            Self::Parameter => SqlState::UNDEFINED_PARAMETER,
            Self::UnknownColumn(_) => SqlState::UNDEFINED_COLUMN,
            Self::Type { .. } => SqlState::DATATYPE_MISMATCH,
            Self::Arguments { .. } => SqlState::INVALID_PARAMETER_VALUE,
            Self::Execute(_) | Self::Mapping(_) => SqlState::INSUFFICIENT_PRIVILEGE,
            Self::Planner(_) => SqlState::INVALID_OBJECT_DEFINITION,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Subquery(_) => Some(
                "Use [NOT] EXISTS or [NOT] IN over tables, joined with the governed table by column = column alone."
                    .to_owned(),
            ),
            Self::Mapping(_) => {
                Some("No row policy and no mask may hide anything of it from the policy's owner.".to_owned())
            }
            Self::Comparison(..) => Some("Cast one of them.".to_owned()),
            Self::Aggregate
            | Self::Parameter
            | Self::Unsupported
            | Self::UnknownColumn(_)
            | Self::Type { .. }
            | Self::Arguments { .. }
            | Self::Execute(_)
            | Self::Planner(_) => None,
        }
    }
}

/// Checks the text of a USING or WITH CHECK expression when a policy is made, against the table's `schema` (columns
/// qualified with the table's name). `reads` are the tables of its subqueries, without their columns: those are added.
///
/// # Errors
/// [`CompileError`], with the code that `CREATE POLICY` answers.
pub fn check_row_policy(
    sql: &str,
    schema: &DFSchema,
    reads: &[PolicyRead],
    (snapshot, owner): (&Snapshot, RoleId),
    compiler: &dyn PolicyCompiler,
) -> Result<Vec<PolicyRead>, CompileError> {
    let rights = OwnersRights { compiler, snapshot, owner };
    let principal = Principal::nobody();
    let expr = compiler.compile(sql, schema, rights.sources(reads)?)?;
    let reads = rights.with_columns(reads, &expr)?;
    let expr = with_probes(expr, schema, &reads, &principal, &rights)?;
    refuse_foreign(&expr)?;
    rights.check(&expr)?;
    let expr = substitute_session_functions(expr, &principal)?;
    predicate(coerced(expr, schema)?, schema)?;
    Ok(reads)
}

/// Compiles a row policy's expression for `principal`: boolean, coerced, simplified, columns qualified.
pub(crate) fn compile_predicate(
    sql: &str,
    reads: &[PolicyRead],
    principal: &Principal,
    schema: &Arc<DFSchema>,
    qualifier: &TableReference,
    rights: &OwnersRights<'_>,
) -> Result<Expr, CompileError> {
    let expr = rights.compiler.compile(sql, schema, rights.sources(reads)?)?;
    rights.check_bound(reads, &expr)?;
    let expr = with_probes(expr, schema, reads, principal, rights)?;
    refuse_foreign(&expr)?;
    rights.check(&expr)?;
    let expr = substitute_session_functions(expr, principal)?;
    let expr = qualified(expr, schema, qualifier)?;
    simplified(predicate(coerced(expr, schema)?, schema)?, schema)
}

/// Plans `sql`, which reads no tables, and refuses what a policy may not hold.
pub(crate) fn compiled(sql: &str, schema: &DFSchema, compiler: &dyn PolicyCompiler) -> Result<Expr, CompileError> {
    let expr = compiler.compile(sql, schema, Vec::new())?;
    refuse_foreign(&expr)?;
    Ok(expr)
}

/// Coerces types, as the analyzer would.
pub(crate) fn coerced(expr: Expr, schema: &DFSchema) -> Result<Expr, CompileError> {
    Ok(ExprSimplifier::new(SimplifyContext::builder().build()).coerce(expr, schema)?)
}

/// Simplifies a coerced expression.
pub(crate) fn simplified(expr: Expr, schema: &Arc<DFSchema>) -> Result<Expr, CompileError> {
    Ok(ExprSimplifier::new(SimplifyContext::builder().with_schema(Arc::clone(schema)).build()).simplify(expr)?)
}

/// Gives every column of `expr` the table's qualifier.
fn qualified(expr: Expr, schema: &DFSchema, qualifier: &TableReference) -> Result<Expr, CompileError> {
    let mut unknown = None;
    let expr = expr
        .transform(|node| match node {
            Expr::Column(column) => {
                let own = column.relation.as_ref().is_none_or(|relation| relation.table() == qualifier.table());
                if !own || !schema.has_column_with_unqualified_name(&column.name) {
                    unknown = Some(column.name.clone());
                }
                Ok(Transformed::yes(Expr::Column(Column::new(Some(qualifier.clone()), column.name))))
            }
            other => Ok(Transformed::no(other)),
        })
        .data()?;
    match unknown {
        Some(name) => Err(CompileError::UnknownColumn(name)),
        None => Ok(expr),
    }
}

fn predicate(expr: Expr, schema: &DFSchema) -> Result<Expr, CompileError> {
    match expr.get_type(schema)? {
        DataType::Boolean | DataType::Null => Ok(expr),
        actual => Err(CompileError::Type {
            subject: "a row policy's expression",
            expected: "boolean".into(),
            actual: actual.to_string(),
        }),
    }
}

/// Walks `expr` and refuses every kind of node that a policy may not hold. By allow-list: a kind that a later
/// DataFusion adds does not compile here until somebody has thought about it.
fn refuse_foreign(expr: &Expr) -> Result<(), CompileError> {
    let mut refused = None;
    expr.apply(|node| {
        refused = foreign(node);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    refused.map_or(Ok(()), Err)
}

#[expect(deprecated, reason = "the match names every variant")]
fn foreign(node: &Expr) -> Option<CompileError> {
    match node {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::ScalarFunction(_)
        | Expr::InList(_) => None,
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::ScalarSubquery(_) => {
            Some(CompileError::Subquery("this kind of subquery"))
        }
        Expr::AggregateFunction(_) | Expr::WindowFunction(_) | Expr::GroupingSet(_) => Some(CompileError::Aggregate),
        Expr::Placeholder(_) => Some(CompileError::Parameter),
        Expr::ScalarVariable(..)
        | Expr::Wildcard { .. }
        | Expr::OuterReferenceColumn(..)
        | Expr::Unnest(_)
        | Expr::HigherOrderFunction(_)
        | Expr::Lambda(_)
        | Expr::LambdaVariable(_) => Some(CompileError::Unsupported),
    }
}
