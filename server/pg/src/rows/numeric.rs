//! `numeric`: text with its scale kept, and PostgreSQL's base-10,000 binary form.
//!
//! Both are made from the decimal digits of the unscaled value.

use bytes::BufMut;

use super::number::Digits;

/// Writes one form of a number: its sign, the digits of its unscaled value, its scale.
pub(super) type Put = fn(&mut Vec<u8>, bool, &[u8], i8);

/// A number of 128 bits.
pub(super) fn put_i128(out: &mut Vec<u8>, value: i128, scale: i8, put: Put) {
    put(out, value < 0, Digits::of(value.unsigned_abs()).as_bytes(), scale);
}

/// A number of 256 bits, from its decimal text.
pub(super) fn put_digits(out: &mut Vec<u8>, text: &str, scale: i8, put: Put) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    put(out, digits.len() < text.len(), digits.as_bytes(), scale);
}

/// Splits digits into those before and those after the decimal point. A fraction shorter than the scale lacks zeros
/// in front.
fn split(digits: &[u8], scale: usize) -> (&[u8], &[u8]) {
    digits.split_at_checked(digits.len().saturating_sub(scale)).unwrap_or((digits, b""))
}

fn is_zero(digits: &[u8]) -> bool {
    digits.iter().all(|digit| *digit == b'0')
}

/// Text.
pub(super) fn text(out: &mut Vec<u8>, negative: bool, digits: &[u8], scale: i8) {
    if negative && !is_zero(digits) {
        out.put_u8(b'-');
    }
    let Ok(fraction_digits) = usize::try_from(scale) else {
        out.extend_from_slice(digits);
        if !is_zero(digits) {
            out.put_bytes(b'0', usize::from(scale.unsigned_abs()));
        }
        return;
    };
    let (whole, fraction) = split(digits, fraction_digits);
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if fraction_digits > 0 {
        out.put_u8(b'.');
        out.put_bytes(b'0', fraction_digits - fraction.len());
        out.extend_from_slice(fraction);
    }
}

/// Binary: number of groups, weight of the first, sign, display scale, groups.
pub(super) fn binary(out: &mut Vec<u8>, negative: bool, digits: &[u8], scale: i8) {
    let fraction_digits = usize::try_from(scale).unwrap_or(0);
    let appended = if scale < 0 { usize::from(scale.unsigned_abs()) } else { 0 };
    let (whole, fraction) = split(digits, fraction_digits);
    let missing = fraction_digits - fraction.len();
    // Groups of four around the decimal point: zeros fill up the front, and the end.
    let whole_groups = (whole.len() + appended).div_ceil(4);
    let front = whole_groups * 4 - whole.len() - appended;
    let zero = std::iter::repeat(&b'0');
    let stream = zero.clone().take(front).chain(whole).chain(zero.clone().take(appended + missing)).chain(fraction);
    let total = (whole_groups * 4 + fraction_digits).div_ceil(4);
    let mut padded = stream.chain(zero).map(|digit| u16::from(digit - b'0'));
    let mut group = move || (0..4).fold(0u16, |sum, _| sum * 10 + padded.next().unwrap_or(0));
    let start = out.len();
    out.put_bytes(0, 8);
    let (mut leading, mut kept, mut trailing) = (0usize, 0usize, 0usize);
    for _ in 0..total {
        let value = group();
        if value == 0 && kept == 0 {
            leading += 1;
            continue;
        }
        trailing = if value == 0 { trailing + 1 } else { 0 };
        kept += 1;
        out.put_u16(value);
    }
    kept -= trailing;
    out.truncate(start + 8 + kept * 2);
    let weight =
        if kept == 0 { 0 } else { i64::try_from(whole_groups).unwrap_or(0) - 1 - i64::try_from(leading).unwrap_or(0) };
    let sign: u16 = if negative && kept > 0 { 0x4000 } else { 0 };
    let mut header = [0u8; 8];
    (&mut header[..]).put_u16(u16::try_from(kept).unwrap_or(0));
    if let Some(mut rest) = header.get_mut(2..) {
        rest.put_i16(i16::try_from(weight).unwrap_or(0));
        rest.put_u16(sign);
        rest.put_u16(u16::try_from(fraction_digits).unwrap_or(0));
    }
    if let Some(slot) = out.get_mut(start..start + 8) {
        slot.copy_from_slice(&header);
    }
}

#[cfg(test)]
mod tests {
    use super::{binary, put_i128, text};
    use proptest::prelude::*;

    fn shown(value: i128, scale: i8) -> String {
        let mut out = Vec::new();
        put_i128(&mut out, value, scale, text);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn sent(value: i128, scale: i8) -> Vec<i16> {
        let mut out = Vec::new();
        put_i128(&mut out, value, scale, binary);
        out.chunks(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn text_keeps_the_scale() {
        let cases = [
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-50, 2, "-0.50"),
            (12345, 2, "123.45"),
            (7, 0, "7"),
            (-7, -2, "-700"),
            (1, 5, "0.00001"),
        ];
        for (value, scale, expected) in cases {
            assert_eq!(shown(value, scale), expected);
        }
        assert_eq!(shown(i128::MIN, 0), i128::MIN.to_string());
    }

    /// As `numeric_send` sends them: digits, weight, sign, scale, groups.
    #[test]
    fn binary_is_postgresqls() {
        assert_eq!(sent(0, 2), [0, 0, 0, 2]);
        assert_eq!(sent(12_345, 2), [2, 0, 0, 2, 123, 4500]);
        assert_eq!(sent(-5, 2), [1, -1, 0x4000, 2, 500]);
        assert_eq!(sent(10_000, 0), [1, 1, 0, 0, 1]);
        assert_eq!(sent(1_0001_0000_0005, 4), [4, 2, 0, 4, 1, 1, 0, 5]);
        assert_eq!(sent(1, 8), [1, -2, 0, 8, 1]);
        assert_eq!(sent(7, -4), [1, 1, 0, 0, 7]);
    }

    /// The value of the binary form, times 10^scale.
    fn read_back(sent: &[i16]) -> i128 {
        let (weight, sign, scale) = (i32::from(sent[1]), sent[2], i32::from(sent[3]));
        let mut value = 0i128;
        for (index, group) in sent[4..].iter().enumerate() {
            let power = 4 * (weight - i32::try_from(index).unwrap()) + scale;
            value += if power >= 0 {
                i128::from(*group) * 10i128.pow(power.unsigned_abs())
            } else {
                i128::from(*group) / 10i128.pow(power.unsigned_abs())
            };
        }
        if sign == 0 { value } else { -value }
    }

    proptest! {
        #[test]
        fn binary_reads_back(value in -10i128.pow(37)..10i128.pow(37), scale in 0i8..37) {
            let sent = sent(value, scale);
            prop_assert_eq!(usize::try_from(sent[0]).unwrap(), sent.len() - 4);
            prop_assert_eq!(read_back(&sent), value);
            prop_assert!(sent.len() == 4 || (sent[4] != 0 && sent[sent.len() - 1] != 0));
        }
    }
}
