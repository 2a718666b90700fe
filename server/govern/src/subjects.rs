//! Whose rows a statement's scans yield: for the audit's account of disclosures.
//!
//! A table with a subject column is scanned with that column, raw, beside those that are asked for; each batch that
//! crosses the barrier leaves its subjects here, and then the column. Rows that fail a condition which the scan was told of are
//! left out; what the user's plan drops by others above the barrier has been noted all the same: too many are noted, never
//! too few.
//!
//! Invariant: every row that a scan of such a table yields has its subject here, or the table is marked as not listed.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, RecordBatch};
use arrow::compute::{and_kleene, cast, filter};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Int32Type, Int64Type};
use datafusion_physical_expr::PhysicalExpr;
use parking_lot::Mutex;

use crate::access::TableDecision;

/// The most subjects of one statement that are listed.
pub const MAX_SUBJECTS: usize = 10_000;

/// The subjects of one statement. Its session carries it as an extension.
#[derive(Default)]
pub struct Subjects(Mutex<BTreeMap<Object, Listed>>);

/// A table by its qualified name, at a version.
type Object = (String, u64);

#[derive(Default)]
struct Listed {
    numbers: HashSet<i64>,
    texts: HashSet<String>,
    /// There are more, or they could not be told.
    over: bool,
    /// A scan of it was begun.
    scanned: bool,
}

/// Those of one table, for the audit.
pub struct TableSubjects {
    /// The table's qualified name.
    pub table: String,
    /// The version that was read.
    pub version: u64,
    /// The subjects, as text, each once.
    pub subjects: Vec<String>,
    /// These are not all of them.
    pub over: bool,
    /// A scan of it was begun; else its statistics answered, or nothing was asked of it.
    pub scanned: bool,
}

impl Subjects {
    /// A table is about to be read: where it has a subject column and is never scanned, because its statistics answer
    /// the statement, its subjects are not listed.
    pub fn expect(&self, decision: &TableDecision) {
        if decision.subject.is_some() {
            self.0.lock().entry(object(decision)).or_default();
        }
    }

    /// All that were noted, and are not noted any more.
    #[must_use]
    pub fn take(&self) -> Vec<TableSubjects> {
        let listed = std::mem::take(&mut *self.0.lock());
        let told = |((table, version), listed): (Object, Listed)| {
            let (over, scanned) = (listed.over || !listed.scanned, listed.scanned);
            let numbers = listed.numbers.into_iter().map(|number| number.to_string());
            TableSubjects { table, version, subjects: numbers.chain(listed.texts).collect(), over, scanned }
        };
        listed.into_iter().map(told).collect()
    }
}

/// Subjects do not print.
impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subjects")
    }
}

fn object(decision: &TableDecision) -> Object {
    (decision.qualified_name.clone(), decision.version)
}

/// Where the subjects of a scan stand in its batches, and which rows count.
#[derive(Clone)]
pub(crate) struct Place {
    /// The column that says whose a row is.
    pub(crate) column: usize,
    /// Conditions that are applied again above the scan.
    pub(crate) conditions: Arc<[Arc<dyn PhysicalExpr>]>,
}

impl Place {
    /// Where every row counts.
    pub(crate) fn at(column: usize) -> Self {
        Self { column, conditions: Arc::new([]) }
    }
}

/// Where the subjects of a scan stand in its batches, and where they are noted.
pub(crate) struct Tally {
    subjects: Arc<Subjects>,
    object: Object,
    column: usize,
    /// Conditions that the rows must meet above the scan: what does not is left out.
    conditions: Arc<[Arc<dyn PhysicalExpr>]>,
    /// Its table's are not listed any more.
    over: bool,
}

impl Tally {
    /// For one partition of a scan whose batches have their subjects at `column`.
    pub(crate) fn new(subjects: Arc<Subjects>, decision: &TableDecision, place: &Place) -> Self {
        let object = object(decision);
        subjects.0.lock().entry(object.clone()).or_default().scanned = true;
        let (column, conditions) = (place.column, Arc::clone(&place.conditions));
        Self { subjects, object, column, conditions, over: false }
    }

    /// Notes the subjects of rows that are about to leave the scan.
    pub(crate) fn note(&mut self, batch: &RecordBatch) {
        if self.over {
            return;
        }
        let column = batch.columns().get(self.column).map(|column| self.meeting(column, batch));
        let mut all = self.subjects.0.lock();
        let known: usize = all.values().map(|listed| listed.numbers.len() + listed.texts.len()).sum();
        let listed = all.entry(self.object.clone()).or_default();
        let mut room = MAX_SUBJECTS.saturating_sub(known);
        let whole = !listed.over && column.is_some_and(|column| listed.add(&column, &mut room));
        listed.over = !whole;
        self.over = !whole;
    }

    /// The subjects of the rows that meet the conditions; those of all rows where that cannot be told.
    fn meeting(&self, subjects: &ArrayRef, batch: &RecordBatch) -> ArrayRef {
        let mut kept = Arc::clone(subjects);
        let mut mask: Option<BooleanArray> = None;
        for condition in self.conditions.iter() {
            let met = condition.evaluate(batch).and_then(|met| met.into_array(batch.num_rows()));
            let Some(met) = met.ok().and_then(|met| met.as_boolean_opt().cloned()) else { continue };
            mask = match &mask {
                Some(mask) => and_kleene(mask, &met).ok(),
                None => Some(met),
            };
        }
        if let Some(met) = mask
            && let Ok(filtered) = filter(&kept, &met)
        {
            kept = filtered;
        }
        kept
    }
}

