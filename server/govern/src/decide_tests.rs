//! Decisions over a small catalog.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::datatypes::{DataType, Field};
use datafusion_common::DFSchema;
use datafusion_common::stats::Precision;
use datafusion_expr::{Expr, ExprSchemable, col, lit};
use lakeward_base::{Coded, Redacted, RoleId, SqlState, TableId};
use lakeward_catalog::{
    Draft, Grantee, MaskBinding, NewColumn, NewMaskingPolicy, NewPolicy, NewRole, NewTable, Parameter, PolicyCommand,
    Privilege, RawTable, Securable, Snapshot,
};

use crate::access::{Access, TableDecision};
use crate::compile::{CompileError, check_row_policy};
use crate::decide::{ResolvedTable, decide};
use crate::error::DecideError;
use crate::mask::check_masking_policy;
use crate::principal::{Principal, RoleSet};
use crate::testing::{Compiler, principal, raw};
use crate::write_check::{WriteDecision, decide_check};

struct World {
    draft: Draft,
    table: TableId,
    analyst: RoleId,
    alice: RoleId,
    other: RoleId,
}

fn columns() -> Vec<(&'static str, &'static str, ArrayRef)> {
    vec![
        ("patient_id", "bigint", Arc::new(Int64Array::from(vec![1, 2]))),
        ("hospital_id", "int", Arc::new(Int32Array::from(vec![3, 4]))),
        ("ssn", "text", Arc::new(StringArray::from(vec!["412-68-1073", "412-68-1074"]))),
        ("note", "text", Arc::new(StringViewArray::from(vec!["a", "b"]))),
        ("born", "date", Arc::new(Date32Array::from(vec![0, 1]))),
    ]
}

fn raw_table() -> RawTable {
    raw(vec![vec![RecordBatch::try_from_iter(columns().into_iter().map(|(name, _, array)| (name, array))).unwrap()]])
}

fn role(draft: &mut Draft, name: &str, member_of: BTreeSet<RoleId>) -> RoleId {
    draft.create_role(NewRole { name: name.into(), login: true, member_of, ..NewRole::default() }).unwrap()
}

impl World {
    fn new() -> Self {
        let mut draft = Draft::new(&Snapshot::default());
        let owner = role(&mut draft, "owner", BTreeSet::new());
        let analyst = role(&mut draft, "analyst", BTreeSet::new());
        let alice = role(&mut draft, "alice", BTreeSet::from([analyst]));
        let other = role(&mut draft, "other", BTreeSet::new());
        let schema = draft.create_schema("public", owner).unwrap();
        let columns =
            columns().into_iter().map(|(name, sql_type, _)| NewColumn { name: name.into(), sql_type: sql_type.into() });
        let table = NewTable {
            schema,
            name: "patients".into(),
            owner,
            location: "file:///lake/patients/".into(),
            managed: true,
            columns: columns.collect(),
            grantable: true,
        };
        let table = draft.create_table(table).unwrap();
        for privilege in [Privilege::Select, Privilege::Insert] {
            draft.grant(Securable::Relation(table), privilege, Grantee::Role(analyst), owner).unwrap();
        }
        Self { draft, table, analyst, alice, other }
    }

    fn policy(
        mut self,
        permissive: bool,
        command: PolicyCommand,
        to: Grantee,
        using: Option<&str>,
        check: Option<&str>,
    ) -> Self {
        let name = format!("p{}", self.draft.table(self.table).unwrap().policies.len());
        let text = |sql: &str| Redacted::new(sql.to_owned());
        let owner = self.draft.table(self.table).unwrap().owner;
        let policy = NewPolicy {
            name,
            permissive,
            command,
            grantees: vec![to],
            using: using.map(text),
            with_check: check.map(text),
            owner,
            reads: Vec::new(),
            shadow: false,
        };
        self.draft.create_policy(self.table, policy).unwrap();
        self
    }

    fn rows(self, using: &str) -> Self {
        self.policy(true, PolicyCommand::All, Grantee::Public, Some(using), None)
    }

