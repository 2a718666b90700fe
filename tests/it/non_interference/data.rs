//! The rows: visible ones on which every expression of the generator succeeds, hidden ones on which many fail.
//!
//! Invariants: in each file more than a fifth of the rows is visible and hidden ones stand between them (below a fifth
//! DataFusion's short circuit protects by accident); visible floats are multiples of a quarter, so that their sums are
//! exact in every order.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Patients.
pub const PATIENTS: i64 = 400;
/// Visits.
pub const VISITS: i64 = 600;

const SEED: u64 = 20_260_127;

/// A table's columns.
pub const PATIENT_COLUMNS: &str = "patient_id bigint, mrn text, hospital_id int, age int, birth date, born text, \
    zip text, fee numeric(12,2), score double precision, seen timestamp, code int, weight int, status text, \
    grade text, ward text, sealed boolean, shared boolean";
/// A table's columns.
pub const VISIT_COLUMNS: &str = "visit_id bigint, patient_id bigint, hospital_id int, day date, cost numeric(10,2), \
    minutes int, kind text, raw text, remark text";
/// A table's columns.
pub const WARD_COLUMNS: &str = "hospital_id int, name text, beds int";
/// The rows of the lookup table.
pub const WARDS: &str =
    "(1, 'north', 20), (2, 'south', 0), (3, 'east', 12), (4, NULL, 7), (5, 'west', NULL), (6, 'sea', 1)";

/// One row after the other, as the texts of SQL tuples.
pub struct Rows(StdRng);

impl Rows {
    /// The same rows every time.
    pub fn new() -> Self {
        Self(StdRng::seed_from_u64(SEED))
    }

    /// The patient with this id.
    pub fn patient(&mut self, id: i64) -> String {
        let hospital = self.pick(&["3", "3", "3", "3", "5", "5", "1", "2", "4", "NULL"]);
        let sealed = self.pick(&["false", "false", "false", "false", "true", "NULL"]);
        let shared = self.pick(&["true", "true", "false", "NULL"]);
        let seen = sealed == "false" && (hospital == "3" || (hospital == "5" && shared == "true"));
        let date = self.date(1930, 2009);
        let (age, weight) = (self.number(1, 89).to_string(), self.number(40, 120).to_string());
        let (zip, code) = (format!("'{}'", self.number(10_000, 99_999)), self.number(1, 50).to_string());
        let (fee, score) = (self.quarters(1, 3999), self.quarters(1, 1000));
        let at = format!("{} {:02}:30:00'", self.date(2020, 2024).trim_end_matches('\''), self.number(0, 23));
        let status = self.pick(&["'stable'", "'critical'", "'sent home'"]);
        let (grade, ward) = (self.pick(&["'A'", "'B'", "'C'"]), self.pick(&["'north 1'", "'south 2'", "'east 3'"]));
        let cells = [
            id.to_string(),
            self.cell(seen, format!("'{}'", 100_000 + id), &["'H-00[17'", "''", "'99999999999999999999'", "'1e400'"]),
            hospital,
            self.cell(seen, age, &["97", "98", "0", "2147483647", "-2147483648"]),
            self.cell(seen, date.clone(), &["'0001-01-01'", "'9999-12-31'"]),
            self.cell(seen, date, &["'2023-13-45'", "'unknown'", "''"]),
            self.cell(seen, zip, &["'X'", "''", "'hidden-zip'"]),
            self.cell(seen, fee, &["'0'", "'9999999999.99'", "'-9999999999.99'"]),
            self.cell(seen, score, &["'1e300'", "'-1e300'", "'NaN'", "'inf'"]),
            self.cell(seen, at, &["'0001-01-01 00:00:00'", "'9999-12-31 23:59:59'"]),
            self.cell(seen, code, &["2000000000", "77"]),
            self.cell(seen, weight, &["0", "2147483647"]),
            self.cell(seen, status, &["'zz hidden'"]),
            self.cell(seen, grade, &["'E'"]),
            self.cell(seen, ward, &["'zz hidden'"]),
            sealed,
            shared,
        ];
        format!("({})", cells.join(", "))
    }

    /// The visit with this id.
    pub fn visit(&mut self, id: i64) -> String {
        let hospital = self.pick(&["3", "3", "3", "3", "5", "1", "2", "NULL"]);
        let kind = self.pick(&["'ward'", "'clinic'", "'lab'", "'lab'", "'sealed'", "NULL"]);
        let seen = hospital == "3" && kind != "'sealed'" && kind != "NULL";
        let (patient, minutes) = (self.number(1, PATIENTS).to_string(), self.number(100, 200).to_string());
        let (day, cost, raw) = (self.date(2020, 2023), self.quarters(1, 2000), format!("'{}'", self.number(1, 9999)));
        let remark = self.pick(&["'came early'", "'came late'", "'did not come'"]);
        let cells = [
            id.to_string(),
            self.cell(seen, patient, &["-1", "9223372036854775807"]),
            hospital,
            self.cell(seen, day, &["'0001-01-01'", "'9999-12-31'"]),
            self.cell(seen, cost, &["'0'", "'99999999.99'"]),
            self.cell(seen, minutes, &["0", "17", "42", "-2147483648"]),
            kind,
            self.cell(seen, raw, &["'sealed 7'", "''", "'2147483648'"]),
            self.cell(seen, remark, &["'zz'"]),
        ];
        format!("({})", cells.join(", "))
    }

    /// `good`, now and then NULL, in a row that is seen; mostly one of `bad` in a hidden one.
    fn cell(&mut self, seen: bool, good: String, bad: &[&str]) -> String {
        match self.0.random_range(0..100) {
            0..7 => "NULL".to_owned(),
            7..70 if !seen => (*bad.choose(&mut self.0).unwrap()).to_owned(),
            _ => good,
        }
    }

    fn pick(&mut self, from: &[&str]) -> String {
        (*from.choose(&mut self.0).unwrap()).to_owned()
    }

    fn number(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high)
    }

    /// So many quarters, as a decimal number.
    fn quarters(&mut self, low: i64, high: i64) -> String {
        let quarters = self.number(low, high);
        format!("'{}.{:02}'", quarters / 4, quarters % 4 * 25)
    }

    fn date(&mut self, first: i64, last: i64) -> String {
        format!("'{}-{:02}-{:02}'", self.number(first, last), self.number(1, 12), self.number(1, 28))
    }
}
