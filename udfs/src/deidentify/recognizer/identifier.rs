//! Numbers of persons and things: by the label beside them, or by a form and a check digit of their own.
//!
//! Invariant: a number whose check digit is wrong is not taken for that kind of number, whatever stands beside it.

use super::super::checksum;
use super::super::entity::Entity;
use super::super::label::{self, Label};
use super::super::lexicon::kind;
use super::super::token::{Page, Shape};
use super::Finds;

/// Letters and digits that stand together as one value.
struct Value {
    /// Its first and last token.
    first: usize,
    last: usize,
    start: u32,
    end: u32,
    /// Without separators.
    plain: String,
    digits: usize,
}

/// The longest value, in characters.
const LENGTH: usize = 40;

fn value(page: &Page<'_>, index: usize, spaces: bool) -> Option<Value> {
    let mut first = index;
    for _ in 0..2 {
        let before = first.checked_sub(1).and_then(|before| page.token(before));
        let prefix = before.is_some_and(|token| token.length() <= 5 && token.is_word() && token.is_capital());
        if !prefix || page.gap_before(first) != "-" {
            break;
        }
        first -= 1;
    }
    // "Policy: UHC 889 221 034"
    let prefixed = spaces
        && first >= 2
        && page.gap_before(first) == " "
        && (page.gap(first - 2).contains([':', '#']) || page.may_be(first - 2, kind::LABEL));
    if prefixed && page.token(first - 1).is_some_and(|token| token.shape == Shape::Upper && token.length() <= 5) {
        first -= 1;
    }
    let mut last = index;
    let mut plain: String = (first..=index).map(|at| page.word(at)).collect();
    while plain.len() < LENGTH {
        let gap = page.gap(last);
        let Some(next) = page.token(last + 1) else { break };
        let tight = matches!(gap, "-" | "/" | "_" | "-\n" | "-\r\n" | "." | "\n-")
            && (next.shape != Shape::Lower && !next.is_word()
                || (gap == "-" && next.length() <= 3 && next.is_capital()));
        let loose = spaces
            && gap == " "
            && next.shape == Shape::Digits
            && (2..=4).contains(&next.length())
            && page.token(last).is_some_and(|token| token.length() <= 4);
        if !tight && !loose {
            break;
        }
        plain.push_str(page.word(last + 1));
        last += 1;
    }
    let digits = plain.bytes().filter(u8::is_ascii_digit).count();
    (plain.len() <= LENGTH).then_some(())?;
    Some(Value { first, last, start: page.token(first)?.start, end: page.token(last)?.end, plain, digits })
}

/// A number whose label stands before it; the token after it.
pub(crate) fn labelled(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    // In the middle of a value that was read from its beginning already.
    let within = page.gap_before(index) == "-"
        && index > 0
        && page.token(index - 1).is_some_and(|before| label::is_value(before.shape));
    if within {
        return None;
    }
    let tight = value(page, index, false)?;
    if tight.digits < 3 {
        return None;
    }
    let label = label::before(page, tight.first);
    // "MRN 1234567 Unit 5": no one gives a million units.
    if (label.is_none() || tight.digits < 6) && is_measure(page, &tight) {
        return None;
    }
    let Some(label) = label else { return numbered(page, &tight, finds) };
    if token.length() < 3 && tight.plain.len() < 5 {
        return None;
    }
    let spaces = !matches!(label, Label::Phone | Label::Fax | Label::Date | Label::Zip);
    let value = if spaces { value(page, index, true)? } else { tight };
    if label == Label::Card
        && let Some(last) = last_of_card(page, value.first)
    {
        finds.add(value.start, page.token(last)?.end, Entity::CreditCard, 97, "label");
        return Some(last + 1);
    }
    let Some((entity, score)) = meant(label, &value) else { return numbered(page, &value, finds) };
    finds.add(value.start, value.end, entity, score, "label");
    Some(value.last + 1)
}

/// "Run # 2022-118834": a long number of something.
fn numbered(page: &Page<'_>, value: &Value, finds: &mut Finds) -> Option<usize> {
    if value.digits < 6 || !page.gap_before(value.first).contains('#') {
        return None;
    }
    finds.add(value.start, value.end, Entity::AccountNumber, 58, "number");
    Some(value.last + 1)
}

