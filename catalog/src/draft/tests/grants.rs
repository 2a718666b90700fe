//! What is granted, by whom, and what goes with it.

use std::collections::BTreeSet;

use lakeward_base::{Coded, ColumnId, RoleId, SqlState};

use super::{Hospital, columns, refused, revocation, role};
use crate::draft::{Draft, NewRole, NewTable, Revocation};
use crate::model::{Grant, Grantee, Privilege, Securable, SystemObject};

#[test]
fn grants_are_held_once_and_by_whom_they_were_given_to() {
    let mut h = Hospital::new();
    let table = Securable::Relation(h.patients);
    let nurse =
        h.draft.create_role(NewRole { member_of: BTreeSet::from([h.analyst]), ..role("nurse") }).expect("nurse");
    let holds = |draft: &Draft, role: RoleId, privilege| {
        let table = draft.table(h.patients).expect("patients");
        draft.holds(&draft.effective_roles(role), table.owner, &table.grants, privilege)
    };
    assert!(!holds(&h.draft, nurse, Privilege::Select));
    assert!(holds(&h.draft, h.admin, Privilege::Delete), "the owner");
    assert!(h.draft.grant(table.clone(), Privilege::Select, Grantee::Role(h.analyst), h.admin).expect("grant"));
    assert!(!h.draft.grant(table.clone(), Privilege::Select, Grantee::Role(h.analyst), h.admin).expect("again"));
    assert!(holds(&h.draft, nurse, Privilege::Select), "through membership");
    assert!(!holds(&h.draft, nurse, Privilege::Insert));
    assert!(h.draft.revoke(&table, &revocation(Privilege::Select, h.analyst, h.admin)).expect("revoke"));
    assert!(!h.draft.revoke(&table, &revocation(Privilege::Select, h.analyst, h.admin)).expect("again"));
    assert!(!holds(&h.draft, nurse, Privilege::Select));
    h.draft.grant(table.clone(), Privilege::Select, Grantee::Public, h.admin).expect("public");
    assert!(holds(&h.draft, nurse, Privilege::Select), "everybody");
    let message = "invalid privilege type USAGE for relation";
    refused(
        h.draft.grant(table.clone(), Privilege::Usage, Grantee::Public, h.admin),
        SqlState::WRONG_OBJECT_TYPE,
        message,
    );
    let message = "invalid privilege type SELECT for schema";
    let schema = Securable::Schema(h.public);
    refused(
        h.draft.grant(schema.clone(), Privilege::Select, Grantee::Public, h.admin),
        SqlState::WRONG_OBJECT_TYPE,
        message,
    );
}

#[test]
fn what_was_passed_on_goes_with_the_option_that_it_was_passed_on_by() {
    let mut h = Hospital::new();
    let table = Securable::Relation(h.patients);
    let [one, two] = ["one", "two"].map(|name| h.draft.create_role(role(name)).expect("role"));
    let give = |draft: &mut Draft, grantee, grantor, grantable| {
        let grantee = Grantee::Role(grantee);
        draft.give(&table, Grant { privilege: Privilege::Select, grantee, grantor, column: None, grantable })
    };
    give(&mut h.draft, one, h.admin, true).expect("with the option");
    give(&mut h.draft, two, one, true).expect("passed on");
    give(&mut h.draft, h.analyst, two, false).expect("and on");
    let circle = "grant options cannot be granted back to your own grantor";
    refused(give(&mut h.draft, one, two, true), SqlState::INVALID_GRANT_OPERATION, circle);
    let by_admin = revocation(Privilege::Select, one, h.admin);
    let of_option = Revocation { option_only: true, ..by_admin };
    let error = "dependent privileges exist";
    refused(h.draft.revoke(&table, &by_admin), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, error);
    refused(h.draft.revoke(&table, &of_option), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, error);
    assert!(h.draft.revoke(&table, &Revocation { cascade: true, ..of_option }).expect("cascade"));
    let left: Vec<_> = h.draft.table(h.patients).expect("patients").grants.clone();
    let kept = Grant {
        privilege: Privilege::Select,
        grantee: Grantee::Role(one),
        grantor: h.admin,
        column: None,
        grantable: false,
    };
    assert_eq!(left, [kept]);
    let public = Grant { grantee: Grantee::Public, grantable: true, ..left[0].clone() };
    let message = "grant options can only be granted to roles";
    refused(h.draft.give(&table, public), SqlState::INVALID_GRANT_OPERATION, message);
}

