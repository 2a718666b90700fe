//! What protects derived values: inherited by a new table's columns, asked of an existing table's.
//!
//! Into a new table, tags follow every value, and the mask of a column what was read of it unmasked: what a mask has hidden
//! already is its making. Of an existing table both are asked, whoever reads. Invariant: what cannot be carried over is
//! told, and never left out in silence.

use std::collections::{BTreeMap, BTreeSet};

use lakeward_base::{ColumnId, SqlState, TagId};
use lakeward_catalog::{Column, EffectiveMask, Inherited, MaskSource, Snapshot, Table};
use lakeward_govern::{Principal, ResolvedTable};

use super::{Lineage, Origin, Source};
use crate::error::Error;
use crate::write;

/// The tables that derived values come from, and how they come.
pub(crate) struct Sources<'a> {
    /// Who derives.
    pub(crate) principal: &'a Principal,
    /// The catalog that was decided by.
    pub(crate) snapshot: &'a Snapshot,
    /// What was read.
    pub(crate) tables: &'a [ResolvedTable],
    /// Which column is made of which.
    pub(crate) lineage: &'a Lineage,
}

/// What a new table inherits.
pub(crate) struct Derived {
    /// One for each column, in order.
    pub(crate) columns: Vec<Inherited>,
    /// Everything that protects the sources protects the table too: others may be let in.
    pub(crate) complete: bool,
}

/// What is known of an origin.
struct Known<'a> {
    column: &'a Column,
    mask: Option<EffectiveMask>,
    /// The mask hid it from who reads: its values are the mask's making.
    hidden: bool,
}

impl<'a> Sources<'a> {
    fn known(&self, origin: &Origin) -> Option<Known<'a>> {
        let table = self.tables.iter().find(|read| read.table.id == origin.table)?;
        let column = table.table.columns.iter().find(|column| column.name == origin.column)?;
        let decisions = self.lineage.decisions.iter();
        let mut decided = decisions.filter(|one| one.table == origin.table && one.version == origin.version);
        let hidden = decided.all(|decision| decision.hides(&origin.column));
        Some(Known { column, mask: self.snapshot.mask_of(column), hidden })
    }

    /// Whether who writes could take a mask off the target that it cannot take off the source.
    fn could_unmask(&self, target: &Table, origin: &Origin) -> bool {
        let owns = |table: &Table| self.principal.effective_roles.contains(&table.owner);
        let source = self.tables.iter().find(|read| read.table.id == origin.table);
        owns(target) && !target.inherits && !source.is_some_and(|read| owns(&read.table))
    }
}

/// Whether something protects a column of these tables, so that it must be known where values come from.
pub(crate) fn is_protected(snapshot: &Snapshot, tables: &[ResolvedTable]) -> bool {
    let protected = |column: &Column| !column.tags.is_empty() || snapshot.mask_of(column).is_some();
    tables.iter().any(|read| read.table.columns.iter().any(protected))
}

/// What the columns of a new table, with these SQL types, inherit.
pub(crate) fn carried(sources: &Sources<'_>, types: &[String]) -> Derived {
    let rows = !sources.tables.iter().any(|read| write::hides_rows(&read.table));
    let mut complete = rows && !sources.lineage.foreign;
    let mut columns = Vec::with_capacity(types.len());
    for (index, sql_type) in types.iter().enumerate() {
        let inherited =
            sources.lineage.columns.get(index).and_then(|source| inherited(sources, source, index, sql_type));
        complete &= inherited.is_some();
        columns.push(inherited.unwrap_or_default());
    }
    Derived { columns, complete }
}

/// What a new column inherits; `None` where it cannot have all that it would have to.
fn inherited(sources: &Sources<'_>, source: &Source, index: usize, sql_type: &str) -> Option<Inherited> {
    let (mut tags, mut policies, mut own) = (BTreeMap::<TagId, String>::new(), BTreeSet::new(), Vec::new());
    for origin in &source.origins {
        let known = sources.known(origin)?;
        for (tag, value) in &known.column.tags {
            if tags.insert(*tag, value.clone()).is_some_and(|other| other != *value) {
                return None;
            }
        }
        let Some(mask) = known.mask.filter(|_| !known.hidden) else { continue };
        policies.insert(mask.binding.policy);
        if mask.source == MaskSource::Column {
            own.push((origin, mask.binding));
        }
    }
    let by_tags: BTreeSet<_> =
        tags.iter().filter_map(|(tag, value)| sources.snapshot.tag(*tag)?.masks.get(value).copied()).collect();
    let takes = |policy| {
        let policy = sources.snapshot.masking_policy(policy)?;
        policy.parameters.first().filter(|parameter| parameter.sql_type == sql_type)
    };
    if by_tags.len() > 1 || policies.len() > 1 || policies.union(&by_tags).any(|policy| takes(*policy).is_none()) {
        return None;
    }
    let mut mask = None;
    for (origin, binding) in own {
        let mut arguments = vec![index];
        for argument in binding.arguments.iter().skip(1) {
            arguments.push(position(sources, source, origin, *argument)?);
        }
        let bound = (binding.policy, arguments);
        if mask.replace(bound.clone()).is_some_and(|other| other != bound) {
            return None;
        }
    }
    // Two tags that bring a mask along are one too many, even of one policy.
    let tag_masks = tags
        .iter()
        .filter(|(tag, value)| sources.snapshot.tag(**tag).is_some_and(|tag| tag.masks.contains_key(*value)));
    if tag_masks.count() > 1 {
        return None;
    }
    Some(Inherited { tags, mask })
}