/// What a label and a value make.
fn meant(label: Label, value: &Value) -> Option<(Entity, u8)> {
    let (length, plain) = (value.plain.len(), value.plain.as_str());
    let long = |least: usize| length >= least && value.digits >= 3;
    match label {
        Label::Mrn if long(4) => Some((Entity::MedicalRecordNumber, 92)),
        Label::Ssn if length == 9 && checksum::ssn(plain) => Some((Entity::UsSsn, 95)),
        Label::Ssn if length == 9 && checksum::itin(plain) => Some((Entity::UsItin, 95)),
        Label::Ssn if length == 4 && value.digits == 4 => Some((Entity::UsSsn, 80)),
        Label::Npi if checksum::npi(plain) => Some((Entity::UsNpi, 97)),
        Label::Dea if checksum::dea(plain) => Some((Entity::MedicalLicense, 97)),
        Label::HealthPlan if checksum::mbi(plain) => Some((Entity::UsMbi, 97)),
        Label::HealthPlan if long(5) => Some((Entity::HealthPlanNumber, 88)),
        Label::Account if long(4) => Some((Entity::AccountNumber, 86)),
        Label::Id if checksum::mbi(plain) => Some((Entity::UsMbi, 95)),
        Label::Id if long(4) => Some((Entity::AccountNumber, 70)),
        Label::Bank if value.digits == length && (6..=17).contains(&length) => Some((Entity::UsBankNumber, 88)),
        Label::Bank if checksum::iban(plain) => Some((Entity::IbanCode, 97)),
        Label::Routing if checksum::aba(plain) => Some((Entity::AbaRoutingNumber, 95)),
        Label::DriverLicense if long(5) => Some((Entity::UsDriverLicense, 86)),
        Label::MedicalLicense if long(4) => Some((Entity::MedicalLicense, 86)),
        Label::Plate if (4..=9).contains(&length) => Some((Entity::Vehicle, 84)),
        Label::Vin if checksum::vin_characters(plain) => Some((Entity::Vehicle, 90)),
        Label::Serial if long(4) => Some((Entity::DeviceId, 88)),
        Label::Passport if (6..=10).contains(&length) => Some((Entity::UsPassport, 90)),
        Label::Itin if checksum::itin(plain) => Some((Entity::UsItin, 95)),
        Label::Iban if checksum::iban(plain) => Some((Entity::IbanCode, 97)),
        Label::Card if checksum::card(plain) => Some((Entity::CreditCard, 97)),
        Label::Card if length == 4 && value.digits == 4 => Some((Entity::CreditCard, 55)),
        Label::Zip if matches!(length, 5 | 9) && value.digits == length => Some((Entity::Location, 85)),
        _ => None,
    }
}

/// A number with a unit, or a part of one: no identifier.
fn is_measure(page: &Page<'_>, value: &Value) -> bool {
    let units = [
        "mg", "ml", "mcg", "units", "unit", "kg", "lbs", "lb", "g", "cc", "mmol", "meq", "mmhg", "bpm", "cm", "mm",
        "hours", "days", "weeks", "months", "years", "minutes", "min", "hrs", "l", "dl", "iu", "kcal", "tablets",
    ];
    let after = page.gap(value.last);
    if after.starts_with('%')
        || (after.starts_with('.') && after.len() == 1) && value.digits == value.plain.len() && value.digits < 4
    {
        return true;
    }
    let unit = value.plain.trim_start_matches(|c: char| c.is_ascii_digit());
    (after == " " && page.is_any(value.last + 1, &units))
        || (unit.len() < value.plain.len() && units.iter().any(|known| unit.eq_ignore_ascii_case(known)))
}

/// A number that its own form gives away; the token after it.
pub(crate) fn formed(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    if token.shape == Shape::Both {
        return mixed(page, index, finds);
    }
    social(page, index, finds).or_else(|| card(page, index, finds))
}

/// Three, two and four digits.
fn social(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let digits =
        |at: usize, length: usize| page.token(at).is_some_and(|t| t.shape == Shape::Digits && t.length() == length);
    if !digits(index, 3) || !digits(index + 1, 2) || !digits(index + 2, 4) {
        return None;
    }
    let (a, b) = (page.gap(index), page.gap(index + 1));
    let joins = |gap: &str| {
        gap.len() <= 4 && gap.bytes().all(|byte| b" -.\r\n\t".contains(&byte)) && gap.matches('\n').count() <= 1
    };
    if !joins(a)
        || !joins(b)
        || page.gap(index + 2) == "-" && page.token(index + 3).is_some_and(|t| t.shape == Shape::Digits)
    {
        return None;
    }
    let plain = format!("{}{}{}", page.word(index), page.word(index + 1), page.word(index + 2));
    let label = label::before(page, index);
    let said = matches!(label, Some(Label::Ssn));
    let hyphens = a.contains('-') && b.contains('-');
    let score = match (said, hyphens) {
        (true, _) => 97,
        (false, true) => 87,
        (false, false) if a.trim() == b.trim() => 60,
        _ => return None,
    };
    let end = page.token(index + 2)?.end;
    if checksum::ssn(&plain) {
        if label.is_some_and(|label| {
            !matches!(label, Label::Ssn | Label::Id | Label::Phone | Label::Date | Label::Fax | Label::Itin)
        }) {
            return None;
        }
        finds.add(token.start, end, Entity::UsSsn, score, "us_ssn");
        return Some(index + 3);
    }
    if checksum::itin(&plain) && (said || hyphens) {
        finds.add(token.start, end, Entity::UsItin, score, "us_itin");
        return Some(index + 3);
    }
    None
}

