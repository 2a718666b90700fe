//! PostgreSQL 15's reserved key words (its manual, appendix C): not an identifier unless quoted.

/// Is this word reserved?
pub(crate) fn is_reserved(word: &str) -> bool {
    word.is_ascii() && RESERVED.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

/// In order, for the search.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::{RESERVED, is_reserved};

    #[test]
    fn the_list_is_in_order() {
        assert!(RESERVED.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(is_reserved("SELECT") && is_reserved("user") && !is_reserved("policy"));
    }
}
