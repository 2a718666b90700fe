//! What a query answered, and whether two answers are the same.
//!
//! The rule has no exceptions: the same columns and the same rows (in the same order where the query asks for a total
//! one), or the same SQLSTATE. It can be so strict because the generator's expressions never fail on a visible row, save
//! those that are meant to fail on every one: no outcome hangs on the order in which a plan evaluates things. Floats are
//! compared bit by bit: the visible ones have exact sums.

use std::fmt;

use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::fixture::Answer;

/// What a query answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Rows, in the order in which they came.
    Rows { columns: Vec<String>, rows: Vec<Row> },
    /// An error, by its code.
    Failed(String),
}

type Row = Vec<Option<String>>;

impl Outcome {
    /// The outcome of a query whose errors have these codes.
    pub fn of<E>(answer: Result<Answer, E>, code: impl FnOnce(&E) -> String) -> Self {
        match answer {
            Ok(answer) => Self::rows(&answer),
            Err(error) => Self::Failed(code(&error)),
        }
    }

    fn rows((schema, batches): &Answer) -> Self {
        let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
        let mut rows = Vec::new();
        let options = FormatOptions::default();
        for batch in batches {
            let cells =
                batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap());
            let cells = cells.collect::<Vec<_>>();
            rows.extend((0..batch.num_rows()).map(|row| {
                let cell = |(column, formatter): (usize, &ArrayFormatter<'_>)| {
                    let valid = batch.column(column).is_valid(row);
                    valid.then(|| formatter.value(row).to_string())
                };
                cells.iter().enumerate().map(cell).collect::<Row>()
            }));
        }
        Self::Rows { columns, rows }
    }
}

/// What differs between what the governed tables and the copies answered; `None` where nothing does.
pub fn difference(governed: &Outcome, copies: &Outcome, ordered: bool) -> Option<String> {
    match (governed, copies) {
        (Outcome::Failed(left), Outcome::Failed(right)) => {
            (left != right).then(|| format!("{left} instead of {right}"))
        }
        (Outcome::Failed(code), Outcome::Rows { .. }) => Some(format!("fails with {code} on governed tables only")),
        (Outcome::Rows { .. }, Outcome::Failed(code)) => Some(format!("fails with {code} on copies only")),
        (Outcome::Rows { columns, rows }, Outcome::Rows { columns: other_columns, rows: other_rows }) => {
            if columns != other_columns {
                return Some(format!("columns {columns:?} instead of {other_columns:?}"));
            }
            let (mut rows, mut other_rows) = (rows.clone(), other_rows.clone());
            if !ordered {
                rows.sort();
                other_rows.sort();
            }
            (rows != other_rows).then(|| Mismatch { rows: &rows, expected: &other_rows }.to_string())
        }
    }
}

struct Mismatch<'a> {
    rows: &'a [Row],
    expected: &'a [Row],
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.rows.iter().zip(self.expected).position(|(row, expected)| row != expected);
        let at = first.unwrap_or_else(|| self.rows.len().min(self.expected.len()));
        write!(f, "{} rows instead of {}; ", self.rows.len(), self.expected.len())?;
        write!(f, "row {at}: {:?} instead of {:?}", self.rows.get(at), self.expected.get(at))
    }
}

#[test]
fn every_difference_is_seen() {
    let row = |text: &str| vec![Some(text.to_owned())];
    let rows = |texts: &[&str]| Outcome::Rows {
        columns: vec!["c Utf8".to_owned()],
        rows: texts.iter().map(|text| row(text)).collect(),
    };
    let null = Outcome::Rows { columns: vec!["c Utf8".to_owned()], rows: vec![vec![None]] };
    let other = Outcome::Rows { columns: vec!["c Int64".to_owned()], rows: vec![row("1")] };
    let failed = |code: &str| Outcome::Failed(code.to_owned());
    for (left, right) in [
        (rows(&["1", "2"]), rows(&["1"])),
        (rows(&["1", "1"]), rows(&["1", "2"])),
        (rows(&[""]), null),
        (rows(&["1"]), other),
        (rows(&[]), failed("22012")),
        (failed("22P02"), failed("22012")),
    ] {
        assert!(difference(&left, &right, false).is_some() && difference(&right, &left, false).is_some(), "{left:?}");
        assert_eq!(difference(&left, &left, true), None);
    }
    assert_eq!(difference(&rows(&["1", "2"]), &rows(&["2", "1"]), false), None);
    assert!(difference(&rows(&["1", "2"]), &rows(&["2", "1"]), true).is_some());
}
