//! What the planner made of policies' texts, kept from one statement to the next: parsing and planning them again costs a
//! look-up a tenth of its time.
//!
//! Invariants: an expression is kept under all that it was made of (its text, the columns in reach, the time zone that
//! literals are read in), and holds nothing of who asks: session functions stand in it by name. Texts with subqueries,
//! which are planned over tables at one version, are not kept.

use std::collections::HashMap;
use std::fmt;

use arrow::datatypes::FieldRef;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::logical_expr::Expr;
use parking_lot::Mutex;

/// The most expressions.
const EXPRESSIONS: usize = 4096;

/// All that an expression is made of.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    sql: String,
    columns: Vec<(Option<TableReference>, FieldRef)>,
    time_zone: Option<String>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct PolicyTexts {
    kept: Mutex<HashMap<Key, Expr>>,
}

impl PolicyTexts {
    /// The expression of a text, planned by `plan` where it is not kept yet.
    ///
    /// # Errors
    /// What `plan` says.
    pub(crate) fn expression(
        &self,
        sql: &str,
        columns: &DFSchema,
        time_zone: Option<&String>,
        plan: impl FnOnce() -> Result<Expr>,
    ) -> Result<Expr> {
        let columns = columns.iter().map(|(table, field)| (table.cloned(), field.clone())).collect();
        let key = Key { sql: sql.to_owned(), columns, time_zone: time_zone.cloned() };
        if let Some(kept) = self.kept.lock().get(&key) {
            return Ok(kept.clone());
        }
        let made = plan()?;
        let mut kept = self.kept.lock();
        if kept.len() >= EXPRESSIONS {
            // All of them are made again in one statement each: that is simpler than to know which is asked for least.
            kept.clear();
        }
        kept.insert(key, made.clone());
        Ok(made)
    }
}

/// Policies are not shown.
impl fmt::Debug for PolicyTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyTexts").field("expressions", &self.kept.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::lit;

    use super::*;

    fn columns(data_type: DataType) -> DFSchema {
        DFSchema::try_from(Schema::new(vec![Field::new("a", data_type, true)])).unwrap()
    }

    #[test]
    fn it_is_kept_under_all_that_it_is_made_of() {
        let texts = PolicyTexts::default();
        let (int, text) = (columns(DataType::Int32), columns(DataType::Utf8));
        let (utc, zurich) = (String::from("UTC"), String::from("Europe/Zurich"));
        let made = |sql, columns, zone, number: i64| texts.expression(sql, columns, zone, || Ok(lit(number))).unwrap();
        assert_eq!(made("a", &int, Some(&utc), 1), lit(1_i64));
        assert_eq!(made("a", &int, Some(&utc), 2), lit(1_i64));
        assert_eq!(made("b", &int, Some(&utc), 3), lit(3_i64));
        assert_eq!(made("a", &text, Some(&utc), 4), lit(4_i64));
        assert_eq!(made("a", &int, Some(&zurich), 5), lit(5_i64));
        assert_eq!(made("a", &int, None, 6), lit(6_i64));
    }

    #[test]
    fn there_are_only_so_many_and_errors_are_not_kept() {
        let texts = PolicyTexts::default();
        let int = columns(DataType::Int32);
        for number in 0..2 * EXPRESSIONS {
            texts.expression(&number.to_string(), &int, None, || Ok(lit(1))).unwrap();
        }
        assert!(texts.kept.lock().len() <= EXPRESSIONS);
        let failed = texts.expression("x", &int, None, || datafusion::common::plan_err!("no"));
        assert!(failed.is_err());
        assert_eq!(texts.expression("x", &int, None, || Ok(lit(2))).unwrap(), lit(2));
    }
}
