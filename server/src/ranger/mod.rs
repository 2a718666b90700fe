//! `lakeward policy import --ranger`: Apache Ranger's masks and row filters for Hive, as Lakeward's statements.
//!
//! Ranger asks the items of a policy one after the other, and the first that fits counts; whom none fits sees everything.
//! That becomes one mask or one row policy, with a branch for each item. Invariant: what could not be mapped is told, and
//! shows nothing to whom it was for; nothing in the file becomes a statement but through `name.rs` and `expression.rs`.

mod branch;
mod export;
mod expression;
mod mask;
mod name;
mod target;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use lakeward_catalog::Snapshot;

use branch::Branches;
use export::{Export, Item, Policy};
use name::{in_comment, literal, plain, quoted};
use target::{ColumnName, Places, TableName};

/// Hive's masks of anything, where nothing is known of the type.
const PRESUMED_KIND: &str = "text";

/// What a file came to.
#[derive(Debug, Default)]
pub struct Import {
    /// Statements, with comments.
    pub sql: String,
    /// What could not be mapped, a line each.
    pub unmapped: Vec<String>,
    /// What to know about the rest, a line each.
    pub notes: Vec<String>,
}

/// Reads what Ranger has exported. `catalog` tells which tables and columns there are, and of which types; `schemas` are
/// databases and the schemas that they became, where those have other names.
///
/// # Errors
/// What is wrong with the file.
pub fn import(
    file: &[u8],
    catalog: Option<Arc<Snapshot>>,
    schemas: Vec<(String, String)>,
) -> Result<Import, serde_json::Error> {
    let policies = serde_json::from_slice::<Export>(file)?.into_policies();
    let mut script =
        Script { places: Places::new(catalog, schemas), import: Import::default(), roles: BTreeSet::new() };
    let usable: Vec<&Policy> = policies.iter().filter(|policy| script.is_usable(policy)).collect();
    let masks = script.masks(&usable);
    let filters = script.filters(&usable);
    script.write(&masks, &filters);
    Ok(script.import)
}

struct Script {
    places: Places,
    import: Import,
    roles: BTreeSet<String>,
}

/// A masking policy, and the columns that it is set on.
struct Mask {
    kind: String,
    body: String,
    source: String,
    columns: Vec<ColumnName>,
}

impl Script {
    /// What is not in force, or is not about masks and filters, is told and left.
    fn is_usable(&mut self, policy: &Policy) -> bool {
        let told = |why: &str| format!("policy {:?}: {why}", policy.name);
        if !policy.is_enabled {
            self.import.notes.push(told("it is not enabled, and was left out"));
            return false;
        }
        if let Some(service) = policy.service_type.as_ref().filter(|service| !service.eq_ignore_ascii_case("hive")) {
            self.import.unmapped.push(told(&format!("it is for {service}, not for Hive")));
            return false;
        }
        let about_access =
            [&policy.policy_items, &policy.deny_policy_items, &policy.allow_exceptions, &policy.deny_exceptions];
        match policy.policy_type {
            1 | 2 if policy.is_deny_all_else || about_access.iter().any(|items| !items.is_empty()) => {
                self.import.unmapped.push(told("its items that allow or deny access: use GRANT and REVOKE"));
            }
            1 | 2 => {}
            0 => {
                self.import.unmapped.push(told("it is about access: use GRANT"));
                return false;
            }
            other => {
                self.import.unmapped.push(told(&format!("it is of the type {other}")));
                return false;
            }
        }
        if !policy.zone_name.is_empty() {
            self.import.unmapped.push(told("its security zone: it was taken as if it had none"));
        }
        for field in policy.unknown_fields() {
            self.import.unmapped.push(told(&format!("its {field}")));
        }
        true
    }

