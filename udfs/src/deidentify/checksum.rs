//! Check digits of identifiers, and which numbers were never given out.
//!
//! Invariant: every function takes characters without separators and answers for any input.

/// Decimal digits of a text.
pub(crate) fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|character| character.to_digit(10)).collect()
}

/// Luhn's formula (ISO/IEC 7812-1, annex B).
pub(crate) fn luhn(digits: impl DoubleEndedIterator<Item = u32>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, digit) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A National Provider Identifier: Luhn over it with the prefix 80840 (45 CFR 162.406).
pub(crate) fn npi(text: &str) -> bool {
    let number = digits(text);
    number.len() == 10 && matches!(number.first(), Some(1 | 2)) && luhn([8, 0, 8, 4, 0].into_iter().chain(number))
}

/// A registration of the Drug Enforcement Administration: two letters and seven digits, the last a check digit.
pub(crate) fn dea(text: &str) -> bool {
    let letters: Vec<u8> = text.bytes().take(2).map(|byte| byte.to_ascii_uppercase()).collect();
    let known = matches!(letters.as_slice(), [first, second]
        if b"ABCDEFGHJKLMPRSTUX".contains(first) && (second.is_ascii_uppercase() || *second == b'9'));
    let rest = text.get(2..).map(digits).unwrap_or_default();
    match rest.as_slice() {
        [a, b, c, d, e, f, check] if text.len() == 9 && known => (a + c + e + 2 * (b + d + f)) % 10 == *check,
        _ => false,
    }
}

/// A routing number of the American Bankers Association: weights 3, 7, 1, and a Federal Reserve prefix.
pub(crate) fn aba(text: &str) -> bool {
    let number = digits(text);
    let sum: u32 = number.iter().zip([3, 7, 1].iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    let prefix = number.iter().take(2).fold(0, |prefix, digit| prefix * 10 + digit);
    number.len() == 9 && sum.is_multiple_of(10) && matches!(prefix, 1..=12 | 21..=32 | 61..=72 | 80)
}

/// A social security number that may have been given out: area, group and serial (20 CFR 422.103; SSA's randomisation).
pub(crate) fn ssn(text: &str) -> bool {
    let number = digits(text);
    let part = |from: usize, to: usize| number.get(from..to).unwrap_or_default().iter().fold(0, |n, d| n * 10 + d);
    let (area, group, serial) = (part(0, 3), part(3, 5), part(5, 9));
    number.len() == 9 && area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// An individual taxpayer number: 9xx with the groups that the Internal Revenue Service gives out.
pub(crate) fn itin(text: &str) -> bool {
    let number = digits(text);
    let group = number.get(3..5).unwrap_or_default().iter().fold(0, |n, d| n * 10 + d);
    number.len() == 9 && number.first() == Some(&9) && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// A payment card: an issuer's prefix, its lengths, Luhn.
pub(crate) fn card(text: &str) -> bool {
    let number = digits(text);
    let prefix = |length: usize| number.iter().take(length).fold(0, |n, d| n * 10 + d);
    let issuer = match number.len() {
        13 => prefix(1) == 4,
        14 => matches!(prefix(2), 36 | 38 | 39) || matches!(prefix(3), 300..=305),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            prefix(1) == 4
                || matches!(prefix(2), 51..=55 | 65)
                || matches!(prefix(4), 2221..=2720 | 6011 | 3528..=3589)
                || matches!(prefix(3), 644..=649)
        }
        18 | 19 => prefix(1) == 4 || prefix(2) == 62,
        _ => false,
    };
    issuer && luhn(number.into_iter())
}

/// The lengths of account numbers, by country.
const LENGTHS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AT", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VG", 24),
    ("XK", 20),
];

/// An international bank account number: ISO 13616, remainder 97, and the length of the commoner countries.
pub(crate) fn iban(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let (Some(country), Some(check), Some(account)) = (upper.get(..2), upper.get(2..4), upper.get(4..)) else {
        return false;
    };
    if !LENGTHS.iter().any(|(known, length)| *known == country && *length == upper.len()) {
        return false;
    }
    let mut remainder = 0_u32;
    for character in account.chars().chain(country.chars()).chain(check.chars()) {
        let Some(value) = character.to_digit(36) else { return false };
        remainder = (remainder * if value > 9 { 100 } else { 10 } + value) % 97;
    }
    remainder == 1
}

/// The characters of a vehicle identification number (ISO 3779): 17, without I, O and Q.
pub(crate) fn vin_characters(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() && !b"IOQioq".contains(&byte);
    text.len() == 17 && text.bytes().all(fits) && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// The check digit of a North American vehicle identification number (49 CFR 565.15).
pub(crate) fn vin(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |byte: u8| match byte.to_ascii_uppercase() {
        digit @ b'0'..=b'9' => u32::from(digit - b'0'),
        letter @ b'A'..=b'H' => u32::from(letter - b'A') + 1,
        letter @ b'J'..=b'R' => u32::from(letter - b'J') + 1,
        letter => u32::from(letter.saturating_sub(b'S')) + 2,
    };
    let sum: u32 = text.bytes().zip(WEIGHTS).map(|(byte, weight)| value(byte) * weight).sum();
    let check = text.as_bytes().get(8).map(u8::to_ascii_uppercase);
    let expected = match sum % 11 {
        10 => b'X',
        rest => b'0' + rest as u8,
    };
    vin_characters(text) && check == Some(expected)
}

/// A Medicare Beneficiary Identifier: eleven places, each of its kind (CMS, "Understanding the MBI format").
pub(crate) fn mbi(text: &str) -> bool {
    const PLACES: &[u8; 11] = b"CAXNAXNAANN";
    let letter = |byte: u8| byte.is_ascii_alphabetic() && !b"SLOIBZ".contains(&byte.to_ascii_uppercase());
    text.len() == 11
        && text.bytes().zip(PLACES).all(|(byte, place)| match place {
            b'C' => matches!(byte, b'1'..=b'9'),
            b'A' => letter(byte),
            b'N' => byte.is_ascii_digit(),
            _ => byte.is_ascii_digit() || letter(byte),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_pass_and_their_neighbours_fail() {
        type Check = fn(&str) -> bool;
        let cases: [(Check, &str, &str); 9] = [
            (npi, "1234567893", "1234567890"),
            (dea, "AB1234563", "AB1234564"),
            (aba, "021000021", "021000022"),
            (ssn, "412681073", "666681073"),
            (itin, "912701234", "912661234"),
            (card, "4111111111111111", "4111111111111112"),
            (iban, "GB82WEST12345698765432", "GB83WEST12345698765432"),
            (vin, "1M8GDM9AXKP042788", "1M8GDM9A1KP042788"),
            (mbi, "1EG4TE5MK73", "1EG4TE5MK7A"),
        ];
        for (check, good, bad) in cases {
            assert!(check(good), "{good}");
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn any_text_has_an_answer() {
        for text in ["", "é", "1", "ABCDEFGHJKLMNPRST", "９９９９９９９９９"] {
            for check in [npi, dea, aba, ssn, itin, card, iban, vin, mbi] {
                assert!(!check(text), "{text}");
            }
        }
    }
}
