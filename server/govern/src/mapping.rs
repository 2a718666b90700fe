//! A policy's subquery over mapping tables: planned once, its keys read once a statement, probed row by row.
//!
//! In a policy's expression it is a function of the governed table's columns (the outer sides of its equalities, then
//! the value in front of IN) that looks up sets of keys. Those are read with the lake's rights, below the barrier, before
//! the first row of the governed table is. Invariants: nothing of a mapping table leaves but the truth of the
//! expression; a probe whose keys were not read fails.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, internal_err};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion_execution::runtime_env::RuntimeEnv;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion_physical_plan::execute_stream;
use futures::StreamExt;
use lakeward_base::TableId;

use crate::key_set::{KeySet, KeySetBuilder};
use crate::privileged::PrivilegedSessions;
use crate::scan_context::lake_context;

/// The function's name, for error messages that nobody sees.
const NAME: &str = "policy_subquery";

/// A table that a policy reads, as the audit keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedTable {
    /// The table.
    pub table: TableId,
    /// The pinned version.
    pub version: u64,
    /// Which reading of the table's log it is from.
    pub reading: u64,
    /// Whether that version holds what only its own transaction has written.
    pub uncommitted: bool,
    /// The columns that the policy reads.
    pub columns: Vec<String>,
}

/// One subquery of a policy, for one statement.
pub struct Mapping {
    /// Yields the keys, then, for IN, the value; a constant where there are none.
    plan: LogicalPlan,
    /// Of the keys and the value.
    types: Vec<DataType>,
    is_in: bool,
    tables: Vec<MappedTable>,
    /// Whether it finds the same at any time.
    lasting: bool,
    reading: futures::lock::Mutex<()>,
    answer: OnceLock<Answer>,
}

/// The keys that were found.
struct Answer {
    /// Keys, with the value of IN where it is not NULL.
    matches: KeySet,
    /// For IN: keys that have a value at all, and keys that have NULL for one.
    groups: Option<(KeySet, KeySet)>,
    memory: Vec<MemoryReservation>,
}

impl Mapping {
    /// A subquery whose `plan` yields columns of `types`, the value of IN last.
    pub(crate) fn new(plan: LogicalPlan, types: Vec<DataType>, is_in: bool, tables: Vec<MappedTable>) -> Self {
        let lasting = !tables.iter().any(|table| table.uncommitted) && is_timeless(&plan);
        let (reading, answer) = (futures::lock::Mutex::new(()), OnceLock::new());
        Self { plan, types, is_in, tables, lasting, reading, answer }
    }

    /// Whether another reads the same, at the same versions: then one answers for both.
    #[must_use]
    pub fn answers_for(&self, other: &Self) -> bool {
        self == other && self.tables == other.tables
    }

    /// Whether it finds the same keys at any time, so that they may be kept for the next statement.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// How much memory its keys hold; nothing before they were read.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.answer.get().map_or(0, |answer| answer.memory.iter().map(MemoryReservation::size).sum())
    }

    /// The tables that it reads.
    #[must_use]
    pub fn tables(&self) -> &[MappedTable] {
        &self.tables
    }

    /// The expression that probes it with these arguments.
    pub(crate) fn probe(self: Arc<Self>, arguments: Vec<Expr>) -> Expr {
        let signature = match arguments.len() {
            0 => Signature::nullary(Volatility::Volatile),
            // Not known before it runs: it must not be computed while a plan is made.
            count => Signature::any(count, Volatility::Volatile),
        };
        let function = ScalarUDF::new_from_impl(Probe { mapping: self, signature });
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(function), arguments))
    }

    /// Reads the keys, if nobody has yet.
    async fn read(&self, privileged: &dyn PrivilegedSessions, user: &RuntimeEnv) -> Result<()> {
        let _one_reads = self.reading.lock().await;
        if self.answer.get().is_some() {
            return Ok(());
        }
        let session = privileged.session();
        let physical = session.create_physical_plan(&self.plan).await?;
        let (lake, id) = (session.runtime_env(), session.session_id().to_owned());
        let task = lake_context((None, id), session.config().clone(), lake, user);
        let mut rows = execute_stream(physical, Arc::new(task))?;
        let mut building = self.building(user)?;
        while let Some(batch) = rows.next().await {
            let batch = batch?;
            let columns = batch.columns().iter().zip(&self.types).map(|(column, wanted)| Ok(cast(column, wanted)?));
            building.extend(&columns.collect::<Result<Vec<_>>>()?, batch.num_rows(), self.is_in)?;
        }
        // Only the holder of the lock gets here.
        let _ = self.answer.set(building.finish()?);
        Ok(())
    }

    fn building(&self, user: &RuntimeEnv) -> Result<Building> {
        let set = |types: &[DataType]| {
            KeySetBuilder::new(types, MemoryConsumer::new("keys of a policy").register(&user.memory_pool))
        };
        let groups = match self.types.split_last() {
            Some((_, keys)) if self.is_in => Some((set(keys)?, set(keys)?)),
            _ => None,
        };
        Ok(Building { matches: set(&self.types)?, groups })
    }

    fn evaluate(&self, arguments: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let Some(answer) = self.answer.get() else { return internal_err!("a policy's subquery was not read") };
        let matched = answer.matches.contains(arguments, rows)?;
        let Some((groups, with_null)) = &answer.groups else { return Ok(BooleanArray::new(matched, None)) };
        let Some((value, keys)) = arguments.split_last() else { return internal_err!("IN without a value") };
        let is_null = match value.logical_nulls() {
            Some(nulls) => !nulls.inner(),
            None => arrow::buffer::BooleanBuffer::new_unset(rows),
        };
        // Not known: NULL is looked for among some values, or a value among others and NULL.
        let among_some = &groups.contains(keys, rows)? & &is_null;
        let beside_null = &(&with_null.contains(keys, rows)? & &!&matched) & &!&is_null;
        let unknown = &among_some | &beside_null;
        Ok(BooleanArray::new(matched, Some(NullBuffer::new(!&unknown))))
    }
}

