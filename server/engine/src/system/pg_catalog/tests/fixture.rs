//! A few people, tables and policies.

use std::sync::Arc;

pub(super) use crate::testing::{lines, prepared, table};

use crate::session::Session;
use crate::testing::TestEngine;

/// An engine with a few people and tables.
pub(super) struct Hospital(TestEngine);

const SETUP: &[&str] = &[
    "CREATE ROLE analyst LOGIN",
    "CREATE ROLE stranger LOGIN",
    "CREATE ROLE officer LOGIN IN ROLE auditor",
    "CREATE ROLE governor LOGIN IN ROLE policy_admin",
    "CREATE TABLE patients (patient_id bigint, name text, birth_date date, weight numeric(5,2), seen_at timestamp, age int)",
    "CREATE SCHEMA research",
    "CREATE TABLE research.trials (trial_id bigint, codes text[])",
    "CREATE VIEW adults AS SELECT name, age FROM patients WHERE age >= 18",
    "GRANT SELECT ON patients TO analyst",
    "GRANT SELECT ON patients, research.trials TO governor",
    "CREATE POLICY own ON patients FOR SELECT TO analyst USING (age > 3)",
    "CREATE POLICY everybody ON patients AS RESTRICTIVE FOR SELECT USING (age < 120)",
];

impl Hospital {
    pub(super) async fn open() -> Self {
        Self(TestEngine::open(SETUP).await)
    }

    pub(super) fn login(&self, user: &str) -> Arc<Session> {
        self.0.login(user)
    }
}

/// The OID of a relation.
pub(super) async fn oid(session: &Arc<Session>, name: &str) -> String {
    lines(session, &format!("SELECT '{name}'::regclass::oid")).await.remove(0)
}
