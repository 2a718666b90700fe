//! Text as the recognizers read it: plain letters, digits, hyphens and spaces, and where each byte came from.
//!
//! Zero-width characters and soft hyphens are dropped, digits of every script, full-width letters, hyphens, quotes and
//! spaces become ASCII, accents fall off, and Cyrillic and Greek letters that look like Latin ones become those.
//! Invariant: every byte of the normalised text maps to the whole character of the original that it came from, so that
//! no span ever cuts one; text that is plain ASCII is borrowed and maps to itself.

use std::borrow::Cow;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// A text in plain characters.
pub(crate) struct Normalized<'a> {
    /// The plain text.
    pub(crate) text: Cow<'a, str>,
    /// For each byte of `text`, and its end, the byte of the original where its character begins; `None`: the same.
    starts: Option<Vec<u32>>,
    original: &'a str,
}

impl<'a> Normalized<'a> {
    /// Normalises `original`; `None` where it, or what becomes of it, has more bytes than `limit`, which is below 4 GiB.
    pub(crate) fn within(original: &'a str, limit: usize) -> Option<Self> {
        if original.len() > limit {
            return None;
        }
        if original.is_ascii() && !original.bytes().any(|byte| byte == 0) {
            return Some(Self { text: Cow::Borrowed(original), starts: None, original });
        }
        let mut text = String::with_capacity(original.len());
        let mut starts = Vec::with_capacity(original.len() + 1);
        for (at, character) in original.char_indices() {
            let before = text.len();
            plain(character, &mut text);
            if text.len() > limit {
                return None;
            }
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            starts.extend(std::iter::repeat_n(at, text.len() - before));
        }
        starts.push(u32::try_from(original.len()).unwrap_or(u32::MAX));
        Some(Self { text: Cow::Owned(text), starts: Some(starts), original })
    }

    /// The bytes of the original that a span of the plain text came from: whole characters, and what was dropped between.
    pub(crate) fn original_span(&self, start: u32, end: u32) -> (usize, usize) {
        let Some(starts) = &self.starts else { return (start as usize, end as usize) };
        let at = |index: usize| starts.get(index).map_or(self.original.len(), |at| *at as usize);
        let first = at(start as usize);
        let last = at((end as usize).saturating_sub(1));
        let width = self.original.get(last..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        (first, (last + width).max(first))
    }
}

/// Appends what `character` looks like.
fn plain(character: char, text: &mut String) {
    match character {
        '\u{1}'..='\u{7f}' => text.push(character),
        // Zero-width, joiners, soft hyphen, direction marks, variation selectors, byte order mark, tags, NUL.
        '\0'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => {}
        '\u{2010}'..='\u{2015}'
        | '\u{2212}'
        | '\u{2043}'
        | '\u{58a}'
        | '\u{5be}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}'
        | '\u{30fc}'
        | '\u{2e3a}'
        | '\u{2e3b}'
        | '\u{2500}'
        | '\u{1806}' => text.push('-'),
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{2bc}' | '\u{ff07}' | '\u{b4}' => text.push('\''),
        '\u{201c}'..='\u{201f}' => text.push('"'),
        '\u{2024}' | '\u{3002}' | '\u{ff61}' | '\u{b7}' | '\u{2022}' | '\u{2219}' => text.push('.'),
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => text.push('/'),
        '\u{85}' | '\u{2028}' | '\u{2029}' => text.push('\n'),
        'ß' => text.push_str("ss"),
        'ø' | 'Ø' => text.push(if character == 'ø' { 'o' } else { 'O' }),
        'ł' | 'Ł' => text.push(if character == 'ł' { 'l' } else { 'L' }),
        'đ' | 'Đ' | 'ð' | 'Ð' => text.push(if character.is_lowercase() { 'd' } else { 'D' }),
        'æ' => text.push_str("ae"),
        'Æ' => text.push_str("Ae"),
        'œ' => text.push_str("oe"),
        'ı' => text.push('i'),
        _ if character.is_whitespace() => text.push(' '),
        _ => match lookalike(character) {
            Some(latin) => text.push(latin),
            None => compatible(character, text),
        },
    }
}

/// Latin letters that Cyrillic and Greek ones look like.
fn lookalike(character: char) -> Option<char> {
    const PAIRS: [(&str, &str); 3] = [
        ("аеіјорсухһѕАВЕІЈКМНОРСТХЅ", "aeijopcyxhsABEIJKMHOPCTXS"),
        ("αινορυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aivopuABEZHIKMNOPTYX"),
        ("ⅼℓ", "ll"),
    ];
    if character < '\u{370}' {
        return None;
    }
    PAIRS.iter().find_map(|(from, to)| {
        from.chars().zip(to.chars()).find_map(|(like, latin)| (like == character).then_some(latin))
    })
}

/// The first of what `character` decomposes to, without accents; a digit of any script; else itself.
fn compatible(character: char, text: &mut String) {
    if let Some(digit) = digit(character) {
        text.push(digit);
        return;
    }
    if is_combining_mark(character) {
        return;
    }
    let before = text.len();
    decompose_compatible(character, |part| {
        if !is_combining_mark(part) {
            match part {
                '\u{2010}'..='\u{2015}' | '\u{2212}' => text.push('-'),
                '\u{2044}' => text.push('/'),
                part => text.push(part),
            }
        }
    });
    if text.len() == before {
        text.push(character);
    }
}

/// Decimal digits begin at these characters, ten in a row (Unicode's general category Nd).
const ZEROS: [u32; 44] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20,
    0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0,
    0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x11066, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    0x1fbf0,
];

fn digit(character: char) -> Option<char> {
    let code = u32::from(character);
    let zero = ZEROS.iter().rev().find(|zero| **zero <= code)?;
    char::from_digit(code.checked_sub(*zero).filter(|value| *value < 10)?, 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_looks_the_same_reads_the_same_and_maps_back() {
        let original = "SSN\u{a0}4\u{200b}12‑６８–١٠٧٣, José Núñez, Іvan";
        let normalized = Normalized::within(original, 1 << 20).unwrap();
        assert_eq!(normalized.text, "SSN 412-68-1073, Jose Nunez, Ivan");
        let at = u32::try_from(normalized.text.find("412").unwrap()).unwrap();
        let (start, end) = normalized.original_span(at, at + 11);
        assert_eq!(&original[start..end], "4\u{200b}12‑６８–١٠٧٣");
    }

    #[test]
    fn a_text_that_grows_beyond_the_limit_is_not_read() {
        // One character of three bytes that decomposes to eighteen.
        let text = "\u{fdfa}".repeat(10);
        assert!(Normalized::within(&text, 30).is_none());
        assert!(Normalized::within(&text, 400).is_some());
        assert!(Normalized::within("12345", 4).is_none());
        assert!(Normalized::within("12345", 5).is_some());
    }

    #[test]
    fn plain_text_is_borrowed() {
        assert!(matches!(Normalized::within("plain 123", 9).unwrap().text, Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn every_span_is_one_of_whole_characters(text in "\\PC{0,40}", a in 0_usize..60, b in 0_usize..60) {
            let normalized = Normalized::within(&text, 1 << 20).unwrap();
            let length = normalized.text.len();
            let (a, b) = (a.min(length), b.min(length));
            let (from, to) = (a.min(b), a.max(b));
            let (start, end) = normalized.original_span(from as u32, to as u32);
            prop_assert!(text.get(start..end).is_some());
        }
    }
}
