//! Identifiers. Numbers are never reused within one catalog.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id!(
    /// A schema of the catalog.
    SchemaId(u64)
);
number_id!(
    /// A table or view of the catalog.
    TableId(u64)
);
number_id!(
    /// A column within its table. Survives renaming.
    ColumnId(u32)
);
number_id!(
    /// A role.
    RoleId(u64)
);
number_id!(
    /// A row policy.
    PolicyId(u64)
);
number_id!(
    /// A masking policy.
    MaskingPolicyId(u64)
);
number_id!(
    /// A policy test.
    PolicyTestId(u64)
);
number_id!(
    /// A tag.
    TagId(u64)
);
number_id!(
    /// The catalog's version: the policy epoch that the audit records.
    Epoch(u64)
);
number_id!(
    /// A client session of this server process; also the process id of the PostgreSQL protocol.
    SessionId(u32)
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier, ordered by time (UUID version 7, RFC 9562).
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// One execution of one statement.
    StatementId
);
uuid_id!(
    /// An error whose cause is withheld from the user and written to the operator's log.
    IncidentId
);
