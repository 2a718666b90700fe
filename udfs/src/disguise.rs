//! The loops that replace letters and digits, character by character, and may leave one end of the text readable.
//!
//! Columns are mostly short ASCII: those are masked as whole buffers (offset layouts) or as whole 16-byte views, without
//! a branch for each byte. Anything else goes character by character.
//!
//! Invariants: the number of characters never changes; a slot that is NULL holds no readable byte.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericStringArray, OffsetSizeTrait, StringViewArray, make_view};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use datafusion_common::{Result, internal_datafusion_err};

use crate::text::{self, Wrote};

/// A view holds its text itself up to this many bytes.
const INLINE_BYTES: usize = 12;
/// The bytes of a view in front of its inlined text.
const VIEW_HEAD_BYTES: usize = 4;
/// The high bit of every byte of an inlined text.
const NON_ASCII: u128 = 0x8080_8080_8080_8080_8080_8080_0000_0000;
/// A view's length field.
const VIEW_HEAD: u128 = 0xFFFF_FFFF;
/// A data block of the view layout ends before it passes this size: offsets into it are 32 bits.
const BLOCK_BYTES: usize = 1 << 30;

/// What letters and digits become. Both functions agree on ASCII, and neither changes what is no letter or digit.
pub(crate) trait Disguise: Copy {
    /// For one ASCII byte.
    fn byte(self, byte: u8) -> u8;
    /// For sixteen ASCII bytes at once.
    fn word(self, word: u128) -> u128;
    /// For one character.
    fn character(self, character: char) -> char;
}

/// Letters and digits become `*`.
#[derive(Clone, Copy)]
pub(crate) struct Stars;

impl Disguise for Stars {
    fn byte(self, byte: u8) -> u8 {
        if byte.is_ascii_alphanumeric() { b'*' } else { byte }
    }

    fn word(self, word: u128) -> u128 {
        let hidden = within(word, b'A', b'Z') | within(word, b'a', b'z') | within(word, b'0', b'9');
        (word & !hidden) | (repeat(b'*') & hidden)
    }

    fn character(self, character: char) -> char {
        if character.is_alphanumeric() || is_mark(character) { '*' } else { character }
    }
}

/// Upper-case letters become `X`, other letters `x`, digits `n`.
#[derive(Clone, Copy)]
pub(crate) struct Shape;

impl Disguise for Shape {
    fn byte(self, byte: u8) -> u8 {
        match byte {
            b'A'..=b'Z' => b'X',
            b'a'..=b'z' => b'x',
            b'0'..=b'9' => b'n',
            other => other,
        }
    }

    fn word(self, word: u128) -> u128 {
        let (upper, lower, digit) = (within(word, b'A', b'Z'), within(word, b'a', b'z'), within(word, b'0', b'9'));
        let replaced = (repeat(b'X') & upper) | (repeat(b'x') & lower) | (repeat(b'n') & digit);
        (word & !(upper | lower | digit)) | replaced
    }

    fn character(self, character: char) -> char {
        if character.is_numeric() {
            'n'
        } else if character.is_uppercase() {
            'X'
        } else if character.is_alphabetic() || is_mark(character) {
            'x'
        } else {
            character
        }
    }
}

/// Sixteen times the same byte.
const fn repeat(byte: u8) -> u128 {
    u128::from_le_bytes([byte; 16])
}

/// All bits of the bytes between `first` and `last`, for ASCII bytes: no sum below passes its byte.
const fn within(word: u128, first: u8, last: u8) -> u128 {
    let from_first = word + repeat(0x80 - first);
    let past_last = word + repeat(0x7F - last);
    let high = from_first & !past_last & repeat(0x80);
    high | (high - (high >> 7))
}

/// Combining marks belong to the letter before them: left alone, they would tell an `é` from an `e`.
fn is_mark(character: char) -> bool {
    matches!(character,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05C7}' | '\u{0610}'..='\u{061A}'
        | '\u{064B}'..='\u{065F}' | '\u{093C}' | '\u{094D}' | '\u{09BC}' | '\u{09CD}' | '\u{0A4D}' | '\u{0ACD}' | '\u{0BCD}'
        | '\u{0C4D}' | '\u{0CCD}' | '\u{0D4D}' | '\u{0DCA}' | '\u{0E38}'..='\u{0E3A}' | '\u{0E47}'..='\u{0E4E}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{302A}'..='\u{302F}'
        | '\u{3099}' | '\u{309A}' | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}')
}

/// Which end of a text stays readable. Where the text has no more characters than would be shown, none is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Shown {
    /// Nothing.
    Nothing,
    /// So many characters at the start.
    First(usize),
    /// So many characters at the end.
    Last(usize),
}

impl Shown {
    /// The readable part of a text of `length` characters, from and to.
    fn range(self, length: usize) -> (usize, usize) {
        match self {
            Self::First(count) if count < length => (0, count),
            Self::Last(count) if count < length => (length - count, length),
            Self::Nothing | Self::First(_) | Self::Last(_) => (0, 0),
        }
    }
}

/// Disguises every row of a text column, into the same layout.
pub(crate) fn disguise_column(column: &ArrayRef, disguise: impl Disguise, shown: Shown) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Utf8 => {
            if let Some(masked) = disguise_ascii(column.as_string::<i32>(), disguise, shown)? {
                return Ok(Arc::new(masked));
            }
        }
        DataType::LargeUtf8 => {
            if let Some(masked) = disguise_ascii(column.as_string::<i64>(), disguise, shown)? {
                return Ok(Arc::new(masked));
            }
        }
        DataType::Utf8View => return Ok(Arc::new(disguise_views(column.as_string_view(), disguise, shown)?)),
        _ => {}
    }
    text::rewrite(column, |_, text, output| {
        disguise_text(text, disguise, shown, output);
        Ok(Wrote::Value)
    })
}

