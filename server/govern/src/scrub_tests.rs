//! Values stay, everything else goes: by examples with planted bytes, and by property.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Int32Type};
use arrow::ipc::writer::StreamWriter;
use proptest::prelude::*;

use super::{clear_gaps, compact, compact_batch, rebuild};

const HIDDEN: &str = "HIDDEN-412-68-1073";
const HIDDEN_NUMBER: i64 = 0x4849_4444_454e_2121;

fn ipc(array: &ArrayRef) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", Arc::clone(array), true)]).unwrap();
    written(&compact_batch(&batch).unwrap())
}

fn written(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Every other value is the hidden one, and is replaced by NULL the way `CASE … ELSE NULL` does it.
fn masked(values: ArrayRef) -> ArrayRef {
    let hide = BooleanArray::from_iter((0..values.len()).map(|index| Some(index % 2 == 1)));
    nullif(&values, &hide).unwrap()
}

fn texts() -> Vec<String> {
    (0..100)
        .map(
            |index| if index % 2 == 1 { format!("{HIDDEN}-{index}") } else { format!("a visible text of row {index}") },
        )
        .collect()
}

#[test]
fn masked_columns_of_every_kind_lose_their_hidden_bytes() {
    let texts = texts();
    let numbers =
        || Int64Array::from_iter_values((0..100).map(|index| if index % 2 == 1 { HIDDEN_NUMBER } else { index }));
    let text = StringArray::from_iter_values(&texts);
    let dictionary: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
    let field = Arc::new(Field::new("item", DataType::Utf8, true));
    let list =
        ListArray::new(Arc::clone(&field), OffsetBuffer::from_lengths(vec![1; 100]), Arc::new(text.clone()), None);
    let fields = vec![Field::new("t", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
    let structure = StructArray::new(fields.into(), vec![Arc::new(text.clone()), Arc::new(numbers())], None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(text),
        Arc::new(StringViewArray::from_iter_values(&texts)),
        Arc::new(dictionary),
        Arc::new(numbers()),
        Arc::new(TimestampMicrosecondArray::new(numbers().values().clone(), None)),
        Arc::new(list),
        Arc::new(structure),
    ];
    for column in columns {
        let raw = masked(column);
        let rebuilt = rebuild(&raw).unwrap();
        assert_eq!(&rebuilt, &raw, "{}", raw.data_type());
        let bytes = ipc(&rebuilt);
        assert!(
            !contains(&bytes, HIDDEN.as_bytes()) && !contains(&bytes, &HIDDEN_NUMBER.to_le_bytes()),
            "{}",
            raw.data_type()
        );
        assert!(!buffers_contain(&rebuilt), "{}", raw.data_type());
    }
}

fn buffers_contain(array: &ArrayRef) -> bool {
    fn walk(data: &arrow::array::ArrayData) -> bool {
        let own =
            |buffer: &Buffer| contains(buffer, HIDDEN.as_bytes()) || contains(buffer, &HIDDEN_NUMBER.to_le_bytes());
        data.buffers().iter().any(own) || data.child_data().iter().any(walk)
    }
    walk(&array.to_data())
}

#[test]
fn the_test_would_find_hidden_bytes() {
    let raw = masked(Arc::new(Int64Array::from_iter_values(
        (0..100).map(|index| if index % 2 == 1 { HIDDEN_NUMBER } else { index }),
    )));
    let batch = RecordBatch::try_from_iter_with_nullable([("c", Arc::clone(&raw), true)]).unwrap();
    assert!(contains(&written(&batch), &HIDDEN_NUMBER.to_le_bytes()), "nullif keeps the raw values");
    assert!(buffers_contain(&raw));
    let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts()));
    assert!(buffers_contain(&views.slice(0, 1)), "a view keeps its buffers");
}

#[test]
fn slices_of_views_and_dictionaries_leave_without_their_neighbours() {
    let texts = texts();
    let views: ArrayRef = Arc::new(StringViewArray::from_iter_values(&texts));
    let dictionary: ArrayRef = Arc::new(texts.iter().map(String::as_str).collect::<DictionaryArray<Int32Type>>());
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
    for column in [views, dictionary, text] {
        let slice = column.slice(2, 1);
        let compacted = compact(&slice).unwrap();
        assert_eq!(&compacted, &slice);
        assert!(!buffers_contain(&compacted) && !contains(&ipc(&slice), HIDDEN.as_bytes()), "{}", column.data_type());
    }
}

#[test]
fn a_neighbours_bits_do_not_leave() {
    let booleans = BooleanArray::new(BooleanBuffer::new(Buffer::from(vec![0xffu8, 0xff]), 0, 16), None);
    let compacted = compact(&(Arc::new(booleans.slice(0, 3)) as ArrayRef)).unwrap();
    assert_eq!(compacted.as_boolean().values().inner().as_slice()[0], 0b111);
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from(vec![0b1111_1101u8]), 0, 8));
    let numbers = Int32Array::new(ScalarBuffer::from(vec![1; 8]), Some(nulls));
    let compacted = compact(&(Arc::new(numbers.slice(0, 3)) as ArrayRef)).unwrap();
    assert_eq!(compacted.nulls().unwrap().validity()[0], 0b101);
}