    /// Masks that do the same to columns of the same type are one.
    fn masks(&mut self, policies: &[&Policy]) -> Vec<Mask> {
        let mut of_columns: BTreeMap<ColumnName, Vec<&Policy>> = BTreeMap::new();
        for policy in policies.iter().filter(|policy| policy.policy_type == 1) {
            for resources in std::iter::once(&policy.resources).chain(&policy.additional_resources) {
                match self.places.columns(resources) {
                    Ok(columns) => {
                        columns.into_iter().for_each(|column| of_columns.entry(column).or_default().push(policy))
                    }
                    Err(why) => self.import.unmapped.push(format!("policy {:?}: {why}", policy.name)),
                }
            }
        }
        let mut masks: Vec<Mask> = Vec::new();
        for (column, mut policies) in of_columns {
            let kind = column.kind.clone().unwrap_or_else(|| presumed_kind(&policies));
            let place = format!("{}.{}.{}", column.table.schema, column.table.table, column.column);
            self.rank(&mut policies, &place);
            if !self.may_mask(&column, &place) {
                continue;
            }
            if column.kind.is_none() {
                let note = format!("{place}: taken as {kind}; the catalog knows its type (--data-dir)");
                self.import.notes.push(note);
            }
            let branches = self.branches(
                &policies,
                |policy| &policy.data_mask_policy_items,
                (mask::HIDDEN, mask::SHOWN),
                |item| mask::of(item, &kind),
            );
            let Some(branches) = branches else { continue };
            let body = branches.as_case(mask::HIDDEN, mask::SHOWN);
            match masks.iter_mut().find(|known| known.kind == kind && known.body == body) {
                Some(known) => known.columns.push(column),
                None => {
                    let source = sources(&policies);
                    masks.push(Mask { kind, body, source, columns: vec![column] });
                }
            }
        }
        masks
    }

    /// A mask that somebody has set is not taken off.
    fn may_mask(&mut self, column: &ColumnName, place: &str) -> bool {
        let Some(catalog) = self.places.catalog() else { return true };
        let ColumnName { table: TableName { schema, table }, .. } = column;
        let Some(lakeward_catalog::Relation::Table(entry)) = catalog.relation(schema, table) else { return true };
        let bound =
            entry.columns.iter().find(|known| known.name == column.column).and_then(|known| known.mask.as_ref());
        let policy = bound.and_then(|bound| catalog.masking_policy(bound.policy));
        let foreign = policy.filter(|policy| !policy.name.starts_with("ranger_"));
        if let Some(policy) = foreign {
            let told = format!("{place}: it has the masking policy {} already, which was left", quoted(&policy.name));
            self.import.unmapped.push(told);
            return false;
        }
        true
    }

    fn filters(&mut self, policies: &[&Policy]) -> Vec<(TableName, String, String)> {
        let mut of_tables: BTreeMap<TableName, Vec<&Policy>> = BTreeMap::new();
        for policy in policies.iter().filter(|policy| policy.policy_type == 2) {
            for resources in std::iter::once(&policy.resources).chain(&policy.additional_resources) {
                match self.places.tables(resources) {
                    Ok(tables) => tables.into_iter().for_each(|table| of_tables.entry(table).or_default().push(policy)),
                    Err(why) => self.import.unmapped.push(format!("policy {:?}: {why}", policy.name)),
                }
            }
        }
        let mut filters = Vec::new();
        for (table, mut policies) in of_tables {
            self.rank(&mut policies, &format!("{}.{}", table.schema, table.table));
            let schemas = self.places.known_schemas();
            let branches = self.branches(
                &policies,
                |policy| &policy.row_filter_policy_items,
                ("false", "true"),
                |item| filter_of(item, &schemas),
            );
            let Some(branches) = branches else { continue };
            let condition =
                if branches.has_subquery { branches.as_condition() } else { branches.as_case("false", "true") };
            filters.push((table, condition, sources(&policies)));
        }
        filters
    }

    /// In the order in which Ranger asks them, as far as the file says.
    fn rank(&mut self, policies: &mut Vec<&Policy>, place: &str) {
        policies.sort_by_key(|policy| -policy.policy_priority);
        policies.dedup_by(|a, b| std::ptr::eq(*a, *b));
        let same = policies.windows(2).any(|pair| matches!(pair, [a, b] if a.policy_priority == b.policy_priority));
        if same {
            let told = format!(
                "{place}: several policies, of which the file does not say which goes first: they are asked in the file's order"
            );
            self.import.unmapped.push(told);
        }
    }