/// A payment card in one piece or in groups; what follows it, as "12/25" does, is none of it.
fn card(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let last = last_of_card(page, index)?;
    finds.add(token.start, page.token(last)?.end, Entity::CreditCard, 92, "credit_card");
    Some(last + 1)
}

/// The last token of the longest card's number that begins at token `index`.
fn last_of_card(page: &Page<'_>, index: usize) -> Option<usize> {
    let token = page.token(index).filter(|token| token.shape == Shape::Digits)?;
    let mut plain = page.word(index).to_owned();
    if (13..=19).contains(&token.length()) {
        return checksum::card(&plain).then_some(index);
    }
    if token.length() != 4 {
        return None;
    }
    let mut found = None;
    let mut last = index;
    loop {
        let gap = page.gap(last);
        let next = page.token(last + 1)?;
        let goes_on = next.shape == Shape::Digits
            && next.length() <= 6
            && plain.len() + next.length() <= 19
            && (1..=3).contains(&gap.len())
            && gap.bytes().all(|byte| b" -\r\n".contains(&byte));
        if !goes_on {
            return found;
        }
        last += 1;
        plain.push_str(page.word(last));
        if plain.len() >= 13 && checksum::card(&plain) {
            found = Some(last);
        }
        if page.token(last + 1).is_none() {
            return found;
        }
    }
}

/// Letters and digits: vehicles, beneficiaries, registrations, accounts.
fn mixed(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let tight = value(page, index, false)?;
    let plain = tight.plain.as_str();
    let found = match plain.len() {
        9 if tight.first == tight.last && checksum::dea(plain) => Some((Entity::MedicalLicense, 85, "dea")),
        11 if checksum::mbi(plain) => Some((Entity::UsMbi, 88, "us_mbi")),
        17 if checksum::vin(plain) && token.length() == 17 => Some((Entity::Vehicle, 85, "vin")),
        _ => None,
    };
    if let Some((entity, score, rule)) = found {
        finds.add(tight.start, tight.end, entity, score, rule);
        return Some(tight.last + 1);
    }
    iban(page, index, finds).or_else(|| hardware(page, index, finds))
}

fn iban(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index)?;
    let word = page.word(index).as_bytes();
    if !matches!(word, [a, b, c, d, ..] if a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_digit() && d.is_ascii_digit())
    {
        return None;
    }
    let mut plain = String::new();
    for last in index..index + 10 {
        let part = page.token(last)?;
        plain.push_str(page.word(last));
        if plain.len() > 34 {
            return None;
        }
        if plain.len() >= 15 && checksum::iban(&plain) {
            finds.add(token.start, part.end, Entity::IbanCode, 95, "iban");
            return Some(last + 1);
        }
        if !matches!(page.gap(last), " " | "-" | "\n") {
            return None;
        }
    }
    None
}

/// Six pairs of hexadecimal digits: a network device's address.
pub(crate) fn hardware(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let separator = page.gap(index);
    if !matches!(separator, ":" | "-") {
        return None;
    }
    let pair = |at: usize| page.word(at).len() == 2 && page.word(at).bytes().all(|byte| byte.is_ascii_hexdigit());
    let all = (0..6).all(|step| pair(index + step)) && (0..5).all(|step| page.gap(index + step) == separator);
    let lettered = (0..6).any(|step| page.token(index + step).is_some_and(|token| token.shape != Shape::Digits));
    if !all || !lettered || page.gap(index + 5) == separator {
        return None;
    }
    finds.add(page.token(index)?.start, page.token(index + 5)?.end, Entity::DeviceId, 85, "mac_address");
    Some(index + 6)
}

/// "xxx-xx-1073", "***-**-1073": the end of a number whose beginning is hidden already.
pub(crate) fn partly_hidden(page: &Page<'_>, index: usize, finds: &mut Finds) -> Option<usize> {
    let token = page.token(index).filter(|token| token.shape == Shape::Digits && token.length() == 4)?;
    let stars = page.gap_before(index).ends_with("**-");
    let crosses = index >= 2 && page.gap_before(index) == "-" && page.is(index - 1, "xx") && page.is(index - 2, "xxx");
    if !(stars && page.gap_before(index).contains("***-") || crosses) {
        return None;
    }
    finds.add(token.start, token.end, Entity::UsSsn, 80, "us_ssn");
    Some(index + 1)
}