    fn mask(mut self, column: &str, arguments: &[&str], parameters: &[(&str, &str)], body: &str) -> Self {
        let owner = self.draft.table(self.table).unwrap().owner;
        let parameters: Vec<_> = parameters
            .iter()
            .map(|(name, sql_type)| Parameter { name: (*name).into(), sql_type: (*sql_type).into() })
            .collect();
        let returns = parameters[0].sql_type.clone();
        let new = NewMaskingPolicy {
            name: format!("mask_{column}"),
            parameters,
            returns,
            body: Redacted::new(body.to_owned()),
            owner,
        };
        let policy = self.draft.create_masking_policy(new).unwrap();
        let id = |name: &str| {
            self.draft.table(self.table).unwrap().columns.iter().find(|column| column.name == name).unwrap().id
        };
        let binding = MaskBinding { policy, arguments: arguments.iter().map(|name| id(name)).collect() };
        let column = id(column);
        self.draft.set_mask(self.table, column, Some(binding)).unwrap();
        self
    }

    fn alice(&self) -> Principal {
        let mut alice = principal("alice");
        alice.current_role = self.alice;
        alice.effective_roles = BTreeSet::from([self.alice, self.analyst]);
        alice.role_names.insert("analyst".into());
        alice.attributes.insert("hospital_id".into(), "3".into());
        alice
    }

    fn resolved(&self, reader: RoleSet, raw: RawTable) -> ResolvedTable {
        ResolvedTable { table: Arc::clone(self.draft.table(self.table).unwrap()), raw, reader }
    }

    fn decide(&self, principal: &Principal) -> Result<Arc<TableDecision>, DecideError> {
        let table = self.resolved(principal.role_set(), raw_table());
        decide(principal, &self.draft, &[table], &Compiler::new()).map(|decision| Arc::clone(&decision.tables()[0]))
    }

    fn decide_as(&self, role: RoleId) -> Result<Arc<TableDecision>, DecideError> {
        let mut somebody = principal("somebody");
        somebody.current_role = role;
        somebody.effective_roles = self.draft.effective_roles(role);
        self.decide(&somebody)
    }

    fn insert(&self, principal: &Principal, columns: &[&str]) -> Result<WriteDecision, DecideError> {
        let table = self.resolved(principal.role_set(), raw_table());
        let columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
        decide_check(principal, &self.draft, &table, &columns, &Compiler::new())
    }

    fn filter(&self) -> Option<Expr> {
        match &self.decide(&self.alice()).unwrap().access {
            Access::Open => None,
            Access::Governed { row_filter, .. } => row_filter.clone(),
        }
    }

    fn masks(&self) -> Vec<Option<Expr>> {
        match &self.decide(&self.alice()).unwrap().access {
            Access::Open => vec![None; columns().len()],
            Access::Governed { masks, .. } => masks.clone(),
        }
    }
}

fn hospital() -> Expr {
    col("patients.hospital_id")
}

fn assert_policy_denied<T>(result: Result<T, DecideError>) {
    let error = result.err().expect("denied");
    assert!(matches!(&error, DecideError::Policy { .. }), "{error}");
    assert_eq!(error.sqlstate(), SqlState::INSUFFICIENT_PRIVILEGE);
}

#[test]
fn without_a_grant_a_table_is_denied() {
    let world = World::new();
    let error = world.decide(&principal("mallory")).unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.to_string().as_str()),
        (SqlState::INSUFFICIENT_PRIVILEGE, "permission denied for table patients")
    );
    let mut bypassing = principal("mallory");
    bypassing.bypass_row_security = true;
    assert!(world.decide(&bypassing).is_err(), "BYPASSRLS bypasses no grant");
    assert!(matches!(world.decide(&world.alice()).unwrap().access, Access::Open));
}

#[test]
fn the_readers_privilege_counts_not_the_callers() {
    let world = World::new();
    let owner = RoleSet::of(&world.draft, world.draft.table(world.table).unwrap().owner);
    let through_view = world.resolved(owner, raw_table());
    assert!(decide(&principal("mallory"), &world.draft, &[through_view], &Compiler::new()).is_ok());
    let nobody = world.resolved(RoleSet::default(), raw_table());
    assert!(decide(&world.alice(), &world.draft, &[nobody], &Compiler::new()).is_err());
}

