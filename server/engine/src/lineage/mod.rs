//! Where the values of derived rows come from, and what protects them there.
//!
//! [`Lineage::of`] follows the columns of a plan down to the tables that it reads. [`protect`] says what a new table's
//! columns must inherit, and whether an existing table's columns protect as much as their sources. Invariant: a value
//! whose way is not understood counts as one of every column that the plan reads; only the results of the functions that
//! the language names, and `count`, count as nobody's.

mod expression;
mod plan;
mod protect;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan};
use lakeward_base::TableId;
use lakeward_govern::TableDecision;

pub(crate) use protect::{Sources, carried, is_protected, must_cover};

/// A column of a table that a plan reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// The table.
    pub(crate) table: TableId,
    /// The version of it that is read.
    pub(crate) version: u64,
    /// The column's name in it.
    pub(crate) column: String,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    /// Every column that they are made of.
    pub(crate) origins: BTreeSet<Origin>,
    /// Each is made of what stands in one row of one scan, and stands in that row: the scan's number.
    pub(crate) scan: Option<usize>,
    /// They are, in that row, just those of a column.
    pub(crate) exact: bool,
}

impl Source {
    /// Values made of those of several sources.
    fn merged(sources: impl IntoIterator<Item = Self>) -> Self {
        let origins = sources.into_iter().flat_map(|source| source.origins).collect();
        Self { origins, scan: None, exact: false }
    }

    /// The values of an expression over such values, row by row.
    fn row_by_row(parts: Vec<Self>) -> Self {
        let mut scans = parts.iter().filter(|part| !part.origins.is_empty()).map(|part| part.scan);
        let first = scans.next().flatten();
        let scan = first.filter(|_| scans.all(|scan| scan == first));
        Self { scan, ..Self::merged(parts) }
    }

    /// The same values, in other rows.
    fn elsewhere(self) -> Self {
        Self { scan: None, exact: false, ..self }
    }

    /// The column that they are, of which scan.
    pub(crate) fn column(&self) -> Option<(usize, &Origin)> {
        Some((self.scan.filter(|_| self.exact)?, self.origins.first()?))
    }
}

/// Where the columns of a plan come from.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// One for each column, in order.
    pub(crate) columns: Vec<Source>,
    /// The plan also reads what is no table: the server's own views.
    pub(crate) foreign: bool,
    /// What was decided about the tables that it reads.
    pub(crate) decisions: Vec<Arc<TableDecision>>,
}

impl Lineage {
    /// Follows the columns of a plan as it was written, before it is optimised.
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        Self::without(plan, None)
    }

    /// The same, where one expression is the server's own, and tells nothing: which action MERGE takes.
    pub(crate) fn without(plan: &LogicalPlan, own: Option<&Expr>) -> Self {
        let mut walk = Walk { own: own.cloned(), decrypts: expression::decrypts(plan), ..Walk::default() };
        let columns = walk.plan(plan);
        Self { columns, foreign: walk.foreign, decisions: walk.decisions }
    }
}

/// What a plan does with the columns that it reads.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    /// Those whose values are in what it yields, in whatever form.
    pub(crate) left: BTreeSet<Origin>,
    /// Those that decide which rows are read, or joined.
    pub(crate) chosen: BTreeSet<Origin>,
}

impl Uses {
    /// Of an optimised plan.
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        let mut walk = Walk { whole: true, ..Walk::default() };
        let left = walk.plan(plan).into_iter().flat_map(|column| column.origins).collect();
        Self { left, chosen: walk.chosen }
    }
}

/// A walk over a plan.
#[derive(Default)]
struct Walk {
    /// How many scans were met.
    scans: usize,
    foreign: bool,
    decisions: Vec<Arc<TableDecision>>,
    /// The columns that subqueries and lateral joins may refer to, the nearest last.
    outer: Vec<(DFSchemaRef, Vec<Source>)>,
    own: Option<Expr>,
    /// What is encrypted may be decrypted in the same plan: encrypting ends no way.
    decrypts: bool,
    /// Results that count as nobody's are followed too, and it is noted what chooses rows.
    whole: bool,
    chosen: BTreeSet<Origin>,
}
