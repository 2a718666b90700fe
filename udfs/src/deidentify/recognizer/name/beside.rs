//! Names that a title, a label, a role or a credential stands beside.
//!
//! Invariant: the title, label, role or credential itself is not part of the find.

use super::super::super::entity::Entity;
use super::super::super::lexicon::kind;
use super::super::super::token::{Page, Shape, Token};
use super::super::Finds;
use super::run::{self, Expected};

/// "Dr. Smith", "Mrs Jane van Dyke".
pub(super) fn title(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let gap = page.gap(index);
    if !matches!(gap, " " | ". " | "." | "  " | ".  " | "\n" | ".\n" | " \n") {
        return None;
    }
    let pointed = gap.starts_with('.');
    let next = page.token(index + 1)?;
    // "Prof. Dr. Lee": the last title is the one before the name.
    if next.is(kind::TITLE) && !next.is(kind::NAME) {
        return None;
    }
    let medical = page.is_any(
        index,
        &[
            "mr",
            "ms",
            "sr",
            "col",
            "father",
            "sister",
            "brother",
            "miss",
            "officer",
            "judge",
            "lt",
            "capt",
            "doctor",
            "sir",
            "detective",
            "attorney",
        ],
    );
    let sure = pointed && token.is_capital() || !medical;
    let doubtful =
        next.is(kind::NO_NAME | kind::FACILITY | kind::GENERIC) && !next.is(kind::LAST_COMMON | kind::FIRST_COMMON);
    if !sure
        && (doubtful
            || token.shape == Shape::Upper && next.is(kind::NO_NAME)
            || !next.is(kind::NAME)
                && (token.shape != Shape::Title || !next.is_capital() || next.is(kind::WORD | kind::RARE_WORD)))
    {
        return None;
    }
    if next.shape == Shape::Upper && token.shape == Shape::Upper && doubtful && !pointed {
        return None;
    }
    if !run::begins(page, index + 1, Expected::Yes) {
        return None;
    }
    let mut last = run::end(page, index + 1);
    if let Some(end) = run::first_after_comma(page, last, Expected::No) {
        last = end;
    }
    finds.add(next.start, run::text_end(page, last), Entity::Person, 95, "title");
    let next = last + 1;
    if page.is_any(next, &["and", "or"]) && page.gap(last) == " " || page.gap(last) == "/" {
        let at = if page.gap(last) == "/" { next } else { next + 1 };
        return Some(second(page, at, false, finds).unwrap_or(next));
    }
    Some(next)
}

/// "Drs. Smith and Jones", "her sons Mark and Will".
fn second(page: &Page<'_>, at: usize, family: bool, finds: &mut Finds) -> Option<usize> {
    let token = page.token(at)?;
    let given = family && token.shape == Shape::Title && token.is(kind::FIRST_COMMON) && !token.is(kind::MONTH);
    let surname = token.is(kind::LAST)
        && (token.is(kind::LAST_COMMON) || !token.is(kind::NO_NAME))
        && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::EPONYM | kind::TITLE);
    if !token.is_capital() || !given && !surname {
        return None;
    }
    let last = run::end(page, at);
    finds.add(token.start, run::text_end(page, last), Entity::Person, 70, "title");
    Some(last + 1)
}

/// Words that a name stands after, with a colon between.
const LABELS: &[&str] = &[
    "name",
    "names",
    "patient",
    "pt",
    "attending",
    "physician",
    "provider",
    "surgeon",
    "resident",
    "nurse",
    "by",
    "cc",
    "attn",
    "re",
    "from",
    "to",
    "mother",
    "father",
    "spouse",
    "contact",
    "guarantor",
    "subscriber",
    "insured",
    "author",
    "pcp",
    "referring",
    "consultant",
    "interpreter",
    "caregiver",
    "kin",
    "proxy",
    "witness",
    "dictated",
    "signed",
    "transcribed",
    "reviewed",
    "technologist",
    "sonographer",
    "assistant",
    "anesthesiologist",
    "radiologist",
    "alias",
    "aka",
    "cosigned",
    "verified",
    "performed",
    "ordering",
    "requesting",
    "performing",
    "employer",
    "member",
    "responsible",
    "named",
    "dear",
    "sincerely",
    "regards",
    "read",
    "reached",
    "account",
    "emergency",
];

