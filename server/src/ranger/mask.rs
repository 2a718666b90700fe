//! Ranger's kinds of masks, as Lakeward's masks of a column's type.
//!
//! Invariant: a kind that a type has no mask for shows nothing of it.

use super::export::{DataMaskInfo, Item};
use super::expression;

/// Shows nothing.
pub const HIDDEN: &str = "mask_null(val)";
/// Shows everything.
pub const SHOWN: &str = "val";

/// What an item makes of a value of `kind`: a type without its length.
///
/// # Errors
/// Why it cannot be said.
pub fn of(item: &Item, kind: &str) -> Result<(String, bool), String> {
    let info = item.data_mask_info.as_ref().ok_or("it has no mask")?;
    if !info.condition_expr.is_empty() {
        return Err("its mask has a condition".to_owned());
    }
    Ok((expression(info, kind)?, false))
}

fn expression(info: &DataMaskInfo, kind: &str) -> Result<String, String> {
    let is_text = kind == "text";
    let mask = match (info.data_mask_type.as_str(), kind) {
        ("MASK_NONE", _) => SHOWN,
        ("MASK", "text") => "mask_alphanum(val)",
        ("MASK_SHOW_LAST_4", "text") => "mask_show_last(val, 4)",
        ("MASK_SHOW_FIRST_4", "text") => "mask_show_first(val, 4)",
        ("MASK_HASH", "text") => "mask_hash(val, 'ranger')",
        ("MASK_DATE_SHOW_YEAR", "date" | "timestamp" | "timestamptz") => "truncate_to_year(val)",
        ("MASK_DATE_SHOW_YEAR", "text") => "mask_show_last(val, 0)",
        // So does Hive with what its functions do not know; and no digits of a number are better than some.
        ("MASK" | "MASK_SHOW_LAST_4" | "MASK_SHOW_FIRST_4" | "MASK_HASH" | "MASK_NULL" | "MASK_DATE_SHOW_YEAR", _) => {
            HIDDEN
        }
        ("CUSTOM", nested) if nested.starts_with("jsonb") || nested.ends_with("[]") => {
            return Err("its CUSTOM mask is of a nested column".to_owned());
        }
        ("CUSTOM", _) => {
            let written = expression::mask(&info.value_expr).map_err(|why| format!("its CUSTOM mask has {why}"))?;
            let to = if is_text { "text" } else { kind };
            return Ok(format!("CAST({written} AS {to})"));
        }
        (other, _) => return Err(format!("its mask is of the kind {other:?}")),
    };
    Ok(mask.to_owned())
}
