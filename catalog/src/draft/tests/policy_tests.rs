//! Policy tests, and policies in shadow.

use std::collections::BTreeMap;

use super::super::NewPolicyTest;
use super::*;
use crate::model::Expectation;

fn test(h: &Hospital, name: &str) -> NewPolicyTest {
    NewPolicyTest {
        name: name.to_owned(),
        role: h.analyst,
        attributes: BTreeMap::new(),
        query: Redacted::new("SELECT 1".to_owned()),
        search_path: vec!["public".to_owned()],
        expectation: Expectation::NoRows,
        owner: h.admin,
    }
}

#[test]
fn a_policy_test_has_a_name_of_its_own_and_keeps_its_roles() {
    let mut h = Hospital::new();
    let id = h.draft.create_policy_test(test(&h, "one")).expect("one");
    refused(
        h.draft.create_policy_test(test(&h, "one")),
        SqlState::DUPLICATE_OBJECT,
        "policy test \"one\" already exists",
    );
    assert_eq!(h.draft.policy_test_by_name("one").map(|test| test.id), Some(id));
    let error = h.draft.drop_role(h.analyst).unwrap_err();
    assert_eq!(error.sqlstate(), SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    assert!(error.detail().is_some_and(|detail| detail.contains("role of policy test one")));
    h.draft.drop_policy_test(id).expect("dropped");
    assert!(h.draft.drop_policy_test(id).is_err());
    h.draft.drop_role(h.analyst).expect("nothing depends on it");
}

#[test]
fn a_policy_in_shadow_enables_nothing_until_it_leaves_it() {
    let mut h = Hospital::new();
    let policy = NewPolicy { shadow: true, ..h.policy("p") };
    let created = h.draft.create_policy(h.patients, policy).expect("p");
    let enabled = |h: &Hospital| h.draft.table(h.patients).expect("patients").row_security;
    assert!(!created.enabled_row_security && !enabled(&h));
    h.draft.alter_policy(h.patients, created.id, |policy| policy.name = "q".to_owned()).expect("renamed");
    assert!(!enabled(&h));
    h.draft.alter_policy(h.patients, created.id, |policy| policy.shadow = false).expect("enforced");
    assert!(enabled(&h));
}