/// "Name: SMITH, JOHN A", "Dictated by: Ann Lee", "Dear Ann".
pub(super) fn label(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    if !page.is_any(index, LABELS) {
        return None;
    }
    let gap = page.gap(index);
    let colon =
        gap.contains(':') && gap.len() <= 12 && gap.matches('\n').count() <= 1 || gap.contains('=') && gap.len() <= 3;
    let open = page.is_any(
        index,
        &["dear", "by", "named", "attn", "re", "aka", "alias", "cc", "name", "sincerely", "regards", "dictated"],
    ) && gap.len() <= 3
        && (!gap.contains('\n') || page.is_any(index, &["sincerely", "regards"]))
        && !gap.contains('.');
    if !colon && !open {
        return None;
    }
    let mut first = index + 1;
    while page.may_be(first, kind::TITLE)
        && page.gap(first).len() <= 2
        && !page.gap(first).is_empty()
        && first < index + 3
    {
        first += 1;
    }
    let titled = first > index + 1;
    let token = page.token(first)?;
    if !run::begins(page, first, Expected::Yes) {
        return None;
    }
    let last = run::end(page, first);
    let inverted = run::first_after_comma(page, last, Expected::Yes);
    if !titled && !is_likely(page, first, last, inverted.is_some(), colon) {
        return None;
    }
    let last = inverted.unwrap_or(last);
    finds.add(token.start, run::text_end(page, last), Entity::Person, 88, "name_label");
    Some(last + 1)
}

/// Whether what stands after a label is a name rather than a value of another kind.
fn is_likely(page: &Page<'_>, first: usize, last: usize, inverted: bool, colon: bool) -> bool {
    let Some(token) = page.token(first) else { return false };
    let plain = !token.is(kind::NO_NAME
        | kind::LABEL
        | kind::ROLE
        | kind::RARE_WORD
        | kind::EPONYM
        | kind::CREDENTIAL
        | kind::CITY
        | kind::GENERIC);
    let facility = page.may_be(last + 1, kind::FACILITY | kind::STREET) && page.gap(last) == " ";
    let common = token.is(kind::FIRST_COMMON | kind::LAST_COMMON);
    if facility {
        return false;
    }
    if !colon {
        return common
            && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::CITY)
            && (!token.is(kind::WORD) || last > first)
            || token.is(kind::NAME) && plain && token.is_capital()
            || token.length() == 1 && last > first && page.may_be(last, kind::NAME);
    }
    if token.shape == Shape::Lower {
        return token.is(kind::NAME) && plain || last > first && common;
    }
    plain && (token.shape != Shape::Upper || token.is(kind::NAME))
        || inverted && token.is(kind::NAME) && !token.is(kind::CLINICAL)
        || last > first && (common || page.may_be(last, kind::NAME) && token.is(kind::NAME))
        || common && !token.is(kind::CLINICAL | kind::GRAMMAR)
        || token.length() <= 2 && last > first && page.may_be(last, kind::NAME)
}

/// Roles that are no relatives.
const STRANGERS: &[&str] = &[
    "patient",
    "pt",
    "pts",
    "np",
    "pa",
    "rn",
    "attending",
    "resident",
    "provider",
    "surgeon",
    "manager",
    "aide",
    "tech",
    "worker",
    "fellow",
    "intern",
    "coordinator",
    "hcp",
    "poa",
    "boss",
    "md",
];

