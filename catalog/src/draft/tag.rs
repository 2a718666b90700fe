//! Tags, their values, the masks that these bring along, and the columns that have them.
//!
//! Invariants: a column has only values that its tags allow; at most one of its tags brings a mask along, and that mask
//! has the column's type; a tag that is used is not dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakeward_base::{ColumnId, RoleId, TableId, TagId};

use super::Draft;
use crate::change::Change;
use crate::error::{CatalogError, ObjectKind};
use crate::model::{Column, MaskingPolicy, Table, Tag};
use crate::name::{check_name, quote_identifier};

/// The longest value of a tag, in characters (Snowflake's limit).
const VALUE_CHARACTERS: usize = 256;
/// How many values a tag can allow.
const ALLOWED_VALUES: usize = 1000;

/// A tag to be made.
#[derive(Debug, Clone)]
pub struct NewTag {
    /// Name, unique in the catalog.
    pub name: String,
    /// The only values that it can have; `None` allows all.
    pub allowed_values: Option<Vec<String>>,
    /// Who makes it.
    pub owner: RoleId,
}

impl Draft {
    /// Makes a tag.
    ///
    /// # Errors
    /// 42710 where the name is taken, 42602 where it cannot be one, 22023 for values that cannot be.
    pub fn create_tag(&mut self, new: NewTag) -> Result<TagId, CatalogError> {
        self.check_new_tag_name(&new.name)?;
        let id = TagId(self.identifier()?);
        let NewTag { name, allowed_values, owner } = new;
        let tag = Tag { id, name, allowed_values, masks: BTreeMap::new(), owner };
        self.check_tag(&tag)?;
        self.make(Change::PutTag(Arc::new(tag)))?;
        Ok(id)
    }

    /// Changes a tag's name, owner, allowed values and masks.
    ///
    /// # Errors
    /// 42704 where it does not exist, 2BP01 where a column has a value that would no longer be allowed, 42P17 where a
    /// column would get a second mask, 42804 where a mask has another type than a column, else as for
    /// [`create_tag`](Self::create_tag).
    pub fn alter_tag(&mut self, id: TagId, edit: impl FnOnce(&mut Tag)) -> Result<(), CatalogError> {
        let old = Arc::clone(self.existing_tag(id)?);
        let mut tag = Tag::clone(&old);
        edit(&mut tag);
        if tag.id != id {
            return Err(CatalogError::Unsupported("changing a tag's identifier"));
        }
        if tag.name != old.name {
            self.check_new_tag_name(&tag.name)?;
        }
        self.check_values_kept(&old, &tag)?;
        self.check_tag(&tag)?;
        // Judged as it will be.
        let mut after = self.clone();
        after.make(Change::PutTag(Arc::new(tag.clone())))?;
        for (table, column) in self.tagged(id) {
            after.check_tag_masks(table, column)?;
        }
        self.make(Change::PutTag(Arc::new(tag)))
    }

    /// Drops a tag.
    ///
    /// # Errors
    /// 42704 where it does not exist, 2BP01 where a column has it, or it brings masks along.
    pub fn drop_tag(&mut self, id: TagId) -> Result<(), CatalogError> {
        let tag = Arc::clone(self.existing_tag(id)?);
        let name = quote_identifier(&tag.name);
        let columns = self.tagged(id).into_iter().map(|(table, column)| {
            let (column, table) = (quote_identifier(&column.name), self.qualified_name(table.id));
            format!("column {column} of table {table} is tagged with {name}")
        });
        let masks = tag.masks.values().filter_map(|policy| self.masking_policy(*policy));
        let masks = masks.map(|policy| format!("masking policy {} is set on it", quote_identifier(&policy.name)));
        let detail: Vec<_> = columns.chain(masks).collect();
        if !detail.is_empty() {
            let message = format!("cannot drop tag {name} because other objects depend on it");
            let hint = Some("Unset the tag, and its masking policies, first.");
            return Err(CatalogError::InUse { message, detail: detail.join("\n"), hint });
        }
        self.make(Change::DropTag(id))
    }

    /// Sets a tag of a column, or takes it away.
    ///
    /// # Errors
    /// 42P01, 42703 and 42704 where the table, the column or the tag does not exist, 22023 for a value that the tag does
    /// not allow, 42P17 where the column would get a second mask, 42804 where the mask has another type.
    pub fn set_tag(
        &mut self,
        table: TableId,
        column: ColumnId,
        tag: TagId,
        value: Option<String>,
    ) -> Result<(), CatalogError> {
        let mut table = Table::clone(self.existing_table(table)?);
        let found = self.existing_tag(tag)?;
        if let Some(value) = &value {
            check_allowed(found, value)?;
        }
        let Some(target) = table.columns.iter_mut().find(|candidate| candidate.id == column) else {
            return Err(CatalogError::ColumnNotFound { column: column.to_string(), relation: table.name });
        };
        match value {
            Some(value) => target.tags.insert(tag, value),
            None => target.tags.remove(&tag),
        };
        let target = target.clone();
        self.check_tag_masks(&table, &target)?;
        self.make(Change::PutTable(Arc::new(table)))
    }

