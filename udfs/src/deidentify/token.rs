//! Words and numbers of a text, each with what it may be.
//!
//! One walk over the bytes. Invariant: tokens are runs of letters and digits, in order; whatever stands between two is a
//! gap; each begins and ends between characters. A label that its number is written to ("MRN1234567") is a token by itself.

use super::lexicon::{Lexicon, hash};

/// How a token is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Small letters.
    Lower,
    /// One capital, then small letters.
    Title,
    /// Capitals, at least two.
    Upper,
    /// One capital letter.
    Initial,
    /// Letters of both cases in another order: McDonald.
    Mixed,
    /// Digits.
    Digits,
    /// Letters and digits.
    Both,
}

/// A run of letters and digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    /// Its first byte.
    pub(crate) start: u32,
    /// The byte after its last.
    pub(crate) end: u32,
    /// What it may be: bits of [`super::lexicon::kind`].
    pub(crate) kinds: u32,
    /// How it is written.
    pub(crate) shape: Shape,
}

impl Token {
    /// How many bytes.
    pub(crate) const fn length(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it may be one of these.
    pub(crate) const fn is(&self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }

    /// Whether it is letters alone.
    pub(crate) fn is_word(&self) -> bool {
        !matches!(self.shape, Shape::Digits | Shape::Both)
    }

    /// Whether it begins with a capital.
    pub(crate) fn is_capital(&self) -> bool {
        matches!(self.shape, Shape::Title | Shape::Upper | Shape::Initial | Shape::Mixed)
    }
}

const LOWER: u8 = 1;
const UPPER: u8 = 2;
const DIGIT: u8 = 4;

/// What each byte is; bytes of characters that are not ASCII count as small letters.
#[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | 0x80..=0xff => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The tokens of a text that is shorter than 4 GiB, into `tokens`.
pub(crate) fn tokenize(text: &str, lexicon: &Lexicon, tokens: &mut Vec<Token>) {
    tokens.clear();
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(skipped) = rest.iter().position(|byte| class(*byte) != 0) else { return };
        let start = at + skipped;
        let run = rest.get(skipped..).unwrap_or_default();
        let mut seen = 0;
        let mut capitals = 0;
        let mut length = 0;
        for byte in run {
            let class = class(*byte);
            if class == 0 {
                break;
            }
            seen |= class;
            capitals += usize::from(class == UPPER);
            length += 1;
        }
        let word = run.get(..length).unwrap_or_default();
        if seen & DIGIT != 0
            && seen & !DIGIT != 0
            && let Some(label) = glued(word)
        {
            let (said, number) = word.split_at(label);
            let middle = start + label;
            let capital = said.first().is_some_and(|byte| class(*byte) == UPPER);
            tokens.push(Token {
                start: start as u32,
                end: middle as u32,
                kinds: lexicon.kinds(hash(said)),
                shape: shape(seen & !DIGIT, said.iter().filter(|byte| class(**byte) == UPPER).count(), label, capital),
            });
            let seen = number.iter().fold(0, |seen, byte| seen | class(*byte));
            tokens.push(Token {
                start: middle as u32,
                end: (start + length) as u32,
                kinds: 0,
                shape: shape(seen, 0, number.len(), false),
            });
            at = start + length;
            continue;
        }
        let shape = shape(seen, capitals, length, word.first().is_some_and(|byte| class(*byte) == UPPER));
        let kinds = if seen & DIGIT == 0 { lexicon.kinds(hash(word)) } else { 0 };
        at = start + length;
        tokens.push(Token { start: start as u32, end: at as u32, kinds, shape });
    }
}

/// Labels that are written to their numbers.
const GLUED: &[&str] = &[
    "mrn", "emrn", "ssn", "acct", "account", "dob", "npi", "fax", "tel", "phone", "cell", "pager", "ext", "zip", "csn",
    "id",
];

/// How long the label is that a word of letters and digits begins with; the rest begins with a digit.
fn glued(word: &[u8]) -> Option<usize> {
    let letters = word.iter().position(|byte| class(*byte) == DIGIT)?;
    let (label, number) = word.split_at(letters);
    // "x71234" is an extension; "x2" is how often.
    let extension = || (4..=6).contains(&number.len()) && number.iter().all(|byte| class(*byte) == DIGIT);
    let known = GLUED.iter().any(|known| label.eq_ignore_ascii_case(known.as_bytes()));
    (known || (label.eq_ignore_ascii_case(b"x") && extension())).then_some(letters)
}

fn shape(seen: u8, capitals: usize, length: usize, first: bool) -> Shape {
    match seen {
        DIGIT => Shape::Digits,
        LOWER => Shape::Lower,
        UPPER if length == 1 => Shape::Initial,
        UPPER => Shape::Upper,
        _ if seen & DIGIT != 0 => Shape::Both,
        _ if first && capitals == 1 => Shape::Title,
        _ => Shape::Mixed,
    }
}

/// A text with its tokens.
pub(crate) struct Page<'a> {
    /// The normalised text.
    pub(crate) text: &'a str,
    /// Its tokens.
    pub(crate) tokens: &'a [Token],
}

impl Page<'_> {
    /// Token number `index`.
    pub(crate) fn token(&self, index: usize) -> Option<&Token> {
        self.tokens.get(index)
    }

    /// The text of a token; empty where there is none.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.token(index).map_or("", |token| self.between(token.start, token.end))
    }

    /// A part of the text.
    pub(crate) fn between(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// What stands between token `index` and the next one; at the end, the rest of the text.
    pub(crate) fn gap(&self, index: usize) -> &str {
        let Some(token) = self.token(index) else { return "" };
        let end = self.token(index + 1).map_or(self.text.len() as u32, |next| next.start);
        self.between(token.end, end)
    }

    /// What stands before token `index`.
    pub(crate) fn gap_before(&self, index: usize) -> &str {
        match index.checked_sub(1) {
            Some(before) => self.gap(before),
            None => self.token(0).map_or("", |first| self.between(0, first.start)),
        }
    }

    /// Whether token `index` is this word, given in lower case.
    pub(crate) fn is(&self, index: usize, word: &str) -> bool {
        self.word(index).eq_ignore_ascii_case(word)
    }

    /// Whether token `index` is one of these words, given in lower case.
    pub(crate) fn is_any(&self, index: usize, words: &[&str]) -> bool {
        let own = self.word(index);
        words.iter().any(|word| own.eq_ignore_ascii_case(word))
    }

    /// Whether token `index` may be one of `kinds`.
    pub(crate) fn may_be(&self, index: usize, kinds: u32) -> bool {
        self.token(index).is_some_and(|token| token.is(kinds))
    }
}
