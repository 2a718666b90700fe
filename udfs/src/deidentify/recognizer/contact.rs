//! Addresses of the network: e-mail, web, internet.
//!
//! Invariant: an address never reaches over white space.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::entity::Entity;
use super::super::lexicon::kind;
use super::super::token::{Page, Shape};
use super::Finds;

/// How many tokens an address may have.
const PARTS: usize = 40;

/// An e-mail address whose "@" follows token `index`; the token after it.
pub(crate) fn email(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    if page.gap(index) != "@" && !page.gap(index).ends_with('@') {
        return None;
    }
    let mut first = index;
    if page.gap(index) == "@" {
        while first > 0 && index - first < PARTS && is_local(page.gap(first - 1)) {
            first -= 1;
        }
    }
    let mut last = index + 1;
    page.token(last)?;
    while last - index < PARTS && matches!(page.gap(last), "." | "-" | "--") && page.token(last + 1).is_some() {
        last += 1;
    }
    let dotted = (index + 1..last).any(|at| page.gap(at) == ".");
    let top = page.token(last).is_some_and(|token| token.is_word() && token.length() >= 2);
    let domain = page.token(last)?.end;
    let score = if dotted && top { 97 } else { return None };
    finds.add(page.token(first)?.start, domain, Entity::EmailAddress, score, "email");
    Some(last + 1)
}

fn is_local(gap: &str) -> bool {
    matches!(gap, "." | "_" | "-" | "+" | "%" | "'" | "&" | "__")
}

/// A web address that begins at token `index`; the token after it.
pub(crate) fn url(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let gap = page.gap(index);
    if gap.starts_with("://") && token.is_word() && token.length() >= 3 {
        return until_space(page, index, token.end + 3, 97, finds);
    }
    if gap != "." {
        return None;
    }
    if page.is(index, "www") && page.token(index + 1).is_some() {
        return until_space(page, index, token.end + 1, 92, finds);
    }
    domain(page, index, finds)
}

/// "hospital.org/x": a name that ends as domains do.
fn domain(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    if index > 0 && matches!(page.gap(index - 1), "." | "-" | "@") {
        return None;
    }
    let mut last = index;
    while last - index < PARTS && matches!(page.gap(last), "." | "-") && page.token(last + 1).is_some() {
        last += 1;
    }
    while last > index
        && !(page.may_be(last, kind::DOMAIN)
            && page.gap(last - 1) == "."
            && page.token(last).is_some_and(|t| t.shape == Shape::Lower))
    {
        last -= 1;
    }
    if last == index || token.length() < 2 {
        return None;
    }
    let path = page.gap(last).starts_with('/') && !page.gap(last).starts_with("/ ");
    if !path && !page.is_any(last, &["com", "org", "net", "edu", "gov"]) {
        return None;
    }
    until_space(page, index, page.token(last)?.end, 80, finds)
}

/// Adds what reaches from token `index` to the next white space, punctuation at its end apart.
fn until_space(page: &Page<'_>, index: usize, from: u32, score: u8, finds: &mut Finds) -> Option<usize> {
    let rest = page.between(from, page.text.len() as u32);
    let whole = rest.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '|')).unwrap_or(rest.len());
    let address = rest.get(..whole)?.trim_end_matches(['.', ',', ';', ':', ')', ']', '\'', '!', '?', '*']);
    let end = from + address.len() as u32;
    finds.add(page.token(index)?.start, end, Entity::Url, score, "url");
    let mut next = index + 1;
    while page.token(next).is_some_and(|token| token.start < end) {
        next += 1;
    }
    Some(next)
}

/// An internet address that begins at token `index`; the token after it.
pub(crate) fn internet(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    match page.gap(index) {
        "." => version_4(page, index, finds),
        ":" | "::" => version_6(page, index, finds),
        _ => None,
    }
}

fn version_4(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let (first, last) = (page.token(index)?, page.token(index + 3)?);
    if (0..3).any(|step| page.gap(index + step) != ".")
        || page.gap(index + 3) == "." && page.token(index + 4).is_some_and(|t| t.shape == Shape::Digits)
    {
        return None;
    }
    if index > 0
        && (page.gap(index - 1) == "."
            || page.is_any(index - 1, &["section", "version", "v", "chapter", "sec", "release", "firmware"]))
    {
        return None;
    }
    let address: Ipv4Addr = page.between(first.start, last.end).parse().ok()?;
    let score = if address.octets().iter().all(|octet| *octet < 10) { 40 } else { 90 };
    finds.add(first.start, last.end, Entity::IpAddress, score, "ip_address");
    Some(index + 4)
}

fn version_6(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    if index > 0
        && page.gap(index - 1).ends_with(':')
        && !page.gap(index - 1).ends_with(": ")
        && page.gap(index - 1) == ":"
    {
        return None;
    }
    let first = page.token(index)?;
    let mut last = index;
    while last - index < 9
        && matches!(page.gap(last), ":" | "::" | ".")
        && page.token(last + 1).is_some_and(|token| token.length() <= 4)
    {
        last += 1;
    }
    let end = page.token(last)?.end;
    let text = page.between(first.start, end);
    if text.matches(':').count() < 2 || text.len() < 6 {
        return None;
    }
    text.parse::<Ipv6Addr>().ok()?;
    finds.add(first.start, end, Entity::IpAddress, 92, "ip_address");
    Some(last + 1)
}