/// Appends the disguised `text` to `output`.
pub(crate) fn disguise_text(text: &str, disguise: impl Disguise, shown: Shown, output: &mut String) {
    let length = if shown == Shown::Nothing { 0 } else { text.chars().count() };
    let (from, to) = shown.range(length);
    output.extend(
        text.chars().enumerate().map(|(place, character)| {
            if (from..to).contains(&place) { character } else { disguise.character(character) }
        }),
    );
}

/// The same for bytes: an ASCII text is masked as a whole, then its readable end copied back.
fn disguise_bytes(text: &str, disguise: impl Disguise, shown: Shown, output: &mut Vec<u8>) {
    if !text.is_ascii() {
        let mut characters = String::with_capacity(text.len());
        disguise_text(text, disguise, shown, &mut characters);
        output.extend_from_slice(characters.as_bytes());
        return;
    }
    let raw = text.as_bytes();
    output.extend(raw.iter().map(|byte| disguise.byte(*byte)));
    let (from, to) = shown.range(raw.len());
    if let (Some(target), Some(source)) = (output.get_mut(from..to), raw.get(from..to)) {
        target.copy_from_slice(source);
    }
}

/// The whole buffer at once, where it is ASCII: offsets and NULLs stay as they are.
fn disguise_ascii<O: OffsetSizeTrait>(
    column: &GenericStringArray<O>,
    disguise: impl Disguise,
    shown: Shown,
) -> Result<Option<GenericStringArray<O>>> {
    let first = column.offsets().first().map_or(0, |offset| offset.as_usize());
    let last = column.offsets().last().map_or(0, |offset| offset.as_usize());
    let raw = column.values().as_slice().get(first..last).unwrap_or_default();
    if !raw.is_ascii() {
        return Ok(None);
    }
    let mut masked: Vec<u8> = raw.iter().map(|byte| disguise.byte(*byte)).collect();
    if shown != Shown::Nothing {
        show_again(column, raw, &mut masked, shown);
    }
    let offsets: Vec<O> = column.offsets().iter().map(|offset| *offset - O::usize_as(first)).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Some(GenericStringArray::try_new(offsets, Buffer::from(masked), column.nulls().cloned())?))
}

/// Copies the readable end of each row back from `raw`.
fn show_again<O: OffsetSizeTrait>(column: &GenericStringArray<O>, raw: &[u8], masked: &mut [u8], shown: Shown) {
    let base = column.offsets().first().map_or(0, |offset| offset.as_usize());
    for (row, pair) in column.offsets().windows(2).enumerate() {
        let &[start, end] = pair else { continue };
        if column.is_null(row) {
            continue;
        }
        let start = start.as_usize() - base;
        let (from, to) = shown.range(end.as_usize() - base - start);
        let range = start + from..start + to;
        if let (Some(target), Some(source)) = (masked.get_mut(range.clone()), raw.get(range)) {
            target.copy_from_slice(source);
        }
    }
}

/// View by view: an inlined ASCII text is masked inside its view, the others in new data blocks.
fn disguise_views(column: &StringViewArray, disguise: impl Disguise, shown: Shown) -> Result<StringViewArray> {
    let mut views = Vec::with_capacity(column.len());
    let mut blocks = Blocks::default();
    let mut scratch = Vec::new();
    for (row, view) in column.views().iter().enumerate() {
        // The length is a view's low 32 bits.
        let length = (*view & VIEW_HEAD) as usize;
        views.push(if column.is_null(row) {
            0
        } else if length <= INLINE_BYTES && *view & NON_ASCII == 0 {
            disguise_view(*view, length, disguise, shown)
        } else {
            scratch.clear();
            disguise_bytes(column.value(row), disguise, shown, &mut scratch);
            blocks.append(&scratch)?
        });
    }
    let nulls = column.nulls().cloned();
    Ok(StringViewArray::try_new(ScalarBuffer::from(views), blocks.finish(), nulls)?)
}

/// Masks the 16 bytes of a view, then puts back its length and what is to be shown.
fn disguise_view(view: u128, length: usize, disguise: impl Disguise, shown: Shown) -> u128 {
    let masked = disguise.word(view);
    let (from, to) = shown.range(length);
    let kept = VIEW_HEAD | (low_bytes(VIEW_HEAD_BYTES + to) & !low_bytes(VIEW_HEAD_BYTES + from));
    (masked & !kept) | (view & kept)
}

/// A mask of the lowest `count` bytes of a view.
fn low_bytes(count: usize) -> u128 {
    if count >= 16 { u128::MAX } else { (1_u128 << (8 * count)) - 1 }
}

/// The data blocks of a view column being made.
#[derive(Default)]
struct Blocks {
    full: Vec<Buffer>,
    open: Vec<u8>,
}

impl Blocks {
    /// Stores `text` and gives its view.
    fn append(&mut self, text: &[u8]) -> Result<u128> {
        if text.len() <= INLINE_BYTES {
            return Ok(make_view(text, 0, 0));
        }
        if !self.open.is_empty() && self.open.len() + text.len() > BLOCK_BYTES {
            self.full.push(Buffer::from(std::mem::take(&mut self.open)));
        }
        let too_many = |_| internal_datafusion_err!("a text column is too large");
        let block = u32::try_from(self.full.len()).map_err(too_many)?;
        let offset = u32::try_from(self.open.len()).map_err(too_many)?;
        self.open.extend_from_slice(text);
        Ok(make_view(text, block, offset))
    }

    fn finish(mut self) -> Vec<Buffer> {
        if !self.open.is_empty() {
            self.full.push(Buffer::from(self.open));
        }
        self.full
    }
}
