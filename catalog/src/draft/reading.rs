//! What row policies read: the mapping tables of their subqueries.
//!
//! Invariants: a policy reads tables that exist, none of whose policies reads its own table in turn; what a policy reads
//! is neither dropped nor changed under it.

use std::collections::BTreeSet;
use std::sync::Arc;

use lakeward_base::{ColumnId, TableId};

use super::Draft;
use crate::error::CatalogError;
use crate::model::{RowPolicy, Table};

impl Draft {
    /// The row policies that read a table, each with the table that it is on.
    pub fn policies_reading(&self, read: TableId) -> impl Iterator<Item = (&Arc<Table>, &RowPolicy)> {
        self.tables()
            .flat_map(|table| table.policies.iter().map(move |policy| (table, policy)))
            .filter(move |(_, policy)| policy.reads.iter().any(|known| known.table == read))
    }

    /// 42P17 where a policy on `table` would read, through whatever policies, the table itself.
    pub(super) fn check_reads(&self, table: &Table, policy: &RowPolicy) -> Result<(), CatalogError> {
        let mut seen = BTreeSet::new();
        let mut open: Vec<TableId> = policy.reads.iter().map(|read| read.table).collect();
        while let Some(next) = open.pop() {
            if next == table.id {
                let message = format!("infinite recursion detected in policy for relation \"{}\"", table.name);
                return Err(CatalogError::InvalidDefinition(message));
            }
            if seen.insert(next) {
                let reads = self.existing_table(next)?.policies.iter().flat_map(|policy| &policy.reads);
                open.extend(reads.map(|read| read.table));
            }
        }
        Ok(())
    }

    /// 2BP01 where another table's policy reads this one.
    pub(super) fn check_unread(&self, table: &Table) -> Result<(), CatalogError> {
        let readers: Vec<_> = self.policies_reading(table.id).map(|found| self.reader(found)).collect();
        if readers.is_empty() {
            return Ok(());
        }
        let message = format!("cannot drop table {} because other objects depend on it", table.name);
        Err(in_use(message, &readers, &format!("table {}", self.qualified_name(table.id))))
    }

    /// 2BP01 where a policy reads a column of `old` that is not among `kept`.
    pub(super) fn check_columns_unread(&self, old: &Table, kept: &BTreeSet<ColumnId>) -> Result<(), CatalogError> {
        for column in old.columns.iter().filter(|column| !kept.contains(&column.id)) {
            let reads = |policy: &RowPolicy| {
                policy.reads.iter().any(|read| read.table == old.id && read.columns.contains(&column.id))
            };
            let found = self.policies_reading(old.id).filter(|(_, policy)| reads(policy));
            let readers: Vec<_> = found.map(|found| self.reader(found)).collect();
            if !readers.is_empty() {
                let what = format!("column {} of table {}", column.name, self.qualified_name(old.id));
                let message = format!("cannot drop or change {what} because other objects depend on it");
                return Err(in_use(message, &readers, &what));
            }
        }
        Ok(())
    }

    fn reader(&self, (table, policy): (&Arc<Table>, &RowPolicy)) -> String {
        format!("policy {} on table {}", policy.name, self.qualified_name(table.id))
    }
}

fn in_use(message: String, readers: &[String], what: &str) -> CatalogError {
    let detail = readers.iter().map(|reader| format!("{reader} depends on {what}")).collect::<Vec<_>>().join("\n");
    CatalogError::InUse { message, detail, hint: Some("Alter or drop the policies first.") }
}
