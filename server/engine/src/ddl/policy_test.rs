//! A policy test to be made.
//!
//! Invariant: what its query says does not print.

use std::collections::BTreeMap;

use lakeward_base::Redacted;
use lakeward_catalog::Expectation;

/// CREATE POLICY TEST.
#[derive(Debug)]
pub struct CreatePolicyTest {
    /// Its name.
    pub name: String,
    /// As whom.
    pub role: String,
    /// Attributes over the role's own.
    pub attributes: BTreeMap<String, Redacted<String>>,
    /// The query, as it was typed.
    pub query: Redacted<String>,
    /// What must come of it.
    pub expectation: Expectation,
}