/// "daughter Maria", "patient Johnson", "his wife, Ann", "RN Kelly".
pub(super) fn role(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let gap = page.gap(index);
    if !matches!(gap, " " | ", " | " (" | ": " | " - " | "- " | "\n" | " \"") {
        return None;
    }
    let mut first = index + 1;
    for _ in 0..2 {
        if page.is_any(first, &["is", "named", "name", "was", "called", "s", "hcp", "proxy", "also"])
            && page.gap(first).len() <= 2
            && !page.token(first).is_some_and(|t| t.is_capital() && t.is(kind::NAME))
        {
            first += 1;
        }
    }
    let token = page.token(first)?;
    let family = !page.is_any(index, STRANGERS);
    let likely = follows_role(page, index, first, family);
    let facility = page.may_be(first + 1, kind::FACILITY) && page.gap(first) == " " && token.is_capital();
    if !likely || facility || eponymous(page, first) {
        return None;
    }
    let last = run::end(page, first);
    let last = run::first_after_comma(page, last, Expected::No).unwrap_or(last);
    finds.add(token.start, run::text_end(page, last), Entity::Person, 80, "role");
    let next = last + 1;
    if page.is(next, "and") && family {
        return Some(second(page, next + 1, true, finds).unwrap_or(next));
    }
    Some(next)
}

/// Whether token `first` is a name, after the role at `index`.
fn follows_role(page: &Page<'_>, index: usize, first: usize, family: bool) -> bool {
    let (Some(role), Some(token)) = (page.token(index), page.token(first)) else { return false };
    let gap = page.gap(index);
    let named = token.is(kind::NAME) && !token.is(kind::NO_NAME | kind::EPONYM | kind::LABEL);
    match token.shape {
        Shape::Title | Shape::Mixed => {
            named && (token.is(kind::FIRST_COMMON) || !token.is(kind::CITY))
                || token.is(kind::FIRST_COMMON)
                    && role.shape == Shape::Lower
                    && (family || !token.is(kind::GRAMMAR | kind::CLINICAL))
                || token.is(kind::LAST_COMMON)
                    && role.shape == Shape::Lower
                    && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::LABEL | kind::FACILITY | kind::GENERIC)
                || token.length() == 2 && token.is(kind::LAST_COMMON) && !token.is(kind::WORD)
                || token.kinds & !kind::LAST == 0
                    && page.is_any(index, &["nurse", "rn", "chaplain", "attending"])
                    && gap == " "
                || token.kinds == 0 && role.shape == Shape::Lower && gap == " " && token.length() > 2
        }
        Shape::Upper
            if page.is_any(index, &["rn", "np", "pa", "lpn", "cna", "nurse"])
                && token.is(kind::LAST_COMMON)
                && !token.is(kind::GRAMMAR | kind::CLINICAL | kind::LABEL)
                && gap == " " =>
        {
            true
        }
        Shape::Upper => {
            named
                && !token.is(kind::RARE_WORD)
                && (token.is(kind::FIRST_COMMON | kind::LAST_COMMON) || family)
                && token.length() > 2
        }
        Shape::Initial => {
            page.gap(first).starts_with('.')
                && page.token(first + 1).is_some_and(|next| {
                    next.is_capital() && next.is(kind::LAST)
                        || next.shape == Shape::Initial
                            && page.gap(first) == "."
                            && page.gap(first + 1).starts_with('.')
                })
        }
        Shape::Lower => {
            named
                && !token.is(kind::RARE_WORD | kind::CITY)
                && (token.is(kind::FIRST_COMMON | kind::LAST_COMMON)
                    || family && token.is(kind::FIRST) && token.length() > 3)
                && !gap.contains(['\n', '-'])
        }
        Shape::Digits | Shape::Both => false,
    }
}

