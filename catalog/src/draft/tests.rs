//! Every rule of the draft, with the SQLSTATE and message that a client sees.

mod grants;
mod policy_tests;
mod tags;

use std::collections::BTreeSet;

use lakeward_base::{Coded, ColumnId, MaskingPolicyId, Redacted, RoleId, SchemaId, SqlState, TableId};

use super::{Draft, NewColumn, NewMaskingPolicy, NewPolicy, NewRole, NewTable, NewView, Revocation};
use crate::error::CatalogError;
use crate::model::{Grantee, MaskBinding, Parameter, PolicyCommand, Privilege, Relation, Securable};
use crate::snapshot::Snapshot;

struct Hospital {
    draft: Draft,
    admin: RoleId,
    analyst: RoleId,
    public: SchemaId,
    patients: TableId,
}

fn role(name: &str) -> NewRole {
    NewRole { name: name.to_owned(), ..NewRole::default() }
}

fn superuser(name: &str) -> NewRole {
    NewRole { login: true, superuser: true, ..role(name) }
}

fn revocation(privilege: Privilege, grantee: RoleId, grantor: RoleId) -> Revocation {
    let grantee = Grantee::Role(grantee);
    Revocation { privilege, column: None, grantee, grantor, option_only: false, cascade: false }
}

fn columns(names: &[&str]) -> Vec<NewColumn> {
    names.iter().map(|name| NewColumn { name: (*name).to_owned(), sql_type: "text".to_owned() }).collect()
}

impl Hospital {
    fn new() -> Self {
        let mut draft = Draft::new(&Snapshot::default());
        draft.put_new_role(role("auditor"), true).expect("auditor");
        let admin = draft.create_role(superuser("admin")).expect("admin");
        let analyst = draft.create_role(role("analyst")).expect("analyst");
        let public = draft.create_schema("public", admin).expect("public");
        let mut hospital = Self { draft, admin, analyst, public, patients: TableId(0) };
        hospital.patients = hospital.table("patients", "s3://lake/patients").expect("patients");
        hospital
    }

    fn table(&mut self, name: &str, location: &str) -> Result<TableId, CatalogError> {
        let new = NewTable {
            schema: self.public,
            name: name.to_owned(),
            owner: self.admin,
            location: location.to_owned(),
            managed: true,
            columns: columns(&["patient_id", "ssn", "hospital_id"]),
            grantable: true,
        };
        self.draft.create_table(new)
    }

    fn view(&mut self, name: &str) -> Result<TableId, CatalogError> {
        let definition = Redacted::new("SELECT 1".to_owned());
        self.draft.create_view(NewView {
            search_path: Vec::new(),
            schema: self.public,
            name: name.to_owned(),
            owner: self.admin,
            definition,
            columns: columns(&["a", "b"]),
        })
    }

    fn policy(&self, name: &str) -> NewPolicy {
        NewPolicy {
            name: name.to_owned(),
            permissive: true,
            command: PolicyCommand::Select,
            grantees: vec![Grantee::Role(self.analyst)],
            using: Some(Redacted::new("hospital_id = 3".to_owned())),
            with_check: None,
            owner: self.admin,
            shadow: false,
            reads: Vec::new(),
        }
    }

    fn mask(&mut self, name: &str, parameters: usize) -> Result<MaskingPolicyId, CatalogError> {
        let parameters =
            (0..parameters).map(|n| Parameter { name: format!("p{n}"), sql_type: "text".to_owned() }).collect();
        let body = Redacted::new("NULL".to_owned());
        self.draft.create_masking_policy(NewMaskingPolicy {
            name: name.to_owned(),
            parameters,
            returns: "text".to_owned(),
            body,
            owner: self.admin,
        })
    }

    fn column(&self, name: &str) -> ColumnId {
        let table = self.draft.table(self.patients).expect("patients");
        table.columns.iter().find(|column| column.name == name).expect("column").id
    }

    fn set_mask(&mut self, policy: MaskingPolicyId, arguments: &[&str]) -> Result<(), CatalogError> {
        let arguments = arguments.iter().map(|name| self.column(name)).collect();
        self.draft.set_mask(self.patients, self.column("ssn"), Some(MaskBinding { policy, arguments }))
    }
}

#[track_caller]
fn refused<T>(result: Result<T, CatalogError>, state: SqlState, message: &str) -> CatalogError {
    let error = result.err().expect("refused");
    assert_eq!((error.sqlstate(), error.message().as_str()), (state, message));
    error
}