#[test]
fn row_security_without_a_matching_policy_hides_every_row() {
    let world = World::new();
    let other = Grantee::Role(world.other);
    let for_others = world.policy(true, PolicyCommand::All, other, Some("true"), None);
    assert_eq!(for_others.filter(), Some(lit(false)));
    let insert_only = World::new().policy(true, PolicyCommand::Insert, Grantee::Public, None, Some("true"));
    assert_eq!(insert_only.filter(), Some(lit(false)));
    let restrictive_only = World::new().policy(false, PolicyCommand::All, Grantee::Public, Some("true"), None);
    assert_eq!(restrictive_only.filter(), Some(lit(false)));
}

#[test]
fn permissive_policies_are_ored_and_restrictive_ones_anded() {
    let world = World::new()
        .rows("hospital_id = 3")
        .policy(true, PolicyCommand::Select, Grantee::Public, Some("hospital_id = 4"), None)
        .policy(false, PolicyCommand::All, Grantee::Public, Some("patient_id > 1"), None);
    let expected = hospital().eq(lit(3i32)).or(hospital().eq(lit(4i32))).and(col("patients.patient_id").gt(lit(1i64)));
    assert_eq!(world.filter(), Some(expected));
    assert_eq!(
        world.decide(&world.alice()).unwrap().policies,
        ["p0 on public.patients", "p1 on public.patients", "p2 on public.patients"]
    );
}

#[test]
fn attributes_and_roles_are_folded_into_literals() {
    let world = World::new()
        .rows("hospital_id = CAST(principal_attribute('hospital_id') AS INT) OR is_role_in_session('privacy')");
    assert_eq!(world.filter(), Some(hospital().eq(lit(3i32))));
    let world = World::new().rows("is_role_in_session('analyst') OR hospital_id = 1");
    assert_eq!(world.filter(), None, "a filter that is true for this principal leaves the table open");
    let world = World::new().rows("hospital_id = CAST(principal_attribute('absent') AS INT)");
    let filter = world.filter().expect("an absent attribute hides every row");
    assert!(!matches!(filter, Expr::Literal(datafusion_common::ScalarValue::Boolean(Some(true)), _)), "{filter}");
    assert!(filter.to_string().contains("NULL"), "{filter}");
}

#[test]
fn superusers_and_bypassrls() {
    let world = World::new().rows("hospital_id = 3").mask("ssn", &["ssn"], &[("val", "text")], "NULL");
    let mut superuser = principal("root");
    superuser.superuser = true;
    let decided = world.decide(&superuser).unwrap();
    assert!(matches!(decided.access, Access::Open) && decided.bypass);
    let mut bypassing = world.alice();
    bypassing.bypass_row_security = true;
    let decided = world.decide(&bypassing).unwrap();
    assert!(decided.bypass && decided.masked == ["ssn"]);
    assert!(matches!(&decided.access, Access::Governed { row_filter: None, .. }));
    let mut owner = principal("owner");
    owner.effective_roles = BTreeSet::from([world.draft.table(world.table).unwrap().owner]);
    let decided = world.decide(&owner).unwrap();
    assert!(
        !decided.bypass && matches!(&decided.access, Access::Governed { row_filter: Some(_), .. }),
        "an owner bypasses neither"
    );
}

#[test]
fn masks_keep_the_columns_type() {
    let schema = DFSchema::try_from_qualified_schema("patients", &raw_table().schema()).unwrap();
    for (column, sql_type, body) in [
        ("ssn", "text", "NULL"),
        ("ssn", "text", "right(val, 4)"),
        ("note", "text", "concat('x', val)"),
        ("note", "text", "'constant'"),
        ("hospital_id", "int", "CASE WHEN val > 3 THEN val ELSE 0 END"),
        ("born", "date", "CAST(date_trunc('year', val) AS DATE)"),
    ] {
        let world = World::new().mask(column, &[column], &[("val", sql_type)], body);
        let masks = world.masks();
        let (index, field) =
            raw_table().schema().column_with_name(column).map(|(index, field)| (index, field.clone())).unwrap();
        let mask = masks[index].as_ref().unwrap_or_else(|| panic!("{body} is no mask"));
        assert_eq!(mask.get_type(&schema).unwrap(), *field.data_type(), "{column}: {body}");
        assert_eq!(masks.iter().flatten().count(), 1);
        assert_eq!(world.decide(&world.alice()).unwrap().masked, [column]);
    }
}