    fn branches<'a>(
        &mut self,
        policies: &[&'a Policy],
        items: impl Fn(&'a Policy) -> &'a [Item],
        ends: (&str, &str),
        then: impl Fn(&Item) -> Result<(String, bool), String>,
    ) -> Option<Branches> {
        let mut branches = Branches::default();
        for policy in policies {
            branches.add(policy, items(policy), ends, &then);
        }
        for told in std::mem::take(&mut branches.unmapped) {
            if !self.import.unmapped.contains(&told) {
                self.import.unmapped.push(told);
            }
        }
        self.roles.extend(std::mem::take(&mut branches.roles));
        (!branches.is_empty()).then_some(branches)
    }

    fn write(&mut self, masks: &[Mask], filters: &[(TableName, String, String)]) {
        let mut sql = String::from(
            "-- Masks and row filters of Apache Ranger. Run it with psql -v ON_ERROR_STOP=1, as a superuser or a policy_admin.\n",
        );
        sql.push_str("-- Who acts as another role (SET ROLE) sees nothing of what is masked or filtered here: Ranger knows no such thing.\n");
        for told in &self.import.unmapped {
            let _ = writeln!(sql, "-- NOT MAPPED: {}", in_comment(told));
        }
        for told in &self.import.notes {
            let _ = writeln!(sql, "-- Note: {}", in_comment(told));
        }
        if !self.roles.is_empty() {
            let roles: Vec<String> =
                self.roles.iter().map(|role| format!("{}::regrole", literal(&quoted(role)))).collect();
            let _ = writeln!(sql, "\n-- All of these roles must exist; else this fails.\nSELECT {};", roles.join(", "));
        }
        let mut taken = BTreeSet::new();
        for mask in masks {
            let name = free_name(&format!("ranger_{}_{}", plain(&mask.source), plain(&mask.kind)), &mut taken);
            let (kind, body) = (&mask.kind, &mask.body);
            let _ = writeln!(sql, "\n-- {}", in_comment(&mask.source));
            let _ =
                writeln!(sql, "CREATE OR REPLACE MASKING POLICY {name} AS (val {kind}) RETURNS {kind} ->\n  {body};");
            for column in &mask.columns {
                let (table, column) = (column.table.quoted(), quoted(&column.column));
                let _ = writeln!(sql, "ALTER TABLE {table} ALTER COLUMN {column} SET MASKING POLICY {name};");
            }
        }
        for (table, condition, source) in filters {
            let _ = writeln!(sql, "\n-- {}", in_comment(source));
            let (has_others, table) = (self.places.has_other_policies(table), table.quoted());
            // Without it a policy that is refused would leave the table open.
            let _ = writeln!(sql, "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;");
            let kind = if has_others { " AS RESTRICTIVE" } else { "" };
            let _ = writeln!(sql, "CREATE OR REPLACE POLICY ranger_filter ON {table}{kind} USING (\n  {condition});");
        }
        self.import.sql = sql;
    }
}

/// What the masks say of a column's type, where nothing else does.
fn presumed_kind(policies: &[&Policy]) -> String {
    let mut items = policies.iter().flat_map(|policy| &policy.data_mask_policy_items);
    let of_dates =
        |item: &Item| item.data_mask_info.as_ref().is_some_and(|info| info.data_mask_type == "MASK_DATE_SHOW_YEAR");
    if items.any(of_dates) { "date".to_owned() } else { PRESUMED_KIND.to_owned() }
}

fn filter_of(item: &Item, schemas: &dyn Fn(&str) -> String) -> Result<(String, bool), String> {
    let info = item.row_filter_info.as_ref().ok_or("it has no filter")?;
    if info.filter_expr.trim().is_empty() {
        return Ok(("true".to_owned(), false));
    }
    let written = expression::filter(&info.filter_expr, schemas).map_err(|why| format!("its filter has {why}"))?;
    Ok((written.sql, written.has_subquery))
}

fn sources(policies: &[&Policy]) -> String {
    policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn free_name(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{wanted}_{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    let free = names.find(|name| !taken.contains(name)).unwrap_or_else(|| wanted.to_owned());
    taken.insert(free.clone());
    quoted(&free)
}
