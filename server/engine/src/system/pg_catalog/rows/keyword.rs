//! `pg_get_keywords()`: PostgreSQL's words, by which drivers know what to quote.
//!
//! Invariant: the same for everybody.

use super::super::cell::{Cell, Rows, row};
use super::super::definition::lines;
use super::super::viewer::Viewer;

const KEYWORDS: &str = include_str!("../keywords.txt");

pub(super) fn pg_get_keywords(_: &Viewer) -> Rows {
    Rows::new(&["word", "catcode", "barelabel", "catdesc", "baredesc"], lines(KEYWORDS).filter_map(parse))
}

fn parse(line: &'static str) -> Option<Vec<Cell>> {
    let mut words = line.split(' ');
    let (word, category, bare) = (words.next()?, words.next()?, words.next()? == "t");
    let told = match category {
        "U" => "unreserved",
        "C" => "unreserved (cannot be function or type name)",
        "T" => "reserved (can be function or type name)",
        _ => "reserved",
    };
    Some(row![word, category, bare, told, if bare { "can be bare label" } else { "requires AS" }])
}