impl Listed {
    /// Adds the values of a column as long as there is room; whether that was all of them.
    fn add(&mut self, column: &ArrayRef, room: &mut usize) -> bool {
        match column.data_type() {
            DataType::Int64 => self.add_numbers::<Int64Type>(column.as_primitive(), room),
            DataType::Int32 => self.add_numbers::<Int32Type>(column.as_primitive(), room),
            _ => match cast(column, &DataType::Utf8) {
                Ok(texts) => self.add_texts(texts.as_string::<i32>(), room),
                Err(_) => false,
            },
        }
    }

    fn add_numbers<T: ArrowPrimitiveType<Native: Into<i64>>>(
        &mut self,
        numbers: &PrimitiveArray<T>,
        room: &mut usize,
    ) -> bool {
        let mut before = None;
        for number in numbers.iter().flatten().map(Into::into) {
            // Rows of one subject often stand together.
            if before.replace(number) == Some(number) || self.numbers.contains(&number) {
                continue;
            }
            let Some(left) = room.checked_sub(1) else { return false };
            *room = left;
            self.numbers.insert(number);
        }
        true
    }

    fn add_texts(&mut self, texts: &arrow::array::StringArray, room: &mut usize) -> bool {
        for text in texts.iter().flatten() {
            if self.texts.contains(text) {
                continue;
            }
            let Some(left) = room.checked_sub(1) else { return false };
            *room = left;
            self.texts.insert(text.to_owned());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use arrow::array::{Int64Array, StringArray};

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([("subject", column, true)]).unwrap()
    }

    fn tally(subjects: &Arc<Subjects>, table: &str) -> Tally {
        let object = (table.to_owned(), 3);
        subjects.0.lock().entry(object.clone()).or_default().scanned = true;
        Tally { subjects: Arc::clone(subjects), object, column: 0, conditions: Arc::new([]), over: false }
    }

    #[test]
    fn each_subject_is_listed_once_and_null_is_nobody() {
        let subjects = Arc::<Subjects>::default();
        tally(&subjects, "a").note(&batch(Arc::new(Int64Array::from(vec![Some(7), Some(7), None, Some(9), Some(7)]))));
        tally(&subjects, "b").note(&batch(Arc::new(StringArray::from(vec!["x", "x"]))));
        let mut found = subjects.take();
        found[0].subjects.sort();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].subjects.as_slice(), found[0].over), (&["7".to_owned(), "9".to_owned()][..], false));
        assert_eq!((found[1].subjects.as_slice(), found[1].over), (&["x".to_owned()][..], false));
        assert!(subjects.take().is_empty());
    }

    #[test]
    fn a_statement_lists_so_many_and_says_that_there_are_more() {
        let subjects = Arc::<Subjects>::default();
        let batch = |from: i64, to: i64| batch(Arc::new((from..to).map(Some).collect::<Int64Array>()));
        let (mut first, mut second) = (tally(&subjects, "a"), tally(&subjects, "b"));
        first.note(&batch(0, 9_000));
        second.note(&batch(0, 1_000));
        first.note(&batch(0, 9_000));
        second.note(&batch(500, 1_001));
        let found = subjects.take();
        assert_eq!((found[0].subjects.len(), found[0].over), (9_000, false));
        assert_eq!((found[1].subjects.len(), found[1].over), (1_000, true));
    }

    #[test]
    fn rows_that_fail_a_condition_of_the_statement_are_left_out() {
        use datafusion_expr::Operator;
        use datafusion_physical_expr::expressions::{binary, col, lit};

        let numbers = batch(Arc::new(Int64Array::from(vec![Some(7), None, Some(9), Some(11)])));
        let schema = numbers.schema();
        let over = |least: i64| binary(col("subject", &schema).unwrap(), Operator::Gt, lit(least), &schema).unwrap();
        let told = |conditions: Vec<Arc<dyn PhysicalExpr>>| {
            let subjects = Arc::<Subjects>::default();
            let mut tally = Tally { conditions: conditions.into(), ..tally(&subjects, "a") };
            tally.note(&numbers);
            let mut found = subjects.take().remove(0).subjects;
            found.sort();
            found
        };
        assert_eq!(told(vec![over(8)]), ["11", "9"]);
        assert_eq!(told(vec![over(8), over(10)]), ["11"]);
        // What is no truth, or fails, leaves nobody out.
        assert_eq!(told(vec![lit(1_i64)]), ["11", "7", "9"]);
    }

    #[test]
    fn what_cannot_be_told_is_not_listed() {
        let subjects = Arc::<Subjects>::default();
        let lists = arrow::array::ListArray::new_null(
            Arc::new(arrow::datatypes::Field::new_list_field(DataType::Int64, true)),
            2,
        );
        let mut tally = tally(&subjects, "a");
        tally.column = 1;
        tally.note(&batch(Arc::new(lists)));
        assert!(subjects.take()[0].over, "there is no such column");
    }
}