/// Whether a plan calls no function that answers otherwise at another time.
fn is_timeless(plan: &LogicalPlan) -> bool {
    let mut timeless = true;
    // The closures never fail, so neither do the walks.
    let _ = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::ScalarFunction(call) = part {
                    timeless &= call.func.signature().volatility == Volatility::Immutable;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    timeless
}

struct Building {
    matches: KeySetBuilder,
    groups: Option<(KeySetBuilder, KeySetBuilder)>,
}

impl Building {
    fn extend(&mut self, columns: &[ArrayRef], rows: usize, is_in: bool) -> Result<()> {
        // A value that is NULL makes its row no key of `matches`, as it should.
        self.matches.extend(columns, rows)?;
        let (Some((groups, with_null)), Some((value, keys)), true) = (&mut self.groups, columns.split_last(), is_in)
        else {
            return Ok(());
        };
        groups.extend(keys, rows)?;
        if let Some(nulls) = value.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
            let of_null = BooleanArray::new(!nulls.inner(), None);
            let keys = keys.iter().map(|key| Ok(arrow::compute::filter(key, &of_null)?)).collect::<Result<Vec<_>>>()?;
            with_null.extend(&keys, of_null.true_count())?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Answer> {
        let (matches, memory) = self.matches.finish()?;
        let mut held = vec![memory];
        let groups = match self.groups {
            None => None,
            Some((groups, with_null)) => {
                let ((groups, first), (with_null, second)) = (groups.finish()?, with_null.finish()?);
                held.extend([first, second]);
                Some((groups, with_null))
            }
        };
        Ok(Answer { matches, groups, memory: held })
    }
}

/// The same subquery of the same tables, whatever version these are at: a portal's decision does not change with their
/// rows. How a plan is displayed would not do: two may look alike.
impl PartialEq for Mapping {
    fn eq(&self, other: &Self) -> bool {
        let tables = |mapping: &Self| mapping.tables.iter().map(|table| table.table).collect::<Vec<_>>();
        self.is_in == other.is_in
            && self.types == other.types
            && tables(self) == tables(other)
            && self.plan == other.plan
    }
}

impl Eq for Mapping {}

impl Hash for Mapping {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.is_in, &self.types).hash(state);
        self.tables.iter().for_each(|table| table.table.hash(state));
    }
}

/// Its plan is a policy's: it does not print.
impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// A mapping as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Probe {
    mapping: Arc<Mapping>,
    signature: Signature,
}

impl ScalarUDFImpl for Probe {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let columns = arguments.args.into_iter().zip(&self.mapping.types);
        let columns = columns.map(|(argument, wanted)| Ok(cast(&argument.into_array(rows)?, wanted)?));
        let found = self.mapping.evaluate(&columns.collect::<Result<Vec<_>>>()?, rows)?;
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// The mapping that an expression probes, if it is such a probe.
pub(crate) fn probed(expr: &Expr) -> Option<(&Arc<Mapping>, &[Expr])> {
    let Expr::ScalarFunction(function) = expr else { return None };
    let implementation: &dyn Any = function.func.inner().as_ref();
    Some((&implementation.downcast_ref::<Probe>()?.mapping, &function.args))
}

/// Every mapping that an expression probes, each once.
#[must_use]
pub fn mappings(expr: &Expr) -> Vec<Arc<Mapping>> {
    let mut found: Vec<Arc<Mapping>> = Vec::new();
    // The closure never fails, so neither does the walk.
    let _ = expr.apply(|node| {
        if let Some((mapping, _)) = probed(node)
            && !found.iter().any(|known| Arc::ptr_eq(known, mapping))
        {
            found.push(Arc::clone(mapping));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// Reads the keys of every mapping that `expr` probes, with the lake's rights and memory that is counted against the
/// user. The expression can be evaluated afterwards.
///
/// # Errors
/// Redacted: [`BarrierError`](crate::BarrierError), or memory exhausted.
pub async fn read_mappings(expr: &Expr, privileged: &dyn PrivilegedSessions, user: &RuntimeEnv) -> Result<()> {
    for mapping in mappings(expr) {
        let read = mapping.read(privileged, user).await;
        let table = mapping.tables.first().map_or(TableId(0), |table| table.table);
        read.map_err(|error| crate::incident::redacted(&error, &table))?;
    }
    Ok(())
}
