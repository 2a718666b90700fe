//! Removes from arrays the bytes that no visible row needs.
//!
//! Arrow ships buffers, not values: what lies under a null, between slices, in a view's buffer or in an unused
//! dictionary entry reaches the client. Kernels leave hidden values there: `CASE … ELSE NULL` runs as `nullif` and
//! keeps them under nulls, the Parquet reader leaves neighbours' values under its own nulls, `filter` keeps view
//! buffers and dictionaries whole.
//!
//! Invariant: no function here changes a value, a null or a type; only bytes that no value uses.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, DictionaryArray, FixedSizeBinaryArray,
    FixedSizeBinaryBuilder, GenericByteArray, GenericByteViewArray, PrimitiveArray, RecordBatch, RecordBatchOptions,
    UInt64Array, downcast_dictionary_array, downcast_primitive_array, make_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowNativeType, BinaryType, BinaryViewType, ByteArrayType, ByteViewType, DataType,
    LargeBinaryType, LargeUtf8Type, StringViewType, Utf8Type,
};
use arrow::error::ArrowError;

/// Rebuilds every column of a batch that could carry bytes of other rows: the last step before a batch leaves.
///
/// Views and dictionaries are compacted, slices trimmed, nested columns rebuilt; flat columns pass without a copy.
///
/// # Errors
/// Where an array cannot be rebuilt; the batch must not leave then.
pub fn compact_batch(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(compact).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

/// Compacts one column; see [`compact_batch`].
///
/// # Errors
/// Where the array cannot be rebuilt.
pub fn compact(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Boolean => rebuild(array),
        data_type if data_type.is_primitive() => {
            if is_tidy(array.nulls()) {
                Ok(Arc::clone(array))
            } else {
                rebuild(array)
            }
        }
        DataType::Utf8 => compact_bytes(array.as_bytes::<Utf8Type>(), array),
        DataType::LargeUtf8 => compact_bytes(array.as_bytes::<LargeUtf8Type>(), array),
        DataType::Binary => compact_bytes(array.as_bytes::<BinaryType>(), array),
        DataType::LargeBinary => compact_bytes(array.as_bytes::<LargeBinaryType>(), array),
        _ => rebuild(array),
    }
}

/// Clears what lies between the values of a column that shows raw values of some rows: bytes under nulls, unused
/// dictionary entries. Text views keep their buffers, which no kernel reads beyond the views; [`compact_batch`]
/// compacts them when they leave.
///
/// # Errors
/// Where the array cannot be rebuilt.
pub fn clear_gaps(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Utf8View | DataType::BinaryView => Ok(Arc::clone(array)),
        DataType::Dictionary(..) => rebuild(array),
        data_type if data_type.is_nested() => rebuild(array),
        _ if array.null_count() == 0 => Ok(Arc::clone(array)),
        _ => rebuild(array),
    }
}

/// Rebuilds a column from its values alone, whatever its type: null slots are zero or empty, views and dictionaries
/// hold what the column uses, nested values likewise.
///
/// # Errors
/// Where the array cannot be rebuilt.
pub fn rebuild(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let array = array.as_ref();
    downcast_primitive_array!(
        array => Ok(zeroed(array)),
        DataType::Null => Ok(make_array(array.to_data())),
        DataType::Boolean => Ok(booleans(array.as_boolean())),
        DataType::Utf8 => Ok(Arc::new(bytes(array.as_bytes::<Utf8Type>()))),
        DataType::LargeUtf8 => Ok(Arc::new(bytes(array.as_bytes::<LargeUtf8Type>()))),
        DataType::Binary => Ok(Arc::new(bytes(array.as_bytes::<BinaryType>()))),
        DataType::LargeBinary => Ok(Arc::new(bytes(array.as_bytes::<LargeBinaryType>()))),
        DataType::Utf8View => Ok(Arc::new(views(array.as_byte_view::<StringViewType>()))),
        DataType::BinaryView => Ok(Arc::new(views(array.as_byte_view::<BinaryViewType>()))),
        DataType::FixedSizeBinary(width) => fixed(array.as_fixed_size_binary(), *width),
        DataType::Dictionary(_, _) => downcast_dictionary_array!(
            array => dictionary(array),
            _ => Err(unsupported()),
        ),
        _ => nested(array),
    )
}

fn unsupported() -> ArrowError {
    ArrowError::NotYetImplemented("egress of this type".into())
}

