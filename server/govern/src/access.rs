//! What was decided: per table, what the principal may see of it.
//!
//! Invariant: a [`TableDecision`] is complete: nothing about the principal or the policies is looked up after it was
//! made.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::TableReference;
use datafusion_expr::Expr;
use lakeward_base::{Epoch, TableId};

use crate::mask::reveals;
use crate::principal::Fingerprint;
use crate::shadow::ShadowCheck;

/// What a principal may see of a table.
#[derive(Clone)]
pub enum Access {
    /// Everything: the policies hide nothing from this principal.
    Open,
    /// Only rows that pass the filter, with masked columns replaced.
    Governed {
        /// Rows to keep; `None` keeps all. Coerced and simplified; columns carry the table's name.
        row_filter: Option<Expr>,
        /// Per visible column, what stands in its place; `None` passes the raw value through.
        masks: Vec<Option<Expr>>,
    },
}

/// Policy expressions do not print.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("Open"),
            Self::Governed { row_filter, masks } => f
                .debug_struct("Governed")
                .field("filtered", &row_filter.is_some())
                .field("masked", &masks.iter().flatten().count())
                .finish(),
        }
    }
}

/// The decision about one table at one version.
#[derive(Clone)]
pub struct TableDecision {
    /// The table.
    pub table: TableId,
    /// Its name within its schema, for plans.
    pub name: String,
    /// Its qualified name, for the audit.
    pub qualified_name: String,
    /// The pinned version.
    pub version: u64,
    /// The policy epoch.
    pub epoch: Epoch,
    /// What the principal may see.
    pub access: Access,
    /// The columns a user sees: those of the raw schema that today's catalog knows, all nullable. The same for
    /// every role.
    pub schema: SchemaRef,
    /// The columns, as indices into [`schema`](Self::schema), that the reader was not granted: to read one is refused.
    pub withheld: BTreeSet<usize>,
    /// The row policies and masks that apply, by name.
    pub policies: Vec<String>,
    /// The column that says whose data a row is, where the table has one.
    pub subject: Option<String>,
    /// The names of the masked columns.
    pub masked: Vec<String>,
    /// Policies in shadow that would apply.
    pub shadows: Vec<ShadowCheck>,
    /// The principal is exempt (superuser, or `BYPASSRLS` on a table with row level security).
    pub bypass: bool,
}

impl TableDecision {
    /// The qualifier of columns in this decision's expressions.
    #[must_use]
    pub fn qualifier(&self) -> TableReference {
        TableReference::Bare { table: self.name.as_str().into() }
    }

    /// Whether any of these columns is withheld; `None` is every column.
    #[must_use]
    pub fn withholds(&self, projection: Option<&[usize]>) -> bool {
        match projection {
            Some(columns) => columns.iter().any(|column| self.withheld.contains(column)),
            None => !self.withheld.is_empty(),
        }
    }

    /// Whether the raw values of a column are shown.
    #[must_use]
    pub fn shows(&self, column: &str) -> bool {
        self.schema.index_of(column).is_ok_and(|index| self.passes_through(index))
    }

    /// Whether a column's mask hides every value of it: what is read is the mask's making. One that shows some rows'
    /// values as they are does not.
    #[must_use]
    pub fn hides(&self, column: &str) -> bool {
        let Access::Governed { masks, .. } = &self.access else { return false };
        let mask = self.schema.index_of(column).ok().and_then(|index| masks.get(index)?.as_ref());
        mask.is_some_and(|mask| !reveals(mask))
    }

    /// Whether the column at `index` of [`schema`](Self::schema) shows its raw value.
    #[must_use]
    pub fn passes_through(&self, index: usize) -> bool {
        match &self.access {
            Access::Open => true,
            Access::Governed { masks, .. } => masks.get(index).is_some_and(Option::is_none),
        }
    }
}

impl fmt::Debug for TableDecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableDecision")
            .field("table", &self.qualified_name)
            .field("version", &self.version)
            .field("epoch", &self.epoch)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// The decision about all tables of a statement.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The policy epoch.
    pub epoch: Epoch,
    /// Whose decision it is.
    pub fingerprint: Fingerprint,
    tables: Vec<Arc<TableDecision>>,
}

impl Decision {
    pub(crate) fn new(epoch: Epoch, fingerprint: Fingerprint, tables: Vec<Arc<TableDecision>>) -> Self {
        Self { epoch, fingerprint, tables }
    }

    /// One decision per table, in the order in which the tables were handed to [`decide`](crate::decide).
    #[must_use]
    pub fn tables(&self) -> &[Arc<TableDecision>] {
        &self.tables
    }

    /// The decision about a table at a version.
    #[must_use]
    pub fn table(&self, id: TableId, version: u64) -> Option<&Arc<TableDecision>> {
        self.tables.iter().find(|table| table.table == id && table.version == version)
    }

    /// Whether any table is read by an exempt principal.
    #[must_use]
    pub fn bypass(&self) -> bool {
        self.tables.iter().any(|table| table.bypass)
    }

    /// The names of all policies that apply, each once, sorted.
    #[must_use]
    pub fn policies(&self) -> Vec<String> {
        let names: std::collections::BTreeSet<_> = self.tables.iter().flat_map(|table| table.policies.iter()).collect();
        names.into_iter().cloned().collect()
    }
}
