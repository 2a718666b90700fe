//! Names as statements and comments write them.
//!
//! Invariant: no name, whatever it holds, is more than a name in a statement, or more than a comment in one.

use sqlparser::keywords::ALL_KEYWORDS;

/// A name in a statement: as it is where that is unambiguous, else in double quotes.
#[must_use]
pub fn quoted(name: &str) -> String {
    let starts_plainly = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    let keyword = ALL_KEYWORDS.binary_search(&name.to_ascii_uppercase().as_str()).is_ok();
    if starts_plainly && plain && !keyword { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text in a statement.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text within a line of a comment.
#[must_use]
pub fn in_comment(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A name made of a text: lower-case letters, digits and `_`.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut name = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            name.push(character);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_matches('_').chars().take(40).collect()
}

/// Whether a pattern of Ranger's (`*`, `?`) fits a name, in whatever case.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().flat_map(char::to_lowercase).collect();
    let name: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    // Which prefixes of the name the pattern so far fits.
    let mut reached = vec![false; name.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for wanted in pattern {
        let before = reached.clone();
        for (place, slot) in reached.iter_mut().enumerate() {
            *slot = match wanted {
                '*' => before.iter().take(place + 1).any(|fits| *fits),
                _ => place.checked_sub(1).is_some_and(|last| {
                    before.get(last) == Some(&true) && (wanted == '?' || name.get(last) == Some(&wanted))
                }),
            };
        }
    }
    reached.last() == Some(&true)
}

/// Whether it stands for more than itself.
#[must_use]
pub fn is_pattern(value: &str) -> bool {
    value.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::{fits, in_comment, plain, quoted};

    #[test]
    fn names_stay_names() {
        for (name, expected) in
            [("ssn", "ssn"), ("SSN", "\"SSN\""), ("select", "\"select\""), ("a\"; DROP", "\"a\"\"; DROP\"")]
        {
            assert_eq!(quoted(name), expected);
        }
        assert_eq!(in_comment("a\nDROP TABLE t;\r--"), "a DROP TABLE t; --");
        assert_eq!(plain("Mask: SSN (last 4)"), "mask_ssn_last_4");
    }

    #[test]
    fn patterns_fit_as_ranger_has_them() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("pat*", "PATIENTS", true),
            ("*_id", "patient_id", true),
            ("p?t*s", "patients", true),
            ("patient", "patients", false),
            ("?", "", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
