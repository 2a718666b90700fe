//! The synthetic rows as Arrow batches, one hospital at a time, in order of time.
//!
//! Each hospital becomes files of its own whose rows are sorted by time, so that the hospital's row policy and a
//! predicate on time both prune. Invariant: columns stand in the order of the tables' definition.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use chrono::NaiveDateTime;

use super::data::{Encounter, Patient, Vital, care_team, encounters, hospital_of, vitals};
use super::words::HOSPITALS;

/// Rows in a batch.
const BATCH_ROWS: usize = 65_536;

/// The tables that the demo fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemoTable {
    /// `hospitals`
    Hospitals,
    /// `patients`
    Patients,
    /// `encounters`
    Encounters,
    /// `vitals`
    Vitals,
    /// `care_team`
    CareTeam,
}

impl DemoTable {
    /// All of them, the greatest first.
    pub const ALL: [Self; 5] = [Self::Vitals, Self::Encounters, Self::Patients, Self::CareTeam, Self::Hospitals];

    /// The table's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hospitals => "hospitals",
            Self::Patients => "patients",
            Self::Encounters => "encounters",
            Self::Vitals => "vitals",
            Self::CareTeam => "care_team",
        }
    }

    /// The rows of one hospital, of `patients` patients in all.
    ///
    /// # Errors
    /// Where `schema` is not the table's.
    pub fn batches(self, schema: &SchemaRef, hospital_id: i32, patients: u64) -> Result<Vec<RecordBatch>, ArrowError> {
        let ours = || (1..=patients).filter(move |id| hospital_of(*id) == hospital_id);
        match self {
            Self::Hospitals => batch(schema, hospital_columns(hospital_id)).map(|batch| vec![batch]),
            Self::Patients => in_batches(schema, &ours().map(Patient::make).collect::<Vec<_>>(), patient_columns),
            Self::CareTeam => {
                let pairs = ours().flat_map(|id| care_team(id, hospital_id).into_iter().map(move |who| (who, id)));
                in_batches(schema, &pairs.collect::<Vec<_>>(), |rows| care_team_columns(rows, hospital_id))
            }
            Self::Encounters => {
                let with_note = |patient: Patient| {
                    let stays = encounters(&patient, patients);
                    stays.into_iter().map(move |stay| (stay.note(&patient), stay)).collect::<Vec<_>>()
                };
                let mut rows: Vec<_> = ours().map(Patient::make).flat_map(with_note).collect();
                rows.sort_by_key(|(_, stay)| (stay.admitted_at, stay.id));
                in_batches(schema, &rows, encounter_columns)
            }
            Self::Vitals => {
                let of_patient =
                    |patient: Patient| vitals(&patient, &encounters(&patient, patients)).collect::<Vec<_>>();
                let mut rows: Vec<_> = ours().map(Patient::make).flat_map(of_patient).collect();
                rows.sort_by_key(|vital| (vital.ts, vital.patient_id));
                in_batches(schema, &rows, vital_columns)
            }
        }
    }
}

fn in_batches<T>(
    schema: &SchemaRef,
    rows: &[T],
    columns: impl Fn(&[T]) -> Vec<ArrayRef>,
) -> Result<Vec<RecordBatch>, ArrowError> {
    rows.chunks(BATCH_ROWS).map(|rows| batch(schema, columns(rows))).collect()
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(Arc::clone(schema), columns)
}

fn hospital_columns(hospital_id: i32) -> Vec<ArrayRef> {
    let rows: Vec<_> = (1..).zip(&HOSPITALS).filter(|(id, _)| *id == hospital_id).collect();
    vec![
        ints(rows.iter().map(|(id, _)| *id)),
        texts(rows.iter().map(|(_, hospital)| hospital.0)),
        texts(rows.iter().map(|(_, hospital)| hospital.1)),
        texts(rows.iter().map(|(_, hospital)| hospital.2)),
    ]
}

