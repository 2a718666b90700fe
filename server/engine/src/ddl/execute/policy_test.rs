//! Making and dropping policy tests.
//!
//! Invariant: who makes a test could run its query as that role by hand.

use lakeward_base::{Coded, SqlState};
use lakeward_catalog::{CatalogError, Expectation, NewPolicyTest, ObjectKind};

use super::actor::{self, Actor};
use super::{DdlContext, coded, refused, skip_missing};
use crate::ddl::{CreatePolicyTest, Drop};
use crate::error::Error;
use crate::response::Command;
use crate::statement::{Kind, Simulation};
use crate::{policy_tests, simulate, statement};

pub(super) async fn create(context: &DdlContext<'_>, create: &CreatePolicyTest) -> Result<Command, Error> {
    let snapshot = context.catalog.snapshot();
    let simulation = Simulation { role: create.role.clone(), attributes: create.attributes.clone() };
    simulate::principal(&snapshot, context.principal, &simulation)?;
    check_query(create)?;
    context
        .command("CREATE POLICY TEST", |draft, acting| {
            must_test(acting)?;
            simulate::principal(draft, context.principal, &simulation).map_err(refused)?;
            let role = actor::role(draft, &create.role)?.id;
            draft.create_policy_test(NewPolicyTest {
                name: create.name.clone(),
                role,
                attributes: create.attributes.clone(),
                query: create.query.clone(),
                search_path: context.search_path.to_vec(),
                expectation: create.expectation.clone(),
                owner: acting.role,
            })?;
            Ok(Vec::new())
        })
        .await
}

/// A test's query is one, and counts only rows that stay as they are.
fn check_query(create: &CreatePolicyTest) -> Result<(), Error> {
    // Positions would be places in the query's own text.
    let parsed = statement::parse(create.query.expose());
    let parsed =
        parsed.map_err(|error| Error::new(error.sqlstate(), format!("in the test's query: {}", error.message())))?;
    let Kind::Query(query) = &parsed.kind else {
        return Err(Error::unsupported("a policy test of anything but a query").with_hint("Test a SELECT."));
    };
    if parsed.simulation.is_some() {
        return Err(Error::unsupported("EXECUTE AS ROLE in a policy test").with_hint("The test itself says AS ROLE."));
    }
    if parsed.parameter_count > 0 {
        return Err(Error::new(SqlState::UNDEFINED_PARAMETER, "a test's query has no parameters"));
    }
    if matches!(create.expectation, Expectation::Rows(_)) && !policy_tests::stands_still(query)? {
        return Err(Error::unsupported("EXPECT ROWS over tables that change")
            .with_hint("Write VERSION AS OF after each table, or EXPECT SOME ROWS."));
    }
    Ok(())
}

pub(super) async fn drop(context: &DdlContext<'_>, drop: &Drop<String>) -> Result<Command, Error> {
    context
        .command("DROP POLICY TEST", |draft, acting| {
            must_test(acting)?;
            let mut notices = Vec::new();
            for name in &drop.names {
                let missing = || CatalogError::not_found(ObjectKind::PolicyTest, name);
                let found = draft.policy_test_by_name(name).map(|test| test.id).ok_or_else(missing);
                let Some(test) = skip_missing(found, drop.if_exists, &mut notices)? else { continue };
                draft.drop_policy_test(test)?;
            }
            Ok(notices)
        })
        .await
}

fn must_test(acting: &Actor) -> Result<(), CatalogError> {
    if acting.superuser || acting.policy_admin {
        return Ok(());
    }
    let message = "must be superuser or a member of policy_admin to make policy tests";
    Err(refused(Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)))
}

/// `LW004` for a change that breaks a test.
pub(super) fn broken(test: &str, detail: &str) -> Error {
    Error::new(SqlState::POLICY_TEST_FAILED, format!("policy test \"{test}\" would fail"))
        .with_detail(detail.to_owned())
        .with_hint("Change the test, or add FORCE to the statement, which is audited.")
}

/// After too many changes by others in between.
pub(super) fn contended() -> Error {
    coded(&CatalogError::Contended)
}
