//! From a text to its identifiers.
//!
//! Invariants: one walk over the tokens, each rule bounded; findings stand in order, do not overlap, and begin and end
//! between characters of the text as it was given.

use std::collections::HashSet;

use super::candidate::{Candidate, settle};
use super::entity::{Entities, Entity};
use super::hint::Hints;
use super::lexicon::{Lexicon, hash, kind};
use super::normalize::Normalized;
use super::recognizer::{Finds, address, age, contact, date, identifier, name, organization, phone};
use super::token::{Page, Shape, Token, tokenize};
use super::{marker, strict};

/// An identifier in a text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// Its first byte in the text.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
    /// What it is.
    pub entity: Entity,
    /// How certain that is, from 0 to 1.
    pub score: f64,
    /// The rule that found it.
    pub recognizer: &'static str,
}

/// What to look for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The kinds that are wanted.
    pub entities: Entities,
    /// The least score, in hundredths.
    pub threshold: u8,
    /// Whether every token is found that is not known to be safe.
    pub strict: bool,
}

impl Request {
    /// The least score that is reported unless another is asked for.
    pub const THRESHOLD: u8 = 50;
}

impl Default for Request {
    fn default() -> Self {
        Self { entities: Entities::ALL, threshold: Self::THRESHOLD, strict: false }
    }
}

/// Finds identifiers; keeps its memory from one text to the next.
#[derive(Default)]
pub struct Detector {
    tokens: Vec<Token>,
    finds: Finds,
}

impl Detector {
    /// A detector.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest text that is read, in bytes as it is given and in bytes of plain characters: some stand for many.
    pub const LIMIT: usize = 256 << 20;

    /// The identifiers of `text`, in order; those of a text above [`Self::LIMIT`] are `None`: it is not read.
    pub fn detect(&mut self, text: &str, request: &Request, hints: &Hints) -> Option<Vec<Finding>> {
        let normalized = Normalized::within(text, Self::LIMIT)?;
        let lexicon = Lexicon::get();
        tokenize(&normalized.text, lexicon, &mut self.tokens);
        let page = Page { text: &normalized.text, tokens: &self.tokens };
        self.finds.candidates.clear();
        read(&page, &mut self.finds);
        hints.find(&page, &mut self.finds);
        repeat(&page, &mut self.finds);
        let candidates = &mut self.finds.candidates;
        candidates.retain(|found| {
            found.score >= request.threshold && (request.strict || request.entities.contains(found.entity))
        });
        settle(candidates);
        if request.strict {
            strict::add(&page, candidates);
            // What nothing says is safe goes, whichever kinds are asked for.
            candidates.retain(|found| found.entity == Entity::Unverified || request.entities.contains(found.entity));
        }
        // One character can stand for several ("½" for three): two spans that part within it meet in the text.
        let mut end = 0;
        let whole = candidates.iter().filter_map(|found| {
            let found = finding(&normalized, found);
            let start = found.start.max(end);
            end = end.max(found.end);
            (start < found.end).then_some(Finding { start, ..found })
        });
        Some(whole.collect())
    }
}

fn finding(normalized: &Normalized<'_>, found: &Candidate) -> Finding {
    let (start, end) = normalized.original_span(found.start, found.end);
    Finding { start, end, entity: found.entity, score: f64::from(found.score) / 100.0, recognizer: found.recognizer }
}

/// Every rule over every token.
fn read(page: &Page<'_>, finds: &mut Finds) {
    let mut index = 0;
    while let Some(token) = page.token(index) {
        let next = match token.shape {
            Shape::Lower if token.kinds & SET_OFF == 0 && !is_followed(page, token) => None,
            Shape::Digits | Shape::Both => marker::skip(page, index).or_else(|| number(page, index, token, finds)),
            _ => marker::skip(page, index).or_else(|| word(page, index, token, finds)),
        };
        index = next.unwrap_or(index + 1).max(index + 1);
    }
}

/// What a word in small letters may be to set off a rule.
const SET_OFF: u32 =
    kind::TITLE | kind::ROLE | kind::LABEL | kind::MONTH | kind::NUMERAL | kind::NAME | kind::CITY | kind::CITY_BEGINS;

/// Whether a byte follows that addresses of the network hold.
fn is_followed(page: &Page<'_>, token: &Token) -> bool {
    let rest = page.text.as_bytes().get(token.end as usize..).unwrap_or_default();
    match rest.first() {
        Some(b'@' | b'.' | b':' | b'_' | b'+') => true,
        // Words are joined by hyphens everywhere, but seldom on the way to an "@".
        Some(b'-') if token.is_word() => {
            let mut near = rest.iter().take(HYPHENATED).take_while(|byte| !byte.is_ascii_whitespace());
            near.any(|byte| *byte == b'@')
        }
        _ => false,
    }
}

