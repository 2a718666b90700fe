//! Integers and floating-point numbers in decimal.
//!
//! Floats take PostgreSQL's shortest form that reads back as the same value, with an exponent where `%g` would have
//! one: below −4, and from 15 (`float8`) or 6 (`float4`) on.

use std::fmt::{self, LowerExp, Write};

use bytes::BufMut;

/// The decimal digits of a number, on the stack.
pub(super) struct Digits {
    bytes: [u8; 40],
    start: usize,
}

impl Digits {
    /// Digits of `value`; one digit for 0.
    pub(super) fn of(value: u128) -> Self {
        let mut digits = Self { bytes: [b'0'; 40], start: 40 };
        let mut slots = digits.bytes.iter_mut().rev();
        let mut wide = value;
        // 128-bit division is slow: two halves of at most 19 digits are enough for most values.
        while wide > u128::from(u64::MAX) {
            let (rest, digit) = (wide / 10, wide % 10);
            put_digit(slots.next(), u64::try_from(digit).unwrap_or(0));
            digits.start -= 1;
            wide = rest;
        }
        let mut narrow = u64::try_from(wide).unwrap_or(0);
        loop {
            put_digit(slots.next(), narrow % 10);
            digits.start -= 1;
            narrow /= 10;
            if narrow == 0 {
                break;
            }
        }
        digits
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

fn put_digit(slot: Option<&mut u8>, digit: u64) {
    if let Some(slot) = slot {
        *slot = b'0' + u8::try_from(digit).unwrap_or(0);
    }
}

/// A signed integer.
pub(super) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// An unsigned integer.
pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// An unsigned integer of at least `width` digits.
pub(super) fn put_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    out.put_bytes(b'0', width.saturating_sub(digits.len()));
    out.extend_from_slice(digits);
}

/// The two digits of a number below 100.
pub(super) fn two(value: u64) -> [u8; 2] {
    let digit = |value: u64| b'0' + u8::try_from(value % 10).unwrap_or(0);
    [digit(value / 10), digit(value)]
}

/// A `float8`.
pub(super) fn put_f64(out: &mut Vec<u8>, value: f64) {
    if !put_special(out, value) {
        put_shortest(out, value, 15);
    }
}

/// A `float4`.
pub(super) fn put_f32(out: &mut Vec<u8>, value: f32) {
    if !put_special(out, f64::from(value)) {
        put_shortest(out, value, 6);
    }
}

fn put_special(out: &mut Vec<u8>, value: f64) -> bool {
    let name: &[u8] = match value {
        _ if value.is_nan() => b"NaN",
        f64::INFINITY => b"Infinity",
        f64::NEG_INFINITY => b"-Infinity",
        _ => return false,
    };
    out.extend_from_slice(name);
    true
}

fn put_shortest(out: &mut Vec<u8>, value: impl LowerExp, exponent_limit: i32) {
    let mut buffer = Stack { bytes: [0; 40], length: 0 };
    // The buffer is longer than any float's shortest form.
    let _ = write!(buffer, "{value:e}");
    let text = std::str::from_utf8(buffer.bytes.get(..buffer.length).unwrap_or_default()).unwrap_or_default();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() < mantissa.len() {
        out.put_u8(b'-');
    }
    let (lead, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if (-4..exponent_limit).contains(&exponent) {
        put_plain(out, lead.as_bytes(), fraction.as_bytes(), exponent);
    } else {
        put_scientific(out, unsigned, exponent);
    }
}

fn put_plain(out: &mut Vec<u8>, lead: &[u8], fraction: &[u8], exponent: i32) {
    let Ok(shift) = usize::try_from(exponent) else {
        out.extend_from_slice(b"0.");
        out.put_bytes(b'0', usize::try_from(-exponent - 1).unwrap_or(0));
        out.extend_from_slice(lead);
        out.extend_from_slice(fraction);
        return;
    };
    out.extend_from_slice(lead);
    let (whole, rest) = fraction.split_at_checked(shift).unwrap_or((fraction, b""));
    out.extend_from_slice(whole);
    out.put_bytes(b'0', shift - whole.len());
    if !rest.is_empty() {
        out.put_u8(b'.');
        out.extend_from_slice(rest);
    }
}

fn put_scientific(out: &mut Vec<u8>, mantissa: &str, exponent: i32) {
    out.extend_from_slice(mantissa.as_bytes());
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    put_padded(out, u64::from(exponent.unsigned_abs()), 2);
}

/// Formatted text without the heap.
struct Stack {
    bytes: [u8; 40],
    length: usize,
}

impl Write for Stack {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let slot = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        slot.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{put_f32, put_f64, put_i64, put_u64};
    use proptest::prelude::*;

    fn shown(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn floats_look_as_postgresql_shows_them() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123456789.125, "123456789.125"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (1.5e-7, "1.5e-07"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (2.0 / 3.0, "0.6666666666666666"),
        ];
        for (value, expected) in cases {
            assert_eq!(shown(|out| put_f64(out, value)), expected);
        }
        for (value, expected) in
            [(0.1f32, "0.1"), (1e6, "1e+06"), (123456.7, "123456.7"), (1234567.0, "1.234567e+06"), (99999.0, "99999")]
        {
            assert_eq!(shown(|out| put_f32(out, value)), expected);
        }
    }

    proptest! {
        #[test]
        fn integers(signed in any::<i64>(), unsigned in any::<u64>(), wide in any::<u128>()) {
            prop_assert_eq!(shown(|out| put_i64(out, signed)), signed.to_string());
            prop_assert_eq!(shown(|out| put_u64(out, unsigned)), unsigned.to_string());
            let digits = super::Digits::of(wide);
            prop_assert_eq!(std::str::from_utf8(digits.as_bytes()).unwrap(), wide.to_string());
        }

        #[test]
        fn floats_read_back(bits in any::<u64>(), short in any::<u32>()) {
            let value = f64::from_bits(bits);
            let back: f64 = shown(|out| put_f64(out, value)).parse().unwrap();
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
            let value = f32::from_bits(short);
            let back: f32 = shown(|out| put_f32(out, value)).parse().unwrap();
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
        }
    }
}
