//! `system.tags`: which columns are tagged, and what tags there are.
//!
//! Invariant: a column's tags are shown to whoever sees the column's table, and, with the values that a tag has besides, to those
//! who make tags.

use lakeward_base::MaskingPolicyId;
use lakeward_catalog::{Table, Tag};

use super::super::cell::{Cell, Rows, row};
use super::super::viewer::{Origin, Viewer};

pub(super) fn tags(viewer: &Viewer) -> Rows {
    let columns = &[
        "schema_name",
        "table_name",
        "column_name",
        "tag_name",
        "tag_value",
        "masking_policy",
        "allowed_values",
        "owner",
    ];
    let mut rows = Vec::new();
    // Who makes tags knows where they are, whether or not it may read the table.
    let seen = viewer.user_relations().into_iter().filter_map(|seen| match seen.origin {
        Origin::Table(table) => Some(table),
        Origin::View(_) | Origin::Catalog(_) | Origin::Audit(_) => None,
    });
    let tables: Vec<&Table> =
        if viewer.makes_policies() { viewer.snapshot.tables().map(AsRef::as_ref).collect() } else { seen.collect() };
    for table in tables {
        let schema = viewer.snapshot.schema(table.schema).map(|schema| schema.name.as_str());
        for column in &table.columns {
            for (tag, value) in &column.tags {
                let Some(tag) = viewer.snapshot.tag(*tag) else { continue };
                let place = [schema, Some(table.name.as_str()), Some(column.name.as_str())];
                rows.push(described(viewer, place, tag, Some(value)));
            }
        }
    }
    if viewer.makes_policies() {
        for tag in viewer.snapshot.tags() {
            let unused = |value: &&String| !is_used(viewer, tag, value);
            let values: Vec<_> = tag.masks.keys().filter(unused).collect();
            rows.extend(values.iter().map(|value| described(viewer, [None; 3], tag, Some(value))));
            if values.is_empty() && !tables_have(viewer, tag) {
                rows.push(described(viewer, [None; 3], tag, None));
            }
        }
    }
    Rows::new(columns, rows)
}

fn is_used(viewer: &Viewer, tag: &Tag, value: &str) -> bool {
    let columns = viewer.snapshot.tables().flat_map(|table| &table.columns);
    columns.filter_map(|column| column.tags.get(&tag.id)).any(|used| used == value)
}

fn tables_have(viewer: &Viewer, tag: &Tag) -> bool {
    viewer.snapshot.tables().flat_map(|table| &table.columns).any(|column| column.tags.contains_key(&tag.id))
}

fn described(viewer: &Viewer, place: [Option<&str>; 3], tag: &Tag, value: Option<&String>) -> Vec<Cell> {
    let [schema, table, column] = place;
    let policy_name = |policy: &MaskingPolicyId| Some(viewer.snapshot.masking_policy(*policy)?.name.clone());
    row![
        schema,
        table,
        column,
        tag.name.as_str(),
        value.map(String::as_str),
        value.and_then(|value| tag.masks.get(value)).and_then(policy_name),
        tag.allowed_values.clone(),
        viewer.role_name(tag.owner),
    ]
}
