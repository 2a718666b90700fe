//! BREAK GLASS, and whose data the rows of a table are.
//!
//! Invariants: what was opened is kept for good; it is ended once and reviewed once; a subject column is a column of its
//! table.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use lakeward_base::{ColumnId, TableId};
use uuid::Uuid;

use super::Draft;
use crate::change::Change;
use crate::error::CatalogError;
use crate::model::{BreakGlass, Review, Table};

impl Draft {
    /// Records that a subject's rows were opened.
    ///
    /// # Errors
    /// 42710 where the number is taken.
    pub fn open_break_glass(&mut self, opened: BreakGlass) -> Result<(), CatalogError> {
        if self.break_glass(opened.id).is_some() {
            return Err(CatalogError::InvalidDefinition("a use of BREAK GLASS has this number already".to_owned()));
        }
        self.make(Change::PutBreakGlass(Arc::new(opened)))
    }

    /// Records that it is over; nothing changes where it was.
    ///
    /// # Errors
    /// 42P17 where there is no such use.
    pub fn end_break_glass(&mut self, id: Uuid, at: DateTime<Utc>) -> Result<(), CatalogError> {
        let mut opened = BreakGlass::clone(self.opened(id)?);
        if !opened.is_open(at) {
            return Ok(());
        }
        opened.ended_at = Some(at);
        self.make(Change::PutBreakGlass(Arc::new(opened)))
    }

    /// Records what somebody says of it, which ends it too.
    ///
    /// # Errors
    /// 42P17 where there is no such use, or it was reviewed.
    pub fn review_break_glass(&mut self, id: Uuid, review: Review) -> Result<(), CatalogError> {
        let mut opened = BreakGlass::clone(self.opened(id)?);
        if opened.review.is_some() {
            return Err(CatalogError::InvalidDefinition("this use of BREAK GLASS was reviewed already".to_owned()));
        }
        if opened.is_open(review.at) {
            opened.ended_at = Some(review.at);
        }
        opened.review = Some(review);
        self.make(Change::PutBreakGlass(Arc::new(opened)))
    }

    /// Says which column tells whose data a row is.
    ///
    /// # Errors
    /// 42P01 and 42703 where the table or the column does not exist.
    pub fn set_subject(&mut self, table: TableId, subject: Option<ColumnId>) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(table)?);
        if let Some(column) = subject.filter(|id| !table.columns.iter().any(|column| column.id == *id)) {
            return Err(CatalogError::ColumnNotFound { column: column.to_string(), relation: table.name });
        }
        table.subject = subject;
        self.make(Change::PutTable(Arc::new(table)))
    }

    fn opened(&self, id: Uuid) -> Result<&Arc<BreakGlass>, CatalogError> {
        let missing = || CatalogError::InvalidDefinition("there is no such use of BREAK GLASS".to_owned());
        self.break_glass(id).ok_or_else(missing)
    }
}