#[test]
fn pass_through_columns_keep_no_values_under_nulls() {
    let raw = masked(Arc::new(Int64Array::from_iter_values(
        (0..100).map(|index| if index % 2 == 1 { HIDDEN_NUMBER } else { index }),
    )));
    let cleared = clear_gaps(&raw).unwrap();
    assert_eq!(&cleared, &raw);
    assert!(!buffers_contain(&cleared));
    let dictionary: ArrayRef = Arc::new(texts().iter().map(String::as_str).collect::<DictionaryArray<Int32Type>>());
    let visible = dictionary.slice(2, 1);
    assert!(!buffers_contain(&clear_gaps(&visible).unwrap()), "a cast of a dictionary reads entries that no row uses");
}

#[test]
fn columns_without_anything_hidden_are_not_copied() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..64));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(texts()));
    for column in [numbers, text] {
        assert!(Arc::ptr_eq(&compact(&column).unwrap(), &column));
        assert!(Arc::ptr_eq(&clear_gaps(&column).unwrap(), &column));
    }
}

/// Any column of some kinds, of the texts given, as a slice of a larger one.
fn column(kind: usize, texts: &[Option<String>], from: usize, to: usize) -> ArrayRef {
    let text: StringArray = texts.iter().map(Option::as_deref).collect();
    let number = || Int64Array::from_iter(texts.iter().map(|text| text.as_ref().map(|text| text.len() as i64)));
    let nulls = text.nulls().cloned();
    let whole: ArrayRef = match kind {
        0 => Arc::new(text),
        1 => Arc::new(StringViewArray::from_iter(texts.iter().map(Option::as_deref))),
        2 => Arc::new(texts.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>()),
        3 => Arc::new(number()),
        4 => Arc::new(BooleanArray::from_iter(texts.iter().map(|text| text.as_ref().map(|text| text.len() % 2 == 0)))),
        5 => {
            let offsets = OffsetBuffer::from_lengths((0..texts.len()).map(|index| usize::from(index % 3 != 0)));
            let count = offsets.last().map_or(0, |last| *last as usize);
            let items: ArrayRef = Arc::new(text.slice(0, count));
            Arc::new(ListArray::new(Arc::new(Field::new("item", DataType::Utf8, true)), offsets, items, nulls))
        }
        _ => {
            let fields = vec![Field::new("t", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
            Arc::new(StructArray::new(fields.into(), vec![Arc::new(text), Arc::new(number())], nulls))
        }
    };
    let (from, to) = (from.min(whole.len()), to.min(whole.len()));
    whole.slice(from.min(to), to.max(from) - from.min(to))
}

proptest! {
    #[test]
    fn no_value_changes(
        kind in 0usize..7,
        texts in prop::collection::vec(prop::option::of("[a-z]{0,20}"), 0..40),
        from in 0usize..40,
        to in 0usize..40,
    ) {
        let raw = column(kind, &texts, from, to);
        for cleaned in [rebuild(&raw).unwrap(), compact(&raw).unwrap(), clear_gaps(&raw).unwrap()] {
            prop_assert_eq!(cleaned.data_type(), raw.data_type());
            prop_assert_eq!(&cleaned, &raw);
            cleaned.to_data().validate_full().unwrap();
        }
    }

    #[test]
    fn nothing_of_the_neighbours_remains(kind in prop::sample::select(vec![0usize, 1, 2, 6]), length in 1usize..30, at in 0usize..30) {
        let texts: Vec<_> = (0..length).map(|index| Some(if index == at % length { "visible".to_owned() } else { HIDDEN.to_owned() })).collect();
        let slice = column(kind, &texts, at % length, at % length + 1);
        prop_assert!(!contains(&ipc(&slice), HIDDEN.as_bytes()));
        prop_assert!(!buffers_contain(&rebuild(&slice).unwrap()));
    }
}