fn patient_columns(rows: &[Patient]) -> Vec<ArrayRef> {
    let epoch = chrono::NaiveDate::default();
    let days = |patient: &Patient| i32::try_from((patient.birth_date - epoch).num_days()).unwrap_or(0);
    vec![
        bigints(rows.iter().map(|p| p.id)),
        texts(rows.iter().map(|p| &p.name)),
        texts(rows.iter().map(|p| &p.ssn)),
        Arc::new(Date32Array::from_iter_values(rows.iter().map(days))),
        texts(rows.iter().map(|p| &p.zip)),
        ints(rows.iter().map(|p| p.hospital_id)),
        texts(rows.iter().map(|p| p.gender)),
        ints(rows.iter().map(|p| p.age)),
        texts(rows.iter().map(|p| &p.email)),
        texts(rows.iter().map(|p| &p.phone)),
    ]
}

fn encounter_columns(rows: &[(String, Encounter)]) -> Vec<ArrayRef> {
    vec![
        bigints(rows.iter().map(|(_, stay)| stay.id)),
        bigints(rows.iter().map(|(_, stay)| stay.patient_id)),
        ints(rows.iter().map(|(_, stay)| stay.hospital_id)),
        timestamps(rows.iter().map(|(_, stay)| stay.admitted_at)),
        timestamps(rows.iter().map(|(_, stay)| stay.discharged_at)),
        texts(rows.iter().map(|(_, stay)| stay.diagnosis.code)),
        texts(rows.iter().map(|(note, _)| note)),
    ]
}

fn vital_columns(rows: &[Vital]) -> Vec<ArrayRef> {
    vec![
        bigints(rows.iter().map(|v| v.patient_id)),
        ints(rows.iter().map(|v| v.hospital_id)),
        ints(rows.iter().map(|v| v.heart_rate)),
        ints(rows.iter().map(|v| v.blood_pressure)),
        ints(rows.iter().map(|v| v.oxygen_saturation)),
        timestamps(rows.iter().map(|v| v.ts)),
    ]
}

fn care_team_columns(rows: &[(String, u64)], hospital_id: i32) -> Vec<ArrayRef> {
    vec![
        texts(rows.iter().map(|(clinician, _)| clinician)),
        bigints(rows.iter().map(|(_, patient_id)| *patient_id)),
        ints(rows.iter().map(|_| hospital_id)),
    ]
}

fn ints(values: impl Iterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn bigints(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| i64::try_from(value).unwrap_or(i64::MAX))))
}

fn texts<T: AsRef<str>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn timestamps(values: impl Iterator<Item = NaiveDateTime>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values.map(|value| value.and_utc().timestamp_micros())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType};

    fn vitals_schema() -> SchemaRef {
        let int = |name: &str| Field::new(name, DataType::Int32, true);
        Arc::new(Schema::new(vec![
            Field::new("patient_id", DataType::Int64, true),
            int("hospital_id"),
            int("heart_rate"),
            int("blood_pressure"),
            int("oxygen_saturation"),
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        ]))
    }

    #[test]
    fn the_hospitals_together_hold_every_vital_once_in_order_of_time() {
        let mut rows = 0;
        let mut patients = std::collections::BTreeSet::new();
        for hospital in 1..=10 {
            let batches = DemoTable::Vitals.batches(&vitals_schema(), hospital, 300).unwrap();
            let mut last = i64::MIN;
            for batch in &batches {
                assert!(batch.column(1).as_primitive::<Int32Type>().values().iter().all(|id| *id == hospital));
                let times = batch.column(5).as_primitive::<TimestampMicrosecondType>().values();
                assert!(times.is_sorted() && times[0] >= last);
                last = times[times.len() - 1];
                rows += batch.num_rows();
                patients.extend(batch.column(0).as_primitive::<Int64Type>().values().iter().copied());
            }
        }
        assert_eq!((rows, patients.len()), (12_000, 300));
    }

    #[test]
    fn the_same_number_gives_the_same_rows() {
        let make = || DemoTable::Vitals.batches(&vitals_schema(), 3, 500).unwrap();
        assert_eq!(make(), make());
    }
}