#[test]
fn taken_names_are_refused_as_postgresql_does() {
    let mut h = Hospital::new();
    refused(h.draft.create_role(role("analyst")), SqlState::DUPLICATE_OBJECT, "role \"analyst\" already exists");
    refused(h.draft.create_schema("public", h.admin), SqlState::DUPLICATE_SCHEMA, "schema \"public\" already exists");
    refused(h.table("patients", "s3://lake/other"), SqlState::DUPLICATE_TABLE, "relation \"patients\" already exists");
    refused(h.view("patients"), SqlState::DUPLICATE_TABLE, "relation \"patients\" already exists");
    let policy = h.policy("own");
    h.draft.create_policy(h.patients, policy.clone()).expect("policy");
    let message = "policy \"own\" for table \"patients\" already exists";
    refused(h.draft.create_policy(h.patients, policy), SqlState::DUPLICATE_OBJECT, message);
    h.mask("last4", 1).expect("mask");
    refused(h.mask("last4", 1), SqlState::DUPLICATE_OBJECT, "masking policy \"last4\" already exists");
    let analyst = h.analyst;
    refused(
        h.draft.alter_role(analyst, |role| role.name = "admin".into()),
        SqlState::DUPLICATE_OBJECT,
        "role \"admin\" already exists",
    );
}

#[test]
fn reserved_names_are_refused() {
    let mut h = Hospital::new();
    let error = refused(h.draft.create_role(role("pg_x")), SqlState::RESERVED_NAME, "role name \"pg_x\" is reserved");
    assert_eq!(error.detail().as_deref(), Some("Role names starting with \"pg_\" are reserved."));
    for schema in ["pg_temp", "pg_catalog", "system", "information_schema"] {
        let message = format!("unacceptable schema name \"{schema}\"");
        refused(h.draft.create_schema(schema, h.admin), SqlState::RESERVED_NAME, &message);
    }
    assert_eq!(h.table("pg_class", "s3://lake/c").err().map(|e| e.sqlstate()), Some(SqlState::RESERVED_NAME));
    let renamed = h.draft.alter_table(h.patients, |table| table.name = "pg_class".into());
    assert_eq!(renamed.err().map(|e| e.sqlstate()), Some(SqlState::RESERVED_NAME));
}

#[test]
fn what_does_not_exist_is_named() {
    let mut h = Hospital::new();
    let nobody = RoleId(1);
    let cases = [
        (h.draft.drop_role(nobody), SqlState::UNDEFINED_OBJECT),
        (h.draft.drop_schema(SchemaId(1)), SqlState::INVALID_SCHEMA_NAME),
        (h.draft.drop_table(TableId(1)), SqlState::UNDEFINED_TABLE),
        (h.draft.drop_view(h.patients), SqlState::UNDEFINED_TABLE),
        (h.draft.drop_masking_policy(MaskingPolicyId(1)), SqlState::UNDEFINED_OBJECT),
        (h.draft.drop_policy(h.patients, lakeward_base::PolicyId(1)), SqlState::UNDEFINED_OBJECT),
        (h.draft.set_mask(h.patients, ColumnId(999), None), SqlState::UNDEFINED_COLUMN),
        (h.draft.alter_table(h.patients, |table| table.owner = nobody), SqlState::UNDEFINED_OBJECT),
        (h.draft.alter_table(h.patients, |table| table.schema = SchemaId(1)), SqlState::INVALID_SCHEMA_NAME),
        (h.draft.create_schema("s", nobody).map(drop), SqlState::UNDEFINED_OBJECT),
        (
            h.draft.grant(Securable::Relation(TableId(1)), Privilege::Select, Grantee::Public, h.admin).map(drop),
            SqlState::UNDEFINED_TABLE,
        ),
    ];
    for (index, (result, state)) in cases.into_iter().enumerate() {
        assert_eq!(result.err().map(|error| error.sqlstate()), Some(state), "case {index}");
    }
    refused::<()>(
        Err(CatalogError::not_found(crate::ObjectKind::Schema, "x")),
        SqlState::INVALID_SCHEMA_NAME,
        "schema \"x\" does not exist",
    );
}

