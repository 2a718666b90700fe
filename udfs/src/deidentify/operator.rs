//! What stands in the place of an identifier.
//!
//! Invariant: an operator's output holds no letter or digit of what it replaces; `encrypt` holds it under a key.

use std::fmt::Write as _;

use super::detector::Finding;
use super::entity::Entity;

/// Turns a value into one that only a key can make, or undo.
pub trait Cipher {
    /// What stands for `value`, in bytes; `None`: there is no key.
    fn seal(&mut self, entity: Entity, value: &str) -> Option<Vec<u8>>;
}

/// What to do with identifiers.
pub enum Operator<'a> {
    /// `<PERSON>`
    Replace,
    /// Nothing.
    Redact,
    /// A star for each letter and digit.
    Mask,
    /// `<PERSON:…>` with hexadecimal digits that a cipher made.
    Seal(&'a mut dyn Cipher),
}

impl Operator<'_> {
    /// Appends `text` to `output` with every finding's span replaced; `None`: there is no key.
    pub fn apply(&mut self, text: &str, findings: &[Finding], output: &mut String) -> Option<()> {
        let mut kept = 0;
        for finding in findings {
            output.push_str(text.get(kept..finding.start)?);
            let value = text.get(finding.start..finding.end)?;
            match self {
                Self::Replace => {
                    output.extend(['<']);
                    output.push_str(finding.entity.name());
                    output.push('>');
                }
                Self::Redact => {}
                Self::Mask => output.extend(value.chars().map(|c| if c.is_alphanumeric() { '*' } else { c })),
                Self::Seal(cipher) => {
                    let sealed = cipher.seal(finding.entity, value)?;
                    output.push('<');
                    output.push_str(finding.entity.name());
                    output.push(':');
                    for byte in sealed {
                        write!(output, "{byte:02x}").ok()?;
                    }
                    output.push('>');
                }
            }
            kept = finding.end;
        }
        output.push_str(text.get(kept..)?);
        Some(())
    }
}