    /// The columns that have a tag.
    fn tagged(&self, tag: TagId) -> Vec<(&Table, &Column)> {
        let all = self.tables().flat_map(|table| table.columns.iter().map(move |column| (table.as_ref(), column)));
        all.filter(|(_, column)| column.tags.contains_key(&tag)).collect()
    }

    fn check_new_tag_name(&self, name: &str) -> Result<(), CatalogError> {
        check_name(ObjectKind::Tag, name)?;
        if self.tag_by_name(name).is_some() {
            return Err(CatalogError::exists(ObjectKind::Tag, name));
        }
        Ok(())
    }

    fn check_tag(&self, tag: &Tag) -> Result<(), CatalogError> {
        self.existing_role(tag.owner)?;
        let allowed = tag.allowed_values.as_deref().unwrap_or_default();
        if allowed.len() > ALLOWED_VALUES {
            let message = format!("a tag can allow at most {ALLOWED_VALUES} values");
            return Err(CatalogError::TagValue { message, detail: format!("{} were given.", allowed.len()) });
        }
        for value in allowed {
            check_value(value)?;
        }
        for (value, policy) in &tag.masks {
            check_allowed(tag, value)?;
            check_policy(tag, self.existing_masking_policy(*policy)?)?;
        }
        Ok(())
    }

    /// What has a value, or was set for one, keeps it from being forbidden.
    fn check_values_kept(&self, old: &Tag, tag: &Tag) -> Result<(), CatalogError> {
        let forbidden = |value: &String| check_allowed(tag, value).is_err();
        let tagged = self.tagged(tag.id).into_iter();
        let columns = tagged.filter(|(_, column)| column.tags.get(&tag.id).is_some_and(forbidden));
        let columns = columns.map(|(table, column)| {
            let (column, table) = (quote_identifier(&column.name), self.qualified_name(table.id));
            format!("column {column} of table {table} has it")
        });
        let masks = old.masks.iter().filter(|(value, _)| tag.masks.contains_key(*value) && forbidden(value));
        let masks = masks.filter_map(|(_, policy)| self.masking_policy(*policy));
        let masks = masks.map(|policy| format!("masking policy {} is set for it", quote_identifier(&policy.name)));
        let users: Vec<_> = columns.chain(masks).collect();
        if users.is_empty() {
            return Ok(());
        }
        let message = format!("a value of tag {} that is in use must stay allowed", quote_identifier(&tag.name));
        Err(CatalogError::InUse { message, detail: users.join("\n"), hint: Some("Unset it there first.") })
    }

    /// What a column's tags bring along: one mask at most, of the column's type. Said of a column with a mask of its own
    /// too: without it, theirs would hold.
    pub(super) fn check_tag_masks(&self, table: &Table, column: &Column) -> Result<(), CatalogError> {
        let masks: Vec<_> = self.tag_masks(column).collect();
        if masks.len() > 1 {
            let names = masks.iter().filter_map(|mask| self.masking_policy(mask.binding.policy));
            let names: Vec<_> = names.map(|policy| policy.name.as_str()).collect();
            return Err(CatalogError::InvalidDefinition(format!(
                "two tags would each set a masking policy on column \"{}\" of table \"{}\": {}",
                column.name,
                table.name,
                names.join(", ")
            )));
        }
        for mask in masks {
            let policy = self.existing_masking_policy(mask.binding.policy)?;
            let takes = policy.parameters.first().map(|parameter| parameter.sql_type.as_str());
            if takes != Some(column.sql_type.as_str()) {
                return Err(CatalogError::MaskType(format!(
                    "column \"{}\" of table \"{}\" is of type {}, but masking policy \"{}\" takes {}",
                    column.name,
                    table.name,
                    column.sql_type,
                    policy.name,
                    takes.unwrap_or("nothing")
                )));
            }
        }
        Ok(())
    }
}

/// A tag's mask sees the tagged column alone: what else there is differs from table to table.
fn check_policy(tag: &Tag, policy: &MaskingPolicy) -> Result<(), CatalogError> {
    if policy.parameters.len() == 1 {
        return Ok(());
    }
    Err(CatalogError::InvalidDefinition(format!(
        "masking policy \"{}\" takes {} columns, and cannot be set on tag \"{}\"",
        policy.name,
        policy.parameters.len(),
        tag.name
    )))
}

fn check_value(value: &str) -> Result<(), CatalogError> {
    let length = value.chars().count();
    if length <= VALUE_CHARACTERS && !value.chars().any(char::is_control) {
        return Ok(());
    }
    let message = "the value of a tag is too long, or has control characters".to_owned();
    Err(CatalogError::TagValue { message, detail: format!("It can have {VALUE_CHARACTERS} characters.") })
}

fn check_allowed(tag: &Tag, value: &str) -> Result<(), CatalogError> {
    check_value(value)?;
    let Some(allowed) = tag.allowed_values.as_ref().filter(|allowed| !allowed.iter().any(|one| one == value)) else {
        return Ok(());
    };
    let shown: Vec<_> = allowed.iter().map(|value| format!("'{value}'")).collect();
    Err(CatalogError::TagValue {
        message: format!("the value is not one that tag \"{}\" allows", tag.name),
        detail: format!("Allowed: {}.", shown.join(", ")),
    })
}