#[test]
fn a_mask_that_shows_the_value_to_this_principal_is_none() {
    let body = "CASE WHEN is_role_in_session('analyst') THEN val ELSE 'x' END";
    let world =
        World::new().mask("ssn", &["ssn"], &[("val", "text")], body).mask("note", &["note"], &[("val", "text")], body);
    assert!(matches!(world.decide(&world.alice()).unwrap().access, Access::Open));
}

#[test]
fn masks_take_other_columns_as_arguments() {
    let world = World::new().mask(
        "ssn",
        &["ssn", "hospital_id"],
        &[("val", "text"), ("hospital", "int")],
        "CASE WHEN hospital = 3 THEN val ELSE NULL END",
    );
    let mask = world.masks()[2].clone().unwrap().to_string();
    assert!(mask.contains("patients.hospital_id = Int32(3)") && mask.contains("patients.ssn"), "{mask}");
}

#[test]
fn a_mask_of_the_wrong_type_denies() {
    assert_policy_denied(World::new().mask("ssn", &["ssn"], &[("val", "bigint")], "val").decide_as_alice());
    assert_policy_denied(World::new().mask("born", &["born"], &[("val", "date")], "'1970'").decide_as_alice());
    assert_policy_denied(World::new().mask("ssn", &["ssn"], &[("val", "text")], "other").decide_as_alice());
    assert_policy_denied(
        World::new().mask("ssn", &["ssn"], &[("val", "text")], "no_such_function(val)").decide_as_alice(),
    );
}

impl World {
    fn decide_as_alice(&self) -> Result<Arc<TableDecision>, DecideError> {
        self.decide(&self.alice())
    }
}

#[test]
fn a_policy_that_cannot_be_used_denies() {
    for using in [
        "no_such_column = 1",
        "hospital_id + 1",
        "hospital_id IN (SELECT 1)",
        "EXISTS (SELECT 1)",
        "hospital_id = (SELECT 1)",
        "count(*) > 1",
        "hospital_id = $1",
        "not sql at all",
    ] {
        assert_policy_denied(World::new().rows(using).decide_as_alice());
    }
}

#[test]
fn a_refused_policy_says_why_when_it_is_made() {
    let schema = DFSchema::try_from_qualified_schema("patients", &raw_table().schema()).unwrap();
    let nobody = (&Snapshot::default(), lakeward_base::RoleId(0));
    let check = |sql: &str, compiler: &dyn crate::PolicyCompiler| check_row_policy(sql, &schema, &[], nobody, compiler);
    let code = |sql: &str| check(sql, &Compiler::new()).err().map(|error| error.sqlstate());
    assert_eq!(code("hospital_id = 3 AND patients.patient_id > 1"), None);
    assert_eq!(code("hospital_id = CAST(principal_attribute('h') AS INT)"), None);
    assert_eq!(code("hospital_id"), Some(SqlState::DATATYPE_MISMATCH));
    assert_eq!(code("count(*) > 1"), Some(SqlState::GROUPING_ERROR));
    assert_eq!(code("hospital_id = $1"), Some(SqlState::UNDEFINED_PARAMETER));
    let subquery = Expr::Exists(datafusion_expr::expr::Exists::new(
        datafusion_expr::Subquery {
            subquery: Arc::new(datafusion_expr::LogicalPlanBuilder::empty(true).build().unwrap()),
            outer_ref_columns: vec![],
            spans: Default::default(),
        },
        false,
    ));
    struct Fixed(Expr);
    impl crate::PolicyCompiler for Fixed {
        fn compile(&self, _: &str, _: &DFSchema, _: Vec<crate::NamedSource>) -> datafusion_common::Result<Expr> {
            Ok(self.0.clone())
        }

        fn mapping(&self, _: lakeward_base::TableId) -> Option<RawTable> {
            None
        }

        fn shared(&self, mapping: Arc<crate::Mapping>) -> Arc<crate::Mapping> {
            mapping
        }

        fn is_keyed(&self, _: &datafusion_expr::expr::ScalarFunction) -> bool {
            false
        }
    }
    let error = check("EXISTS (…)", &Fixed(subquery)).unwrap_err();
    assert!(matches!(error, CompileError::Subquery(_)) && error.sqlstate() == SqlState::FEATURE_NOT_SUPPORTED);
}

