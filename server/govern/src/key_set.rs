//! A set of keys that a policy's subquery found, probed by whole batches.
//!
//! One integer, date or time is kept in a bitmap where the keys lie close together, else in an open table; everything
//! else as rows of bytes. Invariants: a key that holds NULL is in no set; every byte is accounted for before it is taken.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::{Result, internal_err, resources_err};
use datafusion_execution::memory_pool::MemoryReservation;

/// A bitmap may have so many bits for each key.
const BITS_PER_KEY: u64 = 16;
/// What a bitmap may have whatever there is to put in it.
const SMALL_BITS: u64 = 1 << 16;
/// No row: the mark of an empty slot.
const EMPTY: u32 = u32::MAX;

/// See the module.
pub(crate) enum KeySet {
    /// Of keys of no columns: whether there is one.
    Unit(bool),
    /// Integers `first + i`, for each bit `i` that is set.
    Bitmap { first: i64, bits: BooleanBuffer },
    /// Integers, each in the first free slot after its own.
    Integers { slots: Vec<i64>, multiplier: u64, holds_mark: bool },
    /// Rows of bytes; the slots hold their numbers.
    Rows { converter: RowConverter, rows: Rows, slots: Vec<u32>, hasher: std::hash::RandomState },
}

/// Which integer stands for an empty slot: whether it is a key is kept apart.
const MARK: i64 = i64::MIN;

impl KeySet {
    /// Which of `rows` rows have a key that is in the set.
    pub(crate) fn contains(&self, keys: &[ArrayRef], rows: usize) -> Result<BooleanBuffer> {
        match self {
            Self::Unit(holds) => Ok(if *holds { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) }),
            Self::Bitmap { first, bits } => {
                let (values, nulls) = integers(keys)?;
                let found = |value: i64| {
                    let place = value.wrapping_sub(*first);
                    value >= *first && usize::try_from(place).is_ok_and(|place| place < bits.len() && bits.value(place))
                };
                Ok(without(
                    BooleanBuffer::collect_bool(values.len(), |row| values.get(row).copied().is_some_and(found)),
                    nulls.as_ref(),
                ))
            }
            Self::Integers { slots, multiplier, holds_mark } => {
                let (values, nulls) = integers(keys)?;
                let found = |value: i64| {
                    if value == MARK {
                        *holds_mark
                    } else {
                        slots.get(slot_of(slots, *multiplier, value)) == Some(&value)
                    }
                };
                Ok(without(
                    BooleanBuffer::collect_bool(values.len(), |row| values.get(row).copied().is_some_and(found)),
                    nulls.as_ref(),
                ))
            }
            Self::Rows { converter, rows: own, slots, hasher } => {
                let keys = normal(keys)?;
                let probes = converter.convert_columns(&keys)?;
                let found = |row: usize| {
                    let probe = probes.row(row);
                    let mut slot = first_slot(slots.len(), hasher.hash_one(probe.data()));
                    while let Some(number) = slots.get(slot).filter(|number| **number != EMPTY) {
                        if own.row(*number as usize) == probe {
                            return true;
                        }
                        slot = next_slot(slot, slots.len());
                    }
                    false
                };
                let nulls = keys
                    .iter()
                    .fold(None, |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
                Ok(without(BooleanBuffer::collect_bool(rows, found), nulls.as_ref()))
            }
        }
    }
}

/// Rows with a NULL in their key are in no set.
fn without(found: BooleanBuffer, nulls: Option<&NullBuffer>) -> BooleanBuffer {
    match nulls {
        Some(nulls) => &found & nulls.inner(),
        None => found,
    }
}

/// A set in the making.
pub(crate) struct KeySetBuilder {
    kind: Building,
    memory: MemoryReservation,
}

enum Building {
    Unit(bool),
    Integers(Vec<i64>),
    Rows { converter: RowConverter, rows: Rows },
}

impl KeySetBuilder {
    /// Of keys whose columns have these types.
    pub(crate) fn new(types: &[DataType], memory: MemoryReservation) -> Result<Self> {
        let kind = match types {
            [] => Building::Unit(false),
            [only] if is_integer(only) => Building::Integers(Vec::new()),
            types => {
                let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
                let rows = converter.empty_rows(0, 0);
                Building::Rows { converter, rows }
            }
        };
        Ok(Self { kind, memory })
    }

    /// Adds the keys of `rows` rows, those with a NULL apart.
    pub(crate) fn extend(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        match &mut self.kind {
            Building::Unit(holds) => *holds |= rows > 0,
            Building::Integers(all) => {
                let (values, nulls) = integers(keys)?;
                if all.capacity() - all.len() < values.len() {
                    let more = values.len().max(all.capacity());
                    self.memory.try_grow(more * size_of::<i64>())?;
                    all.reserve_exact(all.capacity() - all.len() + more);
                }
                match nulls {
                    None => all.extend_from_slice(&values),
                    Some(nulls) => all.extend(nulls.valid_indices().filter_map(|row| values.get(row).copied())),
                }
            }
            Building::Rows { converter, rows: all } => {
                let keys = normal(keys)?;
                let nulls = keys
                    .iter()
                    .fold(None, |nulls, key| NullBuffer::union(nulls.as_ref(), key.logical_nulls().as_ref()));
                let kept = match nulls.filter(|nulls| nulls.null_count() > 0) {
                    None => keys,
                    Some(nulls) => {
                        let valid = arrow::array::BooleanArray::new(nulls.into_inner(), None);
                        keys.iter().map(|key| Ok(arrow::compute::filter(key, &valid)?)).collect::<Result<_>>()?
                    }
                };
                let before = all.size();
                converter.append(all, &kept)?;
                self.memory.try_grow(all.size().saturating_sub(before))?;
            }
        }
        Ok(())
    }

