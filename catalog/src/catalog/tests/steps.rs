//! Random edits: whatever was done, replaying the log gives what its writer had.

use std::sync::Arc;

use lakeward_base::Redacted;
use object_store::ObjectStoreExt;
use proptest::prelude::*;

use super::{entry, image, in_memory, open, prefix, role};
use crate::draft::{Draft, NewColumn, NewMaskingPolicy, NewPolicy, NewTable, NewTag, Revocation};
use crate::error::CatalogError;
use crate::log::Log;
use crate::model::{Grantee, MaskBinding, Parameter, PolicyCommand, Privilege, Securable};
use crate::snapshot::Snapshot;

/// One random edit; indices wrap over what there is. Many are refused, which must leave no trace.
#[derive(Debug, Clone)]
enum Step {
    Role(u8),
    DropRole(u8),
    Join(u8, u8),
    Leave(u8, u8),
    Schema(u8),
    DropSchema(u8),
    Table(u8, u8),
    Rename(u8, u8),
    DropTable(u8),
    Policy(u8, u8),
    MaskingPolicy(u8),
    Mask(u8, u8),
    DropMaskingPolicy(u8),
    Tag(u8),
    TagMask(u8, u8),
    TagColumn(u8, u8),
    DropTag(u8),
    Grant(u8, u8),
    Revoke(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..6_u8;
    prop_oneof![
        3 => n().prop_map(Step::Role),
        1 => n().prop_map(Step::DropRole),
        2 => (n(), n()).prop_map(|(a, b)| Step::Join(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Leave(a, b)),
        2 => n().prop_map(Step::Schema),
        1 => n().prop_map(Step::DropSchema),
        4 => (n(), n()).prop_map(|(a, b)| Step::Table(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Step::Rename(a, b)),
        1 => n().prop_map(Step::DropTable),
        2 => (n(), n()).prop_map(|(a, b)| Step::Policy(a, b)),
        2 => n().prop_map(Step::MaskingPolicy),
        2 => (n(), n()).prop_map(|(a, b)| Step::Mask(a, b)),
        1 => n().prop_map(Step::DropMaskingPolicy),
        2 => n().prop_map(Step::Tag),
        2 => (n(), n()).prop_map(|(a, b)| Step::TagMask(a, b)),
        3 => (n(), n()).prop_map(|(a, b)| Step::TagColumn(a, b)),
        1 => n().prop_map(Step::DropTag),
        2 => (n(), n()).prop_map(|(a, b)| Step::Grant(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Revoke(a, b)),
    ]
}

fn pick<T: Clone>(all: Vec<T>, index: u8) -> Result<T, CatalogError> {
    let count = all.len().max(1);
    all.get(usize::from(index) % count).cloned().ok_or(CatalogError::Unsupported("nothing to pick from"))
}

fn take(draft: &mut Draft, step: &Step) -> Result<(), CatalogError> {
    let roles = draft.roles().map(|role| role.id).collect::<Vec<_>>();
    let schemas = draft.schemas().map(|schema| schema.id).collect::<Vec<_>>();
    let tables = draft.tables().map(|table| table.id).collect::<Vec<_>>();
    let masks = draft.masking_policies().map(|policy| policy.id).collect::<Vec<_>>();
    let tags = draft.tags().map(|tag| tag.id).collect::<Vec<_>>();
    let admin = draft.role_by_name("admin").expect("admin").id;
    match step {
        Step::Role(n) => draft.create_role(role(&format!("r{n}"))).map(drop),
        Step::DropRole(n) => draft.drop_role(pick(roles, *n)?),
        Step::Join(a, b) => draft.grant_role(pick(roles.clone(), *a)?, pick(roles, *b)?).map(drop),
        Step::Leave(a, b) => draft.revoke_role(pick(roles.clone(), *a)?, pick(roles, *b)?).map(drop),
        Step::Schema(n) => draft.create_schema(&format!("s{n}"), pick(roles, *n)?).map(drop),
        Step::DropSchema(n) => draft.drop_schema(pick(schemas, *n)?),
        Step::Table(schema, n) => draft
            .create_table(NewTable {
                schema: pick(schemas, *schema)?,
                name: format!("t{n}"),
                owner: admin,
                location: format!("s3://lake/{schema}/{n}"),
                managed: n % 2 == 0,
                columns: (0..*n).map(|c| NewColumn { name: format!("c{c}"), sql_type: "text".into() }).collect(),
                grantable: true,
            })
            .map(drop),
        Step::Rename(a, n) => draft.alter_table(pick(tables, *a)?, |table| table.name = format!("t{n}")),
        Step::DropTable(n) => draft.drop_table(pick(tables, *n)?),
        Step::Policy(a, n) => {
            let policy = NewPolicy {
                name: format!("p{n}"),
                permissive: true,
                command: PolicyCommand::All,
                grantees: vec![Grantee::Role(pick(roles, *n)?)],
                using: Some(Redacted::new("true".into())),
                with_check: None,
                owner: admin,
                reads: Vec::new(),
                shadow: false,
            };
            draft.create_policy(pick(tables, *a)?, policy).map(drop)
        }
        Step::MaskingPolicy(n) => {
            let parameters = vec![Parameter { name: "v".into(), sql_type: "text".into() }];
            let policy = NewMaskingPolicy {
                name: format!("m{n}"),
                parameters,
                returns: "text".into(),
                body: Redacted::new("NULL".into()),
                owner: admin,
            };
            draft.create_masking_policy(policy).map(drop)
        }
        Step::Mask(a, n) => {
            let table = pick(tables, *a)?;
            let columns = draft.table(table).expect("table").columns.iter().map(|column| column.id).collect::<Vec<_>>();
            let column = pick(columns, *n)?;
            let policy = pick(masks, *n)?;
            draft.set_mask(table, column, (n % 3 != 0).then(|| MaskBinding { policy, arguments: vec![column] }))
        }
        Step::DropMaskingPolicy(n) => draft.drop_masking_policy(pick(masks, *n)?),
        Step::Tag(n) => {
            draft.create_tag(NewTag { name: format!("g{n}"), allowed_values: None, owner: pick(roles, *n)? }).map(drop)
        }
        Step::TagMask(a, n) => {
            let policy = pick(masks, *n)?;
            draft.alter_tag(pick(tags, *a)?, |tag| {
                tag.masks.insert(format!("v{}", n % 2), policy);
            })
        }
        Step::TagColumn(a, n) => {
            let table = pick(tables, *a)?;
            let columns = draft.table(table).expect("table").columns.iter().map(|column| column.id).collect::<Vec<_>>();
            draft.set_tag(table, pick(columns, *n)?, pick(tags, *n)?, (n % 3 != 0).then(|| format!("v{}", a % 2)))
        }
        Step::DropTag(n) => draft.drop_tag(pick(tags, *n)?),
        Step::Grant(a, n) => draft
            .grant(Securable::Relation(pick(tables, *a)?), Privilege::Select, Grantee::Role(pick(roles, *n)?), admin)
            .map(drop),
        Step::Revoke(a, n) => draft
            .revoke(
                &Securable::Relation(pick(tables, *a)?),
                &Revocation {
                    privilege: Privilege::Select,
                    column: None,
                    grantee: Grantee::Role(pick(roles, *n)?),
                    grantor: admin,
                    option_only: false,
                    cascade: false,
                },
            )
            .map(drop),
    }
}

/// Whatever an object refers to exists.
fn check_references(snapshot: &Snapshot) {
    for role in snapshot.roles() {
        assert!(role.member_of.iter().all(|parent| snapshot.role(*parent).is_some()));
    }
    for schema in snapshot.schemas() {
        assert!(snapshot.role(schema.owner).is_some());
    }
    for relation in snapshot.relations() {
        assert!(snapshot.role(relation.owner()).is_some() && snapshot.schema(relation.schema()).is_some());
        for grant in relation.grants() {
            assert!(snapshot.role(grant.grantor).is_some());
            assert!(matches!(grant.grantee, Grantee::Role(role) if snapshot.role(role).is_some()));
        }
    }
    for tag in snapshot.tags() {
        assert!(snapshot.role(tag.owner).is_some());
        assert!(tag.masks.values().all(|policy| snapshot.masking_policy(*policy).is_some()));
    }
    for table in snapshot.tables() {
        let of_table = |id| table.columns.iter().any(|column| column.id == id);
        for mask in table.columns.iter().filter_map(|column| column.mask.as_ref()) {
            assert!(snapshot.masking_policy(mask.policy).is_some() && mask.arguments.iter().all(|id| of_table(*id)));
        }
        for column in &table.columns {
            assert!(column.tags.keys().all(|tag| snapshot.tag(*tag).is_some()));
            assert!(snapshot.tag_masks(column).count() <= 1);
        }
        for grantee in table.policies.iter().flat_map(|policy| &policy.grantees) {
            assert!(matches!(grantee, Grantee::Role(role) if snapshot.role(*role).is_some()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn replay_gives_what_the_writer_had(steps in proptest::collection::vec(proptest::collection::vec(step(), 1..4), 1..24), cut in 0..24_u64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let (store, catalog) = in_memory().await;
            let mut seen = vec![image(&catalog.snapshot())];
            for steps in &steps {
                // An edit of several steps; refused steps within it leave no trace.
                let edit = |draft: &mut Draft| { for step in steps { let _ = take(draft, step); } Ok(()) };
                let ((), after) = catalog.change("admin", edit).await.expect("changed");
                check_references(&after);
                if after.epoch().0 as usize == seen.len() {
                    seen.push(image(&after));
                }
            }
            let newest = catalog.snapshot().epoch().0;
            let log = Log::new(Arc::clone(&store), prefix());
            // Full replay, at every epoch.
            for (epoch, image_then) in seen.iter().enumerate() {
                assert_eq!(&image(&log.load(epoch as u64).await.expect("replayed")), image_then);
            }
            // A snapshot anywhere and the tail after it; the entries before it are gone, so it must have been used.
            let cut = cut.min(newest);
            log.write_snapshot(&log.load(cut).await.expect("loaded")).await.expect("written");
            for before in 0..cut {
                store.delete(&entry(before)).await.expect("deleted");
            }
            let reopened = open(&store).await.expect("open");
            assert_eq!(image(&reopened.snapshot()), seen[newest as usize]);
        });
    }
}
