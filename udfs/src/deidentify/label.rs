//! The words beside a number that say what it is: "MRN:", "her social is", "fax".
//!
//! Invariant: at most eight tokens are looked at, and none beyond the end of a paragraph.

use super::token::{Page, Shape};

/// What a number is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    Mrn,
    Ssn,
    Phone,
    Fax,
    Npi,
    Dea,
    HealthPlan,
    Account,
    Bank,
    Routing,
    DriverLicense,
    MedicalLicense,
    Plate,
    Vin,
    Serial,
    Passport,
    Itin,
    Iban,
    Zip,
    Card,
    Date,
    /// An ID of some kind.
    Id,
}

/// How far to look.
const REACH: usize = 8;
/// How many words that say nothing may stand between a telephone's label and its number.
const STRAY: usize = 3;

/// The label that stands before token `index`.
pub(crate) fn before(page: &Page<'_>, index: usize) -> Option<Label> {
    let mut explicit = false;
    let mut id = false;
    let mut stray = 0;
    for back in 1..=REACH {
        let at = index.checked_sub(back)?;
        let gap = page.gap(at);
        explicit |= gap.contains(['#', ':', '=']);
        if gap.contains(';') || gap.matches('\n').count() > 1 || gap.len() > 24 {
            break;
        }
        let token = page.token(at)?;
        if !token.is_word() {
            stray += 2;
            if token.length() > 2 {
                break;
            }
            continue;
        }
        if back > 2 && gap.starts_with(". ") && token.length() > 4 {
            break;
        }
        let word = page.word(at);
        if word.len() > 12 {
            stray += 1;
            continue;
        }
        let mut small = [0; 12];
        let lower = in_small_letters(word, &mut small);
        if is_count(lower) {
            explicit = true;
            continue;
        }
        if matches!(lower, "id" | "identifier" | "ident" | "identification" | "ids") {
            id = true;
            explicit = true;
            continue;
        }
        let found = label(page, at, lower, explicit, id);
        match found {
            Some(label @ (Label::Phone | Label::Fax)) if stray <= STRAY => return Some(label),
            Some(label) if stray == 0 => return Some(label),
            Some(_) => break,
            None if is_filler(lower)
                || (back == 1
                    && token.shape == Shape::Upper
                    && token.length() <= 5
                    && token.length() > 1
                    && gap == " ") => {}
            None => stray += 1,
        }
        if stray > STRAY || (id && stray > 0) {
            break;
        }
    }
    id.then_some(Label::Id)
}

/// A short word in small letters, without allocating: there are many.
fn in_small_letters<'a>(word: &str, small: &'a mut [u8; 12]) -> &'a str {
    let Some(place) = small.get_mut(..word.len()) else { return "" };
    place.copy_from_slice(word.as_bytes());
    place.make_ascii_lowercase();
    std::str::from_utf8(place).unwrap_or_default()
}

/// "Number" and its short forms.
fn is_count(word: &str) -> bool {
    matches!(word, "number" | "no" | "num" | "nbr" | "numbers" | "nos")
}

/// Words that stand between a label and its number and change nothing.
fn is_filler(word: &str) -> bool {
    matches!(
        word,
        "is" | "was"
            | "of"
            | "the"
            | "her"
            | "his"
            | "their"
            | "at"
            | "on"
            | "file"
            | "a"
            | "for"
            | "ending"
            | "ends"
            | "in"
            | "last"
            | "four"
            | "digits"
            | "with"
            | "code"
            | "primary"
            | "alternate"
            | "new"
            | "old"
            | "current"
            | "and"
            | "or"
            | "back"
            | "under"
            | "listed"
            | "as"
            | "us"
            | "x"
            | "xx"
            | "xxx"
            | "are"
            | "my"
            | "your"
            | "me"
            | "him"
            | "to"
            | "plus"
            | "key"
            | "holder"
            | "name"
            | "per"
            | "verified"
            | "confirmed"
            | "using"
            | "by"
            | "issued"
            | "through"
            | "via"
    )
}