/// How far behind a hyphen an "@" may stand, in bytes.
const HYPHENATED: usize = 64;

fn word(page: &Page<'_>, index: usize, token: &Token, finds: &mut Finds) -> Option<usize> {
    let network = if is_followed(page, token) { network(page, index, finds) } else { None };
    let found = network
        .or_else(|| if token.is(kind::MONTH) { date::named(page, index, finds) } else { None })
        .or_else(|| if token.is(kind::NUMERAL) { age::in_words(page, index, finds) } else { None })
        .or_else(|| if page.is(index, "box") { address::post_box(page, index, finds) } else { None })
        .or_else(|| if token.is(kind::FACILITY) { organization::at(page, index, finds) } else { None });
    if found.is_some() {
        return found;
    }
    if token.shape == Shape::Initial && page.gap(index).is_empty() {
        return None;
    }
    // "San Jose", "Ann Arbor" and "Jackson, MS" are names of persons, too.
    if token.is(kind::CITY | kind::CITY_BEGINS)
        && let Some(next) = address::city(page, index, finds)
    {
        return Some(next);
    }
    if let Some(next) = name::at(page, index, finds) {
        return Some(next);
    }
    if token.is_capital() {
        let hardware = if page.gap(index).len() == 1 { identifier::hardware(page, index, finds) } else { None };
        return hardware
            .or_else(|| address::city(page, index, finds))
            .or_else(|| organization::known(page, index, finds));
    }
    None
}

fn network(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    // An address is found at its first part: the "@" may stand some parts on.
    let mut at = index;
    while at < index + 12 && matches!(page.gap(at), "." | "_" | "-" | "+" | "%") {
        at += 1;
    }
    contact::email(page, at, finds)
        .or_else(|| contact::url(page, index, finds))
        .or_else(|| contact::internet(page, index, finds))
}

fn number(page: &Page<'_>, index: usize, token: &Token, finds: &mut Finds) -> Option<usize> {
    let network = if is_followed(page, token) { network(page, index, finds) } else { None };
    network
        .or_else(|| date::numeric(page, index, finds))
        .or_else(|| identifier::formed(page, index, finds))
        .or_else(|| identifier::hardware(page, index, finds))
        .or_else(|| identifier::labelled(page, index, finds))
        .or_else(|| identifier::partly_hidden(page, index, finds))
        .or_else(|| phone::at(page, index, finds))
        .or_else(|| age::at(page, index, finds))
        .or_else(|| address::street(page, index, finds))
}

/// Finds the words of certain names again wherever they stand in the note.
fn repeat(page: &Page<'_>, finds: &mut Finds) {
    let certain: Vec<(u32, u32)> = finds
        .candidates
        .iter()
        .filter(|found| found.entity == Entity::Person && found.score >= 70)
        .map(|found| (found.start, found.end))
        .collect();
    if certain.is_empty() {
        return;
    }
    let mut known = HashSet::new();
    let mut tokens = page.tokens.iter().peekable();
    for (start, end) in &certain {
        while tokens.next_if(|token| token.end <= *start).is_some() {}
        while let Some(token) = tokens.next_if(|token| token.start < *end) {
            if token.length() > 1 && !token.is(kind::GRAMMAR | kind::PARTICLE) {
                known.insert(hash(page.between(token.start, token.end).as_bytes()));
            }
        }
    }
    for (index, token) in page.tokens.iter().enumerate() {
        if !token.is_word()
            || token.length() < 3 && token.shape != Shape::Title
            || token.is(kind::GRAMMAR)
            || token.is(kind::LABEL) && token.shape == Shape::Lower
        {
            continue;
        }
        let common = token.is(kind::WORD | kind::CLINICAL | kind::RARE_WORD | kind::EPONYM | kind::MONTH);
        let short = token.length() < 3 && token.is(kind::LAST_COMMON) && !token.is(kind::WORD);
        if common && !short && (token.shape != Shape::Title || page.may_be(index + 1, kind::FACILITY | kind::STREET)) {
            continue;
        }
        if known.contains(&hash(page.between(token.start, token.end).as_bytes()))
            && !name::is_eponymous(page, index)
            && !marker::covers(page, token)
        {
            finds.add(token.start, token.end, Entity::Person, 60, "name_again");
        }
    }
}