/// The column that a mask of `origin` reads as an argument, in the very row that the values are from. `None` where the
/// values are of no one row, or the argument is not read as it is.
fn argument(sources: &Sources<'_>, source: &Source, origin: &Origin, argument: ColumnId) -> Option<(usize, Origin)> {
    let scan = source.scan?;
    let table = sources.tables.iter().find(|read| read.table.id == origin.table)?;
    let name = &table.table.columns.iter().find(|column| column.id == argument)?.name;
    let shown = sources.lineage.decisions.iter().all(|one| one.table != origin.table || one.shows(name));
    shown.then(|| (scan, Origin { column: name.clone(), ..origin.clone() }))
}

/// Where that column stands among those that are derived.
fn position(sources: &Sources<'_>, source: &Source, origin: &Origin, of: ColumnId) -> Option<usize> {
    let (scan, wanted) = argument(sources, source, origin, of)?;
    sources.lineage.columns.iter().position(|column| column.column() == Some((scan, &wanted)))
}

/// Refuses values for columns of a table that are less protected there than where they come from: each pair is a place
/// in the lineage and the column that it goes to. `in_place` is the scan whose rows keep what is not written.
///
/// # Errors
/// 42501, with both columns' names.
pub(crate) fn must_cover(
    sources: &Sources<'_>,
    target: &Table,
    written: &[(usize, String)],
    in_place: Option<usize>,
) -> Result<(), Error> {
    for (place, name) in written {
        let Some(source) = sources.lineage.columns.get(*place) else { continue };
        let to = target.columns.iter().find(|column| column.name == *name);
        for origin in &source.origins {
            let Some(known) = sources.known(origin) else { continue };
            if !covers(sources, &known, (source, origin), to, (target, written, in_place)) {
                return Err(less_protected(sources, origin, target, name));
            }
        }
    }
    Ok(())
}

fn covers(
    sources: &Sources<'_>,
    known: &Known<'_>,
    (source, origin): (&Source, &Origin),
    to: Option<&Column>,
    (target, written, in_place): (&Table, &[(usize, String)], Option<usize>),
) -> bool {
    let none = BTreeMap::new();
    let tags = to.map_or(&none, |column| &column.tags);
    let has_tags = known.column.tags.iter().all(|(tag, value)| tags.get(tag) == Some(value));
    // Whoever reads it masked does not write it elsewhere either: a column with less over it is none for such values.
    let Some(wanted) = &known.mask else { return has_tags };
    let Some(there) = to.and_then(|column| sources.snapshot.mask_of(column)) else { return false };
    if !has_tags || there.binding.policy != wanted.binding.policy {
        return false;
    }
    if known.hidden {
        return true;
    }
    if there.source == MaskSource::Column && sources.could_unmask(target, origin) {
        return false;
    }
    let mut pairs = wanted.binding.arguments.iter().zip(&there.binding.arguments).skip(1);
    pairs.all(|(from, to)| {
        let Some(name) = target.columns.iter().find(|column| column.id == *to).map(|column| &column.name) else {
            return false;
        };
        let place = written.iter().find(|(_, written)| written == name).map(|(place, _)| *place);
        match place {
            Some(place) => argument(sources, source, origin, *from).is_some_and(|(scan, wanted)| {
                let found = sources.lineage.columns.get(place).and_then(Source::column);
                found == Some((scan, &wanted))
            }),
            // It stays what it is in the row that is changed.
            None => in_place.is_some() && source.scan == in_place && origin.table == target.id && from == to,
        }
    })
}

fn less_protected(sources: &Sources<'_>, origin: &Origin, target: &Table, column: &str) -> Error {
    let table = sources.tables.iter().find(|read| read.table.id == origin.table);
    let table = table.map_or("another table", |read| read.table.name.as_str());
    let message = format!(
        "column \"{column}\" of table {} is less protected than column \"{}\" of table {table}",
        target.name, origin.column
    );
    Error::new(SqlState::INSUFFICIENT_PRIVILEGE, message)
        .with_hint("It needs the same tags and masking policy, and not by you. CREATE TABLE AS makes a table whose columns have them.")
}