#[test]
fn a_masking_policy_is_checked_when_it_is_made_and_when_it_is_set() {
    let world = World::new().mask("ssn", &["ssn"], &[("val", "text")], "right(val, 4)");
    let policy = Arc::clone(world.draft.masking_policies().next().unwrap());
    let check = |types: Option<&[DataType]>| {
        check_masking_policy(&policy, types, &Compiler::new()).err().map(|error| error.sqlstate())
    };
    assert_eq!(check(None), None);
    assert_eq!(check(Some(&[DataType::Utf8View])), None);
    assert_eq!(check(Some(&[DataType::Int64])), Some(SqlState::DATATYPE_MISMATCH));
    assert_eq!(check(Some(&[DataType::Utf8, DataType::Utf8])), Some(SqlState::INVALID_PARAMETER_VALUE));
}

#[test]
fn a_mask_of_a_struct_or_a_map_shows_all_of_it_or_nothing() {
    let member = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
    let name = DataType::Struct(vec![member("given"), member("family")].into());
    let entries = DataType::Struct(vec![member("key"), member("value")].into());
    let tags = DataType::Map(Arc::new(Field::new("key_value", entries, false)), false);
    for (body, expected) in [
        ("CASE WHEN is_role_in_session('privacy') THEN val END", None),
        ("NULL", None),
        ("val", None),
        ("'***'", Some(SqlState::DATATYPE_MISMATCH)),
    ] {
        let mut draft = World::new().draft;
        let owner = draft.tables().next().unwrap().owner;
        let parameters = vec![Parameter { name: "val".into(), sql_type: "jsonb".into() }];
        let body = Redacted::new(body.to_owned());
        let new = NewMaskingPolicy { name: "whole".into(), parameters, returns: "jsonb".into(), body, owner };
        let id = draft.create_masking_policy(new).unwrap();
        let policy = Arc::clone(draft.masking_policy(id).unwrap());
        let check = |types: Option<&[DataType]>| {
            check_masking_policy(&policy, types, &Compiler::new()).err().map(|error| error.sqlstate())
        };
        for types in [None, Some(&[name.clone()][..]), Some(&[tags.clone()][..])] {
            assert_eq!(check(types), expected, "{} {types:?}", policy.body.expose());
        }
        assert_eq!(check(Some(&[DataType::Utf8View])), Some(SqlState::DATATYPE_MISMATCH));
    }
}

#[test]
fn columns_follow_todays_catalog() {
    let world = World::new();
    let unknown: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    let wider = columns().into_iter().map(|(name, _, array)| (name, array)).chain([("dropped", unknown)]);
    let wider = raw(vec![vec![RecordBatch::try_from_iter(wider).unwrap()]]);
    let wider = world.resolved(world.alice().role_set(), wider);
    let decided = decide(&world.alice(), &world.draft, &[wider], &Compiler::new()).unwrap();
    let schema = &decided.tables()[0].schema;
    assert!(schema.field_with_name("dropped").is_err(), "a column that today's schema lacks is not returned");
    assert_eq!(schema.fields().len(), columns().len());

    let world = World::new().mask("ssn", &["ssn"], &[("val", "text")], "NULL");
    let schema = raw_table().schema();
    let kept: Vec<_> = (0..schema.fields().len()).filter(|index| schema.field(*index).name() != "ssn").collect();
    let batch = RecordBatch::new_empty(Arc::new(schema.project(&kept).unwrap()));
    let old = RawTable::new(0, Precision::Absent, Precision::Absent, 1, raw(vec![vec![batch]]).privileged_provider());
    let old = world.resolved(world.alice().role_set(), old);
    let error = decide(&world.alice(), &world.draft, &[old], &Compiler::new()).unwrap_err();
    assert!(matches!(error, DecideError::MissingColumn { .. }), "{error}");
}