/// What one word says, given what stands before it, whether "#", ":" or "number" came after it, and whether "ID" did.
fn label(page: &Page<'_>, at: usize, word: &str, explicit: bool, id: bool) -> Option<Label> {
    let before = |words: &[&str]| at.checked_sub(1).is_some_and(|before| page.is_any(before, words));
    Some(match word {
        "mrn" | "mrno" | "emrn" | "medrec" | "emr" | "ehr" | "mpi" | "empi" => Label::Mrn,
        "mr" | "chart" | "unit" | "file" | "hospital" if explicit => Label::Mrn,
        "patient" | "pt" if id || (explicit && !page.gap(at).contains(':')) => Label::Mrn,
        "record" | "records" | "rec" if before(&["medical", "med", "health", "patient", "hospital", "clinic"]) => {
            Label::Mrn
        }
        "record" | "records" if explicit => Label::Mrn,
        "ssn" | "social" | "ssns" => Label::Ssn,
        "ss" if explicit => Label::Ssn,
        "security" | "sec" if before(&["social", "soc", "ss"]) => Label::Ssn,
        "phone" | "phones" | "tel" | "telephone" | "cell" | "cellphone" | "mobile" | "call" | "called" | "calls"
        | "calling" | "callback" | "ph" | "pager" | "paged" | "page" | "beeper" | "dial" | "text" | "texted"
        | "voicemail" | "reached" | "contact" | "contacts" | "contacted" | "reachable" | "ext" | "extension"
        | "home" | "work" | "office" | "landline" | "hotline" | "tele" => Label::Phone,
        "fax" | "faxed" | "facsimile" | "faxes" => Label::Fax,
        "npi" => Label::Npi,
        "dea" => Label::Dea,
        "medicare" | "mbi" | "hicn" | "hic" | "beneficiary" | "medicaid" | "member" | "subscriber" | "policy"
        | "insurance" | "payer" | "payor" | "bcbs" | "aetna" | "cigna" | "humana" | "anthem" | "tricare"
        | "policyholder" | "insured" => Label::HealthPlan,
        "plan" | "group" | "grp" if explicit => Label::HealthPlan,
        "account" | "acct" | "acc" if before(&["bank", "checking", "savings"]) => Label::Bank,
        "account" | "acct" | "acc" | "accession" | "csn" | "har" | "badge" | "invoice" | "guarantor" => Label::Account,
        "encounter" | "visit" | "fin" | "case" | "claim" | "order" | "requisition" | "req" | "confirmation"
        | "reference" | "ref" | "employee" | "ticket" | "study" | "specimen" | "rx" | "prescription"
        | "certificate" | "cert" | "registry" | "referral" | "authorization" | "auth" | "donor" | "subject"
        | "participant" | "student" | "inmate"
            if explicit =>
        {
            Label::Account
        }
        "bank" | "checking" | "savings" => Label::Bank,
        "routing" | "aba" | "rtn" | "transit" => Label::Routing,
        "license" | "licence" | "lic" => license(page, at),
        "dl" | "oln" | "cdl" => Label::DriverLicense,
        "plate" | "plates" => Label::Plate,
        "tag" | "registration" if explicit || before(&["vehicle", "car", "license"]) => Label::Plate,
        "vin" | "vehicle" => Label::Vin,
        "serial" | "udi" | "imei" | "sn" => Label::Serial,
        "n" if before(&["s"]) && page.gap_before(at) == "/" => Label::Serial,
        "device" | "implant" | "generator" | "lead" | "pump" if id || explicit => Label::Serial,
        "passport" => Label::Passport,
        "itin" | "taxpayer" => Label::Itin,
        "iban" => Label::Iban,
        "zip" | "zipcode" | "postal" => Label::Zip,
        "visa" | "mastercard" | "amex" | "card" | "cc" => Label::Card,
        "dob" | "birth" | "born" | "birthdate" | "date" | "dated" | "doa" | "dod" | "dos" | "bday" | "birthday" => {
            Label::Date
        }
        _ => return None,
    })
}

fn license(page: &Page<'_>, at: usize) -> Label {
    let back = |steps: usize, words: &[&str]| at.checked_sub(steps).is_some_and(|before| page.is_any(before, words));
    let professional = [
        "medical",
        "nursing",
        "professional",
        "pharmacy",
        "md",
        "rn",
        "np",
        "physician",
        "lpn",
        "practice",
        "dental",
        "provider",
    ];
    if back(1, &professional) || (back(1, &["state"]) && !back(2, &["drivers", "driver"])) {
        Label::MedicalLicense
    } else {
        Label::DriverLicense
    }
}

/// Whether a token is written as the value of a label: digits, or letters and digits.
pub(crate) fn is_value(shape: Shape) -> bool {
    matches!(shape, Shape::Digits | Shape::Both)
}