#[test]
fn a_column_is_granted_by_itself_and_revoked_with_its_table() {
    let mut h = Hospital::new();
    let table = Securable::Relation(h.patients);
    let column = h.draft.table(h.patients).expect("patients").columns[0].id;
    let grant = Grant {
        privilege: Privilege::Select,
        grantee: Grantee::Role(h.analyst),
        grantor: h.admin,
        column: Some(column),
        grantable: false,
    };
    assert!(h.draft.give(&table, grant.clone()).expect("column"));
    let held = |draft: &Draft| {
        let table = draft.table(h.patients).expect("patients");
        let roles = draft.effective_roles(h.analyst);
        let whole = draft.holds(&roles, table.owner, &table.grants, Privilege::Select);
        (whole, draft.columns_held(&roles, &table.grants, Privilege::Select))
    };
    assert_eq!(held(&h.draft), (false, BTreeSet::from([column])));
    let unknown = h.draft.give(&table, Grant { column: Some(ColumnId(9_999)), ..grant.clone() });
    assert_eq!(unknown.err().map(|error| error.sqlstate()), Some(SqlState::UNDEFINED_COLUMN));
    let write = h.draft.give(&table, Grant { privilege: Privilege::Insert, ..grant });
    assert_eq!(write.err().map(|error| error.sqlstate()), Some(SqlState::FEATURE_NOT_SUPPORTED));
    assert!(h.draft.revoke(&table, &revocation(Privilege::Select, h.analyst, h.admin)).expect("revoke"));
    assert_eq!(held(&h.draft), (false, BTreeSet::new()));
}

#[test]
fn a_grant_on_a_column_goes_with_the_column() {
    let mut h = Hospital::new();
    let table = Securable::Relation(h.patients);
    let ids: Vec<_> = h.draft.table(h.patients).expect("patients").columns.iter().map(|column| column.id).collect();
    for column in &ids[..2] {
        let grantee = Grantee::Role(h.analyst);
        let (privilege, grantor, column) = (Privilege::Select, h.admin, Some(*column));
        h.draft.give(&table, Grant { privilege, grantee, grantor, column, grantable: false }).expect("column");
    }
    h.draft.replace_columns(h.patients, &columns(&["patient_id", "other"]), 3).expect("replaced");
    let left: Vec<_> = h.draft.table(h.patients).expect("patients").grants.iter().map(|grant| grant.column).collect();
    assert_eq!(left, [Some(ids[0])]);
}

#[test]
fn what_nobody_owns_is_granted_too() {
    let mut h = Hospital::new();
    let object = SystemObject::Storage("s3://lake/research/".into());
    let usage = Privilege::Usage;
    let (grantee, grantor) = (Grantee::Role(h.analyst), crate::SYSTEM);
    h.draft.grant(Securable::System(object.clone()), usage, grantee, grantor).expect("usage");
    let roles = h.draft.effective_roles(h.analyst);
    assert!(h.draft.may_use_storage(&roles, "s3://lake/research/t/"));
    assert!(!h.draft.may_use_storage(&roles, "s3://lake/research2/"));
    assert!(!h.draft.may_use_storage(&roles, "s3://lake/"));
    let error = h.draft.drop_role(h.analyst).expect_err("it holds something");
    assert!(error.detail().expect("detail").contains("privileges for storage s3://lake/research/"));
    h.draft.revoke_all(h.analyst).expect("revoke");
    assert_eq!(h.draft.system_objects().count(), 0);
    h.draft.drop_role(h.analyst).expect("nothing depends on it");
}

#[test]
fn the_admin_option_goes_with_the_role() {
    let mut h = Hospital::new();
    let nurse = h.draft.create_role(role("nurse")).expect("nurse");
    assert!(h.draft.set_admin(nurse, h.analyst, true).expect("admin"));
    assert!(h.draft.administers(&h.draft.effective_roles(h.analyst), nurse));
    assert!(!h.draft.effective_roles(h.analyst).contains(&nurse), "to administer is not to be");
    h.draft.drop_role(nurse).expect("drop");
    assert!(h.draft.role(h.analyst).expect("analyst").admin_of.is_empty());
}

#[test]
fn a_derived_table_is_not_granted() {
    let mut h = Hospital::new();
    let new = NewTable {
        schema: h.public,
        name: "derived".into(),
        owner: h.analyst,
        location: "s3://lake/derived".into(),
        managed: true,
        columns: columns(&["a"]),
        grantable: false,
    };
    let derived = h.draft.create_table(new).expect("derived");
    let granted = h.draft.grant(Securable::Relation(derived), Privilege::Select, Grantee::Public, h.admin);
    assert_eq!(granted.err().map(|e| e.sqlstate()), Some(SqlState::FEATURE_NOT_SUPPORTED));
}
