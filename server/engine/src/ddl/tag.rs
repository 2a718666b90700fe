//! Statements about tags.

/// A change of tags.
#[derive(Debug)]
pub enum TagDdl {
    /// CREATE TAG
    Create {
        /// Its name.
        name: String,
        /// No error where it exists.
        if_not_exists: bool,
        /// ALLOWED_VALUES
        allowed_values: Option<Vec<String>>,
    },
    /// DROP TAG
    Drop(super::Drop<String>),
    /// ALTER TAG
    Alter {
        /// The tag.
        name: String,
        /// No error where it does not exist.
        if_exists: bool,
        /// What changes.
        change: TagChange,
    },
    /// ALTER TABLE … ALTER COLUMN … SET | UNSET TAG
    SetOnColumn {
        /// The table.
        table: crate::statement::Name,
        /// The column.
        column: String,
        /// Tags, and the value of each; `None` takes one away.
        tags: Vec<(String, Option<String>)>,
    },
}

/// What ALTER TAG changes.
#[derive(Debug, PartialEq, Eq)]
pub enum TagChange {
    /// RENAME TO
    Rename(String),
    /// ADD ALLOWED_VALUES
    Allow(Vec<String>),
    /// DROP ALLOWED_VALUES
    Forbid(Vec<String>),
    /// UNSET ALLOWED_VALUES
    AllowAll,
    /// SET MASKING POLICY … FOR VALUE …
    SetMask {
        /// The policy.
        policy: String,
        /// The value.
        value: String,
    },
    /// UNSET MASKING POLICY FOR VALUE …
    UnsetMask {
        /// The value.
        value: String,
    },
}
