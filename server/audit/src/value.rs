//! The plain forms of a value, so that one is found however it was written: `412-68-1073`, `412 68 1073`, `412681073` and
//! `%412-68-1073%` have one in common.
//!
//! Invariant: what has a form at all keeps it for ever: tokens of them stand in the log.

/// What stands around values in patterns, lists and arrays.
const BETWEEN_PARTS: [char; 9] = ['%', ',', ';', '{', '}', '[', ']', '"', '\''];
/// What has more digits before its point is no number to be rounded.
const MAX_EXACT: f64 = 1e15;

/// The forms of a value, the plainest first; none where it has neither letter nor digit. A part that stands in it more
/// than once is told as often: who asks bounds how many forms are taken.
///
/// - its letters and digits, in lower case; leading zeros of a number do not count;
/// - where it is a decimal number, the same without zeros at the end of its fraction;
/// - where it is a pattern or a list, the same of each of its parts.
pub(crate) fn forms(value: &str) -> impl Iterator<Item = String> {
    let whole: Vec<_> = of_part(value).collect();
    let parts = value.contains(BETWEEN_PARTS).then(|| value.split(BETWEEN_PARTS)).into_iter().flatten();
    let known = whole.clone();
    whole.into_iter().chain(parts.flat_map(of_part).filter(move |form| !known.contains(form)))
}

fn of_part(part: &str) -> impl Iterator<Item = String> + use<> {
    let plain = Some(plain(part)).filter(|form| !form.is_empty());
    let decimal = decimal(part).filter(|form| !form.is_empty() && Some(form) != plain.as_ref());
    plain.into_iter().chain(decimal)
}

/// Letters and digits in lower case.
pub(crate) fn plain(value: &str) -> String {
    let kept: String = value.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if !kept.is_empty() && kept.bytes().all(|byte| byte.is_ascii_digit()) {
        let significant = kept.trim_start_matches('0');
        return if significant.is_empty() { "0".to_owned() } else { significant.to_owned() };
    }
    kept
}

/// A decimal number with a fraction or an exponent, as short as it can be written.
fn decimal(value: &str) -> Option<String> {
    let value = value.trim();
    let numeric = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !value.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-')) || !value.chars().all(numeric) {
        return None;
    }
    if value.contains(['e', 'E']) {
        let number = value.parse::<f64>().ok().filter(|number| number.abs() < MAX_EXACT)?;
        return Some(plain(&format!("{number}")));
    }
    let (whole, fraction) = value.split_once('.')?;
    if fraction.contains('.') {
        return None;
    }
    Some(plain(&format!("{whole}.{}", fraction.trim_end_matches('0'))))
}

#[cfg(test)]
mod tests {
    use super::forms;

    #[test]
    fn forms_are_told_by_letters_and_digits() {
        for (value, expected) in [
            ("O'Brien", &["obrien", "o", "brien"][..]),
            ("MÜLLER", &["müller"]),
            ("007", &["7"]),
            ("0", &["0"]),
            ("17.50", &["1750", "175"]),
            ("17.0", &["170", "17"]),
            ("4.12681073e8", &["412681073e8", "412681073"]),
            ("-5", &["5"]),
            ("1980-01-02", &["19800102"]),
            ("412.68.1073", &["412681073"]),
            ("%smith%", &["smith"]),
            ("[17, 18]", &["1718", "17", "18"]),
            ("John Smith", &["johnsmith"]),
            (" -%- ", &[]),
            ("", &[]),
        ] {
            assert_eq!(forms(value).collect::<Vec<_>>(), expected, "{value}");
        }
    }

    #[test]
    fn every_part_of_a_list_has_its_form() {
        let list = (1_000..3_000).map(|number| number.to_string()).collect::<Vec<_>>();
        let found: Vec<_> = forms(&format!("{{{}}}", list.join(","))).skip(1).collect();
        assert_eq!(found, list);
    }
}
