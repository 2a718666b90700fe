//! Sets of keys against a plain set, of every shape.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion_execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool};

use super::{KeySet, KeySetBuilder};

fn set_of(types: &[DataType], batches: &[Vec<ArrayRef>]) -> KeySet {
    let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
    let mut builder = KeySetBuilder::new(types, MemoryConsumer::new("keys").register(&pool)).unwrap();
    for batch in batches {
        builder.extend(batch, batch.first().map_or(1, |column| column.len())).unwrap();
    }
    let (set, memory) = builder.finish().unwrap();
    assert!(matches!(set, KeySet::Unit(_)) || memory.size() > 0, "what it holds is accounted for");
    set
}

fn found(set: &KeySet, keys: &[ArrayRef]) -> Vec<bool> {
    set.contains(keys, keys.first().map_or(2, |column| column.len())).unwrap().iter().collect()
}

fn integers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn check_integers(values: &[i64]) {
    let known: BTreeSet<i64> = values.iter().copied().collect();
    let halves = values.split_at(values.len() / 2);
    let batch = |values: &[i64]| vec![integers(&values.iter().copied().map(Some).chain([None]).collect::<Vec<_>>())];
    let set = set_of(&[DataType::Int64], &[batch(halves.0), batch(halves.1)]);
    let probes: Vec<i64> = values
        .iter()
        .flat_map(|value| [*value, value.wrapping_add(1), value.wrapping_sub(1), value.wrapping_mul(31)])
        .chain([0, i64::MIN, i64::MAX])
        .collect();
    let expected: Vec<bool> = probes.iter().map(|probe| known.contains(probe)).collect();
    let probes: Vec<Option<i64>> = probes.into_iter().map(Some).collect();
    assert_eq!(found(&set, &[integers(&probes)]), expected);
    assert_eq!(found(&set, &[integers(&[None])]), [false], "NULL is no key");
}

#[test]
fn integers_are_found_whether_they_lie_close_or_apart() {
    check_integers(&[]);
    check_integers(&[7]);
    check_integers(&[i64::MIN, i64::MAX, 0, -1, 5, 5]);
    check_integers(&(-3000..3000).step_by(3).collect::<Vec<_>>());
    check_integers(
        &(0..5000).map(|number: i64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())).collect::<Vec<_>>(),
    );
}

#[test]
fn other_keys_are_found_by_all_their_columns() {
    let text = |values: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let rows = vec![integers(&[Some(1), Some(1), None, Some(2)]), text(&[Some("a"), Some("b"), Some("c"), None])];
    let set = set_of(&[DataType::Int64, DataType::Utf8], &[rows]);
    let probes = [
        integers(&[Some(1), Some(2), Some(1), None, Some(2)]),
        text(&[Some("b"), Some("a"), Some("c"), Some("c"), None]),
    ];
    assert_eq!(found(&set, &probes), [true, false, false, false, false]);
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(10), None, Some(-10)]));
    let set = set_of(&[DataType::Date32], &[vec![Arc::clone(&dates)]]);
    assert_eq!(found(&set, &[dates]), [true, false, true]);
}

#[test]
fn numbers_are_found_however_they_are_spelt() {
    let floats = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
    let set = set_of(&[DataType::Float64], &[vec![floats(&[0.0, f64::NAN, 1.5])]]);
    assert_eq!(found(&set, &[floats(&[-0.0, -f64::NAN, 1.5, 2.5])]), [true, true, true, false]);
}

#[test]
fn a_key_of_no_columns_is_whether_there_is_a_row() {
    assert_eq!(found(&set_of(&[], &[]), &[]), [false, false]);
    assert_eq!(found(&set_of(&[], &[vec![]]), &[]), [true, true]);
}

#[test]
fn a_set_that_does_not_fit_is_refused() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
    let mut builder = KeySetBuilder::new(&[DataType::Int64], MemoryConsumer::new("keys").register(&pool)).unwrap();
    assert!(builder.extend(&[integers(&[Some(1); 1000])], 1000).is_err());
}