#[test]
fn a_role_in_use_is_not_dropped_and_the_detail_says_why() {
    let mut h = Hospital::new();
    let mask = h.mask("last4", 1).expect("mask");
    h.draft.alter_masking_policy(mask, |policy| policy.owner = h.analyst).expect("owner");
    let policy = h.policy("own");
    h.draft.create_policy(h.patients, policy).expect("policy");
    h.draft
        .grant(Securable::Relation(h.patients), Privilege::Select, Grantee::Role(h.analyst), h.admin)
        .expect("grant");
    h.draft.grant(Securable::Schema(h.public), Privilege::Usage, Grantee::Role(h.analyst), h.admin).expect("grant");
    let view = h.view("v").expect("view");
    h.draft.alter_view(view, |view| view.owner = h.analyst).expect("owner");
    let message = "role \"analyst\" cannot be dropped because some objects depend on it";
    let error = refused(h.draft.drop_role(h.analyst), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    let expected = "privileges for schema public\nprivileges for table public.patients\ntarget of policy own on table public.patients\n\
        owner of view public.v\nowner of masking policy last4";
    assert_eq!(error.detail().as_deref(), Some(expected));
}

#[test]
fn dropping_a_role_ends_its_memberships() {
    let mut h = Hospital::new();
    let nurse =
        h.draft.create_role(NewRole { member_of: BTreeSet::from([h.analyst]), ..role("nurse") }).expect("nurse");
    assert_eq!(h.draft.effective_roles(nurse), BTreeSet::from([nurse, h.analyst]));
    h.draft.drop_role(h.analyst).expect("dropped");
    assert_eq!(h.draft.effective_roles(nurse), BTreeSet::from([nurse]));
    assert!(h.draft.effective_roles(h.analyst).is_empty(), "a dropped role holds nothing");
    let again = h.draft.create_role(role("analyst")).expect("again");
    assert_ne!(again, h.analyst, "identifiers are not used twice");
}

#[test]
fn built_in_roles_stay() {
    let mut h = Hospital::new();
    let auditor = h.draft.role_by_name("auditor").expect("auditor").id;
    let message = "cannot drop role auditor because it is required by the database system";
    refused(h.draft.drop_role(auditor), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    let message = "cannot alter role auditor because it is required by the database system";
    refused(h.draft.alter_role(auditor, |role| role.login = true), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    assert!(h.draft.grant_role(auditor, h.analyst).expect("granting it is its purpose"));
}

#[test]
fn the_last_superuser_stays() {
    let mut h = Hospital::new();
    let admin = h.admin;
    for demote in [|role: &mut crate::Role| role.superuser = false, |role: &mut crate::Role| role.login = false] {
        let error = h.draft.alter_role(admin, demote).expect_err("the last");
        assert_eq!(error.sqlstate(), SqlState::DEPENDENT_OBJECTS_STILL_EXIST);
    }
    h.draft.create_role(superuser("second")).expect("second");
    h.draft.alter_role(admin, |role| role.superuser = false).expect("another is there");
}

#[test]
fn memberships_form_no_cycle() {
    let mut h = Hospital::new();
    let nurse = h.draft.create_role(role("nurse")).expect("nurse");
    let head = h.draft.create_role(role("head")).expect("head");
    assert!(h.draft.grant_role(h.analyst, nurse).expect("first"));
    assert!(!h.draft.grant_role(h.analyst, nurse).expect("again"), "had it already");
    assert!(h.draft.grant_role(nurse, head).expect("second"));
    assert_eq!(h.draft.effective_roles(head), BTreeSet::from([h.analyst, nurse, head]));
    let message = "role \"head\" is a member of role \"analyst\"";
    refused(h.draft.grant_role(head, h.analyst), SqlState::INVALID_GRANT_OPERATION, message);
    assert!(h.draft.grant_role(nurse, nurse).is_err());
    let by_the_back_door = h.draft.alter_role(h.analyst, |role| role.member_of = BTreeSet::from([head]));
    assert_eq!(by_the_back_door.err().map(|e| e.sqlstate()), Some(SqlState::FEATURE_NOT_SUPPORTED));
    assert!(h.draft.revoke_role(nurse, head).expect("revoked"));
    assert!(!h.draft.revoke_role(nurse, head).expect("again"));
    assert_eq!(h.draft.effective_roles(head), BTreeSet::from([head]));
}

#[test]
fn a_schema_that_holds_something_stays() {
    let mut h = Hospital::new();
    h.view("v").expect("view");
    let message = "cannot drop schema public because other objects depend on it";
    let error = refused(h.draft.drop_schema(h.public), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    let expected = "table public.patients depends on schema public\nview public.v depends on schema public";
    assert_eq!(error.detail().as_deref(), Some(expected));
    let empty = h.draft.create_schema("empty", h.admin).expect("empty");
    h.draft.drop_schema(empty).expect("dropped");
    assert!(h.draft.schema_by_name("empty").is_none());
}

#[test]
fn overlapping_locations_are_refused() {
    let mut h = Hospital::new();
    for location in [
        "s3://lake/patients/",
        "s3a://lake//patients",
        "s3://lake",
        "s3://lake/patients/_delta_log",
        "s3://lake/x/../patients/y",
    ] {
        let message = "the location overlaps the location of another table";
        let error = refused(h.table("copy", location), SqlState::DUPLICATE_OBJECT, message);
        assert!(error.detail().is_some_and(|detail| detail.contains("public.patients")), "{location}");
    }
    h.table("copy", "s3://lake/patients_2").expect("a place of its own");
    refused(
        h.table("bad", "not a url"),
        SqlState::INVALID_PARAMETER_VALUE,
        "the location is not usable: it is not an absolute URL",
    );
    h.draft.drop_table(h.patients).expect("dropped");
    h.table("heir", "s3://lake/patients").expect("the place is free again");
}

#[test]
fn altering_a_table_changes_what_it_may_and_nothing_else() {
    let mut h = Hospital::new();
    let other = h.draft.create_schema("other", h.analyst).expect("schema");
    h.draft.grant(Securable::Relation(h.patients), Privilege::Select, Grantee::Public, h.admin).expect("grant");
    h.draft
        .alter_table(h.patients, |table| {
            table.name = "people".into();
            table.schema = other;
            table.owner = h.analyst;
            table.row_security = true;
        })
        .expect("altered");
    assert!(h.draft.relation("public", "patients").is_none());
    let Some(Relation::Table(table)) = h.draft.relation("other", "people") else { panic!("moved") };
    assert_eq!((table.id, table.row_security, table.grants[0].grantor), (h.patients, true, h.analyst));
    assert_eq!(h.draft.qualified_name(h.patients), "other.people");
    let edits: [fn(&mut crate::Table); 6] = [
        |table| table.id = TableId(7),
        |table| table.location = "s3://elsewhere/".into(),
        |table| table.grants.clear(),
        |table| table.columns[0].name = "renamed".into(),
        |table| table.grantable = false,
        |table| table.columns.clear(),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let state = h.draft.alter_table(h.patients, edit).err().map(|error| error.sqlstate());
        assert_eq!(state, Some(SqlState::FEATURE_NOT_SUPPORTED), "edit {index}");
    }
}

#[test]
fn columns_are_distinct_and_keep_their_numbers() {
    let mut h = Hospital::new();
    let new = NewTable {
        schema: h.public,
        name: "twice".into(),
        owner: h.admin,
        location: "s3://lake/twice".into(),
        managed: true,
        columns: columns(&["a", "a"]),
        grantable: true,
    };
    refused(h.draft.create_table(new), SqlState::DUPLICATE_COLUMN, "column \"a\" specified more than once");
    let message = "column \"ssn\" of relation \"patients\" already exists";
    let ssn = columns(&["ssn"]).remove(0);
    refused(h.draft.add_column(h.patients, ssn, 1), SqlState::DUPLICATE_COLUMN, message);
    let zip = h.draft.add_column(h.patients, columns(&["zip"]).remove(0), 1).expect("added");
    let table = h.draft.table(h.patients).expect("patients");
    let ids: BTreeSet<_> = table.columns.iter().map(|column| column.id).collect();
    assert_eq!((ids.len(), table.columns.last().map(|column| column.id)), (4, Some(zip)));
}

#[test]
fn views_are_replaced_as_in_postgresql() {
    let mut h = Hospital::new();
    let view = h.view("v").expect("view");
    let text = || Redacted::new("SELECT 2".to_owned());
    h.draft.replace_view(view, text(), Vec::new(), columns(&["a", "b", "c"])).expect("a column more");
    let replaced = h.draft.view(view).expect("view");
    assert_eq!((replaced.definition.expose().as_str(), replaced.columns.len()), ("SELECT 2", 3));
    refused(
        h.draft.replace_view(view, text(), Vec::new(), columns(&["a"])),
        SqlState::INVALID_TABLE_DEFINITION,
        "cannot drop columns from view",
    );
    let message = "cannot change name of view column \"b\" to \"x\"";
    refused(
        h.draft.replace_view(view, text(), Vec::new(), columns(&["a", "x", "c"])),
        SqlState::INVALID_TABLE_DEFINITION,
        message,
    );
    let mut other_type = columns(&["a", "b", "c"]);
    other_type[0].sql_type = "integer".into();
    let message = "cannot change data type of view column \"a\" from text to integer";
    refused(h.draft.replace_view(view, text(), Vec::new(), other_type), SqlState::INVALID_TABLE_DEFINITION, message);
    let sneaky = h.draft.alter_view(view, |view| view.definition = Redacted::new("SELECT 3".into()));
    assert_eq!(sneaky.err().map(|e| e.sqlstate()), Some(SqlState::FEATURE_NOT_SUPPORTED));
}

#[test]
fn row_policies_turn_row_security_on_once_and_leave_it_on() {
    let mut h = Hospital::new();
    let (first, second) = (h.policy("one"), h.policy("two"));
    let one = h.draft.create_policy(h.patients, first).expect("one");
    let two = h.draft.create_policy(h.patients, second).expect("two");
    assert_eq!((one.enabled_row_security, two.enabled_row_security), (true, false));
    h.draft.alter_policy(h.patients, one.id, |policy| policy.permissive = false).expect("altered");
    let renamed = h.draft.alter_policy(h.patients, one.id, |policy| policy.name = "two".into());
    refused(renamed, SqlState::DUPLICATE_OBJECT, "policy \"two\" for table \"patients\" already exists");
    let order: Vec<_> =
        h.draft.table(h.patients).expect("patients").policies.iter().map(|policy| policy.name.clone()).collect();
    assert_eq!(order, ["one", "two"]);
    h.draft.drop_policy(h.patients, one.id).expect("dropped");
    h.draft.drop_policy(h.patients, two.id).expect("dropped");
    assert!(h.draft.table(h.patients).expect("patients").row_security, "no policy left must not mean all rows");
}

#[test]
fn clauses_must_fit_the_command() {
    let mut h = Hospital::new();
    let text = || Some(Redacted::new("true".to_owned()));
    let insert = NewPolicy { command: PolicyCommand::Insert, ..h.policy("p") };
    refused(
        h.draft.create_policy(h.patients, insert),
        SqlState::SYNTAX_ERROR,
        "only WITH CHECK expression allowed for INSERT",
    );
    for command in [PolicyCommand::Select, PolicyCommand::Delete] {
        let policy = NewPolicy { command, with_check: text(), ..h.policy("p") };
        refused(
            h.draft.create_policy(h.patients, policy),
            SqlState::SYNTAX_ERROR,
            "WITH CHECK cannot be applied to SELECT or DELETE",
        );
    }
    for command in [PolicyCommand::All, PolicyCommand::Update] {
        let policy = NewPolicy { command, with_check: text(), ..h.policy(&format!("{command:?}").to_lowercase()) };
        h.draft.create_policy(h.patients, policy).expect("both clauses");
    }
    let nobody = NewPolicy { grantees: Vec::new(), ..h.policy("p") };
    assert!(h.draft.create_policy(h.patients, nobody).is_err());
}

#[test]
fn a_mask_names_what_exists_and_holds_its_policy() {
    let mut h = Hospital::new();
    let one = h.mask("one", 1).expect("one");
    let two = h.mask("two", 2).expect("two");
    assert!(h.set_mask(two, &["ssn"]).is_err(), "too few arguments");
    assert!(h.set_mask(one, &["ssn", "hospital_id"]).is_err(), "too many arguments");
    assert!(h.set_mask(one, &["hospital_id"]).is_err(), "not the masked column");
    let foreign = MaskBinding { policy: two, arguments: vec![h.column("ssn"), ColumnId(999)] };
    let foreign = h.draft.set_mask(h.patients, h.column("ssn"), Some(foreign));
    assert_eq!(foreign.err().map(|e| e.sqlstate()), Some(SqlState::UNDEFINED_COLUMN));
    h.set_mask(two, &["ssn", "hospital_id"]).expect("set");
    let message = "cannot drop masking policy two because other objects depend on it";
    let error = refused(h.draft.drop_masking_policy(two), SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    assert_eq!(error.detail().as_deref(), Some("column ssn of table public.patients depends on masking policy two"));
    let signature = h.draft.alter_masking_policy(two, |policy| policy.returns = "integer".into());
    assert_eq!(signature.err().map(|e| e.sqlstate()), Some(SqlState::DEPENDENT_OBJECTS_STILL_EXIST));
    h.draft.alter_masking_policy(two, |policy| policy.body = Redacted::new("'x'".into())).expect("the body may change");
    h.draft.set_mask(h.patients, h.column("ssn"), None).expect("unset");
    h.draft.drop_masking_policy(two).expect("dropped");
}

#[test]
fn a_column_that_a_mask_names_does_not_go() {
    let mut h = Hospital::new();
    let two = h.mask("two", 2).expect("two");
    h.set_mask(two, &["ssn", "hospital_id"]).expect("set");
    let dropped = h.draft.alter_table(h.patients, |table| table.columns.retain(|column| column.name != "hospital_id"));
    let message = "cannot drop column hospital_id of table patients because other objects depend on it";
    let error = refused(dropped, SqlState::DEPENDENT_OBJECTS_STILL_EXIST, message);
    assert_eq!(error.detail().as_deref(), Some("masking policy two on column ssn depends on column hospital_id"));
    let unmasked =
        h.draft.alter_table(h.patients, |table| table.columns.iter_mut().for_each(|column| column.mask = None));
    assert_eq!(unmasked.err().map(|e| e.sqlstate()), Some(SqlState::FEATURE_NOT_SUPPORTED));
}

#[test]
fn a_column_knows_since_when_its_name_means_it() {
    let mut h = Hospital::new();
    let since = |h: &Hospital, name: &str| {
        let table = h.draft.table(h.patients).expect("patients");
        table.columns.iter().find(|column| column.name == name).map(|column| column.since)
    };
    h.draft.replace_columns(h.patients, &columns(&["patient_id", "other"]), 3).expect("replaced");
    assert_eq!((since(&h, "patient_id"), since(&h, "other")), (Some(None), Some(None)));
    h.draft.add_column(h.patients, columns(&["ssn"]).remove(0), 4).expect("added");
    h.draft.add_column(h.patients, columns(&["unheard_of"]).remove(0), 5).expect("added");
    assert_eq!((since(&h, "ssn"), since(&h, "unheard_of")), (Some(Some(4)), Some(None)));
    let number = NewColumn { name: "other".to_owned(), sql_type: "bigint".to_owned() };
    h.draft.replace_columns(h.patients, &[number], 6).expect("replaced");
    assert_eq!(since(&h, "other"), Some(Some(6)), "another type makes another column");
    h.draft.replace_columns(h.patients, &columns(&["ssn"]), 7).expect("replaced");
    assert_eq!(since(&h, "ssn"), Some(Some(7)));
}

#[test]
fn a_refused_edit_leaves_the_draft_as_it_was() {
    let mut h = Hospital::new();
    let before = serde_json::to_string(&crate::log::Image::of(&h.draft)).expect("image");
    let counters = h.draft.counters;
    let _ = h.draft.drop_schema(h.public);
    let _ = h.draft.drop_role(h.admin);
    let _ = h.table("copy", "s3://lake/patients");
    let _ = h.draft.grant_role(h.analyst, h.analyst);
    assert_eq!(serde_json::to_string(&crate::log::Image::of(&h.draft)).expect("image"), before);
    assert_eq!(h.draft.counters, counters);
}

#[test]
fn iterators_go_in_name_order() {
    let mut h = Hospital::new();
    let earlier = h.draft.create_schema("a_schema", h.admin).expect("schema");
    let view = h.view("zebra").expect("view");
    h.view("ant").expect("view");
    h.draft.alter_view(view, |view| view.schema = earlier).expect("moved");
    let names: Vec<_> = h.draft.relations().map(|relation| h.draft.qualified_name(relation.id())).collect();
    assert_eq!(names, ["a_schema.zebra", "public.ant", "public.patients"]);
    let roles: Vec<_> = h.draft.roles().map(|role| role.name.as_str()).collect();
    assert_eq!(roles, ["admin", "analyst", "auditor"]);
    assert_eq!((h.draft.tables().count(), h.draft.views().count()), (1, 2));
}