/// No bits beyond the length: a neighbour's validity is told by one bit, too.
fn is_tidy(nulls: Option<&NullBuffer>) -> bool {
    nulls.is_none_or(|nulls| nulls.offset() == 0 && nulls.len() % 8 == 0)
}

fn tidied(nulls: Option<&NullBuffer>) -> Option<NullBuffer> {
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0)?;
    Some(NullBuffer::new(BooleanBuffer::collect_bool(nulls.len(), |index| nulls.is_valid(index))))
}

fn zeroed<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> ArrayRef {
    let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Arc::new(
            PrimitiveArray::<T>::new(array.values().clone(), None).with_data_type(array.data_type().clone()),
        );
    };
    let mut values = vec![T::Native::default(); array.len()];
    for (start, end) in nulls.valid_slices() {
        if let (Some(to), Some(from)) = (values.get_mut(start..end), array.values().get(start..end)) {
            to.copy_from_slice(from);
        }
    }
    Arc::new(PrimitiveArray::<T>::new(values.into(), tidied(Some(nulls))).with_data_type(array.data_type().clone()))
}

fn booleans(array: &BooleanArray) -> ArrayRef {
    let values = BooleanBuffer::collect_bool(array.len(), |index| array.is_valid(index) && array.value(index));
    Arc::new(BooleanArray::new(values, tidied(array.nulls())))
}

fn bytes<T: ByteArrayType>(array: &GenericByteArray<T>) -> GenericByteArray<T> {
    array.iter().collect()
}

/// Copies only where the buffers hold more than the column's own values.
fn compact_bytes<T: ByteArrayType>(array: &GenericByteArray<T>, same: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let offsets = array.value_offsets();
    let covers = offsets.first().is_some_and(|first| first.as_usize() == 0)
        && offsets.last().is_some_and(|last| last.as_usize() == array.value_data().len());
    Ok(if covers && is_tidy(array.nulls()) { Arc::clone(same) } else { Arc::new(bytes(array)) })
}

fn views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> GenericByteViewArray<T> {
    array.iter().collect()
}

fn fixed(array: &FixedSizeBinaryArray, width: i32) -> Result<ArrayRef, ArrowError> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(array.len(), width);
    for value in array {
        match value {
            Some(value) => builder.append_value(value)?,
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Keeps the entries that a key of the column uses, in their order.
fn dictionary<K: ArrowDictionaryKeyType>(array: &DictionaryArray<K>) -> Result<ArrayRef, ArrowError> {
    let values = array.values();
    let mut used = vec![false; values.len()];
    for key in array.keys().iter().flatten() {
        if let Some(entry) = used.get_mut(key.as_usize()) {
            *entry = true;
        }
    }
    let kept: Vec<u64> = used.iter().zip(0u64..).filter_map(|(used, index)| used.then_some(index)).collect();
    let mut places = vec![K::Native::default(); values.len()];
    for (place, &index) in kept.iter().enumerate() {
        let slot = usize::try_from(index).ok().and_then(|index| places.get_mut(index));
        if let (Some(slot), Some(place)) = (slot, K::Native::from_usize(place)) {
            *slot = place;
        }
    }
    let keys: PrimitiveArray<K> = array.keys().iter().map(|key| places.get(key?.as_usize()).copied()).collect();
    let values = rebuild(&take(values.as_ref(), &UInt64Array::from(kept), None)?)?;
    Ok(Arc::new(DictionaryArray::try_new(keys, values)?))
}

/// Takes the valid rows (which empties or nulls the children of null rows), then rebuilds the children.
fn nested(array: &dyn Array) -> Result<ArrayRef, ArrowError> {
    let rows: UInt64Array = (0u64..)
        .take(array.len())
        .zip(0..array.len())
        .map(|(row, index)| array.is_valid(index).then_some(row))
        .collect();
    let taken = take(array, &rows, None)?;
    let data = taken.to_data();
    let children = data.child_data().iter().map(|child| Ok(rebuild(&make_array(child.clone()))?.to_data()));
    let children = children.collect::<Result<Vec<_>, ArrowError>>()?;
    let nulls = tidied(taken.nulls());
    Ok(make_array(data.into_builder().child_data(children).nulls(nulls).build()?))
}

#[cfg(test)]
#[path = "scrub_tests.rs"]
mod tests;