    /// The set, and the memory that it holds.
    pub(crate) fn finish(self) -> Result<(KeySet, MemoryReservation)> {
        let Self { kind, memory } = self;
        let set = match kind {
            Building::Unit(holds) => KeySet::Unit(holds),
            Building::Integers(values) => {
                let held = values.capacity() * size_of::<i64>();
                let set = integer_set(&values, &memory)?;
                memory.shrink(held);
                set
            }
            Building::Rows { converter, rows } => row_set(converter, rows, &memory)?,
        };
        Ok((set, memory))
    }
}

fn integer_set(values: &[i64], memory: &MemoryReservation) -> Result<KeySet> {
    let (Some(first), Some(last)) = (values.iter().min(), values.iter().max()) else { return Ok(KeySet::Unit(false)) };
    let span = last.abs_diff(*first).saturating_add(1);
    if span <= (values.len() as u64).saturating_mul(BITS_PER_KEY).max(SMALL_BITS) {
        let Ok(span) = usize::try_from(span) else { return internal_err!("a bitmap is too wide") };
        memory.try_grow(span.div_ceil(8))?;
        let mut bits = BooleanBufferBuilder::new(span);
        bits.append_n(span, false);
        for value in values {
            bits.set_bit(usize::try_from(value.abs_diff(*first)).unwrap_or_default(), true);
        }
        return Ok(KeySet::Bitmap { first: *first, bits: bits.finish() });
    }
    let count = table_size(values.len());
    memory.try_grow(count * size_of::<i64>())?;
    let mut slots = vec![MARK; count];
    // Drawn anew for each set: whoever fills the table cannot choose keys that all fall on one slot.
    let multiplier = std::hash::RandomState::new().hash_one(count) | 1;
    let mut holds_mark = false;
    for value in values {
        let slot = slot_of(&slots, multiplier, *value);
        holds_mark |= *value == MARK;
        if let Some(slot) = slots.get_mut(slot) {
            *slot = *value;
        }
    }
    Ok(KeySet::Integers { slots, multiplier, holds_mark })
}

/// Where `value` is, or would be put.
fn slot_of(slots: &[i64], multiplier: u64, value: i64) -> usize {
    let mut slot = first_slot(slots.len(), value.cast_unsigned().wrapping_mul(multiplier));
    while let Some(found) = slots.get(slot) {
        if *found == value || *found == MARK {
            break;
        }
        slot = next_slot(slot, slots.len());
    }
    slot
}

fn row_set(converter: RowConverter, rows: Rows, memory: &MemoryReservation) -> Result<KeySet> {
    let count = rows.num_rows();
    if u32::try_from(count).is_ok_and(|count| count == EMPTY) || u32::try_from(count).is_err() {
        return resources_err!("a policy's subquery finds too many rows");
    }
    let size = table_size(count);
    memory.try_grow(size * size_of::<u32>())?;
    let mut slots = vec![EMPTY; size];
    let hasher = std::hash::RandomState::new();
    for (number, row) in (0_u32..).zip(rows.iter()) {
        let mut slot = first_slot(size, hasher.hash_one(row.data()));
        loop {
            match slots.get_mut(slot) {
                Some(free) if *free == EMPTY => {
                    *free = number;
                    break;
                }
                Some(taken) if rows.row(*taken as usize) != row => slot = next_slot(slot, size),
                _ => break,
            }
        }
    }
    Ok(KeySet::Rows { converter, rows, slots, hasher })
}

/// A power of two, of which at most three quarters are used.
fn table_size(keys: usize) -> usize {
    (keys + keys / 3 + 1).next_power_of_two()
}

/// By the upper half of the hash, which a multiplication mixes best.
fn first_slot(slots: usize, hash: u64) -> usize {
    usize::try_from((hash >> 32) ^ (hash >> 7)).unwrap_or_default() & (slots - 1)
}

fn next_slot(slot: usize, slots: usize) -> usize {
    (slot + 1) & (slots - 1)
}

/// Types that keep their value as an `Int64`.
fn is_integer(data_type: &DataType) -> bool {
    (data_type.is_integer() && *data_type != DataType::UInt64)
        || matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

fn integers(keys: &[ArrayRef]) -> Result<(arrow::buffer::ScalarBuffer<i64>, Option<NullBuffer>)> {
    let [key] = keys else { return internal_err!("an integer key has one column") };
    let days;
    let key = if *key.data_type() == DataType::Date32 {
        days = cast(key, &DataType::Int32)?;
        &days
    } else {
        key
    };
    let key = cast(key, &DataType::Int64)?;
    let key = key.as_primitive::<Int64Type>();
    Ok((key.values().clone(), key.nulls().filter(|nulls| nulls.null_count() > 0).cloned()))
}

/// One spelling for each number: -0 is 0, and NaN is NaN.
fn normal(keys: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let one = |key: &ArrayRef| -> Result<ArrayRef> {
        Ok(match key.data_type() {
            DataType::Float64 => std::sync::Arc::new(
                key.as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
            ),
            DataType::Float32 => std::sync::Arc::new(
                key.as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
            ),
            _ => std::sync::Arc::clone(key),
        })
    };
    keys.iter().map(one).collect()
}

#[cfg(test)]
#[path = "key_set_tests.rs"]
mod tests;