#[test]
fn inserts_are_checked() {
    let world = World::new()
        .policy(true, PolicyCommand::All, Grantee::Public, Some("hospital_id = 3"), None)
        .policy(true, PolicyCommand::Insert, Grantee::Public, None, Some("patient_id = 1"))
        .policy(true, PolicyCommand::Select, Grantee::Public, Some("true"), None);
    let decided = world.insert(&world.alice(), &["patient_id"]).unwrap();
    assert_eq!(decided.check, Some(col("hospital_id").eq(lit(3i32)).or(col("patient_id").eq(lit(1i64)))));
    assert_eq!(decided.policies.len(), 2);

    let world = World::new().policy(true, PolicyCommand::Select, Grantee::Public, Some("true"), None);
    assert_eq!(
        world.insert(&world.alice(), &[]).unwrap().check,
        Some(lit(false)),
        "no policy for INSERT: no row may be added"
    );
    assert_eq!(World::new().insert(&World::new().alice(), &[]).unwrap().check, None);

    let error = World::new().insert(&principal("mallory"), &[]).err().unwrap();
    assert!(matches!(error, DecideError::Privilege { .. }));
    let masked = World::new().mask("ssn", &["ssn"], &[("val", "text")], "NULL");
    let error = masked.insert(&masked.alice(), &["patient_id", "ssn"]).err().unwrap();
    assert!(matches!(&error, DecideError::MaskedWrite { column, .. } if column == "ssn"));
    assert!(masked.insert(&masked.alice(), &["patient_id"]).is_ok());
    let mut superuser = principal("root");
    superuser.superuser = true;
    assert!(masked.insert(&superuser, &["ssn"]).unwrap().bypass);
}

#[test]
fn decisions_are_deterministic() {
    let world = World::new().rows("hospital_id = CAST(principal_attribute('hospital_id') AS INT)").mask(
        "ssn",
        &["ssn"],
        &[("val", "text")],
        "NULL",
    );
    let filters: Vec<_> = (0..3).map(|_| (world.filter(), world.masks())).collect();
    assert!(filters.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn columns_that_were_not_granted_are_withheld() {
    let mut world = World::new();
    let table = world.draft.table(world.table).unwrap().clone();
    let other = world.other;
    let grant = |column: usize| lakeward_catalog::Grant {
        privilege: Privilege::Select,
        grantee: Grantee::Role(other),
        grantor: table.owner,
        column: Some(table.columns[column].id),
        grantable: false,
    };
    let grants = [grant(0), grant(3)];
    for grant in grants {
        world.draft.give(&Securable::Relation(world.table), grant).unwrap();
    }
    let decision = world.decide_as(world.other).unwrap();
    assert_eq!(decision.withheld, BTreeSet::from([1, 2, 4]));
    assert!(decision.withholds(None) && decision.withholds(Some(&[0, 1])));
    assert!(!decision.withholds(Some(&[])) && !decision.withholds(Some(&[0, 3])));
    assert!(world.decide_as(world.alice).unwrap().withheld.is_empty(), "the whole table was granted");
}

#[test]
fn an_owner_of_a_policy_needs_execute_at_each_use() {
    // The test compiler says that md5 is keyed.
    let mut world = World::new().mask("ssn", &["ssn"], &[("val", "text")], "md5(val)");
    let alice = world.alice;
    assert_eq!(world.decide_as(alice).unwrap_err().sqlstate(), SqlState::INSUFFICIENT_PRIVILEGE);
    let owner = world.draft.table(world.table).unwrap().owner;
    let function = Securable::System(lakeward_catalog::SystemObject::Function("md5".into()));
    world.draft.grant(function, Privilege::Execute, Grantee::Role(owner), lakeward_catalog::SYSTEM).unwrap();
    assert_eq!(world.decide_as(alice).unwrap().masked, ["ssn"]);
}