/// "Smith, MD", "John A. Smith RN": a name that begins at `index` and has a credential after it.
pub(super) fn credential(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    if !run::begins(page, index, Expected::Yes)
        || token.is(kind::CLINICAL | kind::ROLE | kind::FACILITY | kind::GENERIC | kind::LABEL | kind::MONTH)
            && !token.is(kind::FIRST_COMMON | kind::LAST_COMMON)
    {
        return None;
    }
    let last = run::end(page, index);
    let last = run::first_after_comma(page, last, Expected::No).unwrap_or(last);
    let after = page
        .token(last + 1)
        .filter(|after| {
            after.is(kind::CREDENTIAL)
                && (after.shape == Shape::Upper || after.shape == Shape::Mixed || page.is(last + 1, "Esq"))
        })
        .or_else(|| pointed_credential(page, last + 1))?;
    let _ = after;
    let gap = page.gap(last);
    let comma = matches!(gap, ", " | "," | " , " | ".," | "., ");
    if !comma && gap != " " && gap != ". " && gap != " (" && gap != "/" {
        return None;
    }
    let known = token.is(kind::NAME)
        && (!token.is(kind::NO_NAME) || token.is(kind::LAST_COMMON | kind::FIRST_COMMON) && (comma || last > index));
    let city = token.is(kind::CITY | kind::CITY_BEGINS)
        && page.may_be(last + 1, kind::STATE)
        && !token.is(kind::FIRST_COMMON)
        && !page.is(last + 1, "md");
    if city
        || !comma && !known
        || token.is(kind::GRAMMAR) && last == index
        || !known && token.is(kind::WORD | kind::RARE_WORD | kind::CLINICAL)
        || known && token.is(kind::CLINICAL | kind::LABEL) && last == index && !comma
    {
        return None;
    }
    finds.add(token.start, run::text_end(page, last), Entity::Person, 86, "credential");
    Some(last + 1)
}

/// "M.D.", "R.N."
fn pointed_credential<'a>(page: &'a Page<'_>, at: usize) -> Option<&'a Token> {
    let pair = [("m", "d"), ("r", "n"), ("d", "o"), ("n", "p"), ("p", "a")];
    let fits = page.gap(at) == "." && pair.iter().any(|(a, b)| page.is(at, a) && page.is(at + 1, b));
    page.token(at).filter(|token| fits && token.is_capital())
}

/// Things that bear a name.
const THINGS: &[&str] = &[
    "disease",
    "syndrome",
    "sign",
    "signs",
    "catheter",
    "score",
    "test",
    "procedure",
    "tube",
    "stain",
    "criteria",
    "classification",
    "fracture",
    "line",
    "drain",
    "maneuver",
    "scale",
    "bodies",
    "body",
    "cell",
    "cells",
    "reflex",
    "protocol",
    "stage",
    "lymphoma",
    "index",
    "palsy",
    "tumor",
    "sarcoma",
    "esophagus",
    "anemia",
    "pouch",
    "thyroiditis",
    "contracture",
    "phenomenon",
    "formula",
    "method",
    "operation",
    "bypass",
    "hernia",
    "duct",
    "gland",
    "disorder",
    "dementia",
    "chorea",
    "infiltrate",
    "exam",
    "grade",
    "class",
    "type",
    "tracheostomy",
    "respirations",
    "position",
    "virus",
    "barr",
    "encephalopathy",
    "infection",
    "ulcer",
    "ring",
    "valve",
    "stent",
    "rod",
    "pin",
    "plate",
    "bandage",
    "brace",
    "boot",
    "pump",
    "triad",
    "law",
    "cyst",
    "nodes",
    "node",
    "spots",
    "lines",
    "gait",
    "arthropathy",
    "neuropathy",
    "malformation",
    "anomaly",
    "gangrene",
    "solution",
    "inventory",
    "questionnaire",
    "staging",
    "ostomy",
    "retractor",
    "forceps",
    "clamp",
    "splint",
    "collar",
    "vacuum",
    "hugger",
    "equation",
    "correction",
    "deformity",
    "granulomatosis",
    "macroglobulinemia",
    "lobe",
    "triangle",
    "space",
    "ligament",
    "canal",
    "fossa",
];

/// What is named after someone: "Foley catheter", "Crohn's disease".
pub(crate) fn eponymous(page: &Page<'_>, last: usize) -> bool {
    let mut next = last + 1;
    if page.is(next, "s") && page.gap(last) == "'" {
        next += 1;
    }
    matches!(page.gap(next - 1), " " | "-" | "' " | "\n") && page.is_any(next, THINGS)
}
